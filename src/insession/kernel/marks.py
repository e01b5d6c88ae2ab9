"""A store that does not stand open: what `Mark` and `Import` mean, over rows, and what is refused meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from insession.errors import StoreMoved, StoreUnavailable
from insession.kernel.operations import (
    Acquire,
    Answer,
    Commit,
    Done,
    End,
    Import,
    Mark,
    Marked,
    Operation,
    Purge,
    Refused,
    Release,
    Renew,
    Standing,
    Touch,
    Why,
)
from insession.kernel.record import Item, Record
from insession.kernel.rows import Rows

CHANGING: Final = frozenset({Commit, End, Touch, Acquire, Renew, Release, Purge})
"""What a store that does not stand open refuses."""
_MOVED: Final = Why.MOVED
_FILLING: Final = Why.FILLING


def mark(rows: Rows, ask: Mark) -> Marked:
    """Let the store stand as it is asked, and say how it stands."""
    if ask.standing is Standing.OPEN:
        if rows.mark is not None:
            rows.mark = None
            rows.begin_epoch()
        rows.skip_numbers(ask.number)
    elif ask.standing is not None:
        rows.mark = ask
    standing, store = (Standing.OPEN, "") if rows.mark is None else (rows.mark.standing, rows.mark.store)
    assert standing is not None
    return Marked(standing, store, rows.last_number())


def refuse(rows: Rows, _: Operation) -> Refused:
    """The answer to what would change something, while the store does not stand open."""
    assert rows.mark is not None
    assert rows.mark.standing is not None
    return refusal(rows.mark.standing, rows.mark.store)


def refusal(standing: Standing, store: str) -> Refused:
    """The same, of a store that does not keep rows."""
    return Refused(_MOVED if standing is Standing.MOVED else _FILLING, store=store)


def take(rows: Rows, ask: Import) -> Done | Refused:
    """Put what another store has."""
    if rows.mark is None or rows.mark.standing is not Standing.FILLING:
        return Refused(Why.STALE)
    if "/" in ask.key:
        return _take_item(rows, ask)
    there, one = rows.record(ask.key), ask.one
    assert not isinstance(one, Item)
    if there is not None and (one is None or newer(one, there)):
        rows.drop(there)
        there = None
    if there is None and one is not None:
        rows.adopt(one)
    return Done((0 if one is None else one.version,))


def _take_item(rows: Rows, ask: Import) -> Done:
    there, one = rows.item(ask.key), ask.one
    assert not isinstance(one, Record)
    if there is not None and (one is None or newer(one, there)):
        rows.remove(there)
        there = None
    if there is None and one is not None:
        rows.adopt_item(one)
    return Done((0 if one is None else one.version,))


def newer(one: Record | Item, there: Record | Item) -> bool:
    """Whether what is imported takes the place of what is there: no older version does, and no older touch."""
    if one.version == there.version and isinstance(one, Record) and isinstance(there, Record):
        return one.touched >= there.touched
    return one.version >= there.version


def away(answers: Iterable[Answer]) -> StoreUnavailable | None:
    """The error where one of these was refused because the store does not stand open."""
    for answer in answers:
        if type(answer) is Refused:
            if answer.why is _MOVED:
                return StoreMoved(answer.store)
            if answer.why is _FILLING:
                return _filling(answer.store)
    return None


def check_open(answers: Iterable[Answer]) -> None:
    """Raise the error of a store that says that it does not stand open."""
    for answer in answers:
        if isinstance(answer, Marked) and answer.standing is not Standing.OPEN:
            raise StoreMoved(answer.store) if answer.standing is Standing.MOVED else _filling(answer.store)


def _filling(store: str) -> StoreUnavailable:
    return StoreUnavailable(f"this store is being filled from {store}; use that one until `copy --finish` has ended")
