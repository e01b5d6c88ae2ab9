"""The stack machine of a dialogue: which contexts depend on each other, at which stage each of them stands.

A position is a list of frames: the context that talks is the last one, and each depends on the one after it. It is
stored with the session, in the commit of the turn; callbacks are not: a stage's method builds them anew.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import msgspec

from insession.dialogue.data import Form, Stored
from insession.dialogue.errors import RedirectLoop
from insession.errors import ConfigurationError
from insession.kernel.codec import decode
from insession.kernel.urls import unknown

from .navigators import Move, Moves, Navigator
from .stages import START, Stage

if TYPE_CHECKING:
    from insession.dialogue.data import DataType
    from insession.dialogue.session import Session

MOST_REDIRECTS: Final = 20
_POSITION: Final = "~position"


class Frame(msgspec.Struct, array_like=True):
    """A context in a dialogue: its identity, its stage, and the stages to come."""

    identity: str
    stage: str = START
    ahead: list[str] = []


class Dialog(Moves):
    """Where a dialogue stands, and how it moves.

    A session's own one begins at the root; one that is nested in it has a name, a beginning and a position of its own.
    """

    __slots__ = ("_context", "_frames", "_restores", "_root", "name", "session")

    def __init__(self, session: Session, name: str = "", root: DataType | None = None) -> None:
        self.session: Session = session
        self.name: str = name
        self._root = root
        self._context: Any = None
        self._frames: list[Frame] = self._stored()

    def _stored(self) -> list[Frame]:
        self._restores = self.session.repo.restores
        stored = self.session.repo.positions.get(self.name)
        if stored is None:
            return []
        frames: list[Frame] = decode(stored.data, list[Frame], _POSITION)
        return frames

    @property
    def context(self) -> Any:
        """The context that talks."""
        return self._context

    @property
    def stage(self) -> str | None:
        """The name of the stage where it stands; None before the beginning."""
        return self._frames[-1].stage if self._frames else None

    def say(self, text: str, data: Any = None) -> None:
        """Say something, see `Session.reply`."""
        self.session.reply(text, data)

    def quit(self) -> Navigator:
        """End the session, as `Session.quit` does, whether or not the move is given back."""
        self.session.quit()
        return super().quit()

    async def hear(self, navigator: Navigator | None = None) -> None:
        """Let the dialogue answer the turn's message, or (``navigator``) make another move in the place of that.

        Raises `RedirectLoop` after 20 moves without one that waits.
        """
        if self._restores != self.session.repo.restores:
            self._frames = self._stored()
        if navigator is None:
            navigator = await self._answered() if self._frames else self._beginning()
        moves = 0
        while navigator is not None:
            if moves > MOST_REDIRECTS:
                raise RedirectLoop(MOST_REDIRECTS)
            moves += 1
            self.session.tracker.note(f"{navigator.move.value} {self.stage or ''}".rstrip())
            navigator = await self._made(navigator)
        self._store()

    def _beginning(self) -> Navigator | None:
        return None if self._root is None else self.home()

    def _store(self) -> None:
        positions = self.session.repo.positions
        if self._restores != self.session.repo.restores:
            self._frames = self._stored()  # a stage has taken the turn back, and its moves with it
        elif self._frames and not self.session.quitting:
            refs = tuple(frame.identity for frame in self._frames)
            positions[self.name] = Stored(_POSITION, 1, msgspec.msgpack.encode(self._frames), refs)
        else:
            positions.pop(self.name, None)

    async def _made(self, navigator: Navigator) -> Navigator | None:
        """Make one move; the next one, or None where the dialogue waits or is over."""
        if navigator.move is not Move.MISSED:
            self.session.handle()
        if navigator.move in {Move.WAIT, Move.MISSED}:
            return None
        if navigator.move is Move.QUIT:
            self.session.quit()
            return None
        if navigator.move is Move.BACKWARD:
            return await self._gone_back()
        if navigator.move in {Move.HOME, Move.REDIRECT, Move.DEPEND}:
            return await self._entered(navigator)
        if not self._frames:
            return self._beginning()
        if navigator.move is Move.NEXT:
            return await self._next(navigator)
        if navigator.move in {Move.FULFIL, Move.CANCEL}:
            return await self._left(fulfilled=navigator.move is Move.FULFIL)
        if navigator.move is Move.RESTART:
            self._frames[-1] = Frame(self._frames[-1].identity)
        return await self._begun()

    async def _gone_back(self) -> Navigator | None:
        if await self.session.backward():
            self._frames = self._stored()
        return self.repeat() if self._frames else self._beginning()

    async def _entered(self, navigator: Navigator) -> Navigator | None:
        if navigator.move is Move.HOME:
            self._frames.clear()
        elif navigator.move is Move.REDIRECT and self._frames:
            self._frames.pop()
        target: Any = self._root.cls if navigator.move is Move.HOME and self._root else navigator.target
        if target is None:
            return None
        new = self.session.repo.registry.of(target).default() if isinstance(target, type | str) else target
        context = self.session.adopt(new)
        self._frames.append(Frame(self.session.repo.identity(context)))
        return await self._begun()

    async def _next(self, navigator: Navigator) -> Navigator | None:
        frame = self._frames[-1]
        frame.ahead[:0] = navigator.stages
        if not frame.ahead:
            return await self._left(fulfilled=True)
        frame.stage = frame.ahead.pop(0)
        return await self._begun()

    async def _left(self, *, fulfilled: bool) -> Navigator | None:
        """Leave the context; whoever depends on it goes on with it, or (not fulfilled) without."""
        gone = self._frames.pop()
        if not self._frames:
            return self.quit()
        result = await self._data(gone.identity) if fulfilled else None
        built = await self._built()
        if built.move is not Move.DEPEND:
            return built
        return (
            self.next() if built.then is None else self._given(await _called(built.then, self, result)) or self.wait()
        )

    async def _begun(self) -> Navigator | None:
        """Begin the stage where the dialogue stands."""
        built = await self._built()
        if built.move is Move.WAIT and built.say is not None:
            return self._given(await _called(built.say, self))
        return built

    async def _answered(self) -> Navigator:
        """Hand the message to the stage that waits for it."""
        built = await self._built()
        if built.move is not Move.WAIT:
            return built
        return self.next() if built.hear is None else self._given(await _called(built.hear, self)) or self.missed()

    def _given(self, answer: object) -> Navigator | None:
        """What a function of a stage has given, if it is a navigator or None."""
        if answer is None or isinstance(answer, Navigator):
            return answer
        raise ConfigurationError(
            f"{type(self._context).__name__}: a function of stage {self.stage!r} gave a {type(answer).__name__};"
            " it gives a navigator, or None"
        )

    async def _built(self) -> Navigator:
        frame = self._frames[-1]
        self._context = await self._data(frame.identity)
        method = getattr(self._context, f"on_{frame.stage}", None)
        if method is None:
            stages = [name.removeprefix("on_") for name in dir(self._context) if name.startswith("on_")]
            raise ConfigurationError(f"{type(self._context).__name__}: {unknown('stage', frame.stage, stages)}")
        built = await _called(method, Stage(self, frame.stage))
        if not isinstance(built, Navigator):
            raise ConfigurationError(
                f"{type(self._context).__name__}.on_{frame.stage} returned no navigator; end it with `return stage.…`"
            )
        return built

    async def _data(self, identity: str) -> Any:
        name, _, data_id = identity.partition(":")
        return await self.session.get(name, "" if self.session.contexts[name].form is Form.MEMORY else data_id)


async def _called(function: Any, *args: Any) -> Any:
    """What a function gives, be it async or not."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result
