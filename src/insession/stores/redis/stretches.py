"""One log of several partitions: what a cursor says of each, and what their stretches are together.

The epoch of a cursor is the epochs of the partitions, one after another, each of the same size. A partition whose
epoch is another one by now has been trimmed, while the others go on where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge
from struct import Struct
from typing import Final, NamedTuple

from insession.kernel.events import START, Cursor, Event, Page

_PASSED: Final = Struct(">BQQ")
"""Whether answers left anything untold that is followed; up to where a reader saw all of that before, and now."""
_SIZE: Final = 8
"""So many characters has the epoch of one partition, see `Line.epoch`."""


class Stretch(NamedTuple):
    """Some of the log of one partition."""

    events: list[Event]
    epoch: str
    begin: int
    position: int
    more: bool
    trimmed: bool


class Passed:
    """How far the log of one partition holds nothing of what is followed but what answers have told."""

    def __init__(self) -> None:
        self._epoch = ""
        self._begin = self._end = 0

    def note(self, raw: bytes) -> bool:
        """Take over what a call said of the log; whether its answers told all of its own."""
        untold, before, position = _PASSED.unpack_from(raw)
        if untold:
            return False
        epoch = raw[_PASSED.size :].decode()
        if epoch != self._epoch or self._end < before:
            # Somebody else wrote between: who has not read that reads it, and what follows.
            self._epoch, self._begin, self._end = epoch, before, position
        self._end = max(self._end, position)
        return True

    def onward(self, cursor: str) -> str:
        """Where a reader goes on who read so far, and hears what answers tell."""
        read = Cursor.parse(cursor)
        if read.epoch == self._epoch and self._begin <= read.positions[0] < self._end:
            return str(Cursor(read.epoch, (self._end,)))
        return cursor


def asked_of(after: str | None, number: int) -> list[tuple[str, str]]:
    """Position and epoch that each partition is asked from; None: their ends."""
    if after == START:
        return [("first", "")] * number
    if after is None:
        return [("", "")] * number
    cursor = Cursor.parse(after)
    if len(cursor.positions) != number or len(cursor.epoch) != _SIZE * number:
        # Of another store: every partition is asked for an epoch that it does not have.
        return [("0", "-")] * number
    return [
        (str(position), cursor.epoch[_SIZE * one : _SIZE * (one + 1)]) for one, position in enumerate(cursor.positions)
    ]


def page_of(stretches: Sequence[Stretch], limit: int) -> Page:
    """One page: each partition's events in their order, what happened earlier first, ``limit`` of all.

    What did not fit is left: its partition goes on behind the last event of it that did.
    """
    events = list(merge(*(stretch.events for stretch in stretches), key=lambda event: event.time))
    taken, places, more = events[:limit], [stretch.position for stretch in stretches], len(events) > limit
    for number, stretch in enumerate(stretches):
        mine = sum(event.partition == number for event in taken)
        if mine < len(stretch.events):
            places[number] = stretch.events[mine - 1].position if mine else stretch.begin
    epoch = "".join(stretch.epoch for stretch in stretches)
    return Page(
        tuple(taken),
        str(Cursor(epoch, tuple(stretch.begin for stretch in stretches))),
        str(Cursor(epoch, tuple(places))),
        more=more or any(stretch.more for stretch in stretches),
        trimmed=any(stretch.trimmed for stretch in stretches),
    )
