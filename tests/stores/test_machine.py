"""The state machine, over every store that is there."""

from __future__ import annotations

import os
from typing import Final

import pytest

from insession.kernel.contract import Store
from insession.kernel.urls import store_from
from insession.stores.sealed import Keys, SealedStore
from insession.testing.clock import ManualClock
from insession.testing.machine import STATES, MemoryMachine, SQLiteMachine, StoreMachine, run, run_machine
from tests.met import record_states
from tests.servers.postgres import fresh_schema, shared_server

from .conftest import THERE


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


MACHINES: Final[dict[str, type[StoreMachine]]] = {
    "memory": MemoryMachine,
    "sqlite": SQLiteMachine,
    "postgres": PostgresMachine,
    "sealed": SealedMachine,
    "sealed memory": SealedMemoryMachine,
}
EXAMPLES: Final = int(os.environ.get("INSESSION_MACHINE_EXAMPLES", "60"))
"""More of them for a longer look; each costs about a tenth of a second."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*THERE, "sealed", "sealed memory"])
def test_store_does_what_the_model_says(name: str) -> None:
    seen = run_machine(MACHINES[name], examples=EXAMPLES, steps=40)
    record_states(name, {state: seen[state] for state in STATES})
    # A run that never got there proves nothing.
    assert [state for state in STATES if not seen[state]] == []


def test_soak_runs_on_with_other_seeds() -> None:
    seen = run(0.01, 7)
    assert seen["batch"] > 0
