"""An ending in good order where the system asks for it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Never

from insession.errors import ConfigurationError


def exit_on_sigterm() -> None:
    """Let SIGTERM end this program as `sys.exit` does: blocks are left, and sessions logged out.

    Python's own answer to SIGTERM is to die on the spot, which leaves sessions at the service until another process
    recovers them. Call it once, in the main thread, else `ConfigurationError`; it replaces the handler that is there.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError("exit_on_sigterm: is called in the main thread, where signals arrive")
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _: FrameType | None) -> Never:
    raise SystemExit(128 + number)
