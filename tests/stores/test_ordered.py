"""Ids in order, against a sorted list."""

from __future__ import annotations

from bisect import insort
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from insession.kernel.record import NEVER
from insession.stores import ordered
from insession.stores.ordered import Members, Ordered, ids_after, joined, left, number_of

Place = tuple[float, str]
RANKS = st.sampled_from([0.0, 1.0, 1.5, 2.0, 1e9, NEVER])
PLACES = st.tuples(RANKS, st.sampled_from([f"s{number:02}" for number in range(40)]))
STEPS = st.lists(st.tuples(st.sampled_from([True, True, False]), PLACES), max_size=120)
# So that a few ids fill many chunks.
small_chunks = mock.patch.multiple(ordered, _CHUNK=4, _FEW=3)


def check(tree: Ordered, expected: list[Place]) -> None:
    assert len(tree) == len(expected)
    assert list(tree.after(None)) == expected
    assert tree.first() == (expected[0][0] if expected else NEVER)


def take(steps: list[tuple[bool, Place]], tree: Ordered) -> list[Place]:
    """Add and remove; what should be in it."""
    expected: list[Place] = []
    for adds, (rank, name) in steps:
        there = [place for place in expected if place[1] == name]
        if adds and not there:
            tree.add(rank, name)
            insort(expected, (rank, name))
        elif not adds and there:
            tree.remove(*there[0])
            expected.remove(there[0])
    return expected


@small_chunks
@given(STEPS)
def test_holds_what_a_sorted_list_holds(steps: list[tuple[bool, Place]]) -> None:
    tree = Ordered()
    check(tree, take(steps, tree))


@small_chunks
@given(STEPS, PLACES)
def test_after_a_place(steps: list[tuple[bool, Place]], place: Place) -> None:
    tree = Ordered()
    expected = take(steps, tree)
    assert list(tree.after(place)) == [one for one in expected if one > place]


@small_chunks
@given(STEPS)
def test_emptied_and_filled_again(steps: list[tuple[bool, Place]]) -> None:
    tree = Ordered()
    for rank, name in take(steps, tree):
        tree.remove(rank, name)
    check(tree, [])
    tree.add(1.0, "again")
    check(tree, [(1.0, "again")])


@small_chunks
def test_in_order_and_against_it() -> None:
    for names in (range(100), range(99, -1, -1)):
        tree = Ordered((f"s{number:02}", float(number // 10)) for number in names)
        check(tree, [(float(number // 10), f"s{number:02}") for number in range(100)])


def test_ids_that_come_in_order_leave_full_chunks_behind() -> None:
    tree = Ordered((f"s{number:05}", float(number)) for number in range(3 * ordered._CHUNK))
    assert [len(chunk) for chunk in tree._chunks] == [ordered._CHUNK] * 3


@small_chunks
@given(STEPS, st.none() | PLACES)
def test_members_of_one_owner(steps: list[tuple[bool, Place]], after: Place | None) -> None:
    """One, a few or many: a text, a tuple, or in order."""
    members: Members | None = None
    ranks: dict[str, float] = {}
    for adds, (rank, name) in steps:
        if adds and name not in ranks:
            members = joined(members, rank, name, ranks.__getitem__)
            ranks[name] = rank
        elif not adds and name in ranks and members is not None:
            members = left(members, ranks.pop(name), name)
    assert number_of(members) == len(ranks)
    expected = sorted((rank, name) for name, rank in ranks.items())
    found = list(ids_after(members, after, ranks.__getitem__))
    assert found == [name for rank, name in expected if after is None or (rank, name) > after]
    assert (members is None) is (not ranks)
