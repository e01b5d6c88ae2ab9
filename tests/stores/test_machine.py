"""The state machine, over every store that is there."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from insession.kernel.contract import Store
from insession.kernel.urls import store_from
from insession.stores.sealed import Keys, SealedStore
from insession.testing.clock import ManualClock
from insession.testing.machine import STATES, MemoryMachine, SQLiteMachine, StoreMachine, run, run_machine
from tests.met import record_states
from tests.servers.postgres import fresh_schema, shared_server

from .conftest import THERE, redis, redis_cluster


class PostgresMachine(StoreMachine):
    """The machine over PostgreSQL, a schema for each run."""

    def make_store(self, clock: ManualClock) -> Store:
        return store_from(shared_server().url(fresh_schema()), namespace="default", clock=clock)


class SealedMachine(SQLiteMachine):
    def make_store(self, clock: ManualClock) -> Store:
        return SealedStore(super().make_store(clock), Keys.generate())


class SealedMemoryMachine(MemoryMachine):
    def make_store(self, clock: ManualClock) -> Store:
        return SealedStore(super().make_store(clock), Keys.generate())


class RedisMachine(StoreMachine):
    """The machine over Valkey, each run in a namespace of its own."""

    numbers_of_runs = count()
    options: ClassVar[dict[str, Any]] = {}

    def make_store(self, clock: ManualClock) -> Store:
        return redis(Path(f"machine-{next(self.numbers_of_runs)}"), clock, **self.options)


class ScriptsMachine(RedisMachine):
    """The same where the server has no functions."""

    options: ClassVar[dict[str, Any]] = {"calls": "scripts"}


class PlainMachine(RedisMachine):
    """The same as on Redis before 7."""

    options: ClassVar[dict[str, Any]] = {"calls": "plain scripts"}


class ClusterMachine(RedisMachine):
    """The same over a cluster: all lies in one partition, and the others are asked."""

    def make_store(self, clock: ManualClock) -> Store:
        return redis_cluster(Path(f"machine-{next(self.numbers_of_runs)}"), clock, partitions=4)


MACHINES: Final[dict[str, type[StoreMachine]]] = {
    "memory": MemoryMachine,
    "sqlite": SQLiteMachine,
    "postgres": PostgresMachine,
    "sealed": SealedMachine,
    "sealed memory": SealedMemoryMachine,
    "redis": RedisMachine,
    "redis-scripts": ScriptsMachine,
    "redis-plain": PlainMachine,
    "redis-cluster": ClusterMachine,
}
VARIANTS: Final = ("redis-scripts", "redis-plain", "redis-cluster")
EXAMPLES: Final = int(os.environ.get("INSESSION_MACHINE_EXAMPLES", "60"))
"""More of them for a longer look; each costs about a tenth of a second."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*(name for name in THERE if name not in VARIANTS), "sealed", "sealed memory"])
def test_store_does_what_the_model_says(name: str) -> None:
    seen = run_machine(MACHINES[name], examples=EXAMPLES, steps=40)
    for seed in range(3):
        # What Hypothesis tries depends on what else is loaded.
        if all(seen[state] for state in STATES):
            break
        seen = run_machine(MACHINES[name], examples=EXAMPLES, steps=40, seed=seed)
    record_states(name, {state: seen[state] for state in STATES})
    # A run that never got there proves nothing.
    assert [state for state in STATES if not seen[state]] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", VARIANTS)
def test_store_does_the_same_however_it_is_called(name: str) -> None:
    seen = run_machine(MACHINES[name], examples=EXAMPLES // 4, steps=40)
    assert seen["batch"] > 0


def test_soak_runs_on_with_other_seeds() -> None:
    seen = run(0.01, 7)
    assert seen["batch"] > 0
