"""The storage: sessions of a protocol's clients on any store of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Any, Final, Self

import msgspec

from insession.errors import ConfigurationError, Conflict, SessionNotFound
from insession.kernel.clock import Clock
from insession.kernel.connecting import connect
from insession.kernel.contract import Store
from insession.kernel.engine import MOST_PAGE, Engine
from insession.kernel.ids import NamedIds, named_id
from insession.kernel.kinds import Kind
from insession.kernel.limits import MOST_OF_KIND, Limit
from insession.kernel.operations import Commit
from insession.kernel.urls import chosen_store

from .event import CREATED, DESTROYED
from .hearing import Changes, Tell
from .keys import NO_KEY, Form, Key, Keys, identity
from .record import FIELDS, OPTIONS, SessionRecord, content_of, packed, record_of, shortened

KIND: Final = "protocol"
"""The kind of these sessions, in the engine and everywhere that shows kinds."""
DAY: Final = 86_400.0
KEEP: Final = 600.0
"""So long the record of a destroyed session can still be read: observers elsewhere learn from it which one it was."""
LONGEST_WINDOW: Final = 60.0


def protocol_kind(*, idle: float | None = DAY, most_per_key: int | None = None) -> Kind:
    """The kind of these sessions, for an engine of your own: ``connect(..., kinds=[protocol_kind()])``."""
    limits = () if most_per_key is None else (Limit(most=most_per_key, then="least recently used"),)
    # What is no number is the kind's to refuse.
    window = min(0.05 * idle, LONGEST_WINDOW) if isinstance(idle, int | float) else LONGEST_WINDOW
    return Kind(KIND, idle=idle, window=window, keep=KEEP, keep_count=MOST_OF_KIND, limits=limits)


class Place(msgspec.Struct, frozen=True):
    """Where a session lies: its key, and its id in the engine."""

    key: Key
    id: str


class SessionStorage:
    """Sessions on a store. Both forms of call are served, ``(session_id)`` and ``(auth_key, session_id)``: one of them.

    It opens at its first use, because frameworks build it before their loop runs; ``async with`` or `open` and `close`
    say when. An auth key is an object with its number as ``value`` (mtpylon's ``AuthKey``), its 256 bytes, or its 64
    bit id; of a key nothing is kept but the id. Bad input raises `InvalidInput`, a `ValueError`; a failing store raises
    `StoreError`.

    Args:
        store: A store's URL, a store, or an engine that declares `protocol_kind` and that you open; None: the
            environment's ``INSESSION_STORE``, else memory. Storages on one store and one namespace share sessions.
        namespace: The part of the store to use.
        idle: A session that nobody asked for so many seconds is forgotten; None: never.
        most_per_key: So many sessions an auth key may have, at most 1,000; one more ends the one that was idle longest.
        keyed: True: called with an auth key, False: without; None: as it is called first.
        node: What sessions that are created here say of who serves them.
        keys: A ring of keys: data at rest is encrypted, see `insession.connect`.
        clock: For tests.
    """

    tells_changes: Final = True
    """`create_session` and `destroy_session` answer whether they changed anything, decided by the store."""

    def __init__(
        self,
        store: str | Store | Engine | None = None,
        *,
        namespace: str = "default",
        idle: float | None = DAY,
        most_per_key: int | None = None,
        keyed: bool | None = None,
        node: str | None = None,
        keys: object = None,
        clock: Clock | None = None,
    ) -> None:
        kind = protocol_kind(idle=idle, most_per_key=most_per_key)
        packed(0, None, {}, node)
        self.form: Form = Form(keyed=keyed)
        self._node = node
        self._given = isinstance(store, Engine)
        self._alone = False
        if isinstance(store, Engine):
            self._engine = store
        else:
            chosen = chosen_store(store, namespace=namespace, clock=clock)
            # A memory store that was made here has no other engine on it: nobody else opens anything.
            self._alone = chosen is not store and Commit in chosen.immediate
            self._engine = connect(chosen, kinds=[kind], clock=clock, keys=keys)
        declared = self._engine.declared(KIND)
        if declared is None:
            raise ConfigurationError(
                "store: this engine does not declare protocol_kind(); pass it to connect(kinds=[...])"
            )
        self._hidden = keys is not None or declared.secret_owner or self._engine.hides_owners
        self._keys = Keys(KIND, lambda owner: self._engine.owner_of(KIND, owner))
        self._is_open = False
        self._opening: asyncio.Lock | None = None
        self._changes: list[Changes] = []
        self.immediate: bool = Commit in self._engine.store.immediate
        """Whether a call never waits."""

    async def open(self) -> None:
        """Open the store; a second call does nothing."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._is_open:
                return
            if not self._given:
                await self._engine.__aenter__()
            elif not self._engine.is_open:
                raise ConfigurationError(
                    "store: this engine has not been opened; use the storage within `async with engine`"
                )
            self._is_open = True
            for changes in self._changes:
                changes.begin(self._engine)

    async def close(self) -> None:
        """Close what was opened here. Sessions stay, where the store keeps them; a second call does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        for changes in self._changes:
            await changes.end()
        if not self._given:
            await self._engine.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._is_open

    @property
    def engine(self) -> Engine:
        """The engine behind it."""
        return self._engine

    async def create_session(self, *identity: Any, **named: Any) -> bool:
        """Keep a new session; whether it is new. One that exists was active, and stays as it is.

        Called with ``session_id``, or with ``auth_key`` and ``session_id``; beside them ``first_msg_id``, ``node`` and
        ``data`` (JSON-like) may be named, for its record.
        """
        auth_key, session_id = identity_of(identity, named)
        return await self.create(await self.placed(auth_key, session_id), session_id, named)

    async def has_session(self, *identity: Any, **named: Any) -> bool:
        """Whether a session exists. Being asked for counts as its activity."""
        return await self.has(*identity_of(identity, named, nothing_else=True))

    async def destroy_session(self, *identity: Any, **named: Any) -> bool:
        """Keep a session no more; whether there was one."""
        auth_key, session_id = identity_of(identity, named, nothing_else=True)
        return await self.destroy(await self.placed(auth_key, session_id))

    def has(self, auth_key: Any, session_id: int) -> Awaitable[bool]:
        """`has_session` for a subject, which has read its arguments: every message asks, so it takes the short way."""
        if not self._is_open or auth_key is NO_KEY or self.form.keyed is not True:
            return self._has_surely(auth_key, session_id)
        ids = self._keys.known(auth_key).ids
        return self._engine.alive(KIND, ids.of(b"%d" % session_id))

    async def _has_surely(self, auth_key: Any, session_id: int) -> bool:
        return await self._engine.alive(KIND, (await self.placed(auth_key, session_id)).id)

    async def create(self, place: Place, session_id: int, options: dict[str, Any], by: Changes | None = None) -> bool:
        """`create_session` for a subject, which tells its observers itself: it hears nothing more of this change."""
        data = packed(session_id, place.key.id if self._hidden else None, options, self._node)
        own = None if by is None else by.own(place.id, CREATED)
        new = False
        try:
            await self._engine.open(kind=KIND, owner=place.key.owner, name=str(session_id), data=data)
            new = True
        except Conflict:
            await self._engine.alive(KIND, place.id)
        finally:
            if by is not None and own is not None:
                by.settle(own, changed=new)
        return new

    async def destroy(self, place: Place, by: Changes | None = None) -> bool:
        """`destroy_session` for a subject, see `create`."""
        own = None if by is None else by.own(place.id, DESTROYED)
        gone = False
        try:
            gone = await self._engine.close(place.id, DESTROYED)
        except SessionNotFound:
            pass
        finally:
            if by is not None and own is not None:
                by.settle(own, changed=gone)
        return gone

    async def placed(self, auth_key: Any, session_id: int) -> Place:
        """Where a session lies. Opens the storage, and holds it to its form."""
        key = await self.key(auth_key)
        if key is _NOBODY:
            return Place(key, named_id(KIND, None, str(session_id), by_kind=False))
        return Place(key, key.ids.of(b"%d" % session_id))

    async def record(self, *identity: Any, **named: Any) -> SessionRecord | None:
        """What is known of a session; None where there is none."""
        session = await self._session(*identity_of(identity, named, nothing_else=True))
        return None if session is None else record_of(session, hidden=self._hidden)

    async def update(self, *identity: Any, **named: Any) -> SessionRecord | None:
        """Change ``first_msg_id``, ``node`` or ``data`` of a session, as named; None where there is none.

        ``data`` may be a function of the data that gives the new data; it is called again if somebody was faster.
        """
        session = await self._session(*identity_of(identity, named))
        if session is None:
            return None
        function = callable(named.get("data"))
        packed(0, None, named | {"data": None} if function else named, None)
        await session.update(lambda data: _changed(data, named))
        return record_of(session, hidden=self._hidden)

    async def sessions(self, auth_key: Any) -> AsyncIterator[SessionRecord]:
        """The live sessions of an auth key, the oldest first."""
        owner, cursor = (await self.key(auth_key)).owner, None
        while True:
            page = await self._engine.find(owner=owner, kind=KIND, cursor=cursor, limit=MOST_PAGE)
            for session in page.sessions:
                yield record_of(session, hidden=self._hidden)
            cursor = page.cursor
            if cursor is None:
                return

    async def count(self, auth_key: Any = NO_KEY) -> int:
        """How many sessions live, of an auth key or altogether; one that is due and not swept yet may be counted."""
        if auth_key is NO_KEY:
            await self.open()
            return await self._engine.count(kind=KIND)
        return await self._engine.count(owner=(await self.key(auth_key)).owner, kind=KIND)

    async def destroy_all(self, auth_key: Any) -> int:
        """Destroy every session of an auth key that was created before now; how many this call destroyed."""
        owner = (await self.key(auth_key)).owner
        return await self._engine.interrupt_all(DESTROYED, kind=KIND, owner=owner)

    def changes(self, tell: Tell) -> Changes:
        """Tell a function of every change that others make, see `hearing`; `stop_changes` ends that."""
        changes = Changes(KIND, tell, hidden=self._hidden, alone=self._alone)
        self._changes.append(changes)
        if self._is_open:
            changes.begin(self._engine)
        return changes

    async def stop_changes(self, changes: Changes) -> None:
        """Tell it no more."""
        if changes in self._changes:
            self._changes.remove(changes)
            await changes.end()

    async def key(self, auth_key: Any) -> Key:
        """What is known of an auth key; holds the storage to its form."""
        if not self._is_open:
            await self.open()
        if self.form.keyed is None and auth_key is not NO_KEY:
            self._keys.known(auth_key)  # bad input decides nothing
        self.form.hold(auth_key)
        return _NOBODY if auth_key is NO_KEY else self._keys.known(auth_key)

    async def _session(self, auth_key: Any, session_id: int) -> Any:
        place = await self.placed(auth_key, session_id)
        with suppress(SessionNotFound):
            session = await self._engine.get(place.id)
            if session.record.live:
                return session
        return None


class InMemorySessionStorage(SessionStorage):
    """A storage that lives as long as the process, whatever the environment says."""

    def __init__(self, **options: Any) -> None:
        super().__init__("memory:", **options)


_NOBODY: Final = Key(None, None, NamedIds(KIND, "", by_kind=False))


def identity_of(given: tuple[Any, ...], named: dict[str, Any], *, nothing_else: bool = False) -> tuple[Any, int]:
    """Who a call is about; what else was named stays in ``named``."""
    who = identity(given, named)
    if nothing_else and named:
        raise TypeError(f"unexpected argument {next(iter(named))!r}")
    return who


def _changed(data: list[Any], named: dict[str, Any]) -> list[Any]:
    content = content_of(data)
    for name in OPTIONS & named.keys():
        value = named[name]
        content[name] = value(content[name]) if callable(value) else value
    return shortened([content[name] for name in FIELDS])
