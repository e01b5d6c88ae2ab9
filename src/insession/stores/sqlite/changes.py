"""Changes of a file's content: told by inotify(7), or seen."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from pathlib import Path
from typing import Final

POLL: Final = 0.01
"""Where the system tells nothing, the file is looked at so often, in seconds."""
_MODIFIED: Final = 0x2
"""``IN_MODIFY``."""


class Changes:
    """Waits for changes by looking at the file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp = self._look()
        self.stopped: threading.Event = threading.Event()

    def arm(self) -> None:
        """Be told of what changes from now on, also if the file is another one by now."""

    def wait(self, seconds: float) -> bool:
        """Wait for a change; whether there was one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopped.wait(POLL):
            if self.drain():
                return True
        return False

    def drain(self) -> bool:
        """Whether there was a change since this was asked last."""
        before, self._stamp = self._stamp, self._look()
        return before != self._stamp

    def stop(self) -> None:
        """End all waiting. Called by another thread."""
        self.stopped.set()

    def close(self) -> None:
        """Give everything back."""

    def _look(self) -> tuple[int, int]:
        try:
            found = Path(self._path).stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_size


class ToldChanges(Changes):
    """Waits for changes until the system tells of one."""

    def __init__(self, path: str, system: ctypes.CDLL, handle: int) -> None:
        super().__init__(path)
        self._system = system
        self._handle = handle
        self._hear, self._ring = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._hear, select.POLLIN)
        self._poll.register(handle, select.POLLIN)

    def arm(self) -> None:
        """For a file that is watched already this does nothing."""
        self._system.inotify_add_watch(self._handle, os.fsencode(self._path), _MODIFIED)

    def wait(self, seconds: float) -> bool:
        return bool(self._poll.poll(seconds * 1000)) and not self.stopped.is_set()

    def drain(self) -> bool:
        try:
            return bool(os.read(self._handle, 1 << 16))
        except BlockingIOError:
            return False

    def stop(self) -> None:
        super().stop()
        os.write(self._ring, b"!")

    def close(self) -> None:
        for handle in (self._handle, self._hear, self._ring):
            os.close(handle)


def changes_of(path: str) -> Changes:
    """The better way of the two that this system has."""
    try:
        system = ctypes.CDLL(None, use_errno=True)
        handle = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except (AttributeError, OSError, TypeError):
        return Changes(path)
    return ToldChanges(path, system, handle) if handle >= 0 else Changes(path)
