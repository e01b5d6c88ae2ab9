"""The lines that the function ``apply`` gives back become answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from insession.kernel.operations import (
    Answer,
    Counted,
    Done,
    Ends,
    Find,
    Found,
    Granted,
    LeaseView,
    Load,
    Loaded,
    Operation,
    Refused,
    Released,
    Touched,
    Waiting,
    Why,
)
from insession.kernel.record import Item, Record

from .batch import STATES, Row
from .places import cursor_after

_WHYS: Final = (
    *(Why.STALE, Why.ENDED, Why.PAST_DUE, Why.MISSING, Why.LIMIT, Why.FENCED, Why.FULL, Why.TAKEN, Why.LOST),
)


def record_of(row: Row) -> Record:
    """The record in such a row."""
    session_id, kind, owner, node, state, *rest, _ = row
    return Record(session_id, kind, owner, node, STATES[state], *rest)


def item_of(row: Row) -> Item:
    """The item in a row of its table."""
    key, data, version, changes, owner, expires = row
    return Item(key, data, version, tuple(changes), owner, expires)


Line = tuple[int, Any, Any, Any, Any, Any, Any, Any]
"""Code, session, item, numbers, names, notes, moment, more: see ``schema.sql``."""


class Told:
    """What a batch has to tell others: types of events, and whether a lease was handed on."""

    __slots__ = ("handed", "types")

    def __init__(self, types: Sequence[str], *, handed: bool) -> None:
        self.types = types
        self.handed = handed


def answers_of(operations: Sequence[Operation], rows: Sequence[Row]) -> tuple[list[Answer], Told | None]:
    """The answers in the lines of a call, and what it has to tell."""
    lines: dict[int, list[Line]] = defaultdict(list)
    for row in rows:
        place, *line = row
        lines[place].append(tuple(line))
    told = None
    if 0 in lines:
        (last,) = lines[0]
        told = Told(last[4], handed=last[7])
    return [_answer(operation, lines[place]) for place, operation in enumerate(operations, 1)], told


def _answer(operation: Operation, lines: list[Line]) -> Answer:
    if type(operation) is Load:
        return _loaded(lines)
    if type(operation) is Find:
        return _found(operation, lines)
    (line,) = lines
    return _READING[line[0]](line)


def _one(line: Line) -> Record | Item | None:
    if line[1] is not None:
        return record_of(line[1])
    return None if line[2] is None else item_of(line[2])


def _loaded(lines: list[Line]) -> Loaded:
    found = tuple([_one(line) for line in lines if line[0] == _KEY])
    if len(found) == len(lines):
        return Loaded(found)
    under = tuple([item_of(line[2]) for line in lines[len(found) :] if line[2] is not None])
    return Loaded(found, under, more=bool(lines[-1][7]))


def _found(ask: Find, lines: list[Line]) -> Found:
    more: bool = lines.pop()[7]
    if ask.index == "lease":
        views = tuple([_view(line) for line in lines])
        return Found(views, views[-1].name if more else None)
    if ask.index in {"item", "item owner"}:
        items = tuple([item_of(line[2]) for line in lines])
        return Found(items, items[-1].key if more else None)
    records = tuple([record_of(line[1]) for line in lines])
    return Found(records, cursor_after(records[-1]) if more else None)


def _view(line: Line) -> LeaseView:
    (holders,) = line[3]
    name, *tickets = line[4]
    return LeaseView(name, tuple(tickets[:holders]), tuple(tickets[holders:]))


_KEY: Final = 2
_READING: Final[dict[int, Callable[[Line], Answer]]] = {
    4: lambda line: Done(tuple(line[3])),
    5: lambda line: Refused(_WHYS[line[3][0] - 1], _one(line)),
    6: lambda line: Touched(line[6]),
    7: lambda line: Ends(tuple(line[4]), tuple(line[3]), line[7], line[6]),
    8: lambda line: Granted(line[3][0], line[6], tuple(line[5])),
    9: lambda line: Waiting(line[6], line[3][0], line[7]),
    10: lambda line: Released(line[7], line[4][0] if line[4] else None),
    13: lambda line: Counted(line[3][0], line[7] is True),
}
