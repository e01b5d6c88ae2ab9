"""Exchange sessions: a platform sends files over socket.io, and each is answered before its deadline.

::

    from insession.exchange import Session, SessionStarterOptions


    async def solve(epicrisis):
        return {"found": await model(epicrisis.text)}


    async with Session(solution=solve) as session:
        outcome = await session.run(SessionStarterOptions(file_count=20))

Needs the extra ``insession[exchange]``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .answering import Policy
    from .connection import ConnectionAbstract, Websocket
    from .connector import SessionConnectorAbstract, SessionConnectorFactory, SessionWebsocketConnector
    from .contracts import Deadlines, ExchangeEvent, What, WireMessage, WorkDesk
    from .desk import Desk
    from .epicrisis import Epicrisis, EpicrisisFactory
    from .errors import (
        AbortRefused,
        AuthRefused,
        ConnectFailed,
        ExchangeError,
        NotConnectedError,
        PlatformRefused,
        SessionNotExistError,
        SessionServed,
        StartSessionError,
        StepTimedOut,
        UnsupportedServer,
    )
    from .holding import exchange_engine, exchange_kind
    from .options import ContestStarterOptions, SessionStarterOptions
    from .outcomes import Outcome
    from .session import Session
    from .settings import ExchangeSettings
    from .solutions import Command, OutputFolder, SolutionAbstract, SolutionFactory

__all__ = [
    "AbortRefused",
    "AuthRefused",
    "Command",
    "ConnectFailed",
    "ConnectionAbstract",
    "ContestStarterOptions",
    "Deadlines",
    "Desk",
    "Epicrisis",
    "EpicrisisFactory",
    "ExchangeError",
    "ExchangeEvent",
    "ExchangeSettings",
    "NotConnectedError",
    "Outcome",
    "OutputFolder",
    "PlatformRefused",
    "Policy",
    "Session",
    "SessionConnectorAbstract",
    "SessionConnectorFactory",
    "SessionNotExistError",
    "SessionServed",
    "SessionStarterOptions",
    "SessionWebsocketConnector",
    "SolutionAbstract",
    "SolutionFactory",
    "StartSessionError",
    "StepTimedOut",
    "UnsupportedServer",
    "Websocket",
    "What",
    "WireMessage",
    "WorkDesk",
    "exchange_engine",
    "exchange_kind",
]

_FROM: Final = {
    "answering": ("Policy",),
    "connection": ("ConnectionAbstract", "Websocket"),
    "connector": ("SessionConnectorAbstract", "SessionConnectorFactory", "SessionWebsocketConnector"),
    "contracts": ("Deadlines", "ExchangeEvent", "What", "WireMessage", "WorkDesk"),
    "desk": ("Desk",),
    "epicrisis": ("Epicrisis", "EpicrisisFactory"),
    "errors": (
        "AbortRefused",
        "AuthRefused",
        "ConnectFailed",
        "ExchangeError",
        "NotConnectedError",
        "PlatformRefused",
        "SessionNotExistError",
        "SessionServed",
        "StartSessionError",
        "StepTimedOut",
        "UnsupportedServer",
    ),
    "holding": ("exchange_engine", "exchange_kind"),
    "options": ("ContestStarterOptions", "SessionStarterOptions"),
    "outcomes": ("Outcome",),
    "session": ("Session",),
    "settings": ("ExchangeSettings",),
    "solutions": ("Command", "OutputFolder", "SolutionAbstract", "SolutionFactory"),
}
_WHERE: Final = {name: module for module, names in _FROM.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for: who reads a declaration of ours need not have the extra."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
