"""Remote: sessions that we hold with somebody else's service.

An `Authenticator` says how a session begins and ends, a `Transport` how a call goes there; the pool does the rest.
"""

from __future__ import annotations

from .blocking import BlockingSessionPool, BlockingVerify
from .contracts import NOT_DONE, RESEND, Authenticator, Call, FindsLost, Renewal, Ticket, Transport, Verdict, Verify
from .errors import (
    Busy,
    CredentialsRefused,
    Denied,
    HandoverRefused,
    NotDone,
    NotSent,
    OutcomeLost,
    OutcomeUnknown,
    PoolClosed,
    RemoteError,
    Report,
    ServiceFull,
    SessionExpired,
    SessionGone,
    SessionLimit,
    StateLost,
    UnknownToken,
)
from .held import TRANSITIONS, SessionState
from .options import Options
from .pool import SessionPool
from .signals import exit_on_sigterm

__all__ = [
    "NOT_DONE",
    "RESEND",
    "TRANSITIONS",
    "Authenticator",
    "BlockingSessionPool",
    "BlockingVerify",
    "Busy",
    "Call",
    "CredentialsRefused",
    "Denied",
    "FindsLost",
    "HandoverRefused",
    "NotDone",
    "NotSent",
    "Options",
    "OutcomeLost",
    "OutcomeUnknown",
    "PoolClosed",
    "RemoteError",
    "Renewal",
    "Report",
    "ServiceFull",
    "SessionExpired",
    "SessionGone",
    "SessionLimit",
    "SessionPool",
    "SessionState",
    "StateLost",
    "Ticket",
    "Transport",
    "UnknownToken",
    "Verdict",
    "Verify",
    "exit_on_sigterm",
]
