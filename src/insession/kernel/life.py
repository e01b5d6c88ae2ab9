"""An engine's life: its kinds, its store, its tasks, and how it asks the store."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from insession.errors import (
    ConfigurationError,
    DataUnreadable,
    InsessionError,
    InvalidInput,
    SessionNotFound,
    StoreError,
)
from insession.kernel import commands, rules
from insession.kernel.aside import Aside
from insession.kernel.batching import Batcher
from insession.kernel.clock import Clock, monotonic
from insession.kernel.codec import MOST_DATA
from insession.kernel.contract import Store
from insession.kernel.following import Following
from insession.kernel.ids import RandomIds, check_count, check_kind, secret_digest
from insession.kernel.items import Items
from insession.kernel.kinds import NODE, Kind
from insession.kernel.locks import Locks
from insession.kernel.marks import away, check_open
from insession.kernel.operations import Commit, End, Ends, Find, Found, Guard, Load, Mark, Operation, Put, Refused
from insession.kernel.reaper import Reaper
from insession.kernel.record import CHECKS, Record
from insession.kernel.recovery import Recovery
from insession.kernel.tasks import Tasks

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.engine")
LARGEST_DATA: Final = 1 << 30
LONGEST_INDEX_KEY: Final = 64
LARGEST_SWEEP: Final = 1_000
MEASURE_EVERY: Final = 60.0
_INDEX_KEY: Final = "~index/owners"
"""The item that holds the key of the owners' digests, so that all processes of a store have the same."""
_MOST_DIGESTS: Final = 4_096
_ASSEMBLED: Final = frozenset(
    {
        *("clock", "items", "locks", "batcher", "_immediate", "_apply_now", "_read_now", "_slice", "_step"),
        *("_tasks", "_spawn", "_reaper", "_recovery", "_following", "_aside"),
    }
)


def _not_now(session_id: str) -> Record | None:  # noqa: ARG001 - stands for `Store.record_now`
    return None


@lru_cache(maxsize=1_024)
def _undeclared(name: str) -> Kind:
    return Kind(name)


