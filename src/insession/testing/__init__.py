"""For tests of what is built on insession, and of stores.

`ManualClock` and `FaultyStore` stand in for time and for a store that fails. The contract that every
store keeps is in `insession.testing.contract`, the state machine in `insession.testing.machine`,
`SankhyaDouble` is a Sankhya service that is not one; these need the extra ``insession[testing]``.
"""

from typing import TYPE_CHECKING, Any

from .clock import ManualClock, settle
from .faulty import Fault, FaultyStore

if TYPE_CHECKING:
    from .sankhya import SankhyaDouble, SankhyaDoubleProcess

__all__ = ["Fault", "FaultyStore", "ManualClock", "SankhyaDouble", "SankhyaDoubleProcess", "settle"]


def __getattr__(name: str) -> Any:
    # aiohttp is imported by those who ask for a double only.
    if name in {"SankhyaDouble", "SankhyaDoubleProcess"}:
        from insession.testing import sankhya

        return getattr(sankhya, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
