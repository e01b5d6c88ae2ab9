"""What the state machines met, for the end of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TABLE: Final[dict[str, Mapping[str, int]]] = {}


def record_states(store: str, states: Mapping[str, int]) -> None:
    """Note how often a store's run entered each state."""
    _TABLE[store] = states


def met() -> dict[str, dict[str, int]]:
    """What was noted, as a worker hands it to the process that reports."""
    return {store: dict(states) for store, states in _TABLE.items()}


def table() -> list[str]:
    """One line a state, one column a store."""
    if not _TABLE:
        return []
    names = list(dict.fromkeys(state for states in _TABLE.values() for state in states))
    wide = max(map(len, names))
    head = f"{'state entered':<{wide}}" + "".join(f"{store:>10}" for store in _TABLE)
    return [head] + [
        f"{name:<{wide}}" + "".join(f"{states.get(name, 0):>10}" for states in _TABLE.values()) for name in names
    ]
