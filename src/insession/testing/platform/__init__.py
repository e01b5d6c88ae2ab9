"""The platform of `insession.exchange`, for tests and rehearsals. Needs the extra ``insession[testing]``.

`PlatformDouble` speaks the protocol of 2021 or of 2023 on a loopback port, over python-socketio's server.
`PlatformRules` says how it behaves, `PlatformFaults` what goes wrong, `Counters` what it has seen. `PlatformProcess` is
the same in a process of its own, as is ``python -m insession.testing.platform``.
"""

from .counters import Counters, FileCount
from .double import PlatformDouble
from .process import PlatformProcess
from .rules import Drop, PlatformFaults, PlatformFile, PlatformRules

__all__ = [
    "Counters",
    "Drop",
    "FileCount",
    "PlatformDouble",
    "PlatformFaults",
    "PlatformFile",
    "PlatformProcess",
    "PlatformRules",
]
