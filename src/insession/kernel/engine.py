"""The engine: every kind of session that a program holds, over one store."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection
from typing import Any, Final, Self

import msgspec
from msgspec.structs import replace

from insession.errors import Conflict, InvalidInput, LimitReached, StoreError
from insession.kernel import commands, ids, rules
from insession.kernel.codec import encode
from insession.kernel.events import EventType
from insession.kernel.finding import check_page, check_state, check_type
from insession.kernel.followers import Follower, Listener
from insession.kernel.kinds import Kind
from insession.kernel.locks import Lock
from insession.kernel.observers import Observer, OnError, Subscription
from insession.kernel.operations import (
    Commit,
    Count,
    Counted,
    Done,
    Find,
    Found,
    Index,
    Load,
    Pick,
    Refused,
    Touch,
    Touched,
    Why,
)
from insession.kernel.record import NODE_KIND, Record, State
from insession.kernel.session import Session
from insession.kernel.streams import EventStream
from insession.kernel.terms import terms
from insession.kernel.upkeep import Upkeep
from insession.kernel.urls import unknown

_NO_DATA: Final = encode({})
_LOCK_OPTIONS: Final = frozenset(inspect.signature(terms).parameters) - {"most_note"} | {"load"}
MOST_PAGE: Final = 1_000
# Reading a member of an enumeration costs more than all else that these lines do.
_ACTIVE: Final = State.ACTIVE


class SessionPage(msgspec.Struct, frozen=True):
    """Some sessions, and the cursor of the next page; None at the end."""

    sessions: list[Session]
    cursor: str | None


class Engine(Upkeep):
    """Sessions of every kind over one store. Made by `connect`; ``async with`` opens it.

    Engines on one store and one namespace share sessions. One engine belongs to one event loop.
    Every verb may raise `StoreUnavailable`, `OutcomeUnknown` and `Overloaded`.
    """

    async def __aenter__(self) -> Self:
        await self._enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit()

    async def open(
        self,
        *,
        kind: str = "session",
        owner: str | None = None,
        name: str | None = None,
        data: object = None,
        idle: float | msgspec.UnsetType | None = msgspec.UNSET,
        absolute: float | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> Session:
        """Open a session.

        ``name`` is what the other party calls it: its id is then computed (`id_of`), and `Conflict` says that one
        of that name lives. ``idle`` and ``absolute`` (seconds; None: never) stand for those of the kind. Raises
        `LimitReached`, `InvalidInput`.
        """
        policy = self.kind(kind)
        if kind[0] == "~":
            raise InvalidInput("kind", f"{kind!r} is one of the engine's own")
        if owner is not None:
            owner = self._indexed(policy, owner)
        if name is not None:
            ids.check_text(name, "name")
        encoded = _NO_DATA if data is None and policy.shape is None else self._encoded(policy, data)
        if idle is msgspec.UNSET:
            idle = policy.idle
        elif idle is not None:
            idle = ids.check_seconds(idle, "idle", least=0.001)
        if absolute is msgspec.UNSET:
            absolute = policy.absolute
        elif absolute is not None:
            absolute = ids.check_seconds(absolute, "absolute", least=0.001)
        node = None if policy.recovery is None else await self._recovery.own_node()
        return await self._open(policy, owner, name, encoded, idle, absolute, node)

    async def _open(
        self,
        policy: Kind,
        owner: str | None,
        name: str | None,
        encoded: bytes,
        idle: float | None,
        absolute: float | None,
        node: str | None,
    ) -> Session:
        now = self.clock.now()
        if name is None:
            # A random id is its own first change: nobody else can have opened under it.
            change = session_id = self._ids.fresh(policy.name if policy.by_kind else owner)
        else:
            session_id = ids.named_id(policy.name, owner, name, by_kind=policy.by_kind)
            change = self._change()
        window = policy.touch_window(idle, immediate=Commit in self._immediate)
        record = commands.new_record(session_id, policy, owner, node, now, (idle, absolute, window), encoded, change)
        commit = commands.open_session(record, self.name, policy.limits)
        if name is None:
            answer = await self._ask(commit)
        else:
            answer = await self._open_named(session_id, now, commit)
        if type(answer) is not Done:
            raise self._refused_open(answer, policy, session_id)
        if record.version != answer.versions[0]:
            record = replace(record, version=answer.versions[0])
        if record.due < self._reaper.look:
            self._reaper.note(record.due)
        return Session(self, record)

    async def _open_named(self, session_id: str, now: float, commit: Commit) -> Any:
        """Open under a name; what is due under it expires first, in the same trip."""
        if self._immediate.issuperset((Load, Commit)):
            there = self._read_now(session_id)
            if there is None or not there.live or there.due > now:
                return await self._ask(commit)
        expiry = commands.end_one(session_id, rules.expiry(now, self._change(), self.name))
        return (await self._ask_together(expiry, commit))[1]

    def _refused_open(self, answer: Refused, policy: Kind, session_id: str) -> Exception:
        if answer.why is Why.LIMIT:
            return LimitReached(policy.name)
        return Conflict(session_id, None if answer.current is None else answer.current.version)

    def id_of(self, kind: str, owner: str | None, name: str) -> str:
        """The id of the session that the other party calls ``name``."""
        policy = self.kind(ids.check_kind(kind))
        owner = None if owner is None else self._indexed(policy, owner)
        return ids.named_id(kind, owner, ids.check_text(name, "name"), by_kind=policy.by_kind)

    async def get(self, session_id: str) -> Session:
        """A session by its id, live or ended; one that is due has expired. Raises `SessionNotFound`."""
        record = self._read_now(session_id) if type(session_id) is str else None
        if record is None or (record.due <= self.clock.now() and record.live):
            record = await self._read(ids.check_id(session_id))
        return Session(self, record)

    async def update(
        self,
        session_id: str,
        change: Callable[[Any], Any] | object,
        *,
        version: int | None = None,
        **options: bool,
    ) -> Session:
        """Change a session's data, see `Session.update`; a value is written over ``version``, or the one read now."""
        session = await self.get_at(session_id, version)
        await session.update(change, **options)
        return session

    async def get_at(self, session_id: str, version: int | None) -> Session:
        """A session as it is now, which must be at a version if one is given: else `Conflict`, if it lives."""
        if version is not None:
            ids.check_count(version, "version", ids.LARGEST_VERSION)
        session = await self.get(session_id)
        if version is not None and session.version != version and session.record.live:
            raise Conflict(session_id, session.version)
        return session

    async def touch(self, session_id: str) -> Session:
        """The session's other party was active, see `Session.touch`."""
        session = await self.get(session_id)
        await self._touch(session)
        return session

    async def alive(self, kind: str, session_id: str) -> bool:
        """Whether a session of this kind lives, by one trip. Being asked for is activity, written once in the window.

        For a session that the other party names: its id is computed (`id_of`), and it may never have been opened.
        """
        now = self.clock.now()
        record = self._read_now(session_id)
        if record is not None:
            if record.state is not _ACTIVE:
                return False
            if now - record.touched <= record.window and record.due > now:
                return True
        elif Load in self._immediate:
            return False
        policy = self.kind(kind)
        window = policy.touch_window(policy.idle, immediate=Commit in self._immediate)
        answer = await self._ask(Touch(ids.check_id(session_id), now, window))
        if type(answer) is Refused and answer.why is Why.PAST_DUE:
            await self._expired(session_id)
        return type(answer) is Touched

    async def close(self, session_id: str, reason: str = "completed") -> bool:
        """End a session in good order; whether this call ended it."""
        return await self._end(ids.check_id(session_id), State.CLOSED, reason)

    async def interrupt(self, session_id: str, reason: str = "interrupted", *, wait: float | None = None) -> bool:
        """End a session and stop the work for it, anywhere; whether this call ended it.

        Returns at the commit; with ``wait`` after the work has stopped, or that many seconds later.
        """
        return await self._interrupt(ids.check_id(session_id), reason, wait)

    async def _interrupt(self, session_id: str, reason: str, wait: float | None, handle: Session | None = None) -> bool:
        if wait is None:
            return await self._end(session_id, State.INTERRUPTED, reason, handle)
        ids.check_seconds(wait, "wait")
        stream = self.events(types={EventType.STOPPED})
        await stream.start()
        won = await self._end(session_id, State.INTERRUPTED, reason, handle)
        if not won and (await self._read(session_id)).stopped is not None:
            return won
        stopped = asyncio.ensure_future(_stop_of(session_id, stream))
        try:
            if await self.clock.wait(stopped, self.clock.now() + wait):
                stopped.result()
        finally:
            stopped.cancel()
        return won

    async def interrupt_all(
        self, reason: str = "interrupted", *, kind: str | None = None, owner: str | None = None
    ) -> int:
        """End every session that was opened before now, of a kind or an owner if given; how many this call ended.

        First the flags of this process's handles are set, then the ends are committed in slices. If the store fails
        this raises, and the flags stand.
        """
        now = self.clock.now()
        ids.check_reason(reason)
        if kind is not None:
            ids.check_kind(kind)
        index: Index = "owner" if owner is not None else "kind" if kind is not None else "all"
        values = [kind] if owner is None else await self._owner_forms(kind, owner)
        for value in values:
            self._following.flag_all(kind, value if index == "owner" else None, now)
        picks = [Pick(index, value, kind, self._slice, now) for value in values]
        try:
            return sum([await self._end_all(pick, State.INTERRUPTED, reason) for pick in picks])
        except StoreError as error:
            error.add_note("the flags of this process's handles are set and stand; not every end is committed")
            raise

    async def find(
        self,
        *,
        owner: str | None = None,
        kind: str | None = None,
        node: str | None = None,
        state: State | str | None = State.ACTIVE,
        cursor: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """A page of sessions by owner, node, kind, or all; live ones unless ``state`` says otherwise (None: any)."""
        index, value = self._index(owner, kind, node)
        find = Find(
            index,
            value,
            kind,
            check_state(state),
            check_page(cursor),
            ids.check_count(limit, "limit", MOST_PAGE),
        )
        found: Found = await self._ask(find)
        now = self.clock.now()
        live = [
            Session(self, record)
            for record in found.entries
            if isinstance(record, Record) and (record.due > now or not record.live)
        ]
        return SessionPage(live, found.after)

    async def count(
        self,
        *,
        owner: str | None = None,
        kind: str | None = None,
        node: str | None = None,
        state: State | str | None = State.ACTIVE,
    ) -> int:
        """How many sessions there are; one that is due and not swept yet may be counted."""
        index, value = self._index(owner, kind, node)
        counted: Counted = await self._ask(Count(index, value, kind, check_state(state)))
        return counted.number

    async def nodes(self) -> list[Session]:
        """The processes that own work now."""
        return (await self.find(kind=NODE_KIND, limit=MOST_PAGE)).sessions

    def events(self, *, after: str | None = None, types: Collection[EventType | str] | None = None) -> EventStream:
        """Events after a cursor (None: from now on, ``events.START``: from the first that is kept)."""
        return EventStream(self.store, after, None if types is None else frozenset(map(check_type, types)))

    def observe(
        self,
        observer: Observer,
        *,
        types: Collection[EventType | str] | None = None,
        after: str | None = None,
        on_error: OnError | None = None,
    ) -> Subscription:
        """Tell a function of events: ``async with engine.observe(function): ...``.

        An async function is awaited for at most 5 s, a plain one runs in a thread; of one session, one event after
        another. What it raises is logged, counted, told to ``on_error``, and reaches nobody else.
        """
        return Subscription(self, observer, self.events(after=after, types=types), on_error)

    def lock(self, name: str, **options: Any) -> Lock:
        """One permit of a lease: ``async with engine.lock("report") as lock``.

        Options: ``ttl`` (30 s, renewed while held), ``wait`` (30 s; 0: refuse at once, None: for ever), ``permits``
        (1), ``queue`` (most waiters), ``note`` (bytes that a holder may take over), ``take`` (take over the notes of
        those who wait when it is granted), ``displace`` (void the holder's fence), ``grace`` (1 s, for a displaced
        holder), ``load`` (what to read in the trip that grants it) and ``cancel`` (cancel the block at a loss).
        Raises `LockTimeout`, and out of the block `LockLost` or `Displaced`.
        """
        for option in options:
            if option not in _LOCK_OPTIONS:
                raise InvalidInput(option, unknown("option", option, _LOCK_OPTIONS))
        load = options.pop("load", None)
        return Lock(self, name, terms(self.most_data, **options), load)

    def owner_of(self, kind: str, owner: str) -> str:
        """An owner as the records of a kind name it: of a secret one the keyed digest."""
        return self._indexed(self.kind(kind), owner)

    def follow(self, kind: str, follower: Follower) -> Callable[[], None]:
        """Let ``follower`` hear of every ending of a kind, wherever it is decided; what this returns ends that.

        For a program that holds many sessions and wants to know of their ends, and of nothing else: it costs a call
        for each ending. Who wants to be told of events in order, or may be slow, is an observer.
        """
        return self._following.followers.add(kind, follower)

    def listen(self, kind: str, listener: Listener, types: Collection[EventType]) -> Callable[[], None]:
        """Let ``listener`` hear each event of a kind from now on, in the log's order; what this returns ends that.

        Cheaper than `observe`, because the engine's own reader reads them, and for who does not wait: it is called on
        the loop's thread. Events of this engine's own come as well.
        """
        return self._following.listen(kind, listener, frozenset(types))

    def _index(self, owner: str | None, kind: str | None, node: str | None) -> tuple[Index, str | None]:
        if kind is not None:
            ids.check_kind(kind)
        if owner is not None and node is not None:
            raise InvalidInput("node", "goes without an owner")
        if owner is not None:
            return "owner", self._indexed(self.kind(kind or "session"), owner)
        if node is not None:
            return "node", ids.check_id(node, "node")
        return ("all", None) if kind is None else ("kind", kind)


async def _stop_of(session_id: str, stream: EventStream) -> None:
    async for event in stream:
        if event.id == session_id:
            return
