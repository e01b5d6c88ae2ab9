"""A state machine for Hypothesis that drives a store beside a naive model of the contract.

Every answer is compared, and after every step all records, items, leases, counts and events. What was
met on the way is counted: a run that never got there proves nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from insession.kernel.contract import Store
from insession.kernel.events import Event, EventType
from insession.kernel.operations import Commit, Guard, Patch
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock

from .driving import Driver
from .model import Model
from .stepping import CROWD, STATES, StoreMachine


class MemoryMachine(StoreMachine):
    """The machine over the memory store, with a log so short that it is trimmed."""

    kept_events = 150

    def make_store(self, clock: ManualClock) -> Store:
        return MemoryStore(clock=clock, retention=self.kept_events)

    def may_forget(self, event: Event, newer: int) -> bool:
        return newer >= self.kept_events

    def outlive_the_log(self) -> None:
        patch = Patch(CROWD[0], Guard.LIVE, event=EventType.UPDATED)
        for _ in range(4):
            flood = [Commit(self.now, self.fresh_change(), "flood", (patch,)) for _ in range(100)]
            self.send(*flood)


class SQLiteMachine(StoreMachine):
    """The machine over SQLite."""

    def make_store(self, clock: ManualClock) -> Store:
        self._folder = tempfile.TemporaryDirectory(prefix="insession-machine-")
        sqlite: Any = import_module("insession.stores.sqlite")
        path = Path(self._folder.name) / "store.db"
        return cast("Store", sqlite.SQLiteStore(path, clock=clock, synchronous="normal"))

    def teardown(self) -> None:
        super().teardown()
        self._folder.cleanup()


def run_machine(
    machine: type[StoreMachine], *, examples: int, steps: int = 40, seed: int | None = None, shrink: bool = True
) -> Counter[str]:
    """Run a machine for so many examples; what it met. Without a seed it runs the same way every time.

    ``shrink``: a failure is made as short as possible first, which may take minutes.
    """
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=seed is None,
        database=None,
        deadline=None,
        phases=list(hypothesis.Phase) if shrink else [hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )
    if seed is None:
        run_state_machine_as_test(machine, settings=settings)
    else:
        # A class of its own, because a seed stays with its class.
        seeded: type[StoreMachine] = type(machine.__name__, (machine,), {})
        seeded.seen = machine.seen
        run_state_machine_as_test(hypothesis.seed(seed)(seeded), settings=settings)
    return machine.seen


def run(seconds: float, seed: int, *, machine: type[StoreMachine] = MemoryMachine) -> Counter[str]:
    """Run a machine for so long, with one seed after another; what it met. For soaks.

    A failure names its seed: ``run_machine(machine, examples=20, steps=60, seed=...)`` shows it shortened.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            run_machine(machine, examples=20, steps=60, seed=seed, shrink=False)
        except BaseException as error:
            error.add_note(f"{machine.__name__}, seed {seed}")
            raise
        seed += 1
    return machine.seen


__all__ = ["STATES", "Driver", "MemoryMachine", "Model", "SQLiteMachine", "StoreMachine", "run", "run_machine"]
