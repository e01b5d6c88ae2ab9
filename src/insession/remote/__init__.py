"""Remote: sessions that we hold with somebody else's service.

An `Authenticator` says how a session begins and ends, a `Transport` how a call goes there; the pool does the rest.
"""

from __future__ import annotations

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

__all__ = [
    "NOT_DONE",
    "RESEND",
    "Authenticator",
    "Busy",
    "Call",
    "CredentialsRefused",
    "Denied",
    "FindsLost",
    "HandoverRefused",
    "NotDone",
    "NotSent",
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
    "StateLost",
    "Ticket",
    "Transport",
    "UnknownToken",
    "Verdict",
    "Verify",
]
