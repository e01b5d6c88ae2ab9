"""`SankhyaDoubleProcess`: the double in a process of its own, with the same control."""

from __future__ import annotations

import contextlib
import http.client
import json
import selectors
import subprocess
import sys
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from .control import PREFIX
from .counters import Counters, Exchange
from .faults import Fault
from .settings import settings_of

_STARTS_IN: Final = 30.0
_ANSWERS_IN: Final = 10.0


class SankhyaDoubleProcess:
    """``with SankhyaDoubleProcess(seed=997) as double:`` runs ``python -m insession.testing.sankhya``.

    For clients whose speed is measured, and for those that fork: nothing of the double is in their process. It has
    the methods of `SankhyaDouble`, each of which is a request to the other process.
    """

    def __init__(self, *, port: int = 0, **settings: Any) -> None:
        settings_of(settings)
        self.url: str = ""
        self.pid: int = 0
        self._command = [sys.executable, "-m", "insession.testing.sankhya", "--port", str(port)]
        self._command += ["--settings", json.dumps(settings)]
        self._popen: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start it, and wait until it listens."""
        self._popen = subprocess.Popen(  # noqa: S603 - our own program
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self._first_line(self._popen)
        if not line:
            self.stop()
            raise RuntimeError("the double's process did not start")
        self.url, self.pid = line.strip(), self._popen.pid
        return self

    def stop(self) -> None:
        """End the process. Once is enough."""
        popen, self._popen = self._popen, None
        if popen is None:
            return
        popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(_ANSWERS_IN)
        popen.kill()
        popen.communicate()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def counters(self) -> Counters:
        """What has happened until now."""
        return msgspec.convert(self._ask("counters"), Counters)

    @property
    def log(self) -> list[Exchange]:
        """Every request that is remembered."""
        return msgspec.convert(self._ask("log"), list[Exchange])

    def requests(self, service: str) -> list[Exchange]:
        """Those of the log that asked this service."""
        return [one for one in self.log if service in {one.service, one.service.rpartition(".")[2]}]

    def inject(self, kind: str, **options: Any) -> Fault:
        """See `SankhyaDouble.inject`."""
        return msgspec.convert(self._ask("inject", kind=kind, **options), Fault)

    def clear_faults(self) -> None:
        """See `SankhyaDouble.clear_faults`."""
        self._ask("clear_faults")

    def change(self, **settings: Any) -> None:
        """See `SankhyaDouble.change`."""
        self._ask("change", **settings)

    def expire(self, session: str | None = None) -> int:
        """See `SankhyaDouble.expire`."""
        return int(self._ask("expire", session=session))

    def expire_bearers(self) -> None:
        """See `SankhyaDouble.expire_bearers`."""
        self._ask("expire_bearers")

    def sessions(self) -> list[str]:
        """See `SankhyaDouble.sessions`."""
        return list(self._ask("sessions"))

    def count(self, entity: str = "Parceiro") -> int:
        """See `SankhyaDouble.count`."""
        return int(self._ask("count", entity=entity))

    def release(self) -> None:
        """See `SankhyaDouble.release`."""
        self._ask("release")

    def reset_counters(self) -> None:
        """See `SankhyaDouble.reset_counters`."""
        self._ask("reset_counters")

    def _ask(self, name: str, **arguments: Any) -> Any:
        parts = urlsplit(self.url)
        link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWERS_IN)
        with contextlib.closing(link):
            link.request("POST", PREFIX + name, json.dumps(arguments))
            answer = link.getresponse()
            said = answer.read()
        if answer.status != http.client.OK:
            raise ValueError(said.decode())
        return json.loads(said)

    @staticmethod
    def _first_line(popen: subprocess.Popen[str]) -> str:
        if popen.stdout is None:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(popen.stdout, selectors.EVENT_READ)
            return popen.stdout.readline() if selector.select(_STARTS_IN) else ""
