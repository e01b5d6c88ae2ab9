"""For tests of what is built on insession, and of stores.

`ManualClock` and `FaultyStore` stand in for time and for a store that fails. The contract that every
store keeps is in `insession.testing.contract`, the state machine in `insession.testing.machine`; these
two need the extra ``insession[testing]`` and are imported from there.
"""

from .clock import ManualClock, settle
from .faulty import Fault, FaultyStore

__all__ = ["Fault", "FaultyStore", "ManualClock", "settle"]
