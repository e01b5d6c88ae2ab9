"""Exchange sessions beside a plain client: files per second, and from a file's event to its answer."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from insession.testing.platform import Counters, PlatformProcess, PlatformRules

from .exchange_peers import ours, plain
from .measuring import TIMES, Figure, Run
from .reporting import main

QUESTION = "An exchange session beside a plain python-socketio client"
FILES = 3_000
PACED = 300
PACE = 0.01
Participant = Callable[[str, Path], Awaitable[None]]

PARTICIPANTS: dict[str, Participant] = {
    "nothing": lambda url, _: plain(url, None),
    "written": plain,
    "ours": ours,
}


def measure(run: Run) -> list[Figure]:
    files, paced = run.count(FILES), run.count(PACED)
    speeds: dict[str, list[float]] = {name: [] for name in PARTICIPANTS}
    delays: dict[str, list[list[float]]] = {name: [] for name in PARTICIPANTS}
    for _ in range(run.rounds):
        for name, participant in PARTICIPANTS.items():
            seconds, _ = _served(participant, PlatformRules(count=files, interval=0.0))
            speeds[name].append(files / seconds)
            _, counters = _served(participant, PlatformRules(count=paced, interval=PACE))
            delays[name].append(sorted(file.delay * 1_000 for file in counters.files if file.delay is not None))
    return [*_speeds(speeds, files), *_delays(delays, paced)]


def _served(participant: Participant, rules: PlatformRules) -> tuple[float, Counters]:
    """Seconds from the first file's event to the last answer, and what the platform has counted."""
    with PlatformProcess(rules=rules) as platform, tempfile.TemporaryDirectory() as folder:
        asyncio.run(_participate(participant, platform.url, Path(folder)))
        counters = platform.counters()
    assert counters.answered == rules.count, f"{counters.answered} of {rules.count} answered"
    assert counters.repeats == 0
    assert counters.violations == []
    first = min(file.sent_at for file in counters.files if file.sent_at is not None)
    last = max(file.answered_at for file in counters.files if file.answered_at is not None)
    return last - first, counters


async def _participate(participant: Participant, url: str, folder: Path) -> None:
    await participant(url, folder)


def _speeds(speeds: dict[str, list[float]], files: int) -> list[Figure]:
    note = f"{files:,} files at once, one session; platform in a process of its own"
    ratio = [one / other for one, other in zip(speeds["ours"], speeds["written"], strict=True)]
    least = [one / other for one, other in zip(speeds["ours"], speeds["nothing"], strict=True)]
    return [
        Figure(name="plain client that writes nothing", unit="files/s", values=speeds["nothing"], note=note),
        Figure(name="plain client, each file fsynced", unit="files/s", values=speeds["written"], note=note),
        Figure(name="insession.exchange, with its journal", unit="files/s", values=speeds["ours"], note=note),
        Figure(name="insession beside the one that fsyncs", unit=TIMES, values=ratio, bar=0.45, sense="at least"),
        Figure(name="insession beside the one that writes nothing", unit=TIMES, values=least),
    ]


def _delays(delays: dict[str, list[list[float]]], paced: int) -> list[Figure]:
    names = {"nothing": "plain, writes nothing", "written": "plain, fsynced", "ours": "insession.exchange"}
    note = f"{paced} files {PACE * 1_000:g} ms apart; as the platform sees it"
    figures = []
    for name, shown in names.items():
        for part, place in (("median", 0.5), ("p99", 0.99)):
            values = [
                statistics.quantiles(one, n=1_000, method="inclusive")[int(place * 1_000) - 1] for one in delays[name]
            ]
            figures.append(Figure(name=f"file event to answer, {part}: {shown}", unit="ms", values=values, note=note))
    return figures


if __name__ == "__main__":
    raise SystemExit(main([("exchange", QUESTION, measure)]))
