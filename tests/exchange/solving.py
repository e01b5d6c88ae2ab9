"""Solutions of the tests, found by name, from another process too."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
import time
from typing import Any

from insession.exchange.epicrisis import Epicrisis
from insession.exchange.solutions import SolutionAbstract

HANGS, BLOCKS, RAISES = 110, 50, 29
"""Every so many-th file."""


def right(sha256: str) -> str:
    """The answer to a file with bytes of this digest."""
    return json.dumps([{"sha256": sha256}])


def fallback(epicrisis: Epicrisis) -> str:
    """What stands in; it says for which file."""
    return json.dumps([{"instead": epicrisis.id}])


async def steady(epicrisis: Epicrisis) -> str:
    """Answers each file, at once."""
    return right(hashlib.sha256(epicrisis.content).hexdigest())


def spoilt(number: int) -> str:
    """What happens to the n-th file under `mixed`; nothing to most."""
    for every, what in ((HANGS, "hangs"), (BLOCKS, "blocks"), (RAISES, "raises")):
        if number % every == 0:
            return what
    return ""


def mixed(epicrisis: Epicrisis) -> str:
    """Hangs, blocks a CPU, raises, or answers; to be run in processes."""
    what = spoilt(int(epicrisis.id))
    if what == "raises":
        raise ValueError(what)
    while what:
        # One that hangs sleeps, one that blocks computes.
        time.sleep(3_600 if what == "hangs" else 0)
    return right(hashlib.sha256(epicrisis.path_to_xml.read_bytes()).hexdigest())


async def waits(epicrisis: Epicrisis) -> str:
    await asyncio.sleep(0)
    return f"async {epicrisis.file_id}"


def where(epicrisis: Epicrisis, timeout: float | None) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "file": epicrisis.file_id,
        "size": len(epicrisis.content),
        "timeout": timeout,
    }


def burns(epicrisis: Epicrisis) -> str:
    """Blocks a processor for ever, once it has said which process it is."""
    epicrisis.path_to_xml.with_suffix(".pid").write_text(str(os.getpid()))
    while True:
        time.time()


def burns_first(epicrisis: Epicrisis) -> str:
    return burns(epicrisis) if epicrisis.file_id == "first" else str(epicrisis.file_id)


def hangs(epicrisis: Epicrisis) -> str:
    threading.Event().wait()
    return str(epicrisis.file_id)


def dies(epicrisis: Epicrisis) -> str:
    os._exit(3)


class Documented(SolutionAbstract):
    async def execute_async(self, timeout: float | None = None) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return [{"code": str(self.epicrisis.file_id), "timeout": timeout}]


class Blocking(SolutionAbstract):
    def execute(self, timeout: float | None = None) -> str:
        return f"{self.epicrisis.file_id} in {threading.current_thread().name}"
