"""Ids in the order of a number, in little memory and with cheap changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from insession.kernel.record import NEVER

_CHUNK: Final = 680
"""Ids in a chunk: what a dict of 1,024 slots takes, so 27 bytes an id."""


class Ordered:
    """A set of ids ordered by (rank, id).

    A list of dicts id → rank, each with the places between its bound and the next one's. Within a
    chunk the order is made when it is read. Adding at the end (the usual case) and removing are
    two dictionary operations.
    """

    __slots__ = ("_bounds", "_chunks", "_size")

    def __init__(self, members: Iterable[tuple[str, float]] = ()) -> None:
        self._bounds: list[tuple[float, str]] = [(-NEVER, "")]
        self._chunks: list[dict[str, float]] = [{}]
        self._size = 0
        for session_id, rank in members:
            self.add(rank, session_id)

    def __len__(self) -> int:
        return self._size

    def add(self, rank: float, session_id: str) -> None:
        """Add an id that is not in it."""
        place = (rank, session_id)
        at = len(self._bounds) - 1
        if place < self._bounds[at]:
            at = bisect_right(self._bounds, place) - 1
        chunk = self._chunks[at]
        if len(chunk) >= _CHUNK:
            at = self._split(at, place)
            chunk = self._chunks[at]
        chunk[session_id] = rank
        self._size += 1

    def remove(self, rank: float, session_id: str) -> None:
        """Remove an id that was added with this rank."""
        at = bisect_right(self._bounds, (rank, session_id)) - 1
        chunk = self._chunks[at]
        del chunk[session_id]
        self._size -= 1
        if not chunk and at:
            del self._chunks[at], self._bounds[at]

    def after(self, place: tuple[float, str] | None) -> Iterator[tuple[float, str]]:
        """The places after one, in order; it must not change while they are read."""
        at = 0 if place is None else bisect_right(self._bounds, place) - 1
        for number in range(at, len(self._chunks)):
            chunk = self._chunks[number]
            for session_id in _in_order(chunk):
                found = (chunk[session_id], session_id)
                if place is None or found > place:
                    yield found

    def first(self) -> float:
        """The smallest rank; `NEVER` if it is empty."""
        return next((min(chunk.values()) for chunk in self._chunks if chunk), NEVER)

    def _split(self, at: int, place: tuple[float, str]) -> int:
        """Make room in a full chunk; the number of the chunk that takes the place."""
        chunk = self._chunks[at]
        ids = _in_order(chunk)
        # At the end a new chunk begins empty, so that ids that come in order leave full chunks behind.
        half = len(ids) if place > (chunk[ids[-1]], ids[-1]) else len(ids) // 2
        rest = ids[half:]
        self._bounds.insert(at + 1, (chunk[rest[0]], rest[0]) if rest else place)
        self._chunks.insert(at + 1, {session_id: chunk[session_id] for session_id in rest})
        if rest:
            self._chunks[at] = {session_id: chunk[session_id] for session_id in ids[:half]}
        return at + 1 if place >= self._bounds[at + 1] else at


def _in_order(chunk: dict[str, float]) -> list[str]:
    """By rank, then id: two sorts in C, where one of pairs would compare in tuples."""
    ids = sorted(chunk)
    ids.sort(key=chunk.__getitem__)
    return ids


Members = str | tuple[str, ...] | Ordered
"""The ids of one owner or node: one, a few, or many. Most owners have one or a few, and a dict costs 232 bytes."""
_FEW: Final = 16
Ranks = Callable[[str], float]


def joined(members: Members | None, rank: float, session_id: str, ranks: Ranks) -> Members:
    """The members with one more; ``ranks`` says the rank of those that are there."""
    if members is None:
        return session_id
    if isinstance(members, Ordered):
        members.add(rank, session_id)
        return members
    few = (members, session_id) if isinstance(members, str) else (*members, session_id)
    return few if len(few) <= _FEW else Ordered([*((one, ranks(one)) for one in few[:-1]), (session_id, rank)])


def left(members: Members, rank: float, session_id: str) -> Members | None:
    """The members without one; None: nobody is left."""
    if isinstance(members, str):
        return None
    if isinstance(members, Ordered):
        members.remove(rank, session_id)
        return members if len(members) else None
    rest = tuple([one for one in members if one != session_id])
    return rest if len(rest) > 1 else rest[0]


def number_of(members: Members | None) -> int:
    """How many they are."""
    if members is None:
        return 0
    return 1 if isinstance(members, str) else len(members)


def ids_after(members: Members | None, place: tuple[float, str] | None, ranks: Ranks) -> Iterator[str]:
    """Their ids after a place, in order; ``ranks`` says the rank of an id."""
    if members is None:
        return
    if isinstance(members, Ordered):
        places: Iterable[tuple[float, str]] = members.after(place)
    else:
        places = sorted((ranks(one), one) for one in ((members,) if isinstance(members, str) else members))
    for found in places:
        if place is None or found > place:
            yield found[1]
