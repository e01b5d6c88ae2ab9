"""Whether what a store says is what the model says, where numbers are the store's own."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from insession.kernel.operations import Commit, Fence, Find, Found, LeaseView, Operation, Patch, Put, Renew

from .model import Model

NUMBERS: Final = frozenset({"version", "versions", "token"})
MESSAGE: Final = 3000
PLACES: Final = frozenset({"position", "partition", "after"})
"""Fields that say where something stands in the store."""


class Numbers:
    """Which of the store's versions and fencing tokens stands for which of the model's.

    A store counts as it likes: a number must not come twice, and those of one key must rise.
    """

    def __init__(self) -> None:
        self.of_model: dict[int, int] = {}
        self.of_store: dict[int, int] = {}
        self.highest: dict[str, int] = {}

    def agree(self, model: int, store: int) -> None:
        """Take note that the store says this number where the model says that one."""
        if not model or not store:
            assert model == store, f"the store says {store}, the model {model}"
        elif model in self.of_model:
            assert self.of_model[model] == store, f"number {store} should be {self.of_model[model]}"
        else:
            assert store not in self.of_store, f"number {store} came twice"
            self.of_model[model], self.of_store[store] = store, model

    def rise(self, key: str, number: int) -> None:
        """Take note that this is the number of a key now."""
        assert number >= self.highest.get(key, 0), f"{key} went back to version {number}"
        self.highest[key] = number

    def translated(self, operation: Operation) -> Operation:
        """The operation as the model knows it; it must share nothing with the store's, which owns its record."""
        if isinstance(operation, Renew):
            return replace(operation, fence=self._fence(operation.fence))
        if not isinstance(operation, Commit):
            return operation
        fence = None if operation.fence is None else self._fence(operation.fence)
        return replace(operation, patches=tuple(map(self._part, operation.patches)), fence=fence)

    def _fence(self, fence: Fence) -> Fence:
        return replace(fence, token=self.of_store.get(fence.token, -1))

    def _part(self, part: Patch | Put) -> Patch | Put:
        version = self.of_store.get(part.version, -1)
        if isinstance(part, Put):
            return replace(part, version=version)
        record = None if part.record is None else replace(part.record)
        return replace(part, version=version, record=record)


def agree(model: Any, store: Any, numbers: Numbers, where: str) -> None:
    """Assert that two answers mean the same."""
    if isinstance(model, msgspec.Struct):
        assert type(model) is type(store), f"{where}: the store says {store}, the model {model}"
        for field in model.__struct_fields__:
            if field in PLACES:
                continue
            expected, actual = getattr(model, field), getattr(store, field)
            if field in NUMBERS:
                _agree_numbers(expected, actual, numbers, f"{where}.{field}")
            else:
                agree(expected, actual, numbers, f"{where}.{field}")
    elif isinstance(model, tuple):
        assert len(model) == len(store), f"{where}: the store says {store}, the model {model}"[:MESSAGE]
        for place, (expected, actual) in enumerate(zip(model, store, strict=True)):
            agree(expected, actual, numbers, f"{where}[{place}]")
    else:
        assert model == store, f"{where}: the store says {store!r}, the model {model!r}"


def _agree_numbers(model: Any, store: Any, numbers: Numbers, where: str) -> None:
    try:
        if isinstance(model, tuple):
            assert len(model) == len(store)
            for expected, actual in zip(model, store, strict=True):
                numbers.agree(expected, actual)
        else:
            numbers.agree(model, store)
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from None


def agree_leases(model: Model, find: Find, store: Found) -> None:
    """Assert that a page of leases shows every ticket that lives, in order; one that ran out may still show."""
    shown = {view.name: view for view in store.entries if isinstance(view, LeaseView)}
    assert len(shown) == len(store.entries)
    for view in model.views(find.value or ""):
        assert view.name in shown, f"{view} is not shown"
        other = shown.pop(view.name)
        assert _living(other.holders, view.holders) == view.holders, (other, view)
        assert _living(other.waiting, view.waiting) == view.waiting, (other, view)
    for view in shown.values():
        assert model.tickets(view.name).issuperset((*view.holders, *view.waiting)), f"{view} should be gone"


def _living(shown: tuple[str, ...], living: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(ticket for ticket in shown if ticket in living)
