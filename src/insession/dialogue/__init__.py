"""Dialogues: conversations of many turns, each turn a transaction.

::

    dialogue = Dialogue("sqlite:///bot.db", root=Start, memories=[UserInfo])

    async with dialogue, dialogue.turn(message) as session:
        user = await session.get(UserInfo)
        session.reply(f"Hello, {user.name}.")
"""

from __future__ import annotations

from .data import DataType, Form, Ref, Registry, context, intent, memory, ref
from .dialogs import Dialog, Navigation, Navigator, Stage
from .dialogue import Dialogue, Handled
from .driver import Driver
from .enginedriver import EngineDriver
from .errors import (
    ChatBusy,
    DataLost,
    DialogueError,
    MemoryConflict,
    NotAdopted,
    RedirectLoop,
    TurnConflict,
    TurnLost,
    TurnMerged,
    TurnRefused,
    TurnRepeated,
    TurnReplaced,
)
from .messages import ChatEvent, Message, MessageKind, Reply
from .nlu import Meaning, Nlu
from .pipes import Pipe
from .scope import Scope
from .session import Conversation, Session, current_session
from .standard import STANDARD, NavigationPipe, events, marked_intents, navigation
from .turns import TurnEntry

__all__ = [
    "STANDARD",
    "ChatBusy",
    "ChatEvent",
    "Conversation",
    "DataLost",
    "DataType",
    "Dialog",
    "Dialogue",
    "DialogueError",
    "Driver",
    "EngineDriver",
    "Form",
    "Handled",
    "Meaning",
    "MemoryConflict",
    "Message",
    "MessageKind",
    "Navigation",
    "NavigationPipe",
    "Navigator",
    "Nlu",
    "NotAdopted",
    "Pipe",
    "RedirectLoop",
    "Ref",
    "Registry",
    "Reply",
    "Scope",
    "Session",
    "Stage",
    "TurnConflict",
    "TurnEntry",
    "TurnLost",
    "TurnMerged",
    "TurnRefused",
    "TurnRepeated",
    "TurnReplaced",
    "context",
    "current_session",
    "events",
    "intent",
    "marked_intents",
    "memory",
    "navigation",
    "ref",
]
