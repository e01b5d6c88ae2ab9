"""The work desk: takes files in, has them solved, and keeps their answers until the platform has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from msgspec.structs import replace

from insession.errors import InvalidInput, StoreError
from insession.kernel.clock import Alarm
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.ids import check_text

from .aborting import LOOK_AROUND, heed
from .answering import Answering, Policy, encoded
from .cases import Case, Waiting, epicrisis_of
from .contracts import Id, Received, Serving, What
from .errors import ForeignSession, SessionEssayNotCorrectError, SessionNotStarted, SessionServed, SolutionFailed
from .files import SessionFiles, root_folder
from .holding import Held, exchange_engine
from .intake import Intake
from .journal import OPEN, FileState
from .looking import newest
from .names import id_text, safe_name
from .outbox import NEVER_TWICE, Outbox
from .outcomes import Outcome
from .saving import Saver, clean
from .served import Served
from .solutions import Isolation, SolutionFactory, Solver, solver_of

SETTLE: Final = 5.0
"""So many seconds what is being journaled has to finish in, when the desk stops."""
VERDICTS: Final = 1.0
"""So many seconds verdicts on answers that have left are waited for, when the desk stops."""


class Desk:
    """The `WorkDesk`: files on disk, a journal in the engine's store, and a solution that is asked for each file.

    ``async with Desk("sqlite:///exchange.db", solve, participant=token) as desk``; one desk serves one session at a
    time. A file is saved and journaled, waits for its turn (earliest deadline first), and its answer is journaled
    before it is sent: after a crash, what was answered is sent again, byte for byte, and what was not is solved.

    Args:
        engine: An engine of yours that declares `exchange_kind`, and that you close; else a store, or its URL, for an
            engine of the desk's own. None: ``INSESSION_STORE``, or a file in the state folder.
        solution: What `solver_of` takes; None: that of `SolutionFactory`.
        participant: Whose sessions these are, such as the token; kept as a keyed digest.
        root: The folder of ``files/``; None: ``BASELINE_ROOT_DIR``, else the working directory.
        isolation: Where a function runs, see `solver_of`.
        policy: How it works.
        about: Kept in the session's record, for whoever looks at it (the platform's address). No secrets.
    """

    def __init__(
        self,
        engine: Engine | Store | str | None = None,
        solution: object = None,
        *,
        participant: str,
        root: Path | None = None,
        isolation: Isolation = "auto",
        policy: Policy | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        self.policy: Policy = policy or Policy()
        self._engine_or_store = engine
        self._own: Engine | None = None
        """The engine that this desk made, which it closes."""
        self._participant = check_text(participant, "participant")
        self._root = root_folder() if root is None else Path(root)
        self._solver: Solver | None = None
        if not self.policy.only_save:
            self._solver = solver_of(SolutionFactory.get() if solution is None else solution, isolation=isolation)
        self._about = dict(about or {})
        self._saver = Saver()
        self._opening = asyncio.Lock()
        self._served: Served | None = None
        self._outbox: Outbox | None = None
        self._answering: Answering | None = None
        self._waiting = Waiting()
        self._running = 0
        self._alarm: Alarm | None = None

    async def __aenter__(self) -> Self:
        await self._engine()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop at once; what is in hand stays journaled. Close what the desk opened."""
        if self._served is not None:
            await self.close(Outcome.STOPPED)
        if self._solver is not None:
            await self._solver.close()
        await self._saver.close()
        own, self._own = self._own, None
        if own is not None:
            await own.__aexit__(None, None, None)

    async def open(self, serving: Serving) -> None:
        """See `WorkDesk.open`."""
        served = self._served
        if served is not None:
            if id_text(served.serving.session_id) != id_text(serving.session_id):
                raise SessionServed
            served.serving = serving
            return
        engine = await self._engine()
        held = await Held.open(engine, self._participant, serving, self._about)
        files = SessionFiles(self._root, serving.session_id)
        self._served = served = Served(serving, held, files, self._saver, engine.clock)
        self._outbox = Outbox(served)
        self._running = 0
        self._answering = None if self._solver is None else Answering(self._solver, self.policy, engine.clock)
        try:
            await asyncio.to_thread(clean, files.input)
            await self._load(served, self._outbox)
        except BaseException:
            await self.close(Outcome.STOPPED)
            raise
        self._pump()

    async def take_in(self, file: Received) -> None:
        """See `WorkDesk.take_in`. Raises `SessionNotStarted` before `open`."""
        served = self._serving()
        name = self._name(file.file_id)
        if name is None:
            return
        if safe_name(file.session_id) != safe_name(served.serving.session_id):
            served.tell(What.REPORTED, file.file_id, str(ForeignSession()))
            return
        case = served.cases.get(name)
        if case is not None:
            await self._repeated(case, file)
            return
        # A task of its own: whoever brought the file may be cancelled, and the file is taken in all the same.
        intake = self._intake(served, Intake(served), served.cases.add(name), file)
        await asyncio.shield(served.spawn(intake))

    async def acknowledged(self, file_id: Id) -> None:
        """See `WorkDesk.acknowledged`."""
        outbox = self._sender()
        if (name := self._name(file_id)) is not None:
            await outbox.acknowledged(name)

    async def refused(self, file_id: Id, message: str) -> None:
        """See `WorkDesk.refused`."""
        outbox = self._sender()
        if (name := self._name(file_id)) is not None:
            await outbox.refused(name, message)

    async def resend(self) -> None:
        """See `WorkDesk.resend`."""
        await self._sender().resend()

    async def last(self) -> Id | None:
        """See `WorkDesk.last`."""
        session = await newest(await self._engine(), self._participant, live=True)
        return None if session is None else session.data["session_id"]

    async def still_ours(self) -> None:
        """See `WorkDesk.still_ours`."""
        if self._served is not None:
            await self._served.held.sure()

    async def over(self, session_id: Id, outcome: Outcome) -> None:
        """See `WorkDesk.over`."""
        session = await newest(await self._engine(), self._participant, session_id, live=True)
        if session is not None:
            await session.close(outcome.value)

    async def attend(self, abort: Callable[[str], Awaitable[None]]) -> None:
        """While this session is served: have it aborted when another process asks for that (`aborting.ask`)."""
        served = self._served
        while served is not None and served is self._served:
            # A store that is away now may be there the next time.
            with suppress(StoreError):
                if await heed(served.held.session, abort):
                    return
            await asyncio.sleep(LOOK_AROUND)

    async def answer(self, file_id: Id, answer: object) -> None:
        """Answer a file by hand, also one that failed. It is journaled and sent like a solution's.

        Raises `SolutionFailed` for what is no answer, and `SessionEssayNotCorrectError` for a file that waits for none.
        """
        served, outbox, name, text = self._serving(), self._sender(), safe_name(file_id), encoded(answer)
        case = served.cases.get(name)
        if case is None:
            entry = await served.held.journal.get(name)
            if entry is not None and entry.state in {FileState.SAVED, FileState.FAILED}:
                case = served.cases.get(name) or served.cases.add(name)
                case.entry = case.entry or replace(entry, state=FileState.SAVED, message="")
        if case is None or case.entry is None or case.entry.state is not FileState.SAVED or case.answering:
            raise SessionEssayNotCorrectError("this session has no file of that id that waits for an answer")
        if case.solving is not None:
            case.solving.cancel()
        await outbox.put(case, text, None)

    async def drain(self, timeout: float) -> None:
        """See `WorkDesk.drain`. Verdicts on answers that have left are waited for too, for a moment."""
        served = self._served
        if served is None:
            return
        served.stopping = True
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        while (served.tasks or self._waiting) and loop.time() < until:
            if served.tasks:
                await asyncio.wait(served.tasks, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)
        await self._halt(served)
        until = min(until, loop.time() + VERDICTS)
        # A moment, once, at the end: not worth an event that every verdict sets.
        while any(case.left for case in served.cases) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def close(self, outcome: Outcome) -> None:
        """See `WorkDesk.close`."""
        served, self._served, self._outbox = self._served, None, None
        if served is None:
            return
        served.stopping = True
        try:
            await self._halt(served)
            if outcome.final:
                await served.held.end(outcome)
        finally:
            served.cases.clear()
            await served.held.release()

    async def _engine(self) -> Engine:
        """The engine that was given, or one of the desk's own, made and opened at its first use."""
        given = self._engine_or_store
        if isinstance(given, Engine):
            return given
        async with self._opening:
            if self._own is None:
                engine = await asyncio.to_thread(exchange_engine, given)
                self._own = await engine.__aenter__()
            return self._own

    def _serving(self) -> Served:
        if self._served is None:
            raise SessionNotStarted
        return self._served

    def _name(self, file_id: object) -> str | None:
        """The name of a file, or None, which is told, where the platform names none."""
        try:
            return safe_name(file_id)
        except InvalidInput as error:
            self._serving().tell(What.REPORTED, message=f"it is not taken: {error}")
            return None

    def _sender(self) -> Outbox:
        if self._outbox is None:
            raise SessionNotStarted
        return self._outbox

    async def _load(self, served: Served, outbox: Outbox) -> None:
        """Take in hand what the journal has: solved files wait for the line, saved ones for their solution."""
        async for entry in served.held.journal.entries():
            served.cases.journaled(entry.name)
            if entry.state not in OPEN:
                continue
            case = served.cases.add(entry.name)
            case.entry = entry
            case.sends, case.deadline = entry.sends, entry.deadline
            if entry.state is FileState.SAVED:
                if self._solver is None:
                    served.cases.drop(case)
                else:
                    self._queue(case)
                continue
            case.left = entry.may_have_left
            if case.left and served.serving.resend == "never":
                await outbox.end(case, FileState.UNKNOWN, NEVER_TWICE)

    async def _repeated(self, case: Case, file: Received) -> None:
        """The platform sent a file again that is in hand."""
        served, outbox = self._serving(), self._sender()
        served.tell(What.REPEATED, file.file_id)
        if case.ready and (served.serving.resend == "always" or not case.left):
            await outbox.send(case)

    async def _intake(self, served: Served, intake: Intake, case: Case, file: Received) -> None:
        new = False
        try:
            new = await intake.take(case, file) and self._solver is not None
        finally:
            if not new:
                served.cases.drop(case)
        if new:
            self._queue(case)
            self._pump()

    def _queue(self, case: Case) -> None:
        entry = case.entry
        if entry is None:
            return
        if entry.deadline is not None:
            case.deadline = entry.deadline
        elif self.policy.timeout is not None and self._served is not None:
            case.deadline = self._served.clock.now() + self.policy.timeout
        self._waiting.push(case)

    def _pump(self) -> None:
        """Begin with as many files as may be in work, and with those that wait for no turn because they are late."""
        served, solver = self._served, self._solver
        if served is None or solver is None or served.halted:
            return
        while self._waiting and (solver.unlimited or self._running < self.policy.concurrency):
            self._running += 1
            served.spawn(self._work(served, self._sender(), self._waiting.pop(), counted=True))
        self._arm(served)

    def _arm(self, served: Served) -> None:
        """Wake for the next deadline of a file that waits."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        head = self._waiting.head
        until = None if head is None or self._answering is None else self._answering.until(head.deadline)
        if until is not None:
            self._alarm = served.clock.alarm(until, self._overdue)

    def _overdue(self) -> None:
        served, answering = self._served, self._answering
        if served is None or answering is None:
            return
        while (head := self._waiting.head) is not None:
            until = answering.until(head.deadline)
            if until is None or until > served.clock.now():
                break
            served.spawn(self._work(served, self._sender(), self._waiting.pop(), counted=False))
        self._arm(served)

    async def _work(self, served: Served, outbox: Outbox, case: Case, *, counted: bool) -> None:
        """Have one file solved, and bring its answer on its way."""
        entry, answering = case.entry, self._answering
        try:
            if entry is None or answering is None or case.answering:
                return
            served.tell(What.SOLVING, entry.file_id)
            epicrisis = epicrisis_of(entry, served.files.received(case.name), case.content)
            case.solving = asyncio.current_task()
            answer, instead = await answering.answer(epicrisis, case.deadline)
        except SolutionFailed as error:
            answer, instead = None, str(error)
        finally:
            case.solving = None
            if counted:
                self._running -= 1
                self._pump()
        if answer is not None:
            await outbox.put(case, answer, instead)
        elif not served.stopping:
            await outbox.end(case, FileState.FAILED, instead or "")

    async def _halt(self, served: Served) -> None:
        """Let nothing begin, stop what is being solved, and let what is being journaled finish."""
        served.halted = True
        self._waiting.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for case in served.cases:
            if case.solving is not None:
                case.solving.cancel()
        if served.tasks:
            await asyncio.wait(served.tasks, timeout=SETTLE)
        left = set(served.tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