class Life:
    """What an engine is made of. `Engine` adds the verbs."""

    store: Store
    clock: Clock
    items: Items
    locks: Locks
    batcher: Batcher

    def __init__(
        self,
        store: Store,
        *,
        kinds: Iterable[Kind] = (),
        clock: Clock | None = None,
        most_data: int = MOST_DATA,
        index_key: bytes | None = None,
        secret_owners: bool = False,
        sweep: int | None = None,
    ) -> None:
        if not 1 <= most_data <= LARGEST_DATA:
            raise ConfigurationError(f"most_data: is a number of bytes from 1 to {LARGEST_DATA}")
        if index_key is not None and (type(index_key) is not bytes or not 1 <= len(index_key) <= LONGEST_INDEX_KEY):
            raise ConfigurationError(f"index_key: is 1 to {LONGEST_INDEX_KEY} secret bytes")
        self.store = store
        self.name: str = secrets.token_hex(6)
        """Stands in events as ``node``, so that a process knows its own."""
        self.most_data = most_data
        self._given_clock = clock
        if sweep is not None:
            check_count(sweep, "sweep", LARGEST_SWEEP)
        self._index_key = index_key
        self._secret_owners = secret_owners
        self._digests: dict[str, str] = {}
        self._given_sweep = sweep
        self._kinds: dict[str, Kind] = {}
        for kind in kinds:
            self._declare(kind)
        self._numbers = itertools.count(1)
        self._ids = RandomIds()
        self._is_open = False

    async def _enter(self) -> None:
        if self._is_open:
            raise ConfigurationError("this engine is open already")
        await self.store.open()
        try:
            # A program whose store has moved hears of it now, and not with its first change.
            marked, checks = await self.store.apply([Mark(), Find("item", CHECKS, most=1)])
            check_open([marked])
            if cast("Found", checks).entries:  # a store with keys shows nobody the checks of them
                _log.warning("this store is encrypted, and no keys are given: what is written here is not")
            await self._assemble()
            if self._secret_owners or any(kind.secret_owner for kind in self._kinds.values()):
                await self._find_index_key(make=True)
            await self._following.begin()
        except BaseException:
            await self.store.close()
            raise
        self._is_open = True
        self._spawn(self._following.follow())
        if self._given_clock is None and Commit not in self._immediate:
            self._spawn(self._follow_time())
        self._spawn(self._reaper.run())
        self._spawn(self._reaper.purge_for_ever())
        self._spawn(self._recovery.find_owed())

    async def _assemble(self) -> None:
        store, engine = self.store, cast("Engine", self)
        self.clock = self._given_clock or await self._measured()
        self._immediate = store.immediate
        self._apply_now = store.apply_now
        self._slice = commands.SLICE_NOW if End in store.immediate else commands.SLICE
        self._step = self._given_sweep or self._slice
        self._read_now = store.record_now if Load in store.immediate else _not_now
        self._following = Following(engine)
        self.batcher = Batcher(store, self._following.answered)
        self.items = Items(engine)
        self.locks = Locks(engine)
        self._tasks = Tasks()
        self._spawn = self._tasks.spawn
        self._reaper = Reaper(engine)
        self._recovery = Recovery(engine)
        self._aside = Aside(engine)

    async def _exit(self) -> None:
        try:
            await self._aside.leave()
            await self._recovery.leave()
            await self._following.leave()
        except InsessionError:
            _log.exception("this node could not say good-bye; it expires")
        finally:
            self._is_open = False
            # From now on every question goes to the batcher, which takes no more.
            self._immediate, self._read_now = frozenset(), _not_now
            self.locks.close()
            try:
                await self._tasks.close()
                await self.batcher.close()
            finally:
                await self.store.close()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # What `_assemble` gives an engine is not there before.
            if name in _ASSEMBLED:
                raise ConfigurationError("this engine has not been opened; use it within `async with`")
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)

    async def _measured(self) -> Clock:
        """A clock that shows the store's time and is never ahead of it, so that nothing ends early."""
        now = await self.store.now()
        return Clock(now - monotonic())

    async def _follow_time(self) -> None:
        """Go on following the store's clock: it drifts, is set, and after a failover is another machine's."""
        while True:
            await self.clock.sleep(MEASURE_EVERY)
            try:
                await self._measure()
            except StoreError as error:
                _log.warning("the store's time is not known: %s", error)

    async def _measure(self) -> None:
        asked = monotonic()
        now = await self.store.now()
        self.clock.correct(now - monotonic(), now - asked)

    def _declare(self, kind: Kind) -> Kind:
        if kind.name.startswith("~"):
            raise InvalidInput("kind", f"{kind.name!r} is one of the engine's own")
        if kind.name in self._kinds:
            raise ConfigurationError(f"kind {kind.name!r} is declared twice")
        self._kinds[kind.name] = kind
        return kind

    @property
    def is_open(self) -> bool:
        """Whether it is between its opening and its closing."""
        return self._is_open

    @property
    def hides_owners(self) -> bool:
        """Whether every owner is kept as a digest, because data is encrypted."""
        return self._secret_owners

    def declared(self, name: str) -> Kind | None:
        """The kind that this engine declares under a name."""
        return self._kinds.get(name)

    def kind(self, name: str) -> Kind:
        """The kind of a session: as declared here, or with default policies. Raises `InvalidInput`."""
        try:
            return self._kinds[name]
        except (KeyError, TypeError):
            return _undeclared(check_kind(name))

    def kinds(self) -> list[Kind]:
        """The kinds that this engine declares, its own node's included."""
        return [NODE, *self._kinds.values()]

    @property
    def recovers(self) -> bool:
        """Whether it declares what happens to sessions of dead nodes."""
        return any(kind.recovery is not None for kind in self._kinds.values())

    async def _find_index_key(self, *, make: bool) -> None:
        """The key of the owners' digests: as given, else as it lies in the store, made by whoever needs it first."""
        if self._index_key is not None:
            return
        item = (await self._ask(Load((_INDEX_KEY,)))).found[0]
        if item is None and make:
            put = Put(_INDEX_KEY, secrets.token_bytes(32), Guard.ABSENT)
            await self._ask(Commit(self.clock.now(), self._change(), self.name, (put,)))
            item = (await self._ask(Load((_INDEX_KEY,)))).found[0]
        if item is not None and type(item.data) is not bytes:
            raise DataUnreadable(_INDEX_KEY, getattr(item.data, "problem", "it is no key"))
        self._index_key = None if item is None else item.data

    def _digest(self, owner: str) -> str:
        """What stands for a secret owner. Remembered, because an owner comes again, and its digest is one text then."""
        digest = self._digests.get(owner)
        if digest is None:
            if self._index_key is None:
                raise ConfigurationError("this engine has not been opened; use it within `async with`")
            if len(self._digests) >= _MOST_DIGESTS:
                self._digests.clear()
            digest = self._digests[owner] = secret_digest(self._index_key, owner)
        return digest

    def _change(self) -> str:
        """An id for a change that no other change has."""
        return f"{self.name}-{next(self._numbers):x}"

    async def _ask(self, operation: Operation) -> Any:
        if type(operation) in self._immediate:
            answer = self._apply_now(operation)
            if type(answer) is Refused and (error := away((answer,))) is not None:
                raise error
            return answer
        return await self.batcher.send(operation)

    async def _read(self, session_id: str) -> Record:
        """The record as it is now: one that is due expires first."""
        loaded = await self._ask(Load((session_id,)))
        record: Record | None = loaded.found[0]
        if record is None:
            raise SessionNotFound(session_id)
        if record.due <= self.clock.now() and record.live:
            return await self._expired(session_id)
        return record

    async def _expired(self, session_id: str) -> Record:
        """Whoever looks first decides an expiry; the record after it."""
        how = rules.expiry(self.clock.now(), self._change(), self.name)
        answer = await self._ask(commands.end_one(session_id, how))
        loaded = await self._ask(Load((session_id,)))
        record: Record | None = loaded.found[0]
        if record is None:
            raise SessionNotFound(session_id)
        if isinstance(answer, Ends):
            self._following.ended(session_id, record)
        return record
