"""A session of the platform as a session of the engine: its record, the lock of who serves it, and its journal."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from insession.errors import (
    Conflict,
    DataUnreadable,
    InsessionError,
    InvalidInput,
    LeaseError,
    LockTimeout,
    SessionNotFound,
    StoreError,
)
from insession.folders import state_folder
from insession.kernel.connecting import connect
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.kinds import DAY, Kind
from insession.kernel.locks import Lock
from insession.kernel.operations import Fence
from insession.kernel.session import Session

from .contracts import Serving
from .errors import SessionServed
from .journal import FileEntry, Journal
from .names import safe_name
from .outcomes import Outcome

_log: Final = logging.getLogger("insession.exchange")
KIND: Final = "exchange"
_MOMENT: Final = 1.0
_REPLACED: Final = "replaced"
"""Why a record ended whose name the platform gave to another session."""
LEASE: Final = 5.0
"""So many seconds after its process died a session can be served by another."""
_PATIENCE: Final = 2.0
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def exchange_kind(*, keep: float = 30 * DAY, keep_count: int = 1_000) -> Kind:
    """The kind of exchange sessions, for an engine of your own. The participant is a secret owner: often a token.

    ``keep``: a session's journal stays readable for so many seconds after its end.
    """
    return Kind(KIND, keep=keep, keep_count=keep_count, secret_owner=True)


def exchange_engine(store: str | Store | None = None, **options: Any) -> Engine:
    """An engine for exchange sessions. Store None: ``INSESSION_STORE``, else a file in the state folder, made here."""
    if store is None and not os.environ.get("INSESSION_STORE"):
        folder = state_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = f"sqlite:///{folder / 'exchange.db'}"
    return connect(store, kinds=[exchange_kind()], **options)


class Held:
    """One session that this process serves, and nobody else does."""

    def __init__(self, session: Session, engine: Engine, displaced: Callable[[], None]) -> None:
        self.session: Session = session
        self.journal: Journal = Journal(session)
        self._engine = engine
        self._displaced = displaced
        self._lock: Lock | None = None
        self._granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep())

    @classmethod
    async def open(cls, engine: Engine, participant: str, serving: Serving, about: Mapping[str, Any]) -> Held:
        """The session that the platform named: opened, or gone on with. Raises `SessionServed`."""
        held = cls(await _record(engine, participant, serving, about), engine, serving.displaced)
        try:
            await asyncio.shield(held._granted)
        except BaseException:
            await held.release()
            raise
        return held

    @property
    def fence(self) -> Fence | None:
        """What a write shows to prove that this process serves the session."""
        return None if self._lock is None else self._lock.fence

    async def put(self, entry: FileEntry) -> None:
        """Write an entry of the journal, however long the store is away. Raises `SessionServed`."""
        attempt = 0
        while True:
            if self._lock is None:
                await asyncio.shield(self._granted)
            try:
                await self.journal.put(entry, fence=self.fence)
            except LeaseError:
                # Ours may have run out while this process stood still; the keeper asks for it again.
                await asyncio.sleep(_PAUSES[0])
            except DataUnreadable:
                raise
            except StoreError as error:
                _log.warning("the journal cannot be written, and is tried again: %s", error)
                await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
                attempt += 1
            else:
                return

    async def sure(self) -> None:
        """Return once the lock is held. Raises `SessionServed`."""
        while (lock := self._lock) is None or lock.until <= self._engine.clock.now():
            if lock is None:
                await asyncio.shield(self._granted)
            # It ran out, which the keeper is about to see; or it is granted, and about to be told.
            await asyncio.sleep(_PAUSES[0])

    async def release(self) -> None:
        """Let others serve it."""
        self._closing.set()
        if self._lock is None:
            self._keeper.cancel()
        await asyncio.wait((self._keeper,))
        if not self._granted.done():
            self._granted.cancel()
        elif not self._granted.cancelled():
            self._granted.exception()

    async def end(self, outcome: Outcome) -> None:
        """The session is over."""
        with suppress(SessionNotFound):
            await self.session.close(outcome.value)

    async def _keep(self) -> None:
        """Hold the lock; a lock that ran out, because this process stood still, is asked for again."""
        had = False
        while not self._closing.is_set():
            try:
                async with self.session.lock("serve", ttl=LEASE, wait=LEASE + _PATIENCE) as lock:
                    self._lock, had = lock, True
                    self._granted.set_result(None)
                    await self._closing.wait()
            except LockTimeout:
                self._give_up(SessionServed())
                if had:
                    self._displaced()
                return
            except LeaseError:
                _log.warning("the session was not served for %g s, because this process stood still", LEASE)
            except StoreError as error:
                _log.warning("the session's lock cannot be asked for, and is tried again: %s", error)
                await asyncio.sleep(_PAUSES[-2])
            except InsessionError as error:  # asked again it would say the same
                self._give_up(error)
                return
            finally:
                self._lock = None
            if self._granted.done():
                self._granted = asyncio.get_running_loop().create_future()

    def _give_up(self, error: InsessionError) -> None:
        """Whoever writes next is told; nobody may."""
        if self._granted.done():
            self._granted = asyncio.get_running_loop().create_future()
        self._granted.set_exception(error)
        self._granted.exception()


async def _record(engine: Engine, participant: str, serving: Serving, about: Mapping[str, Any]) -> Session:
    name = safe_name(serving.session_id, "session_id")
    data = {
        "session_id": serving.session_id,
        "dialect": serving.dialect,
        "parameters": dict(serving.parameters),
        **about,
    }
    left: list[FileEntry] = []
    with suppress(SessionNotFound):
        there = await engine.get(engine.id_of(KIND, participant, name))
        if serving.joined:
            if there.record.live:
                return _of_dialect(there, serving.dialect)
            # Taken for lost, and it goes on: its journal would go with the record that is replaced.
            if there.record.reason != _REPLACED:
                left = [entry async for entry in Journal(_of_dialect(there, serving.dialect)).entries()]
        elif there.record.live:
            # One that is started is another session, even where a platform counts from the beginning again.
            await _put_away(there)
    try:
        session = await engine.open(kind=KIND, owner=participant, name=name, data=data)
    except Conflict:  # another process was first; the lock decides
        return await engine.get(engine.id_of(KIND, participant, name))
    journal = Journal(session)
    for entry in left:
        await journal.put(entry)
    return session


async def _put_away(session: Session) -> None:
    """End a record whose name another session has now; `SessionServed` where a process serves it all the same."""
    try:
        async with session.lock("serve", ttl=_MOMENT, wait=LEASE + _PATIENCE):
            await session.close(_REPLACED)
    except LockTimeout:
        raise SessionServed from None


def _of_dialect(session: Session, dialect: str) -> Session:
    """A session whose files are the dialect's: those of another can neither be answered in it nor told apart."""
    begun = session.data.get("dialect")
    if begun != dialect:
        raise InvalidInput("dialect", f"this session was begun in that of {begun}, and is joined in that of {dialect}")
    return session


async def is_served(session: Session) -> bool:
    """Whether a process serves it now. One that was killed seems to until its lease has run out."""
    try:
        # A list of leases would also show one that has run out.
        async with session.lock("serve", ttl=_MOMENT, wait=0):
            return False
    except LockTimeout:
        return True
