"""``python -m insession.testing.sankhya [--port N] [--settings JSON]``: prints its URL, and serves until it is stopped.

It also ends when its standard input does, so that it does not outlive the program that started it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence

from .double import SankhyaDouble


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m insession.testing.sankhya", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 for any that is free")
    parser.add_argument("--settings", type=json.loads, default={}, metavar="JSON", help="fields of DoubleSettings")
    asked = parser.parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with SankhyaDouble(port=asked.port, **asked.settings) as double:
        print(double.url, flush=True)  # noqa: T201 - what its caller reads
        threading.Thread(target=_follow_stdin, args=[stopped], daemon=True).start()
        while not stopped.wait(0.5):  # signals are seen between waits
            pass
    return 0


def _follow_stdin(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    raise SystemExit(main())
