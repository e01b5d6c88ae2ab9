"""Machines that a test makes up, and what providers on them say."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from insession.tracking.hardware import HardwareIDProvider

# Says "ready" and an id for each line that it reads: a file of machine facts ("-" for none) and a configuration.
PROGRAM = """
import asyncio, json, logging, sys
from pathlib import Path
from insession.tracking.hardware import HardwareIDProvider

logging.basicConfig(level=logging.ERROR)

async def one(facts, config):
    files = [] if facts is None else [Path(facts)]
    provider = HardwareIDProvider(config, machine_id_files=files)
    return provider.hardware_id if await provider.initialize() else None

asyncio.run(one(None, {"cache_file": "/dev/null/warm", "require_hardware_id": False}))
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(asyncio.run(one(*json.loads(line)))), flush=True)
"""


class Machine:
    """A machine that a test makes up: its folder, its machine id file, its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "hardware_id.cache"
        self.facts = folder / "machine-id"
        self.facts.write_text("3f1c0a9b5e7d4c2a8b6f1e0d9c8b7a65\n")

    def provider(self, **config: Any) -> HardwareIDProvider:
        return HardwareIDProvider({"cache_file": str(self.cache)} | config, machine_id_files=[self.facts])

    async def hardware_id(self, **config: Any) -> str:
        """The id that a fresh start gives out."""
        return await asked(await started(self.provider(**config)))

    @contextlib.contextmanager
    def processes(self, count: int) -> Iterator[list[subprocess.Popen[str]]]:
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("INSESSION_")}
        running = [
            subprocess.Popen(
                command, cwd=self.folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]
        try:
            assert [said(one) for one in running] == ["ready"] * count
            yield running
        finally:
            for one in running:
                one.communicate(timeout=20)

    def together(self, running: list[subprocess.Popen[str]], *, facts: bool, **config: Any) -> list[str | None]:
        """What each process says, when all are asked at one moment."""
        asking = json.dumps([str(self.facts) if facts else None, {"cache_file": str(self.cache)} | config])
        for one in running:
            assert one.stdin is not None
            one.stdin.write(asking + "\n")
            one.stdin.flush()
        return [json.loads(said(one)) for one in running]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def started(provider: HardwareIDProvider) -> HardwareIDProvider:
    assert await provider.initialize() is True
    return provider


async def asked(provider: HardwareIDProvider) -> str:
    found = [one async for one in provider.process(None)]
    assert len(found) == 1
    assert found[0] is not None
    assert found[0] == provider.hardware_id
    return found[0]
