"""One log of several partitions: what a cursor says of each, and what their stretches are together.

The epoch of a cursor is the epochs of the partitions, one after another, each of the same size. A partition whose
epoch is another one by now has been trimmed, while the others go on where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge
from typing import Final, NamedTuple

from insession.kernel.events import START, Cursor, Event, Page

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
