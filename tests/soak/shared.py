"""The parts on stores that a server holds: Valkey and PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from tests.processes import kinds
from tests.processes.conftest import EMPTY
from tests.processes.test_counting import count_up
from tests.processes.test_held_writers import read_beside_stopped_writers
from tests.processes.test_interrupting import stop_work_elsewhere
from tests.processes.test_killing import kill_repeatedly
from tests.processes.test_leases import count_under_a_lock, stop_a_holder
from tests.processes.test_limits import crowd_of_processes
from tests.processes.test_moving import PAIRS, move_under_a_writer, move_with_killed_copiers
from tests.processes.test_nodes import WITHIN, die_while_finishing, lose_a_node
from tests.processes.test_races import race_endings
from tests.processes.test_reading import read_while_others_write
from tests.processes.test_restarts import strike
from tests.processes.test_tangles import tangle

from .part import SEED, Part, awaited

Scenario = Callable[[str], Awaitable[object]]
_BLOWS: Final = 16
"""Twelve restarts, four of them after a crash and four after an absence, and all connections killed four times."""
_BATCHES: Final = {"valkey": 1_200, "postgres": 450}
"""Of each of 4 processes: some 10 seconds of them."""


async def _crowds(name: str, folder: Path) -> None:
    for _ in range(2):
        for policy in kinds.POLICIES:
            await crowd_of_processes(EMPTY[name](folder), policy, processes=4)


async def _kill(url: str) -> str:
    checked = await kill_repeatedly([url], 20, seed=SEED, lines=(50, 800))
    return f"{checked:,} acknowledgements of 20 processes, all there"


async def lose_early(url: str) -> str:
    """Recoverers that are there before: they hear of a death when the node is due."""
    took = await lose_a_node(url, 100, early=True)
    assert took < WITHIN, f"it took {took:.1f} s"
    return f"100 sessions of each policy after {took:.1f} s, two recoverers killed meanwhile"


async def _races(url: str, number: int) -> str:
    return f"{await race_endings(url, number, seed=SEED):,} races, none revived"


async def _tangle(url: str, batches: int) -> str:
    return f"{await tangle(url, batches, seed=SEED):,} operations, every batch answered"


async def _read(name: str, url: str, each: int) -> str:
    if name == "postgres":
        return f"writers stopped {await read_beside_stopped_writers(url, 50, each)} times in the middle of a batch"
    await read_while_others_write(url, 50, each, processes=6)
    return ""


def _of(name: str, *, full: bool) -> Iterator[tuple[str, float, Scenario]]:
    each = 4 if full else 1
    yield "interrupts of 400 sessions' work elsewhere", 10, lambda url: stop_work_elsewhere(url, 400)
    yield "a stopped holder's late commit", 10, lambda url: stop_a_holder(url, 2.0)
    yield "a lock between 3 processes", 30 * each, lambda url: count_under_a_lock(url, 16, 20 * each)
    yield "a dead node, with its real wait", 40, lose_early
    yield "a dead finisher, with its real wait", 60, lambda url: die_while_finishing(url, ahead=0.0)
    yield "a reader beside six writers", 30 * each, lambda url: _read(name, url, 10 * each)
    yield "10,000 increments in 4 processes", 45 * each, lambda url: count_up(url, 10_000 * each)
    yield "kill -9, 20 times", 30, _kill
    yield "20,000 races with an ending", 40 * each, lambda url: _races(url, 20_000 * each)
    yield "random batches of 4 processes", 20 * each, lambda url: _tangle(url, _BATCHES[name] * (6 if full else 1))


def _on(name: str, scenario: Scenario) -> Callable[[Path], str]:
    return awaited(lambda folder: scenario(EMPTY[name](folder)))


def _struck(name: str, *, full: bool) -> Callable[[Path], str]:
    return awaited(lambda _: strike(name, _BLOWS * (5 if full else 1)))


def shared_parts(*, full: bool) -> list[Part]:
    """All of them, store by store."""
    found = []
    for name in ("valkey", "postgres"):
        found.append(Part(f"{name}: 200 opens of one owner, each policy", 20, awaited(partial(_crowds, name))))
        found += [Part(f"{name}: {what}", seconds, _on(name, run)) for what, seconds, run in _of(name, full=full)]
        found.append(Part(f"{name}: restarts under 32 callers", 250.0 if full else 50.0, _struck(name, full=full)))
    return found


def _moved(source: str, target: str, *, lines: int) -> Callable[[Path], str]:
    async def move(folder: Path) -> str:
        found = await move_under_a_writer(EMPTY[source](folder), EMPTY[target](folder), lines=lines)
        return f"{found:,} acknowledgements, all in the target"

    return awaited(move)


def _killed(source: str, target: str, *, kills: int) -> Callable[[Path], str]:
    async def move(folder: Path) -> str:
        urls = EMPTY[source](folder), EMPTY[target](folder)
        found = await move_with_killed_copiers(*urls, lines=5_000, kills=kills, seed=SEED)
        return f"{kills + 1} copiers killed; {found:,} acknowledgements, all in the target"

    return awaited(move)


def moving_parts(*, full: bool) -> list[Part]:
    """From every sort of store to another."""
    lines = 100_000 if full else 20_000
    return [
        *(
            Part(f"a move from {one} to {other} under a writer", 120, _moved(one, other, lines=lines))
            for one, other in PAIRS
        ),
        *(
            Part(f"a move from {one} to {other} by copiers that are killed", 90, _killed(one, other, kills=12))
            for one, other in PAIRS[:2]
        ),
    ]
