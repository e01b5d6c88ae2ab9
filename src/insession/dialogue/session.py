"""The session of a turn: what a program sees of a conversation while it answers one message."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec

from insession.errors import Closed, InvalidInput
from insession.kernel.ids import check_reason, check_text

from .data import CURRENT, DataType, Form, Ref
from .dialogs import Dialog
from .messages import Message, Reply, check_said
from .nlu import Nlu
from .repository import Repository
from .scope import Scope

if TYPE_CHECKING:
    from .dialogue import Dialogue

T = TypeVar("T")
_logger: Final = logging.getLogger("insession.dialogue")


def current_session() -> Session:
    """The session of the innermost turn that this task is in; `LookupError` outside of any."""
    return CURRENT.get()


class Conversation(msgspec.Struct, frozen=True):
    """One request and its answer."""

    id: str
    """The turn's id."""
    messages: tuple[Message, ...]
    """What is answered: one message, or (policy ``merge``) all that had come by then."""
    replies: list[Reply]
    """What goes out after the commit."""


class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger whose every record carries the session, the chat and the turn."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add them to what the caller adds."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class Memories:
    """The memories of a turn, by class or name: ``await session.memory[UserInfo]``."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, cls: type[T] | str) -> Awaitable[T]:
        return self._session.get(cls)


class Tracker:
    """The steps of a turn, in their order, for whoever wants to know how it went."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[str] = []

    def note(self, step: str) -> None:
        """Another step."""
        self.steps.append(step)


