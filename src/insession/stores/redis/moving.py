"""Marks and imports as arguments of one call, and what is answered: see ``moving.lua``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from insession.kernel.events import fresh_epoch
from insession.kernel.operations import Import, Mark, Marked, Standing
from insession.kernel.record import Item

from .records import Argument, envelope, optional, packed_id


def mark_arguments(mark: Mark) -> list[Argument]:
    """The arguments of a mark."""
    return [mark.standing or "", mark.store, mark.number, fresh_epoch()]


def import_arguments(ask: Import) -> list[Argument]:
    """The arguments of an import."""
    one = ask.one
    if "/" not in ask.key:
        if one is None:
            return ["r", packed_id(ask.key), b"", b""]
        assert not isinstance(one, Item)  # noqa: S101 - a session's id has no slash
        return ["r", packed_id(ask.key), one.version.to_bytes(8) + envelope(one), one.data]
    if one is None:
        return ["i", ask.key, "0"]
    assert isinstance(one, Item)  # noqa: S101 - an item's key has one
    changes = [packed_id(change) for change in one.changes]
    said: list[Argument] = ["i", ask.key, "1", one.data, one.version, repr(one.expires), optional(one.owner)]
    return [*said, len(changes), *changes]


def marked_of(_: Mark, reply: Sequence[Any]) -> Marked:
    """The answer to a mark."""
    return Marked(Standing(reply[1].decode()), reply[2].decode(), reply[3])


def marked_together(answers: Iterable[Marked]) -> Marked:
    """How several partitions stand: open, if all of them do."""
    answers = list(answers)
    stands = next((one for one in answers if one.standing is not Standing.OPEN), answers[0])
    return Marked(stands.standing, stands.store, max(one.number for one in answers))
