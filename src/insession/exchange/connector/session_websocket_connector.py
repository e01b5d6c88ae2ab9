"""The standard connector: the platform's protocol over a websocket."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from insession.errors import InsessionError
from insession.exchange.connection import Target, Websocket
from insession.exchange.connection.connection import ConnectionAbstract
from insession.exchange.contracts import ExchangeEvent, Id, Outgoing, Serving, What, WireMessage
from insession.exchange.dialects import (
    AbortConfirmed,
    AbortDenied,
    Aborted,
    AuthError,
    Closed,
    FileCame,
    Heard,
    Rejoined,
    RejoinRefused,
    Said,
    Started,
    Verdict,
)
from insession.exchange.errors import (
    AbortRefused,
    AbortTimedOut,
    AuthRefused,
    ExchangeError,
    NotConnectedError,
    SessionNotExistError,
    SessionNotStarted,
    SessionServed,
    SessionTimedOut,
    StartSessionError,
)
from insession.exchange.options import StarterOptions
from insession.exchange.outcomes import Outcome
from insession.exchange.redaction import Redaction

from .arrivals import Arrivals
from .asking import LineDown, LineUp, Questions, Stopped
from .joining import Joining
from .results import Results
from .session_connector_abstract import SessionConnectorAbstract

if TYPE_CHECKING:
    from insession.exchange.session import Session

LATE: Final = 3600.0
"""So much later than its files take a session may end."""
LAST_VERDICTS: Final = 2.0
"""So long verdicts are waited for that are under way at the end."""
SURE: Final = 10.0
"""So long a new line waits for the desk to be sure that no other process serves the session."""
MOST_STRANGE: Final = 1_000
"""Of so many events that no dialect has each is told once."""
_OUTCOMES: Final = {"finish": Outcome.FINISH, "timeout-close": Outcome.TIMEOUT_CLOSE}


class SessionWebsocketConnector(SessionConnectorAbstract):
    """Speaks the session's dialect over a `Websocket`; files go to the session's desk, answers come from it."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.outcome: Outcome | None = None
        settings = session.settings
        self._deadlines = settings.deadlines
        self._dialect = session.dialect
        self._connection: ConnectionAbstract = self._connected_to(session)
        self._platform_connection: ConnectionAbstract | None = self._connection
        self._questions = Questions()
        self._joining = Joining(self._questions, self._say, self._dialect, session.desk, self._deadlines)
        self._results = Results(
            self._connection,
            self._dialect,
            session.desk,
            resend=settings.resend,
            seconds=self._deadlines.result,
            retry=settings.retry_first,
            say=self._say,
            sent=self._sent,
            report=self._report,
        )
        self._arrivals = Arrivals(session.desk, self._results, self._report)
        self._redaction = Redaction([settings.token.get_secret_value()])
        self._lines = 0
        self._id: Id | None = None
        self._strange: set[str] = set()
        self._rejoining: asyncio.Task[None] | None = None
        self._life: asyncio.Task[Outcome] | None = None
        self._end: asyncio.Future[tuple[Outcome, str]] | None = None
        self._error: ExchangeError | None = None

    def _connected_to(self, session: Session) -> ConnectionAbstract:
        connection = Websocket(Target.of(session.settings, session.ssl_context))
        connection.on("connect", self._line_up).on("disconnect", self._line_down).on("retry", self._line_retried)
        return connection.on("dial", self._may_dial).on("*", self._heard)

    @property
    def session_id(self) -> Id | None:
        """See `SessionConnectorAbstract.session_id`."""
        return self._id

    async def start(self, options: StarterOptions) -> None:
        """See `SessionConnectorAbstract.start`. A session that is active is joined, and none is started then."""
        said = self._dialect.start(options)
        await self._begun(self._joining.start(said), options)

    async def reconnect(self) -> None:
        """See `SessionConnectorAbstract.reconnect`."""
        await self._begun(self._joined(), None)

    async def _joined(self) -> tuple[Id, bool]:
        return await self._joining.join(), True

    async def _begun(self, joining: Awaitable[tuple[Id, bool]], options: StarterOptions | None) -> None:
        """Connect, join or start, and serve from then on."""
        self._end = asyncio.get_running_loop().create_future()
        try:
            async with self._questions.asking():
                await self._connection.connect()
                # From here on an end of it is ours; files wait until the desk is open.
                self._id, joined = await joining
                line = self._lines
            await self._serve(self._id, options, joined=joined)
        except BaseException as error:
            if asyncio.iscoroutine(joining):
                joining.close()
            await self._failed(error)
            raise
        if line == self._lines:
            await self._results.open_gate()
        elif self._connection.is_connected():
            # The line was lost, and came back, while the desk was opened.
            self._rejoin()

    async def _failed(self, error: BaseException) -> None:
        """It did not begin."""
        refused = isinstance(error, AuthRefused | StartSessionError | SessionNotExistError)
        self.outcome = Outcome.REFUSED if refused else Outcome.STOPPED
        self._connection.halt()
        await self._results.close()
        await self._connection.disconnect()
        if isinstance(error, InsessionError):
            self._tell(What.ENDED, message=str(error), outcome=self.outcome.value)

    async def _serve(self, session_id: Id, options: StarterOptions | None, *, joined: bool) -> None:
        settings = self._session.settings
        await self._session.desk.open(
            Serving(
                session_id=session_id,
                send=self._results.send,
                tell=self._session.tell,
                dialect=self._dialect.name,
                joined=joined,
                parameters={} if options is None or joined else options.prepare_to_command(),
                file_timeout=(None if options is None else options.file_timeout) or settings.file_timeout,
                resend=settings.resend,
                displaced=self._displaced,
            )
        )
        self._tell(What.JOINED if joined else What.STARTED)
        seconds = self._deadlines.session
        if seconds is None and options is not None and not joined and options.duration is not None:
            seconds = options.duration + LATE
        self._life = asyncio.create_task(self._lived(seconds), name="insession exchange session")
        if self._joining.over is not None:
            await self._act(self._joining.over)
        self._arrivals.open(session_id)

    async def _lived(self, seconds: float | None) -> Outcome:
        """Wait for the end of the session, and clear up after it."""
        assert self._end is not None  # noqa: S101 - made before
        try:
            async with asyncio.timeout(seconds):
                outcome, message = await asyncio.shield(self._end)
        except TimeoutError:
            self._error = SessionTimedOut(seconds or 0.0)
            self._ended(Outcome.LOST, str(self._error))
            outcome, message = self._end.result()
        self.outcome = outcome
        try:
            await self._cleared_up(outcome)
        finally:
            self._connection.halt()
            await self._connection.disconnect()
        self._tell(What.ENDED, message=message, outcome=outcome.value)
        return outcome

    async def _cleared_up(self, outcome: Outcome) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._deadlines.drain
        if isinstance(self._error, SessionServed):
            # Its files are another's now: nothing goes out any more, and nothing here can be finished.
            await self._results.close()
            until = loop.time()
        else:
            await self._arrivals.settled(self._deadlines.drain)
        if outcome is Outcome.STOPPED:
            await self._session.desk.drain(max(0.0, until - loop.time()))
        elif outcome in (Outcome.FINISH, Outcome.TIMEOUT_CLOSE):
            await self._results.landed(min(LAST_VERDICTS, self._deadlines.drain))
        await self._results.close()
        if self._rejoining is not None:
            # It is told rather than cancelled, so that what it has not sent is known not to have left.
            self._questions.tell(LineDown())
            await asyncio.wait({self._rejoining}, timeout=LAST_VERDICTS)
            self._rejoining.cancel()
        await self._session.desk.close(outcome)

    async def wait(self) -> Outcome:
        """See `SessionConnectorAbstract.wait`. Raises `SessionNotStarted`."""
        if self._life is None:
            raise SessionNotStarted
        outcome = await asyncio.shield(self._life)
        if isinstance(self._error, SessionServed):
            raise self._error
        return outcome

    @property
    def error(self) -> ExchangeError | None:
        """Why it ended, where that is an error of its own: `AuthRefused`, `SessionTimedOut`, `SessionServed`."""
        return self._error

    async def stop(self) -> None:
        """See `SessionConnectorAbstract.stop`. Work in hand is finished within the deadline, or left in the journal."""
        self._ended(Outcome.STOPPED, "stopped here; the session goes on: reconnect to it")
        if self._life is not None:
            await asyncio.shield(self._life)
        elif not self._questions.tell(Stopped()):
            await self._connection.disconnect()
        else:
            # Whoever asks hears it, and disconnects.
            self._connection.halt()

    async def send_file(self, epicrisis: Any, answer: object) -> None:
        """See `SessionConnectorAbstract.send_file`."""
        if self._life is None:
            raise SessionNotStarted
        await self._session.desk.answer(getattr(epicrisis, "file_id", epicrisis), answer)

    async def abort(self, message: str = "") -> None:
        """See `SessionConnectorAbstract.abort`."""
        if self._life is not None and not self._life.done():
            async with self._questions.asking():
                await self._ask_abort(self._id, message)
            self._ended(Outcome.CLIENT_ABORT, message)
            await asyncio.shield(self._life)
            return
        outcome = Outcome.STOPPED
        try:
            async with self._questions.asking():
                await self._connection.connect()
                active = await self._joining.active(await self._joining.look())
                self._id = active if active is not None else await self._session.desk.last()
                await self._ask_abort(self._id, message)
            outcome = Outcome.CLIENT_ABORT
            if self._id is not None:
                await self._session.desk.over(self._id, outcome)
        finally:
            self.outcome = outcome
            await self._connection.disconnect()

    async def _ask_abort(self, session_id: Id | None, message: str) -> None:
        await self._say(self._dialect.abort(session_id, message))
        kinds = (AbortConfirmed, AbortDenied, Closed, Aborted)
        said = await self._questions.hear(kinds, self._deadlines.abort)
        if said is None:
            raise AbortTimedOut(self._deadlines.abort)
        if isinstance(said, AbortDenied):
            raise AbortRefused(said.message)

    def _line_up(self) -> None:
        self._lines += 1
        self._tell(What.CONNECTED)
        self._questions.tell(LineUp())
        if self._life is not None and not self._life.done():
            self._rejoin()

    def _rejoin(self) -> None:
        self._rejoining = asyncio.create_task(self._rejoined(), name="insession exchange rejoin")

    def _line_down(self, reason: str) -> None:
        self._tell(What.DISCONNECTED, message=reason)
        self._questions.tell(LineDown())
        self._results.line_lost()

    async def _may_dial(self) -> None:
        """Wait until the session is surely ours: the platform gives it to whoever connects."""
        with contextlib.suppress(TimeoutError, SessionServed):
            async with asyncio.timeout(SURE):
                await self._session.desk.still_ours()

    def _line_retried(self, reason: str, delay: float) -> None:
        self._tell(What.NOTICE, message=f"{reason}; the next attempt is in {delay:.1f} s")

    async def _rejoined(self) -> None:
        """After a line was lost: be in the session again, then send what waits."""
        with contextlib.suppress(NotConnectedError, AuthRefused, SessionServed):
            async with self._questions.asking():
                said = await self._joining.again()
            if isinstance(said, RejoinRefused):
                self._ended(Outcome.LOST, f"the session ended while the line was down: {said.message}")
            elif isinstance(said, Rejoined) and not self._ours(said.session_id):
                self._ended(Outcome.LOST, "the session ended while the line was down: another one is active")
            elif not isinstance(said, Closed | Aborted):
                self._tell(What.JOINED, again=True)
                await self._results.open_gate()

    async def _heard(self, event: str, *payload: object) -> None:
        given = payload[0] if payload else None
        self._session.wire(WireMessage(at=time.time(), direction="in", event=event, payload=given))
        try:
            said = self._dialect.hear(event, given)
        except ExchangeError as error:
            self._report(f"the event {event[:80]!r} is not taken: {error}", None)
            return
        if said is not None:
            await self._act(self._without_token(said))
        elif event not in self._strange and len(self._strange) < MOST_STRANGE:
            self._strange.add(event)
            self._report(f"the event {event[:80]!r} is none of the dialect of {self._dialect.name}", None)

    def _without_token(self, said: Heard) -> Heard:
        """What a platform says is shown and kept; it may repeat the token that it does not like."""
        message = getattr(said, "message", "")
        clean = self._redaction.text(message)
        return said if clean == message else structs.replace(said, message=clean)

    async def _act(self, said: Heard) -> None:
        asked = self._questions.tell(said)
        match said:
            case FileCame():
                self._arrivals.came(said)
            case Started() | Rejoined() if self._id is None:
                self._joining.over = None
            case Closed() | Aborted() if self._id is None:
                # Of an earlier session, unless it is the one that is being joined: its id decides, once that is known.
                self._joining.over = said
            case Verdict() if self._ours(said.session_id):
                # It may come when the desk is closed already.
                with contextlib.suppress(SessionNotStarted, SessionServed):
                    await self._results.judge(said)
            case AuthError():
                self._connection.halt()
                self._error = AuthRefused(said.message)
                self._ended(Outcome.REFUSED, str(self._error))
            case Closed() if self._ours(said.session_id):
                outcome = Outcome.LOST if said.why is None else _OUTCOMES[said.why]
                self._ended(outcome, "" if said.why else "the platform closed it with a word that nobody knows")
            case Aborted() if self._ours(said.session_id):
                self._ended(Outcome.SESSION_ABORT, said.message)
            case Verdict() | Closed() | Aborted():
                self._report("an event of another session", None)
            case AbortConfirmed() if not asked:
                self._ended(Outcome.CLIENT_ABORT, said.message)
            case _:
                pass

    def _ours(self, session_id: Id | None) -> bool:
        return session_id is None or self._id is None or str(session_id) == str(self._id)

    def _displaced(self) -> None:
        """Another process serves the session now."""
        if self._end is not None and not self._end.done():
            self._error = SessionServed()
            self._connection.halt()
            self._ended(Outcome.STOPPED, str(self._error))

    def _ended(self, outcome: Outcome, message: str) -> None:
        if self._end is not None and not self._end.done():
            self._arrivals.close()
            self._end.set_result((outcome, message))

    async def _say(self, said: Said) -> None:
        await self._connection.emit(said.event, None if said.payload is None else dict(said.payload))
        self._session.wire(WireMessage(at=time.time(), direction="out", event=said.event, payload=said.payload))

    def _sent(self, outgoing: Outgoing, again: bool) -> None:  # noqa: FBT001 - a callback
        self._tell(What.SENT, file_id=outgoing.file_id, again=again)

    def _report(self, message: str, file_id: Id | None) -> None:
        self._tell(What.REPORTED, file_id=file_id, message=message)

    def _tell(self, what: What, *, file_id: Id | None = None, message: str = "", **detail: object) -> None:
        self._session.tell(
            ExchangeEvent(
                what=what, at=time.time(), session_id=self._id, file_id=file_id, message=message, detail=detail
            )
        )
