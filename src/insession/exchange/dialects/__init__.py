"""The generations of the protocol: names of events and what is in them. A connector speaks through one of them."""

from __future__ import annotations

from .dialect import (
    AbortConfirmed,
    AbortDenied,
    Aborted,
    AuthError,
    Closed,
    Dialect,
    FileCame,
    Heard,
    Rejoined,
    RejoinRefused,
    Said,
    Started,
    StartRefused,
    Verdict,
)
from .y2021 import Dialect2021
from .y2023 import Dialect2023

__all__ = [
    "AbortConfirmed",
    "AbortDenied",
    "Aborted",
    "AuthError",
    "Closed",
    "Dialect",
    "Dialect2021",
    "Dialect2023",
    "FileCame",
    "Heard",
    "RejoinRefused",
    "Rejoined",
    "Said",
    "StartRefused",
    "Started",
    "Verdict",
]