class Session:
    """A multi-turn dialogue, within one turn of it. Made by `Dialogue.turn`, never by hand.

    Its members are built when they are first asked for. After the turn every one of them but ``id`` raises
    `insession.errors.SessionEnded`. It cannot be serialized: it is no data.
    """

    __slots__ = ("__weakref__", "_built", "_chat_id", "_conversation", "_dialogue", "_id", "_lost", "_over", "_repo")

    def __init__(
        self,
        dialogue: Dialogue,
        chat_id: str,
        conversation: Conversation,
        repo: Repository,
        *,
        lost: Callable[[], bool],
        scene: str | None,
    ) -> None:
        self._dialogue = dialogue
        self._chat_id = chat_id
        self._conversation = conversation
        self._id = repo.state.session_id
        self._repo = repo
        self._lost = lost
        self._over = False
        self._built: dict[str, Any] = {
            "scene": scene,
            "nested": "",
            "handled": False,
            "sneaky": False,
            "quit": None,
        }

    def __repr__(self) -> str:
        return f"<dialogue.Session {self._id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Session is of one turn and cannot be serialized; some data probably holds it")

    def __copy__(self) -> NoReturn:
        self.__reduce__()

    def __deepcopy__(self, _: Any) -> NoReturn:
        self.__reduce__()

    def _in_turn(self) -> None:
        if self._over:
            raise Closed(self._id, "its turn is over")

    def _part(self, name: str, make: Callable[[], T]) -> T:
        self._in_turn()
        built = self._built
        if name not in built:
            built[name] = make()
        found: T = built[name]
        return found

    @property
    def id(self) -> str:
        """The session's id: the same in every turn of it, another one after `quit` or its expiry."""
        return self._id

    @property
    def conversation(self) -> Conversation:
        """This turn: its id, messages and replies."""
        self._in_turn()
        return self._conversation

    @property
    def message(self) -> Message:
        """The message that is answered."""
        return self.conversation.messages[0]

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages that are answered in this turn, in the order in which they came."""
        return self.conversation.messages

    @property
    def chat_id(self) -> str:
        """The chat."""
        self._in_turn()
        return self._chat_id

    @property
    def scene(self) -> str | None:
        """Where a new session begins, see `Dialogue`."""
        self._in_turn()
        found: str | None = self._built["scene"]
        return found

    @property
    def nlu(self) -> Nlu:
        """What the message means."""
        return self._part("nlu", lambda: Nlu(self.message, self._dialogue.understand))

    @property
    def log(self) -> Log:
        """A logger whose records carry ``session_id``, ``chat_id`` and ``turn_id``."""
        ids = {"session_id": self._id, "chat_id": self._chat_id, "turn_id": self._conversation.id}
        return self._part("log", lambda: Log(_logger, ids))

    @property
    def config(self) -> Mapping[str, Any]:
        """The dialogue's own settings."""
        self._in_turn()
        return self._dialogue.config

    @property
    def bot_config(self) -> Mapping[str, Any]:
        """What the program says of its bot."""
        self._in_turn()
        return self._dialogue.bot_config

    @property
    def contexts(self) -> Mapping[str, DataType]:
        """Every registered context, intent and memory, by name."""
        self._in_turn()
        return self._dialogue.registry

    @property
    def intents(self) -> Mapping[str, DataType]:
        """The registered intents."""
        return self._part("intents", lambda: self._dialogue.registry.view(Form.INTENT))

    @property
    def memories(self) -> Mapping[str, DataType]:
        """The registered memories."""
        return self._part("memories", lambda: self._dialogue.registry.view(Form.MEMORY))

    @property
    def dialog(self) -> Dialog:
        """Where the dialogue stands, and how it moves."""
        return self._part("dialog", lambda: Dialog(self, self._built["nested"], self._dialogue.beginning(self.scene)))

    @property
    def scope(self) -> Scope:
        """The dimensions of this turn."""
        self._in_turn()
        return self._repo.scope

    @property
    def memory(self) -> Memories:
        """The memories by class or name."""
        return self._part("memory", lambda: Memories(self))

    @property
    def repo(self) -> Repository:
        """The identity map."""
        self._in_turn()
        return self._repo

    @property
    def tracker(self) -> Tracker:
        """The steps of this turn."""
        return self._part("tracker", Tracker)

    @property
    def lost(self) -> bool:
        """Whether the turn's lease was lost or taken over: nothing of it can be saved any more."""
        self._in_turn()
        return self._lost()

    @property
    def handled(self) -> bool:
        """Whether somebody answered the message."""
        self._in_turn()
        return bool(self._built["handled"])

    @property
    def sneaky(self) -> bool:
        """Whether nothing of this turn is to be written."""
        self._in_turn()
        return bool(self._built["sneaky"])

    @property
    def quitting(self) -> bool:
        """Whether the session ends with this turn."""
        self._in_turn()
        return self._built["quit"] is not None

    @property
    def replies(self) -> list[Reply]:
        """What goes out after the commit."""
        return self.conversation.replies

    @asynccontextmanager
    async def nested(self, name: str, root: type[Any] | str) -> AsyncIterator[Session]:
        """A dialogue within this one, with a position of its own: ``async with session.nested("quiz", Quiz) as inner``.

        It has the same data, and is saved in the same commit. Its `quit` ends it and those within it, and nothing else.
        A message that it has handled is handled.
        """
        if "/" in check_text(name, "name"):
            raise InvalidInput("name", "holds no '/'")
        path = "/".join(filter(None, (self._built["nested"], name)))
        inner = type(self)(
            self._dialogue, self._chat_id, self.conversation, self._repo, lost=self._lost, scene=self._built["scene"]
        )
        dialog = Dialog(inner, path, self._dialogue.registry.of(root))
        inner._built |= {"nested": path, "dialog": dialog}  # noqa: SLF001 - a session as this one
        outer = CURRENT.set(inner)
        try:
            yield inner
            if inner.quitting:
                for one in [one for one in self._repo.positions if f"{one}/".startswith(f"{path}/")]:
                    del self._repo.positions[one]
            if inner.handled:
                self.handle()
            if inner.sneaky:
                self.sneak()
        finally:
            CURRENT.reset(outer)
            inner._over = True  # noqa: SLF001 - a session as this one

    async def get(self, cls: type[T] | str, data_id: str = "") -> T:
        """Data by its type: the same object all turn long. Made new where there is none; see `Repository.get`."""
        return await self.repo.get(cls, data_id)

    async def resolve(self, reference: Ref[T]) -> T:
        """What a reference points at."""
        return await self.repo.resolve(reference)

    def adopt(self, data: T) -> T:
        """Make new data the session's; a memory that is there already is given back in its place."""
        return self.repo.adopt(data)

    async def update(self, cls: type[T] | str, change: Callable[[T], T | None]) -> T:
        """Change a memory by a function, which is called again if another chat was first."""
        return await self.repo.update(cls, change)

    def reply(self, text: str, data: Any = None) -> None:
        """Say something: it goes out after the commit. The message counts as handled.

        ``data`` is what a platform needs beside the text; JSON-like, with an outbox.
        """
        self.replies.append(Reply(check_said(text), data))
        self._built["handled"] = True

    def handle(self) -> None:
        """The message was dealt with, with or without a reply."""
        self._in_turn()
        self._built["handled"] = True

    def sneak(self) -> None:
        """Write nothing of this turn. Replies go out, and the message counts as handled."""
        self.handle()
        self._built["sneaky"] = True

    def quit(self, reason: str = "completed") -> None:
        """End the session with this turn: its data goes, wider memories are saved. ``reason`` is for the event log."""
        self._in_turn()
        self._built["quit"] = check_reason(reason)

    def rewind(self) -> None:
        """Leave the session's data as if this turn had not been. Wider memories and replies are not taken back."""
        self._in_turn()
        self._repo.restore(self._repo.state)

    async def backward(self, turns: int = 1) -> bool:
        """Put the session's data back to before the last turns that changed it; False if that is not known."""
        self._in_turn()
        return await self._dialogue.step_back(self, turns)
