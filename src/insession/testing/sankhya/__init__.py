"""A double of the Sankhya service: over a real socket, with faults and counters. Needs ``insession[testing]``."""

from .counters import Counters, Exchange
from .double import SankhyaDouble
from .faults import Fault
from .process import SankhyaDoubleProcess
from .settings import DoubleSettings

__all__ = ["Counters", "DoubleSettings", "Exchange", "Fault", "SankhyaDouble", "SankhyaDoubleProcess"]
