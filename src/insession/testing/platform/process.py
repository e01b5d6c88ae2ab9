"""`PlatformProcess`: the platform as a process of its own, driven over HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Final, Self

import msgspec

from .counters import Counters
from .rules import Drop, PlatformFaults, PlatformRules
from .watching import Watched

_ANSWER: Final = 10.0
_AGAIN: Final = 0.05


class PlatformProcess(Watched):
    """As `PlatformDouble`, in a process of its own: what it computes and keeps is not the client's.

    Args:
        rules: How it behaves.
        faults: What goes wrong.
        port: 0 takes one that is free.
    """

    def __init__(
        self, *, rules: PlatformRules | None = None, faults: PlatformFaults | None = None, port: int = 0
    ) -> None:
        self.rules: PlatformRules = rules or PlatformRules()
        self.faults: PlatformFaults = faults or PlatformFaults()
        self._port = port
        self._url = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return self._url

    def start(self) -> Self:
        """Start it; returns when it listens."""
        command = [sys.executable, "-m", __package__, "--port", str(self._port), *_options(self.rules, self.faults)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
        assert self._process.stdout is not None
        self._url = self._process.stdout.readline().strip()
        if not self._url:
            raise RuntimeError(f"the platform did not start, exit code {self._process.wait()}")
        return self

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            process.terminate()
            process.wait()
            process.stdout.close()

    def counters(self) -> Counters:
        return msgspec.json.decode(self._asked("counters"), type=Counters)

    def drop(self, way: Drop) -> None:
        self._asked(f"drop/{way}", b"")

    def abort(self, message: str = "aborted by the operator") -> None:
        self._asked("abort", message.encode())

    def _asked(self, what: str, body: bytes | None = None) -> bytes:
        """Ask the control path; while the platform restarts, again."""
        end = time.monotonic() + _ANSWER
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/control/{what}", body, timeout=_ANSWER) as answer:  # noqa: S310 - our own URL
                    return bytes(answer.read())
            except urllib.error.HTTPError:
                raise
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(_AGAIN)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _options(*plans: PlatformRules | PlatformFaults) -> list[str]:
    """What differs from the defaults, as options of the command line."""
    options = []
    for plan in plans:
        for field in msgspec.structs.fields(plan):
            value = getattr(plan, field.name)
            if value != field.default:
                word = (
                    ",".join(value)
                    if isinstance(value, tuple)
                    else str(value).lower()
                    if isinstance(value, bool)
                    else str(value)
                )
                options.append(f"--{field.name.replace('_', '-')}={word}")
    return options
