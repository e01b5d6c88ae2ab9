"""For tests of what is built on insession, and of stores.

`ManualClock` and `FaultyStore` stand in for time and for a store that fails. The contract that every
store keeps is in `insession.testing.contract`, the state machine in `insession.testing.machine`; these
two need the extra ``insession[testing]`` and are imported from there. So does `PlatformDouble`, the platform
of exchange sessions (its rules and faults are in `insession.testing.platform`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .clock import ManualClock, settle
from .faulty import Fault, FaultyStore

if TYPE_CHECKING:
    from .platform import PlatformDouble

__all__ = ["Fault", "FaultyStore", "ManualClock", "PlatformDouble", "settle"]


def __getattr__(name: str) -> Any:
    """What needs an extra is imported when it is asked for."""
    if name != "PlatformDouble":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .platform import PlatformDouble

    return PlatformDouble
