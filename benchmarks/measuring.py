"""How everything here is measured: the calibration, rounds, collector pauses, and what a figure is."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

SEED = 20_260
"""Every random choice of every benchmark follows from it."""
ROUNDS = 5
REFERENCE = 0.5
"""Absolute bars hold for a machine that needs so many seconds for the calibration; they scale with it."""
_KEYS = 10_000
_READS = 1_000_000

TIMES: Final = "\N{MULTIPLICATION SIGN}"
"""The unit of a ratio."""
Sense = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number with its bar."""

    name: str
    unit: str
    values: Sequence[float]
    """One for each round; their median is what is compared."""
    bar: float | None = None
    """As the requirement states it, for the reference machine where it scales."""
    sense: Sense = "at most"
    scale: float = 1.0
    """This machine's calibration over the reference; 1 where the figure is a ratio."""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def scaled_bar(self) -> float | None:
        if self.bar is None:
            return None
        return self.bar * self.scale if self.sense == "at most" else self.bar / self.scale

    @property
    def met(self) -> bool | None:
        """Whether it meets its bar as it scales with the machine."""
        return self._meets(self.scaled_bar)

    @property
    def met_as_stated(self) -> bool | None:
        """Whether it meets the bar for the reference machine."""
        return self._meets(self.bar)

    def _meets(self, bar: float | None) -> bool | None:
        if bar is None:
            return None
        return self.median <= bar if self.sense == "at most" else self.median >= bar


@dataclass(slots=True)
class Run:
    """What the scripts are asked for, and how fast the machine is at the moment."""

    quick: bool = False
    profile: bool = False
    rounds: int = ROUNDS
    scale: float = 1.0
    calibrations: list[float] = field(default_factory=list)
    reads_alone: float = 0.0

    def count(self, number: int) -> int:
        """A number of repetitions: a tenth of it for a quick look."""
        return max(1, number // 10) if self.quick else number

    def calibrate(self) -> float:
        """Measure the machine as it is now; the scale of the absolute bars follows."""
        if not self.reads_alone:
            self.reads_alone = calibration(prepared=True)
        seconds = calibration()
        self.calibrations.append(seconds)
        self.scale = seconds / REFERENCE
        return seconds


def calibration(*, prepared: bool = False) -> float:
    """Seconds for 1,000,000 awaited dict reads; the median of three.

    ``async def read(key): return records[key]``, awaited in a ``for`` loop, each time with a random
    choice among the 10,000 keys of the dict, texts of 32 hexadecimal digits. With ``prepared`` the
    choices are made before, and the reads alone are measured.
    """
    chance = random.Random(SEED)
    records = {f"{chance.getrandbits(128):032x}": object() for _ in range(_KEYS)}
    ids = list(records)

    async def read(key: str) -> object:
        return records[key]

    async def read_random() -> float:
        begin = time.perf_counter()
        for _ in range(_READS):
            await read(chance.choice(ids))
        return time.perf_counter() - begin

    async def read_prepared() -> float:
        keys = chance.choices(ids, k=_READS)
        begin = time.perf_counter()
        for key in keys:
            await read(key)
        return time.perf_counter() - begin

    return statistics.median(asyncio.run(read_prepared() if prepared else read_random()) for _ in range(3))


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that some work takes, after a full collection."""
    gc.collect()
    begin = time.perf_counter()
    await work()
    return time.perf_counter() - begin


async def interleaved(rounds: int, variants: dict[str, Callable[[], Awaitable[float]]]) -> dict[str, list[float]]:
    """Measure every variant once in each round, so that a neighbour's load meets all of them alike."""
    values: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        await variant()  # warm up
    for _ in range(rounds):
        for name, variant in variants.items():
            values[name].append(await variant())
    return values


class Pauses:
    """How long the collector held everything up."""

    def __init__(self) -> None:
        self.all: list[float] = []
        self.total = 0.0
        self._begin = 0.0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begin = time.perf_counter()
        else:
            pause = time.perf_counter() - self._begin
            self.all.append(pause)
            self.total += pause

    @property
    def longest(self) -> float:
        return max(self.all, default=0.0)


@contextmanager
def collector_pauses() -> Iterator[Pauses]:
    """Measure the collector's pauses within the block."""
    pauses = Pauses()
    gc.callbacks.append(pauses)
    try:
        yield pauses
    finally:
        gc.callbacks.remove(pauses)


class Turns:
    """The longest time between two turns of the loop, collector pauses apart."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.number = 0
        self.seconds = 0.0

    async def watch(self, pauses: Pauses) -> None:
        """Take part in every turn until cancelled."""
        begin = last = time.perf_counter()
        paused = pauses.total
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last - (pauses.total - paused))
            last, paused = now, pauses.total
            self.number += 1
            self.seconds = now - begin


def machine() -> str:
    """The machine in a line: processor, cores, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{_processor()}, {cores} cores, {python}, {platform.system()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
