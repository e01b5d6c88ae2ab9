"""What a user may mean at any moment, and the six that every dialogue knows.

An intent is a registered class: its fields are the entities, ``match(message, nlu)`` says whether a message means it,
and ``navigate(dialog)`` what is done then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from insession.dialogue.data import DataType, intent
from insession.dialogue.messages import Message, MessageKind
from insession.dialogue.nlu import Nlu
from insession.errors import InvalidInput

from .navigators import Navigator

if TYPE_CHECKING:
    from .dialog import Dialog


class Navigation(msgspec.Struct):
    """An intent that moves the dialogue: meant by a command of its word."""

    word: ClassVar[str] = ""

    def match(self, message: Message, nlu: Nlu) -> bool:  # noqa: ARG002 - an intent's signature
        """Whether the message is the command, with or without ``/`` or ``#`` before it."""
        return message.kind is MessageKind.COMMAND and message.text.strip().lstrip("/#").lower() == self.word

    def navigate(self, dialog: Dialog) -> Navigator:
        """The move of that name."""
        move: Navigator = getattr(dialog, self.word)()
        return move


@intent(name="navigation.home")
class Home(Navigation):
    """Begin anew at the root."""

    word = "home"


@intent(name="navigation.backward")
class Backward(Navigation):
    """Back to the question before."""

    word = "backward"


@intent(name="navigation.quit")
class Quit(Navigation):
    """End the session."""

    word = "quit"


@intent(name="navigation.cancel")
class Cancel(Navigation):
    """Give the context up."""

    word = "cancel"


@intent(name="navigation.repeat")
class Repeat(Navigation):
    """Ask again."""

    word = "repeat"


@intent(name="navigation.restart")
class Restart(Navigation):
    """Begin the context anew."""

    word = "restart"


NAVIGATION: Final[tuple[type[Any], ...]] = (Home, Backward, Quit, Cancel, Repeat, Restart)
"""The intents of the navigation pipe, in the order in which they are tried."""


async def meant(of: DataType, message: Message, nlu: Nlu) -> Any:
    """The intent with its entities if the message means it, else None."""
    entities = {name: value for name, value in nlu.entities.items() if name in _fields(of)}
    if nlu.intent == of.name:
        return _made(of, entities)
    match = getattr(of.cls, "match", None)
    if match is None:
        return None
    made = _made(of, entities)
    return made if made.match(message, nlu) else None


def _made(of: DataType, entities: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(entities, of.cls)
    except msgspec.ValidationError as error:
        raise InvalidInput(of.name, f"the entities do not fit: {error}") from None


def _fields(of: DataType) -> frozenset[str]:
    return (
        frozenset(field.encode_name for field in msgspec.structs.fields(of.cls))
        if issubclass(of.cls, msgspec.Struct)
        else frozenset(vars(of.cls).get("__dataclass_fields__", ()))
    )
