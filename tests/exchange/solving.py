"""Solutions of the tests, found by name, from another process too."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

from insession.exchange.epicrisis import Epicrisis
from insession.exchange.solutions import SolutionAbstract


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
