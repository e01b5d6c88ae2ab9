"""Patches of records: every guard on every state, versions, changes that are sent again."""

from __future__ import annotations

from typing import Final

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.operations import Commit, Done, Guard, Load, Loaded, Patch, Purge, Put, Refused, Touch, Why
from insession.kernel.record import NEVER, Record, State
from insession.testing.clock import ManualClock

from .samples import (
    NODE,
    ask,
    done,
    due_after,
    end,
    end_of_log,
    ended,
    ending,
    expire,
    fresh_change,
    opened,
    opening,
    record_of,
    refused,
    replaced,
    session,
    sid,
    the_log,
    the_record,
    update,
    writing,
)
from .suite import Suite

FATES: Final = ("missing", "live", "due", "interrupted", "expired", "closed")
OVER: Final = ("interrupted", "expired", "closed")
MEANING: Final[dict[tuple[Guard, bool], dict[str, Why]]] = {
    (Guard.ABSENT, True): {"live": Why.STALE, "due": Why.PAST_DUE},
    (Guard.VERSION, True): {"missing": Why.MISSING, "due": Why.PAST_DUE, **dict.fromkeys(OVER, Why.ENDED)},
    (Guard.VERSION, False): {
        "missing": Why.MISSING,
        "live": Why.STALE,
        "due": Why.PAST_DUE,
        **dict.fromkeys(OVER, Why.ENDED),
    },
    (Guard.LIVE, True): {"missing": Why.MISSING, "due": Why.PAST_DUE, **dict.fromkeys(OVER, Why.ENDED)},
    (Guard.DUE, True): {"missing": Why.MISSING, "live": Why.STALE, **dict.fromkeys(OVER, Why.ENDED)},
    (Guard.ENDED, True): {"missing": Why.MISSING, "live": Why.STALE, "due": Why.STALE},
    (Guard.ENDED, False): {"missing": Why.MISSING, **dict.fromkeys(FATES[1:], Why.STALE)},
    (Guard.SAME, True): {"missing": Why.MISSING},
    (Guard.SAME, False): {"missing": Why.MISSING, **dict.fromkeys(FATES[1:], Why.STALE)},
}
"""Why a patch under a guard (with the right version, or a wrong one) is refused; what is not named is done."""


async def fated(store: Store, clock: ManualClock, fate: str) -> Record | None:
    """Bring a session to its fate."""
    if fate == "missing":
        return None
    record = await opened(store, session("one", clock.now(), owner="ann", data=b"first"))
    clock.set(clock.now() + (60.0 if fate in {"due", "expired"} else 1.0))
    if fate == "expired":
        assert await ended(store, expire(clock.now())) == (record.id,)
    elif fate in {"interrupted", "closed"}:
        assert await ended(store, end(record.id, ending(clock.now(), state=State(fate)))) == (record.id,)
    return await the_record(store, record.id)


