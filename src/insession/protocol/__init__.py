"""Sessions of a wire protocol's clients: which exist, in every process, and who is told when one begins or ends.

subject = SessionSubject(lambda: SessionStorage("sqlite:///sessions.db"))
subject.subscribe(observer)                          # async def update(self, event): ...
await subject.create_session(auth_key, session_id)   # True if it is new; observers have been told then
"""

from __future__ import annotations

from .contracts import KeyedSessionStorageProtocol, SessionObserverProtocol, SessionStorageProtocol, long
from .event import SessionEvent
from .record import SessionRecord
from .storage import InMemorySessionStorage, SessionStorage, protocol_kind
from .subject import SessionSubject

__all__ = [
    "InMemorySessionStorage",
    "KeyedSessionStorageProtocol",
    "SessionEvent",
    "SessionObserverProtocol",
    "SessionRecord",
    "SessionStorage",
    "SessionStorageProtocol",
    "SessionSubject",
    "long",
    "protocol_kind",
]
