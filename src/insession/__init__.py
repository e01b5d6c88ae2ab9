"""insession: the session layer for Python.

One engine for every kind of session that a program holds: each has an id, an owner, deadlines, data,
events, and work that stops when the session ends. Embedded (memory, SQLite) by default.

    async with insession.connect("sqlite:///sessions.db") as engine:
        session = await engine.open(owner="ann", idle=3600, data={"lang": "en"})
"""

from __future__ import annotations

from insession.errors import (
    BlockingError,
    CalledAfterFork,
    CalledFromEventLoop,
    Closed,
    ConfigurationError,
    Conflict,
    CursorTrimmed,
    DataUnreadable,
    Displaced,
    Expired,
    InsessionError,
    Interrupted,
    InvalidInput,
    LeaseError,
    LimitReached,
    LockLost,
    LockTimeout,
    OutcomeUnknown,
    Overloaded,
    PortalClosed,
    SessionEnded,
    SessionNotFound,
    StoreError,
    StoreFull,
    StoreMoved,
    StoreUnavailable,
)
from insession.kernel.clock import Clock
from insession.kernel.connecting import connect
from insession.kernel.contract import Store
from insession.kernel.data import Data
from insession.kernel.engine import Engine, SessionPage
from insession.kernel.events import START, Event, EventType
from insession.kernel.items import Entry, Head, Items
from insession.kernel.kinds import Kind
from insession.kernel.limits import Limit
from insession.kernel.locks import Lock
from insession.kernel.record import Outcome, State
from insession.kernel.session import Deadlines, Session
from insession.kernel.upkeep import Stats

__all__ = [
    "START",
    "BlockingError",
    "CalledAfterFork",
    "CalledFromEventLoop",
    "Clock",
    "Closed",
    "ConfigurationError",
    "Conflict",
    "CursorTrimmed",
    "Data",
    "DataUnreadable",
    "Deadlines",
    "Displaced",
    "Engine",
    "Entry",
    "Event",
    "EventType",
    "Expired",
    "Head",
    "InsessionError",
    "Interrupted",
    "InvalidInput",
    "Items",
    "Kind",
    "LeaseError",
    "Limit",
    "LimitReached",
    "Lock",
    "LockLost",
    "LockTimeout",
    "Outcome",
    "OutcomeUnknown",
    "Overloaded",
    "PortalClosed",
    "Session",
    "SessionEnded",
    "SessionNotFound",
    "SessionPage",
    "State",
    "Stats",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreMoved",
    "StoreUnavailable",
    "connect",
]
__version__ = "0.1.0"
