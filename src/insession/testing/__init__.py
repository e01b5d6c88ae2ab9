"""For tests of what is built on insession, and of stores.

`ManualClock` and `FaultyStore` stand in for time and for a store that fails. The contract that every
store keeps is in `insession.testing.contract`, the state machine in `insession.testing.machine`.
`SankhyaDouble` and `PlatformDouble` stand in for a Sankhya service and for the platform of exchange
sessions, over real sockets. These need the extra ``insession[testing]``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .clock import ManualClock, settle
from .faulty import Fault, FaultyStore

if TYPE_CHECKING:
    from .platform import PlatformDouble
    from .sankhya import SankhyaDouble, SankhyaDoubleProcess

__all__ = [
    "Fault",
    "FaultyStore",
    "ManualClock",
    "PlatformDouble",
    "SankhyaDouble",
    "SankhyaDoubleProcess",
    "settle",
]
_DOUBLES: Final = {"PlatformDouble": "platform", "SankhyaDouble": "sankhya", "SankhyaDoubleProcess": "sankhya"}


def __getattr__(name: str) -> Any:
    """A double is imported when it is asked for: it needs an extra."""
    if name not in _DOUBLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_DOUBLES[name]}"), name)
