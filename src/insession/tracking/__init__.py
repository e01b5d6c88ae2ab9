"""Users and devices that connect to us: tracked sessions, hardware ids, interrupts.

async with SessionManager({"session_timeout": 3600}) as manager:
session = await manager.create_session(user_agent="...", hardware_id=device)
async with manager.running(session):        # cancelled if anybody interrupts the session
...
"""

from __future__ import annotations

from .blocking import BlockingSessionManager
from .config import SessionManagementConfig
from .errors import ForeignSession, HardwareIDFailed, NotInitialized, TooManySessions, TrackingError, UnknownSession
from .hardware import HardwareIDProvider
from .live import ActiveSessions, LiveSession
from .manager import SessionManager
from .tracker import SessionTracker

__all__ = [
    "ActiveSessions",
    "BlockingSessionManager",
    "ForeignSession",
    "HardwareIDFailed",
    "HardwareIDProvider",
    "LiveSession",
    "NotInitialized",
    "SessionManagementConfig",
    "SessionManager",
    "SessionTracker",
    "TooManySessions",
    "TrackingError",
    "UnknownSession",
]
