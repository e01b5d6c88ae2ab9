"""How a session begins: the one that is active is found, or one is started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from insession.exchange.contracts import Deadlines, Id, WorkDesk
from insession.exchange.dialects import (
    Aborted,
    Closed,
    Dialect,
    FileCame,
    Heard,
    Rejoined,
    RejoinRefused,
    Said,
    Started,
    StartRefused,
)
from insession.exchange.errors import (
    JoinTimedOut,
    NotConnectedError,
    SessionNotExistError,
    StartSessionError,
    StartTimedOut,
    StepTimedOut,
)

from .asking import LineUp, Questions

T = TypeVar("T")
_WORDS: Final[tuple[type[Heard], ...]] = (Rejoined, RejoinRefused, FileCame, Closed, Aborted)
"""What a platform may say of the session that is active, by itself or because it is asked."""


class Joining:
    """Joins the platform's session over as many lines as that takes. Used within `Questions.asking`."""

    def __init__(
        self,
        questions: Questions,
        say: Callable[[Said], Awaitable[None]],
        dialect: Dialect,
        desk: WorkDesk,
        deadlines: Deadlines,
    ) -> None:
        self._questions = questions
        self._say = say
        self._dialect = dialect
        self._desk = desk
        self._deadlines = deadlines
        self.over: Heard | None = None
        """What ended the session that was to be joined."""

    async def start(self, start: Said) -> tuple[Id, bool]:
        """The session that is active, or a new one; whether it was there already."""

        async def over_one_line() -> tuple[Id, bool]:
            found = await self.active(await self.look())
            return (found, True) if found is not None else await self._ask_start(start)

        seconds = self._deadlines.join + self._deadlines.start
        return await self._over_lines(over_one_line, seconds, StartTimedOut(self._deadlines.start))

    async def join(self) -> Id:
        """The session that is active, or was until now: then ``over`` says how it ended."""

        async def over_one_line() -> Id:
            said = await self.look()
            if said is None or isinstance(said, RejoinRefused):
                said = await self._ask(await self._patience())
            return await self._told(said)

        seconds = self._deadlines.join + self._deadlines.rejoin
        return await self._over_lines(over_one_line, seconds, JoinTimedOut(self._deadlines.rejoin))

    async def again(self) -> Heard | None:
        """What the platform says of our session on a new line, asked where it says nothing good by itself."""
        said = await self.look()
        if said is None or isinstance(said, RejoinRefused):
            said = await self._ask(self._deadlines.join)
        return said

    async def look(self) -> Heard | None:
        """What the platform says by itself, once we are connected; None: nothing."""
        return await self._questions.hear(_WORDS, self._deadlines.join)

    async def active(self, said: Heard | None) -> Id | None:
        """The active session, if that is what was said."""
        if isinstance(said, Rejoined):
            return said.session_id
        if isinstance(said, FileCame):
            # A file comes to nobody but who is in the session; it need not name it.
            return said.session_id if said.session_id is not None else await self._desk.last()
        return None

    async def _over_lines(self, attempt: Callable[[], Awaitable[T]], seconds: float, late: StepTimedOut) -> T:
        """Begin anew on each new line, within so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            try:
                return await attempt()
            except NotConnectedError:
                left = until - loop.time()
                if left <= 0 or await self._questions.hear((LineUp,), left, through=True) is None:
                    raise late from None

    async def _ask_start(self, start: Said) -> tuple[Id, bool]:
        await self._say(start)
        kinds: tuple[type[Started | StartRefused | Rejoined], ...] = (Started, StartRefused, Rejoined)
        said = await self._questions.hear(kinds, self._deadlines.start)
        if said is None:
            raise StartTimedOut(self._deadlines.start)
        if isinstance(said, StartRefused):
            # A platform that joins without a word refuses because a session is active: serve that one, then.
            active = await self.active(await self._ask(self._deadlines.join))
            if active is None:
                raise StartSessionError(said.message)
            return active, True
        return said.session_id, isinstance(said, Rejoined)

    async def _ask(self, seconds: float) -> Heard | None:
        await self._say(self._dialect.rejoin())
        return await self._questions.hear(_WORDS, seconds)

    async def _patience(self) -> float:
        # The page of 2021 knows no such question: who is known to be in a session waits no longer than for a word.
        known = await self._desk.last() is not None
        return min(self._deadlines.join, self._deadlines.rejoin) if known else self._deadlines.rejoin

    async def _told(self, said: Heard | None) -> Id:
        """The session to join, by what was said of it, and by what the journal knows where nothing was."""
        if isinstance(said, RejoinRefused):
            raise SessionNotExistError(said.message)
        if isinstance(said, Closed | Aborted):
            self.over = said
        found = said.session_id if isinstance(said, Closed | Aborted) else await self.active(said)
        if found is None:
            found = await self._desk.last()
        if found is None:
            raise JoinTimedOut(self._deadlines.rejoin)
        return found