class Guards(Suite):
    """What each guard lets through."""

    @pytest.mark.parametrize("fate", FATES)
    @pytest.mark.parametrize(("guard", "right"), MEANING, ids=str)
    async def test_guard_on_state(
        self,
        store: Store,
        clock: ManualClock,
        guard: Guard,
        right: bool,  # noqa: FBT001
        fate: str,
    ) -> None:
        before = await fated(store, clock, fate)
        cursor = await end_of_log(store)
        new = session("one", clock.now(), owner="ann", data=b"second")
        patch = Patch(
            new.id,
            guard,
            before.version + (not right) if before else 1,
            new if guard is Guard.ABSENT else None,
            data=b"second",
        )
        (answer,) = await store.apply([Commit(clock.now(), new.change, NODE, (patch,))])
        after = await record_of(store, new.id)
        why = MEANING[guard, right].get(fate)
        if why is None:
            assert isinstance(answer, Done)
            assert after is not None
            assert (after.data, (after.version,)) == (b"second", answer.versions)
        else:
            assert answer == Refused(why, before)
            assert after == before
        assert await the_log(store, cursor) == []

    async def test_wrong_version_is_told_the_current_record(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), data=b"mine"))
        await done(store, update(record.id, clock.now(), version=record.version, data=b"theirs"))
        current = await refused(store, update(record.id, clock.now(), version=record.version), Why.STALE)
        assert current == await the_record(store, record.id)
        assert isinstance(current, Record)
        assert current.data == b"theirs"

    async def test_judged_at_its_own_time(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await refused(store, update(record.id, record.due), Why.PAST_DUE)
        await done(store, update(record.id, record.due - 0.001))


class Patches(Suite):
    """What a patch writes."""

    async def test_record_reads_back_whole(self, store: Store, clock: ManualClock) -> None:
        record = session(
            "one",
            clock.now() + 0.123456,
            owner="ännchen 安",
            idle=NEVER,
            window=1.5,
            absolute=clock.now() + 1e6,
            node=sid("node"),
            keep=7.25,
            finish=True,
            data=bytes(range(256)) * 5,
        )
        stored = await opened(store, record)
        assert await the_record(store, record.id) == stored

    async def test_without_owner_node_and_deadline(self, store: Store, clock: ManualClock) -> None:
        stored = await opened(store, session("one", clock.now(), idle=NEVER))
        assert (stored.owner, stored.node, stored.due) == (None, None, NEVER)
        assert await the_record(store, stored.id) == stored

    async def test_fields_and_data_stay_unless_named(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), node=sid("node"), data=b"kept"))
        at = clock.now() + 1
        (version,) = await done(store, update(record.id, at, fields={"node": None}, change="moved"))
        expected = replaced(record, node=None, version=version, change="moved")
        assert await the_record(store, record.id) == expected
        (version,) = await done(store, update(record.id, at, data=b"", change="emptied"))
        assert await the_record(store, record.id) == replaced(expected, data=b"", version=version, change="emptied")

    async def test_update_that_touches_moves_due(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), absolute=clock.now() + 100))
        at = clock.now() + 30
        await done(store, update(record.id, at, fields={"touched": at}, data=b"x"))
        after = await the_record(store, record.id)
        assert (after.touched, after.due) == (at, at + 60)
        await done(store, update(record.id, at, fields={"touched": at - 20}))
        after = await the_record(store, record.id)
        assert (after.touched, after.due) == (at, at + 60)
        await done(store, update(record.id, at + 50, fields={"touched": at + 50}))
        assert (await the_record(store, record.id)).due == record.absolute

    async def test_event_of_a_patch_tells_of_the_record(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), owner="ann"))
        cursor = await end_of_log(store)
        commit = update(record.id, clock.now() + 2, data=b"x", event=EventType.UPDATED, reason="asked")
        (version,) = await done(store, commit)
        (event,) = await the_log(store, cursor)
        assert (event.type, event.time, event.id) == (EventType.UPDATED, clock.now() + 2, record.id)
        assert (event.kind, event.owner, event.version) == (record.kind, "ann", version)
        assert (event.reason, event.change, event.node) == ("asked", commit.change, NODE)

    async def test_no_event_unless_asked(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        cursor = await end_of_log(store)
        await done(store, update(record.id, clock.now(), data=b"x"))
        assert await the_log(store, cursor) == []

    @pytest.mark.parametrize("fate", FATES[1:])
    async def test_same_leaves_version_change_and_log(self, store: Store, clock: ManualClock, fate: str) -> None:
        before = await fated(store, clock, fate)
        assert before is not None
        cursor = await end_of_log(store)
        commit = update(before.id, clock.now(), guard=Guard.SAME, version=before.version, data=b"sealed")
        assert await done(store, commit) == (before.version,)
        assert await the_record(store, before.id) == replaced(before, data=b"sealed")
        assert await the_log(store, cursor) == []

    async def test_ended_record_learns_how_it_stopped(self, store: Store, clock: ManualClock) -> None:
        before = await fated(store, clock, "interrupted")
        assert before is not None
        commit = update(
            before.id,
            clock.now(),
            guard=Guard.ENDED,
            version=before.version,
            fields={"stopped": "cancelled", "finish": False},
            event=EventType.STOPPED,
            reason="cancelled",
        )
        (version,) = await done(store, commit)
        after = await the_record(store, before.id)
        assert after == replaced(before, stopped="cancelled", version=version, change=commit.change)
        assert (await the_log(store))[-1].type is EventType.STOPPED

    async def test_load_answers_in_the_order_of_its_keys(self, store: Store, clock: ManualClock) -> None:
        one = await opened(store, session("one", clock.now()))
        two = await opened(store, session("two", clock.now()))
        loaded = await ask(store, Load((two.id, sid("nobody"), one.id, f"{one.id}/x", two.id)), Loaded)
        assert loaded.found == (two, None, one, None, two)
        assert loaded.under == ()
        assert not loaded.more


class Versions(Suite):
    """No version comes twice."""

    async def test_every_change_takes_a_higher_one(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        seen = [record.version]
        for _ in range(5):
            seen += await done(store, update(record.id, clock.now(), version=seen[-1]))
        assert seen == sorted(set(seen))
        assert seen[0] >= 1

    async def test_holder_of_an_earlier_life_is_stale(self, store: Store, clock: ManualClock) -> None:
        first = await opened(store, session("one", clock.now()))
        assert await ended(store, end(first.id, ending(clock.now()))) == (first.id,)
        second = await opened(store, session("one", clock.now()))
        assert second.version > first.version + 1
        current = await refused(store, update(first.id, clock.now(), version=first.version), Why.STALE)
        assert current == second

    async def test_not_even_after_a_purge(self, store: Store, clock: ManualClock) -> None:
        first = await opened(store, session("one", clock.now(), keep=0.0))
        await ended(store, end(first.id, ending(clock.now())))
        last = await the_record(store, first.id)
        await store.apply([Purge(clock.now() + 1, first.kind)])
        assert await record_of(store, first.id) is None
        second = await opened(store, session("one", clock.now()))
        assert second.version > last.version
        await refused(store, update(first.id, clock.now(), version=first.version), Why.STALE)

    async def test_records_and_items_share_the_counter(self, store: Store, clock: ManualClock) -> None:
        record = session("one", clock.now())
        versions = await done(store, opening(record, Put(f"{record.id}/a", b"1"), Put(f"{record.id}/b", b"2")))
        assert len(set(versions)) == 3


class Repeats(Suite):
    """A change sent again is done, not stale."""

    async def test_opening(self, store: Store, clock: ManualClock) -> None:
        commit = opening(session("one", clock.now()))
        versions = await done(store, commit)
        log = await the_log(store)
        assert await done(store, commit) == versions
        assert await the_log(store) == log

    async def test_update(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        commit = update(record.id, clock.now(), version=record.version, data=b"x", event=EventType.UPDATED)
        versions = await done(store, commit)
        after = await the_record(store, record.id)
        assert await done(store, commit) == versions
        assert await the_record(store, record.id) == after
        assert len(await the_log(store)) == 2

    async def test_compared_before_the_guard(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        commit = update(record.id, clock.now(), version=record.version, data=b"x")
        versions = await done(store, commit)
        clock.set(record.due)
        assert await done(store, commit) == versions

    async def test_in_one_batch(self, store: Store, clock: ManualClock) -> None:
        commit = opening(session("one", clock.now()))
        first, second = await store.apply([commit, commit])
        assert first == second
        assert isinstance(first, Done)
        assert len(await the_log(store)) == 1

    async def test_touch_does_not_make_it_forgotten(self, store: Store, clock: ManualClock) -> None:
        record = session("one", clock.now())
        commit = opening(record)
        versions = await done(store, commit)
        assert await due_after(store, Touch(record.id, clock.now() + 1, 0.0)) == clock.now() + 61
        assert await done(store, commit) == versions

    async def test_stale_once_another_change_came(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        commit = update(record.id, clock.now(), version=record.version, data=b"x")
        (version,) = await done(store, commit)
        await done(store, update(record.id, clock.now(), version=version, data=b"y"))
        await refused(store, commit, Why.STALE)

    async def test_end_by_id(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        operation = end(record.id, ending(clock.now()))
        first, second = await store.apply([operation, operation])
        assert first == second
        assert len(await the_log(store)) == 2
        await refused(store, end(record.id, ending(clock.now())), Why.ENDED)

    async def test_opening_sent_again_replaces_nothing_that_ended_since(self, store: Store, clock: ManualClock) -> None:
        record = session("one", clock.now())
        commit = opening(record)
        await done(store, commit)
        again = Commit(commit.at, commit.change, NODE, opening(record).patches, again=True)
        await ended(store, end(record.id, ending(clock.now() + 1)))
        over = await the_record(store, record.id)
        assert await refused(store, again, Why.ENDED) == over
        assert await the_record(store, record.id) == over

    async def test_opening_sent_again_whose_session_was_ended_by_an_earlier_clock(
        self, store: Store, clock: ManualClock
    ) -> None:
        commit = opening(session("one", clock.now()))
        await done(store, commit)
        await ended(store, end(sid("one"), ending(clock.now() - 0.5)))
        over = await the_record(store, sid("one"))
        again = Commit(commit.at, commit.change, NODE, opening(session("one", clock.now())).patches, again=True)
        assert await refused(store, again, Why.ENDED) == over

    async def test_opening_sent_again_where_the_first_never_came(self, store: Store, clock: ManualClock) -> None:
        before = await opened(store, session("one", clock.now()))
        await ended(store, end(before.id, ending(clock.now() + 1)))
        first = opening(session("one", clock.now() + 2))
        await done(store, Commit(first.at, first.change, NODE, first.patches, again=True))
        assert (await the_record(store, before.id)).live


class Refusals(Suite):
    """What is refused changes nothing."""

    async def test_several_patches_all_or_none(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), data=b"old"))
        await done(store, writing(clock.now(), Put(f"{record.id}/a", b"old")))
        refusing = update(
            record.id,
            clock.now(),
            Put(f"{record.id}/a", b"new", Guard.ABSENT),
            Put(f"{record.id}/b", b"new"),
            data=b"new",
            event=EventType.UPDATED,
        )
        log = await the_log(store)
        await refused(store, refusing, Why.STALE)
        loaded = await ask(store, Load((record.id, f"{record.id}/b"), record.id), Loaded)
        assert loaded.found == (record, None)
        assert [item.data for item in loaded.under] == [b"old"]
        assert await the_log(store) == log

    async def test_record_that_is_refused_holds_its_items_back(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await ended(store, end(record.id, ending(clock.now())))
        await refused(store, update(record.id, clock.now(), Put(f"{record.id}/a", b"x")), Why.ENDED)
        assert (await ask(store, Load((), record.id), Loaded)).under == ()

    async def test_save_after_an_ending_never_revives(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await ended(store, end(record.id, ending(clock.now())))
        over = await the_record(store, record.id)
        for commit in (
            update(record.id, clock.now(), version=record.version, data=b"x"),
            update(record.id, clock.now(), version=over.version, data=b"x"),
            update(record.id, clock.now(), data=b"x", fields={"touched": clock.now()}),
        ):
            assert await refused(store, commit, Why.ENDED) == over
        assert await the_record(store, record.id) == over

    async def test_change_ids_are_not_shared(self, store: Store, clock: ManualClock) -> None:
        """A change of one record is not mistaken for that of another."""
        change = fresh_change()
        one = await opened(store, session("one", clock.now(), change=change))
        two = await opened(store, session("two", clock.now(), change=change))
        assert one.version != two.version
        assert len(await the_log(store)) == 2
