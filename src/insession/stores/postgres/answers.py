"""The lines that the function ``apply`` gives back become answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from insession.kernel.events import EventType
from insession.kernel.operations import (
    Answer,
    Counted,
    Done,
    End,
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
from insession.kernel.pages import cursor_of
from insession.kernel.record import Item, Record

from .batch import STATES, Row

_WHYS: Final = (
    *(Why.STALE, Why.ENDED, Why.PAST_DUE, Why.MISSING, Why.LIMIT, Why.FENCED, Why.FULL, Why.TAKEN, Why.LOST),
)


FIELDS: Final = ", ".join(f'"{name}"' for name in Record.__struct_fields__)
"""The columns of a record, in the order of its fields; those that come after are the store's own."""
_NUMBER: Final = len(Record.__struct_fields__)


def record_of(row: Row) -> Record:
    """The record in such a row."""
    session_id, kind, owner, node, state, *rest = row[:_NUMBER]
    return Record(session_id, kind, owner, node, STATES[state], *rest)


def item_of(row: Row) -> Item:
    """The item in a row of its table."""
    key, data, version, changes, owner, expires = row
    return Item(key, data, version, tuple(changes), owner, expires)


_TYPES: Final = {one.value: one for one in EventType}
Line = tuple[int, Any, Any, Any, Any, Any, Any, Any, Any]
"""Code, session, item, numbers, names, notes, moment, more, moments: see ``schema.sql``."""


class Told:
    """What a call has to tell: types of events, and whether a lease was handed on.

    ``wanted``: somebody waits for more than what stops work; ``crowded``: more than one process listens.
    ``before`` and ``position``: the last positions of the log before it and now (0: not known); ``untold``: it ended
    sessions that its answers do not name.
    """

    __slots__ = ("before", "crowded", "handed", "position", "types", "untold", "wanted")

    def __init__(self, types: Sequence[str], numbers: Sequence[int | None], *, handed: bool) -> None:
        wanted, crowded, before, position, untold = numbers
        self.types: frozenset[EventType] = frozenset([_TYPES[one] for one in types])
        self.handed: bool = handed
        self.wanted: bool = wanted != 0
        self.crowded: bool = crowded != 0
        self.before: int = before or 0
        self.position: int = position or 0
        self.untold: bool = untold != 0


def answers_of(operations: Sequence[Operation], rows: Sequence[Row]) -> tuple[list[Answer], Told | None]:
    """The answers in the lines of a call, and what it has to tell."""
    lines: dict[int, list[Line]] = defaultdict(list)
    for row in rows:
        place, *rest = row
        lines[place].append(tuple(rest))
    told, numbers, touched = None, list[int](), dict[int, float]()
    for line in lines.get(0, ()):
        if line[0] == _TOLD:
            told = Told(line[4], line[3], handed=line[7])
        elif line[0] == _NUMBERS:
            numbers = line[3]
        else:
            touched = dict(zip(line[3], line[8] or (), strict=True))
    if not numbers:
        return [_answer(operation, lines[place]) for place, operation in enumerate(operations, 1)], told
    return [
        _answer(operation, lines[place])
        if place in lines
        else _plain(operation, numbers[place - 1], touched.get(place))
        for place, operation in enumerate(operations, 1)
    ], told


def _plain(operation: Operation, number: int, due: float | None) -> Answer:
    """The answer to what was done together with others like it: see ``together.sql``."""
    if due is not None:
        return Touched(due)
    if type(operation) is End:
        return Ends((operation.pick.value or "",), (number,))
    return Done((number,))


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
    return Found(records, cursor_of(records[-1]) if more else None)


def _view(line: Line) -> LeaseView:
    (holders,) = line[3]
    name, *tickets = line[4]
    return LeaseView(name, tuple(tickets[:holders]), tuple(tickets[holders:]))


_KEY: Final = 2
_TOLD: Final = 14
_NUMBERS: Final = 15
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
