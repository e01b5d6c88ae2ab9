"""Which process a node is, and whether it is known to be gone.

A process is told by its pid and when it started, so that a reused pid is no one's (proc(5), field 22 of ``stat``).
Both mean something only where they were read: on one boot of one host, in one namespace of pids and one of times.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_SPACES: Final = ("/proc/self/ns/pid", "/proc/self/ns/time")
_DEAD: Final = frozenset({b"Z", b"X"})
"""Ended, and its parent has not asked for its exit code."""


def facts(name: str) -> dict[str, Any]:
    """What a node says of its process; ``home`` is where its pid means it, None where the system does not say."""
    pid = os.getpid()
    seen = _seen(pid)
    return {
        "name": name,
        "host": socket.gethostname(),
        "home": _home(),
        "pid": pid,
        "started": None if seen is None else seen[1],
    }


def is_gone(said: Any) -> bool:
    """Whether the process that said this is gone for sure: nobody of another host or container can know."""
    if not isinstance(said, dict) or said.get("host") != socket.gethostname():
        return False
    home, pid, started = said.get("home"), said.get("pid"), said.get("started")
    if home is None or home != _home() or type(pid) is not int or pid <= 0 or started is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # another user's
    seen = _seen(pid)
    # Not seen: /proc may hide what is another user's.
    return seen is not None and (seen[0] in _DEAD or seen[1] != started)


def _home() -> str | None:
    try:
        boot = _BOOT.read_text("ascii").strip()
        return "/".join([boot, *(str(Path(space).stat().st_ino) for space in _SPACES)])
    except OSError:  # pragma: no cover - other systems
        return None


def _seen(pid: int) -> tuple[bytes, float] | None:
    """The state of a process, and when it started, in clock ticks since boot."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0], float(fields[19])
