"""The entry point: an exchange session with a platform."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self, TextIO

from insession.errors import InsessionError
from insession.kernel.contract import Store
from insession.kernel.engine import Engine

from .answering import Policy
from .choosing import chosen_solution
from .connector.factory import SessionConnectorFactory
from .connector.session_connector_abstract import SessionConnectorAbstract
from .contracts import ExchangeEvent, Id, WireMessage, WorkDesk
from .debuglog import SessionLog
from .desk import Desk
from .dialects import Dialect, Dialect2021, Dialect2023
from .errors import SessionNotStarted, SessionServed
from .options import ContestStarterOptions, SessionStarterOptions, StarterOptions
from .outcomes import Outcome
from .settings import ExchangeSettings
from .solutions import Isolation

logger: Final = logging.getLogger("insession.exchange")
OnEvent = Callable[[ExchangeEvent], object]
OnWire = Callable[[WireMessage], object]


class Session:
    """An exchange session: a plain object, of which a program may have several.

    ::

        async with Session(solution=solve) as session:
            await session.start(SessionStarterOptions(file_count=20))
            outcome = await session.wait()

    It holds settings, the desk where files are kept and solved, and a connector, which knows the protocol; it knows
    none itself. Nothing is read or opened before ``async with``, or the first verb.

    Args:
        settings: None: read from the environment and ``.env``, with what is ``given`` in their place.
        solution: What answers files, see `insession.exchange.solutions.solver_of`; None: what the settings name, else
            that of `SolutionFactory`.
        engine: An engine of yours that declares `exchange_kind`, a store or its URL; None: what the settings say.
        policy: How files are worked on; None: as the settings say.
        isolation: Where a solution that is a function runs.
        desk: Another `WorkDesk`; it is then yours to open and close.
        on_event: Called with each `ExchangeEvent`, on the loop's thread.
        on_wire: Called with each `WireMessage`, which has contents in it.
        ssl_context: By what the platform's certificate is verified.
        debug_stream: Where debug mode shows its records; None: standard output.
        given: Settings by name, in the place of those that would be read.
    """

    def __init__(
        self,
        settings: ExchangeSettings | None = None,
        *,
        solution: object = None,
        engine: Engine | Store | str | None = None,
        policy: Policy | None = None,
        isolation: Isolation = "auto",
        desk: WorkDesk | None = None,
        on_event: OnEvent | Iterable[OnEvent] = (),
        on_wire: OnWire | Iterable[OnWire] = (),
        ssl_context: ssl.SSLContext | None = None,
        debug_stream: TextIO | None = None,
        **given: Any,
    ) -> None:
        self.ssl_context: ssl.SSLContext | None = ssl_context
        self._settings = settings
        self._given = given
        self._solution = solution
        self._engine = engine
        self._policy = policy
        self._isolation: Isolation = isolation
        self._desk = desk
        self._dialect: Dialect | None = None
        self._on_event: tuple[OnEvent, ...] = (on_event,) if callable(on_event) else tuple(on_event)
        self._on_wire: tuple[OnWire, ...] = (on_wire,) if callable(on_wire) else tuple(on_wire)
        self._connector: SessionConnectorAbstract | None = None
        self._options: StarterOptions | None = None
        self._opened: AsyncExitStack | None = None
        self._debug_stream: TextIO | None = debug_stream
        self._log: SessionLog | None = None
        self._attending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop serving if it is served, and close what was opened. The session at the platform is left as it is."""
        connector, self._connector = self._connector, None
        opened, self._opened = self._opened, None
        if self._attending is not None:
            self._attending.cancel()
            await asyncio.wait({self._attending})
            self._attending = None
        try:
            if connector is not None:
                await connector.stop()
        finally:
            if opened is not None:
                await opened.aclose()

    @property
    def settings(self) -> ExchangeSettings:
        """The settings; read at their first use, where none were given. Raises `ConfigurationError`."""
        if self._settings is None:
            self._settings = ExchangeSettings.read(**self._given)
        elif self._given:
            self._settings, self._given = self._settings.but(**self._given), {}
        return self._settings

    @property
    def dialect(self) -> Dialect:
        """The dialect of the settings."""
        if self._dialect is None:
            self._dialect = _dialect_of(self.settings)
        return self._dialect

    @property
    def desk(self) -> WorkDesk:
        """Where files are kept and solved."""
        if self._desk is None:
            raise SessionNotStarted
        return self._desk

    @property
    def options(self) -> StarterOptions | None:
        """What it was started with; None before a start, and where it was joined by `reconnect`."""
        return self._options

    @property
    def id(self) -> Id | None:
        """What the platform calls the session, type kept; None before that is known."""
        return None if self._connector is None else self._connector.session_id

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it goes on, and before."""
        return None if self._connector is None else self._connector.outcome

    async def start(self, options: StarterOptions | None = None) -> None:
        """Start a session, or join the one that is active; returns when files may come.

        Raises what `SessionConnectorAbstract.start` raises, and `SessionServed` where this object serves one already.
        """
        connector = await self._made()
        if options is None:
            options = SessionStarterOptions() if self.dialect.name == "2021" else ContestStarterOptions()
        self._options = options
        await connector.start(options)
        self._attend(connector)

    async def reconnect(self) -> None:
        """Join the active session, from a new process too: what was not answered is answered."""
        connector = await self._made()
        await connector.reconnect()
        self._attend(connector)

    async def abort(self, message: str = "") -> None:
        """Abort the session: the one that is served here, or the active one."""
        connector = self._connector
        if connector is None or connector.outcome is not None:
            connector = await self._made()
        await connector.abort(message)

    async def send_file(self, epicrisis: Any, answer: object) -> None:
        """Send the answer to a file, named by its epicrisis or its id, in the course of the session."""
        await self._serving().send_file(epicrisis, answer)

    async def wait(self) -> Outcome:
        """Wait until the session, or serving it, has ended; how.

        Raises `SessionNotStarted`, and `SessionServed` where another process took the session over, which it may once
        this one has stood still for longer than its lease.
        """
        return await self._serving().wait()

    async def stop(self) -> None:
        """Stop serving: work in hand is finished within the drain's time, or journaled. The session lives on."""
        await self._serving().stop()

    async def run(self, options: StarterOptions | None = None) -> Outcome:
        """Start a session, or join the active one, and serve it to its end."""
        await self.start(options)
        return await self.wait()

    def tell(self, event: ExchangeEvent) -> None:
        """Tell whoever wants to know what happened; what they raise is logged and reaches nobody else."""
        if self._log is not None:
            _told(self._log.tell, event)
        for hear in self._on_event:
            _told(hear, event)

    def wire(self, message: WireMessage) -> None:
        """Tell whoever wants to see what goes over the wire."""
        if self._log is not None:
            _told(self._log.wire, message)
        for hear in self._on_wire:
            _told(hear, message)

    def _attend(self, connector: SessionConnectorAbstract) -> None:
        """Abort when another process asks for that, see `insession.exchange.aborting`."""
        if self._attending is not None:
            self._attending.cancel()  # it looked for the session before
        if isinstance(self._desk, Desk):
            work = _attended(self._desk, connector)
            self._attending = asyncio.create_task(work, name="insession exchange aborts")

    def _serving(self) -> SessionConnectorAbstract:
        if self._connector is None:
            raise SessionNotStarted
        return self._connector

    async def _made(self) -> SessionConnectorAbstract:
        """A new connector: one serves one session, once."""
        if self._connector is not None and self._connector.outcome is None:
            raise SessionServed
        await self._open()
        self._connector = SessionConnectorFactory.get(self)
        return self._connector

    async def _open(self) -> None:
        if self._opened is not None:
            return
        settings = self.settings
        async with AsyncExitStack() as stack:
            # Before anything else: what fails from here on is in the log of this session.
            self._log = SessionLog(settings, stream=self._debug_stream)
            stack.push_async_callback(asyncio.to_thread, self._log.close)
            await asyncio.to_thread(self._log.open)
            stack.push_async_callback(self.dialect.close)
            if self._desk is None:
                desk = await stack.enter_async_context(self._desk_of(settings))
                self._desk = desk
                stack.callback(self._forget_desk)
            self._opened = stack.pop_all()

    def _forget_desk(self) -> None:
        self._desk = None

    def _desk_of(self, settings: ExchangeSettings) -> Desk:
        solution = chosen_solution(settings) if self._solution is None else self._solution
        return Desk(
            self._engine if self._engine is not None else settings.store,
            solution,
            participant=settings.token.get_secret_value(),
            root=settings.root,
            isolation=self._isolation,
            policy=self._policy or policy_of(settings),
            about={"host": settings.host},
        )

    def __repr__(self) -> str:
        return f"<Session {self.id!r}>"


def policy_of(settings: ExchangeSettings) -> Policy:
    """How files are worked on, as the settings say."""
    return Policy(
        concurrency=settings.concurrency,
        timeout=settings.file_timeout,
        fallback=settings.fallback_answer,
        margin=settings.fallback_lead,
        only_save=settings.only_save,
    )


def _dialect_of(settings: ExchangeSettings) -> Dialect:
    if settings.dialect == "2021":
        return Dialect2021(abort_spelling=settings.abort_spelling)
    return Dialect2023(
        download_host=settings.download_host,
        token=settings.token.get_secret_value(),
        seconds=settings.download_timeout,
        tls_verify=settings.tls_verify,
    )


async def _attended(desk: Desk, connector: SessionConnectorAbstract) -> None:
    try:
        await desk.attend(connector.abort)
    except InsessionError as error:
        logger.warning("an abort from elsewhere is not heard any more: %s", error)


def _told(hear: Callable[[Any], object], what: ExchangeEvent | WireMessage) -> None:
    try:
        hear(what)
    except Exception:
        logger.exception("a listener failed")
