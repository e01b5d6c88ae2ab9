"""The engine for threads and plain scripts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Self, TypeVar

import msgspec
from anyio.from_thread import BlockingPortal

from insession.kernel.engine import Engine
from insession.kernel.events import Event, EventType
from insession.kernel.kinds import Kind
from insession.kernel.observers import Observer, OnError
from insession.kernel.record import Record, State
from insession.kernel.session import Session
from insession.kernel.upkeep import Stats

from .items import BlockingItems
from .locks import BlockingLock
from .portal import Portal
from .session import BlockingSession
from .streams import BlockingEventStream, BlockingSubscription

T = TypeVar("T")


class BlockingSessionPage(msgspec.Struct, frozen=True):
    """Some sessions, and the cursor of the next page; None at the end."""

    sessions: list[BlockingSession]
    cursor: str | None


class BlockingEngine:
    """`Engine` for threads: the same verbs, over one portal. Made by `insession.blocking.connect`.

    ``with`` opens and closes it. Without, the first verb opens it, and `shut_down`, or the interpreter's exit, closes
    it. Any number of threads may use it. Every verb may raise what `Engine` says, and `CalledFromEventLoop`,
    `CalledAfterFork` and `PortalClosed`, see `Portal`.

    Args:
        engine: Opened when it is needed; one that is open by then is an application's, and stays open.
        again: Makes another after an opening that failed; None: nobody opens again what failed.
        portal: The portal of the application on whose loop the engine is to live; None: a loop of its own.
    """

    def __init__(
        self, engine: Engine, *, again: Callable[[], Engine] | None = None, portal: BlockingPortal | None = None
    ) -> None:
        self._engine = engine
        self._again = again
        self._tried = False
        self.portal: Portal = Portal(self._opening, bound=portal)

    def _opening(self) -> AbstractAsyncContextManager[Engine]:
        if self._tried and self._again is not None:
            self._engine = self._again()
        self._tried = True
        return nullcontext(self._engine) if self._engine.is_open else self._engine

    def __enter__(self) -> Self:
        self.portal.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut_down()

    def shut_down(self) -> None:
        """Close the engine for good, and wait for it; a second call does nothing.

        Calls under way in other threads raise `PortalClosed`. In a child of a fork this does nothing.
        """
        self.portal.close()

    def ask(self, question: Callable[[Engine], Coroutine[Any, Any, T]]) -> T:
        """Run something on the loop, with the engine there, and wait for what comes of it."""
        return self.portal.call(lambda: question(self._engine))

    @property
    def is_open(self) -> bool:
        """Whether it is between its opening and its closing."""
        return self._engine.is_open

    @property
    def name(self) -> str:
        """Stands in events as ``node``, so that a process knows its own."""
        return self._opened().name

    @property
    def items(self) -> BlockingItems:
        """The items of the store."""
        return BlockingItems(self.portal, self._opened().items)

    def declared(self, name: str) -> Kind | None:
        """As `Engine.declared`."""
        return self._engine.declared(name)

    def kind(self, name: str) -> Kind:
        """As `Engine.kind`."""
        return self._engine.kind(name)

    def kinds(self) -> list[Kind]:
        """As `Engine.kinds`."""
        return self._engine.kinds()

    @property
    def hides_owners(self) -> bool:
        """As `Engine.hides_owners`."""
        return self._engine.hides_owners

    @property
    def recovers(self) -> bool:
        """As `Engine.recovers`."""
        return self._engine.recovers

    def data_of(self, record: Record) -> Any:
        """As `Engine.data_of`, in this thread."""
        return self._engine.data_of(record)

    def id_of(self, kind: str, owner: str | None, name: str) -> str:
        """As `Engine.id_of`."""
        return self._opened().id_of(kind, owner, name)

    def owner_of(self, kind: str, owner: str) -> str:
        """As `Engine.owner_of`."""
        return self._opened().owner_of(kind, owner)

    def open(
        self,
        *,
        kind: str = "session",
        owner: str | None = None,
        name: str | None = None,
        data: object = None,
        idle: float | msgspec.UnsetType | None = msgspec.UNSET,
        absolute: float | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> BlockingSession:
        """As `Engine.open`."""
        return self._session(
            self.ask(
                lambda engine: engine.open(kind=kind, owner=owner, name=name, data=data, idle=idle, absolute=absolute)
            )
        )

    def get(self, session_id: str) -> BlockingSession:
        """As `Engine.get`."""
        return self._session(self.ask(lambda engine: engine.get(session_id)))

    def update(
        self,
        session_id: str,
        change: Callable[[Any], Any] | object,
        *,
        version: int | None = None,
        **options: bool,
    ) -> BlockingSession:
        """As `Engine.update`. A function is called in this thread, see `BlockingSession.update`."""
        if not callable(change):
            return self._session(self.ask(lambda engine: engine.update(session_id, change, version=version, **options)))
        session = self._session(self.ask(lambda engine: engine.get_at(session_id, version)))
        session.update(change, **options)
        return session

    def alive(self, kind: str, session_id: str) -> bool:
        """As `Engine.alive`."""
        return self.ask(lambda engine: engine.alive(kind, session_id))

    def touch(self, session_id: str) -> BlockingSession:
        """As `Engine.touch`."""
        return self._session(self.ask(lambda engine: engine.touch(session_id)))

    def close(self, session_id: str, reason: str = "completed") -> bool:
        """As `Engine.close`: of a session. The engine is closed by `shut_down`."""
        return self.ask(lambda engine: engine.close(session_id, reason))

    def interrupt(self, session_id: str, reason: str = "interrupted", *, wait: float | None = None) -> bool:
        """As `Engine.interrupt`."""
        return self.ask(lambda engine: engine.interrupt(session_id, reason, wait=wait))

    def interrupt_all(self, reason: str = "interrupted", *, kind: str | None = None, owner: str | None = None) -> int:
        """As `Engine.interrupt_all`."""
        return self.ask(lambda engine: engine.interrupt_all(reason, kind=kind, owner=owner))

    def find(
        self,
        *,
        owner: str | None = None,
        kind: str | None = None,
        node: str | None = None,
        state: State | str | None = State.ACTIVE,
        cursor: str | None = None,
        limit: int = 100,
    ) -> BlockingSessionPage:
        """As `Engine.find`."""
        page = self.ask(
            lambda engine: engine.find(owner=owner, kind=kind, node=node, state=state, cursor=cursor, limit=limit)
        )
        return BlockingSessionPage([self._session(session) for session in page.sessions], page.cursor)

    def count(
        self,
        *,
        owner: str | None = None,
        kind: str | None = None,
        node: str | None = None,
        state: State | str | None = State.ACTIVE,
    ) -> int:
        """As `Engine.count`."""
        return self.ask(lambda engine: engine.count(owner=owner, kind=kind, node=node, state=state))

    def nodes(self) -> list[BlockingSession]:
        """As `Engine.nodes`."""
        return [self._session(session) for session in self.ask(Engine.nodes)]

    def history(self, session_id: str) -> list[Event]:
        """As `Engine.history`."""
        return self.ask(lambda engine: engine.history(session_id))

    def stats(self) -> Stats:
        """As `Engine.stats`."""
        return self.ask(Engine.stats)

    def purge(self, *, kind: str | None = None, keep_count: int | None = None) -> int:
        """As `Engine.purge`."""
        return self.ask(lambda engine: engine.purge(kind=kind, keep_count=keep_count))

    def finish(self, session_id: str, *, wait: float = 30.0) -> bool:
        """As `Engine.finish`."""
        return self.ask(lambda engine: engine.finish(session_id, wait=wait))

    def erase(self, owner: str) -> int:
        """As `Engine.erase`."""
        return self.ask(lambda engine: engine.erase(owner))

    def events(
        self, *, after: str | None = None, types: Collection[EventType | str] | None = None
    ) -> BlockingEventStream:
        """Events after a cursor, as `Engine.events`: ``for event in engine.events(): ...``."""

        async def made(engine: Engine) -> BlockingEventStream:
            return BlockingEventStream(self.portal, engine.events(after=after, types=types))

        return self.ask(made)

    def observe(
        self,
        observer: Observer,
        *,
        types: Collection[EventType | str] | None = None,
        after: str | None = None,
        on_error: OnError | None = None,
    ) -> BlockingSubscription:
        """Tell a function of events: ``with engine.observe(function): ...``, as `Engine.observe`.

        A plain function is called in a thread of its own; an async one runs on the loop, and so does ``on_error``.
        """

        async def made(engine: Engine) -> BlockingSubscription:
            subscription = engine.observe(observer, types=types, after=after, on_error=on_error)
            return BlockingSubscription(self.portal, subscription)

        return self.ask(made)

    def lock(self, name: str, **options: Any) -> BlockingLock:
        """One permit of a lease, as `Engine.lock`: ``with engine.lock("report") as lock: ...``."""
        return BlockingLock(self.portal, self._opened().lock(name, **options))

    def _opened(self) -> Engine:
        self.portal.start()
        return self._engine

    def _session(self, session: Session) -> BlockingSession:
        return BlockingSession(self, session)
