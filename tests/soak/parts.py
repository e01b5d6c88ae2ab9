"""What a soak consists of: bigger forms of the tests with real processes, and the state machine for longer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.blocking.test_processes import interrupted_crowd
from tests.processes import kinds
from tests.processes.conftest import EMPTY
from tests.processes.running import sqlite_url
from tests.processes.test_counting import count_up
from tests.processes.test_interrupting import stop_work_elsewhere
from tests.processes.test_killing import kill_repeatedly, of_file
from tests.processes.test_leases import count_under_a_lock, stop_a_holder
from tests.processes.test_limits import crowd_of_processes
from tests.processes.test_nodes import die_while_finishing
from tests.processes.test_reading import read_while_others_write
from tests.processes.test_rotating import rotate_under_load

from .dialogues import dialogue_parts
from .exchange import exchange_parts
from .part import SEED, Part, awaited
from .remote import remote_parts
from .shared import lose_early, moving_parts, shared_parts

EXAMPLES = 300
"""Of each machine in the bounded form, which does the same every time."""
FULL_MACHINE = 600.0
"""Seconds of each machine in the long form."""


async def _kill(folder: Path) -> str:
    checked = await kill_repeatedly(of_file(folder), 50, file=folder / "sessions.db", seed=SEED, lines=(50, 800))
    return f"{checked:,} acknowledgements of 50 processes, all there"


async def _crowds(folder: Path) -> None:
    for turn in range(5):
        for policy in kinds.POLICIES:
            below = folder / str(turn)
            below.mkdir(exist_ok=True)
            url = sqlite_url(below, name=f"{policy.replace(' ', '_')}.db")
            await crowd_of_processes(url, policy, processes=4)


def _threads(url: str | None) -> Callable[[Path], str]:
    return lambda folder: interrupted_crowd(url or sqlite_url(folder), 32, 1_000)


def _rotated(name: str, rotations: int) -> Callable[[Path], str]:
    return awaited(lambda one: rotate_under_load(EMPTY[name](one), one, rotations, every=1.0))


def _machine(name: str, *, full: bool) -> Callable[[Path], str]:
    def run(_: Path) -> str:
        from insession.testing import machine

        found = getattr(machine, name)
        if full:
            seen = machine.run(FULL_MACHINE, SEED, machine=found)
        else:
            seen = machine.run_machine(found, examples=EXAMPLES, seed=SEED, shrink=False)
        never = [state for state in machine.STATES if not seen[state]]
        assert not never, f"never met: {never}"
        return ", ".join(f"{state} {seen[state]:,}" for state in machine.STATES)

    return run


def parts(*, full: bool) -> list[Part]:
    """All of them, the short ones first."""
    machine = FULL_MACHINE if full else 30.0
    each = 4 if full else 1
    return [
        Part("200 opens of one owner in 4 processes, each policy, 5 times", 20, awaited(_crowds)),
        Part(
            "interrupts of 400 sessions' work elsewhere",
            20,
            awaited(lambda one: stop_work_elsewhere(sqlite_url(one), 400)),
        ),
        Part("a stopped holder's late commit", 10, awaited(lambda one: stop_a_holder(sqlite_url(one), 2.0))),
        Part("a lock between 3 processes", 30, awaited(lambda one: count_under_a_lock(sqlite_url(one), 16, 50 * each))),
        Part("a dead node, with its real wait", 40, awaited(lambda one: lose_early(sqlite_url(one)))),
        Part(
            "a dead finisher, with its real wait",
            60,
            awaited(lambda one: die_while_finishing(sqlite_url(one), ahead=0.0)),
        ),
        Part(
            "a reader beside two writers",
            60,
            awaited(lambda one: read_while_others_write(sqlite_url(one), 300, 50 * each)),
        ),
        Part("10,000 increments in 4 processes", 60, awaited(lambda one: count_up(sqlite_url(one), 10_000 * each))),
        Part("kill -9, 50 times", 60, awaited(_kill)),
        *(
            Part(f"32 threads of blocking calls on {name}, a fork and a Ctrl-C in the middle", seconds, crowd)
            for name, seconds, crowd in (("memory", 30, _threads("memory:")), ("SQLite", 60, _threads(None)))
        ),
        *(Part(f"{name}: keys change under 8 writers", 25.0 * each, _rotated(name, 6 * each)) for name in EMPTY),
        *shared_parts(full=full),
        *moving_parts(full=full),
        *dialogue_parts(full=full),
        *remote_parts(full=full),
        *exchange_parts(),
        Part("the machine on memory", machine + 30, _machine("MemoryMachine", full=full)),
        Part("the machine on SQLite", machine + 30, _machine("SQLiteMachine", full=full)),
    ]
