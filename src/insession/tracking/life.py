"""A tracker's life: its engine as the configuration describes it, and its background work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from insession.errors import InsessionError, InvalidInput, SessionNotFound
from insession.kernel.clock import Clock
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.kinds import Kind
from insession.kernel.limits import MOST_OF_KIND, Limit
from insession.kernel.operations import Commit
from insession.kernel.tasks import Tasks
from insession.kernel.urls import chosen_store, sealed
from insession.kernel.working import Worker

from .config import SessionManagementConfig
from .errors import NotInitialized
from .holding import Holding
from .keeping import Keeping
from .logs import Records, logger
from .provider import Provider
from .tally import Tally

KIND: Final = "device"
"""The kind of tracked sessions, in the engine and everywhere that shows kinds."""
CLEANUP: Final = "cleanup"
"""The reason that ends what still runs when a tracker stops."""
_SAME_KEY: Final = "every process of a shared store needs the same one: set INSESSION_KEYS"
LONGEST_WINDOW: Final = 60.0


def touch_window(config: Mapping[str, Any]) -> float:
    """How finely activity is written down: once a heartbeat, at most 5 % of the timeout and 60 s."""
    return float(min(config["session_heartbeat_interval"], 0.05 * config["session_timeout"], LONGEST_WINDOW))


class TrackerLife(Provider):
    """What a tracker is made of. `SessionTracker` adds the verbs.

    Args:
        config: The keys of `SessionManagementConfig` that it needs, or a whole configuration.
        store: A store's URL, or a store; None: the environment's ``INSESSION_STORE``, else memory. Trackers on one
            store and one namespace share, count, limit and interrupt each other's sessions.
        namespace: The part of the store to use.
        keys: Key ring for ``encrypt_session_data``; None: the environment's ``INSESSION_KEYS``, else one made once.
        durable: Sessions outlive this process: neither `cleanup` nor a crash ends them.
        clock: For tests.
    """

    name = "session_tracker"

    def __init__(
        self,
        config: object = None,
        store: str | Store | None = None,
        namespace: str = "default",
        *,
        keys: object = None,
        durable: bool = False,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.config: SessionManagementConfig = SessionManagementConfig(config)
        self.window: float = 0.0
        """Seconds within which the activity of a session is written down once."""
        self.now: Callable[[], float] = time.time
        self._store = store
        self._namespace = namespace
        self._keys = keys
        self._durable = durable
        self._clock = clock
        self._engine: Engine | None = None
        self._holding: Holding | None = None
        self._global_until = 0.0
        self._works: dict[str, list[tuple[Worker | None, asyncio.Future[None]]]] = {}
        self._tasks = Tasks()
        self._changing = asyncio.Lock()
        self.keeping: Keeping = Keeping(SessionManagementConfig())
        self.records: Records = Records(SessionManagementConfig())
        self.tally: Tally = Tally(most=1, age=0.0, delay=0.0)

    async def initialize(self) -> bool:
        """Open the store and begin to track; False, with every reason in the log, where that cannot work."""
        async with self._changing:
            if self._engine is not None:
                return True
            if not self.config.validate():
                return False
            try:
                engine = self._made()
                await engine.__aenter__()
            except (InsessionError, OSError) as error:
                logger().error("the tracker cannot start: %s", error)
                return False
            self._assemble(engine)
            self._start()
            return True

    def _made(self) -> Engine:
        """The engine that the configuration describes, not opened yet."""
        config = self.config
        if not isinstance(self._namespace, str):
            raise InvalidInput("namespace", f"is a text, not {type(self._namespace).__name__}")
        store = chosen_store(self._store, namespace=self._namespace, clock=self._clock)
        if not hasattr(store, "apply"):
            raise InvalidInput("store", f"is a URL, a store or None, not {type(store).__name__}")
        shared = Commit not in store.immediate  # a store that never waits is this process's own
        self.window = touch_window(config)
        kind = Kind(
            KIND,
            idle=config["session_timeout"],
            window=self.window,
            keep=max(config["session_data_retention"], config["interrupt_cleanup_delay"]),
            keep_count=MOST_OF_KIND,  # what is too many goes at this tracker's own clean-up, which knows what is recent
            limits=(Limit(most=config["max_concurrent_sessions"], over="kind"),),
            recovery="end" if shared and not self._durable else None,
            secret_owner=True,
        )
        encrypted = config["encrypt_session_data"]
        return Engine(
            self._sealed(store, shared=shared) if encrypted else store,
            kinds=[kind],
            clock=self._clock,
            secret_owners=encrypted,
            sweep=config["cleanup_batch_size"],
        )

    def _sealed(self, store: Store, *, shared: bool) -> Store:
        named = os.environ.get("INSESSION_KEYS") or os.environ.get("INSESSION_KEYS_FILE")
        if shared and self._keys is None and not named:
            logger().warning("session data is encrypted with the key of this user's state folder; %s", _SAME_KEY)
        return sealed(store, self._keys)

    def _assemble(self, engine: Engine) -> None:
        config = self.config
        if config.level is not None:
            logger().setLevel(config.level)
        self._engine = engine
        self.now = engine.clock.now
        self.keeping = Keeping(config, engine.data_of)
        self.records = Records(config)
        earlier, self.tally = (
            self.tally,
            Tally(
                most=config["max_session_history"],
                age=config["session_data_retention"],
                delay=config["interrupt_cleanup_delay"],
            ),
        )
        self.tally.take_over(earlier)
        self._holding = Holding(engine, self.tally, self.records)
        self._global_until = 0.0
        engine.follow(KIND, self._holding)
        self._tasks = Tasks()
        self._tasks.spawn(self._holding.write_activity())
        self._tasks.spawn(self._clean_for_ever(engine, self._holding))

    async def cleanup(self) -> bool:
        """Stop tracking: everything that this process tracks is flagged and, unless ``durable``, ended."""
        async with self._changing:
            engine, holding = self._engine, self._holding
            if engine is not None and holding is not None:
                self._engine = None
                self._stop()
                holding.stop()
                try:
                    await self._end_held(engine, holding)
                finally:
                    await self._tasks.close()
                    await engine.__aexit__(None, None, None)
                    holding.sessions.clear()
            return True

    async def _end_held(self, engine: Engine, holding: Holding) -> None:
        """End what is held, unless ``durable``, and what is opened by a call that began before."""
        ended: set[str] = set()
        try:
            while not self._durable and (rest := [one for one in holding.sessions if one not in ended]):
                ended.update(rest)
                await _end_all(engine, rest, self.config["cleanup_batch_size"])
        except InsessionError as error:
            logger().warning("not every session could be ended; the rest expires: %s", error)

    async def _clean_for_ever(self, engine: Engine, holding: Holding) -> None:
        """Shorten the history, now and then; what was interrupted just now is not history yet."""
        config = self.config
        while True:
            full = asyncio.ensure_future(holding.full.wait())
            try:
                await engine.clock.wait(full, engine.clock.now() + config["session_cleanup_interval"])
            finally:
                full.cancel()
            holding.full.clear()
            self.tally.piled = 0
            try:
                surplus = self.tally.surplus(engine.clock.now())
                await engine.purge(kind=KIND, keep_count=min(config["max_session_history"] + surplus, MOST_OF_KIND))
            except InsessionError as error:
                logger().warning("the clean-up has to wait: %s", error)

    def _opened(self) -> tuple[Engine, Holding]:
        if self._engine is None or self._holding is None:
            raise NotInitialized("SessionTracker")
        return self._engine, self._holding


async def _end_all(engine: Engine, session_ids: list[str], batch: int) -> None:
    for begin in range(0, len(session_ids), batch):
        await asyncio.gather(*(_end(engine, session_id) for session_id in session_ids[begin : begin + batch]))


async def _end(engine: Engine, session_id: str) -> None:
    with suppress(SessionNotFound):
        await engine.interrupt(session_id, CLEANUP)
