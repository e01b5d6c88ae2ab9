"""The life cycle as pure functions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insession.kernel import rules
from insession.kernel.events import ENDINGS, EventType
from insession.kernel.operations import Commit, Guard, Patch, Put, Refused, Touch, Why
from insession.kernel.record import NEVER, Item, Outcome, Record, State
from insession.testing.contract.samples import replaced, session

NOW = 1_000.0
TIMES = st.floats(0, 2_000, allow_nan=False)
ENDED_STATES: list[State] = [state for state in State if state is not State.ACTIVE]


@st.composite
def records(draw: st.DrawFn, states: list[State] | None = None) -> Record:
    opened = draw(st.floats(0, 1_000))
    record = session(
        "one",
        opened,
        idle=draw(st.floats(0.001, 500) | st.just(NEVER)),
        window=draw(st.floats(0, 60)),
        absolute=opened + draw(st.floats(0.001, 1_000) | st.just(NEVER)),
        version=draw(st.integers(1, 5)),
        finish=draw(st.booleans()),
    )
    state = draw(st.sampled_from(states or list(State)))
    return record if state is State.ACTIVE else replaced(record, state=state, ended=opened + 1, reason="first")


def touch_at(at: float, window: float = 0.0) -> Touch:
    return Touch("one", at, window)


class TestJudge:
    @given(records(), st.sampled_from([guard for guard in Guard if guard is not Guard.ANY]), TIMES, st.booleans())
    def test_refusal_carries_what_stands_in_the_way(self, record: Record, guard: Guard, at: float, right: bool) -> None:
        refused = rules.judge(guard, record.version if right else record.version + 1, record, at)
        assert refused is None or refused.current is record

    @given(records(), TIMES)
    def test_live_and_due_divide_the_living(self, record: Record, at: float) -> None:
        passed = [guard for guard in (Guard.LIVE, Guard.DUE) if rules.judge(guard, 0, record, at) is None]
        if record.state is not State.ACTIVE:
            assert passed == []
        else:
            assert passed == [Guard.DUE if record.due <= at else Guard.LIVE]

    @given(records(ENDED_STATES), TIMES, st.sampled_from([Guard.VERSION, Guard.LIVE, Guard.DUE]))
    def test_nothing_revives_what_ended(self, record: Record, at: float, guard: Guard) -> None:
        refused = rules.judge(guard, record.version, record, at)
        assert refused == Refused(Why.ENDED, record)

    @given(records(), TIMES)
    def test_version_passes_only_where_live_does(self, record: Record, at: float) -> None:
        if rules.judge(Guard.VERSION, record.version, record, at) is None:
            assert rules.judge(Guard.LIVE, 0, record, at) is None
        assert rules.judge(Guard.VERSION, record.version + 1, record, at) is not None

    @given(records(), TIMES)
    def test_absent_passes_where_nobody_lives_and_nothing_is_owed(self, record: Record, at: float) -> None:
        free = record.state is not State.ACTIVE and not record.finish
        assert (rules.judge(Guard.ABSENT, 0, record, at) is None) is free
        assert rules.judge(Guard.ABSENT, 0, None, at) is None

    @pytest.mark.parametrize("guard", [Guard.VERSION, Guard.LIVE, Guard.DUE, Guard.ENDED, Guard.SAME])
    def test_missing(self, guard: Guard) -> None:
        assert rules.judge(guard, 1, None, NOW) == Refused(Why.MISSING)

    @given(records(), TIMES)
    def test_same_asks_for_the_version_alone(self, record: Record, at: float) -> None:
        assert rules.judge(Guard.SAME, record.version, record, at) is None
        assert rules.judge(Guard.SAME, record.version + 1, record, at) == Refused(Why.STALE, record)


class TestTouch:
    @given(records([State.ACTIVE]), st.lists(TIMES, max_size=10), st.floats(0, 50))
    def test_due_never_moves_earlier_nor_past_absolute(self, record: Record, times: list[float], window: float) -> None:
        for at in times:
            after = rules.touched(record, touch_at(at, window))
            if isinstance(after, Record):
                assert record.due <= after.due <= record.absolute
                assert after.touched == at > record.touched + window
                assert (after.version, after.change) == (record.version, record.change)
                record = after

    @given(records([State.ACTIVE]), TIMES)
    def test_what_is_due_stays_due(self, record: Record, at: float) -> None:
        if record.due <= at:
            assert rules.touched(record, touch_at(at)) == Refused(Why.PAST_DUE, record)

    @given(records(ENDED_STATES), TIMES)
    def test_ended(self, record: Record, at: float) -> None:
        assert rules.touched(record, touch_at(at)) == Refused(Why.ENDED, record)

    @given(records([State.ACTIVE]), st.floats(0, 60))
    def test_window_never_lets_a_session_end_early(self, record: Record, late: float) -> None:
        """A touch within the window is not written; the idle timeout still counts from that touch."""
        at = record.touched + min(late, record.window)
        if at < record.due and rules.touched(record, touch_at(at, record.window)) is None:
            idle = record.reach - record.window
            assert record.due >= min(at + idle, record.absolute) - 1e-6

    def test_edges(self) -> None:
        record = session("one", NOW, idle=10.0)
        assert rules.touched(record, touch_at(NOW)) is None
        assert rules.touched(record, touch_at(NOW + 10)) == Refused(Why.PAST_DUE, record)
        after = rules.touched(record, touch_at(NOW + 9.5))
        assert isinstance(after, Record)
        assert after.due == NOW + 19.5


class TestEndings:
    @given(records([State.ACTIVE]), TIMES, st.sampled_from(ENDED_STATES))
    def test_only_the_ending_changes(self, record: Record, at: float, state: State) -> None:
        how = rules.ending(at, state, "asked", "c1", "n1")
        after = rules.ended(record, how, 9)
        assert after == replaced(record, state=state, version=9, change="c1", ended=at, reason="asked")
        event = rules.event_of_ending(after, how)
        assert event.type in ENDINGS
        assert (event.id, event.kind, event.owner, event.version) == (after.id, after.kind, after.owner, 9)

    @given(records([State.ACTIVE]), TIMES)
    def test_first_reason_stays(self, record: Record, at: float) -> None:
        first = rules.ended(record, rules.ending(at, State.INTERRUPTED, "first", "c1", "n1"), 9)
        for how in (rules.ending(at, State.CLOSED, "second", "c2", "n1"), rules.expiry(at + 1e6, "c3", "n1")):
            assert rules.judge(how.guard, 0, first, how.at) == Refused(Why.ENDED, first)

    def test_completed_closes_whoever_says_it(self) -> None:
        how = rules.ending(NOW, State.INTERRUPTED, "completed", "c1", "n1")
        assert (how.state, how.guard) == (State.CLOSED, Guard.LIVE)

    def test_expiry_needs_due(self) -> None:
        how = rules.expiry(NOW, "c1", "n1")
        assert (how.state, how.guard, how.reason) == (State.EXPIRED, Guard.DUE, "expired")

    def test_eviction_is_an_interrupt_of_the_living(self) -> None:
        how = rules.eviction(NOW, "c1", "n1")
        assert (how.state, how.guard, how.reason) == (State.INTERRUPTED, Guard.LIVE, "limit")

    @given(records())
    def test_rank_and_gone(self, record: Record) -> None:
        assert record.rank == (record.opened if record.live else record.gone)
        assert record.gone == (NEVER if record.finish else record.ended + record.keep)


class TestPatched:
    @given(records([State.ACTIVE]), TIMES)
    def test_touch_by_update_never_moves_due_earlier(self, record: Record, at: float) -> None:
        after = rules.patched(record, Patch(record.id, Guard.LIVE, fields={"touched": at}), "c1", 9)
        assert after.due >= record.due
        assert after.touched == max(at, record.touched)
        assert (after.version, after.change) == (9, "c1")

    def test_what_is_not_named_stays(self) -> None:
        record = session("one", NOW, data=b"kept", node="n1")
        after = rules.patched(record, Patch(record.id, Guard.LIVE, fields={"node": None}), "c1", 9)
        assert after == replaced(record, node=None, version=9, change="c1")

    def test_same_keeps_version_and_change(self) -> None:
        record = session("one", NOW, version=5)
        after = rules.patched(record, Patch(record.id, Guard.SAME, data=b"sealed"), "c1", 9)
        assert after == replaced(record, data=b"sealed")

    def test_event_tells_of_the_record_as_it_is_now(self) -> None:
        record = session("one", NOW, owner="ann", version=9)
        patch = Patch(record.id, Guard.LIVE, event=EventType.UPDATED, reason="asked")
        event = rules.event_of_patch(record, patch, Commit(NOW + 1, "c1", "n1", (patch,)))
        assert (event.version, event.owner, event.reason, event.time) == (9, "ann", "asked", NOW + 1)

    def test_opened_record_gets_its_version(self) -> None:
        assert rules.opened(session("one", NOW), 4).version == 4


class TestItems:
    @given(st.lists(st.text("abc", min_size=1, max_size=3), max_size=20))
    def test_remembers_the_last_eight_changes(self, changes: list[str]) -> None:
        item: Item | None = None
        for number, change in enumerate(changes, 1):
            item = rules.item_after(Put("a/1", b"x"), item, change, number)
        assert (item.changes if item else ()) == tuple(changes[-rules.KEPT_CHANGES :])

    @pytest.mark.parametrize("guard", [Guard.ABSENT, Guard.VERSION, Guard.ANY])
    @pytest.mark.parametrize("expires", [NOW - 1, NOW, NOW + 1, NEVER])
    def test_expired_counts_as_absent(self, guard: Guard, expires: float) -> None:
        item = Item("a/1", b"x", 3, expires=expires)
        refused = rules.judge_item(Put("a/1", b"y", guard, 3), item, NOW)
        there = expires > NOW
        expected: dict[Guard, Any] = {
            Guard.ABSENT: Refused(Why.STALE, item) if there else None,
            Guard.VERSION: None if there else Refused(Why.MISSING),
            Guard.ANY: None,
        }
        assert refused == expected[guard]

    def test_delete(self) -> None:
        assert rules.item_after(Put("a/1", None), Item("a/1", b"x", 3), "c1", 9) is None


class TestOutcomes:
    def test_order(self) -> None:
        order = list(Outcome)
        for place, one in enumerate(order):
            assert rules.worse(None, one)
            assert [rules.worse(one, other) for other in order] == [other > place for other in range(3)]
