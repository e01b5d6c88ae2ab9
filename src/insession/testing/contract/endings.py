"""Endings, by id and picked from an index; expiry; touches."""

from __future__ import annotations

from typing import Final

import pytest

from insession.kernel.commands import closing
from insession.kernel.contract import Store
from insession.kernel.events import ENDINGS, EventType
from insession.kernel.operations import (
    Commit,
    Counted,
    Done,
    End,
    Ends,
    Guard,
    Index,
    Patch,
    Pick,
    Purge,
    Put,
    Refused,
    Touch,
    Touched,
    Why,
)
from insession.kernel.record import NEVER, NODE_KIND, Record, State
from insession.kernel.rules import ENDING_EVENT, life_before
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
    everything,
    expire,
    expiry,
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
)
from .suite import Suite

HOME: Final = "home-node"


async def several(store: Store, clock: ManualClock, number: int, **fields: object) -> list[Record]:
    """Sessions opened a second apart, the clock standing at the last one."""
    start = clock.now()
    records = []
    for place in range(number):
        clock.set(start + place)
        records.append(await opened(store, session(f"s{place}", clock.now(), idle=1000.0, **fields)))  # type: ignore[arg-type]
    return records


def ids(records: list[Record]) -> tuple[str, ...]:
    """Their ids."""
    return tuple(record.id for record in records)


class Endings(Suite):
    """The ending of one session by its id."""

    @pytest.mark.parametrize("state", [State.INTERRUPTED, State.EXPIRED, State.CLOSED])
    async def test_record_and_event(self, store: Store, clock: ManualClock, state: State) -> None:
        record = await opened(store, session("one", clock.now(), owner="ann", data=b"kept", finish=True))
        cursor = await end_of_log(store)
        how = ending(clock.now() + 2, "because", state=state)
        answer = await ask(store, end(record.id, how), Ends)
        after = await the_record(store, record.id)
        assert answer == Ends((record.id,), (after.version,))
        assert after == replaced(
            record,
            state=state,
            version=after.version,
            change=how.change,
            ended=clock.now() + 2,
            reason="because",
        )
        (event,) = await the_log(store, cursor)
        assert (event.type, event.time, event.id) == (ENDING_EVENT[state], how.at, record.id)
        assert (event.kind, event.owner, event.version) == (record.kind, "ann", after.version)
        assert (event.reason, event.change, event.node) == ("because", how.change, NODE)

    async def test_first_reason_stays(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await ended(store, end(record.id, ending(clock.now(), "first")))
        over = await the_record(store, record.id)
        for how in (ending(clock.now(), "second", state=State.CLOSED), expiry(record.due)):
            assert await refused(store, end(record.id, how), Why.ENDED) == over
        assert await the_record(store, record.id) == over
        assert sum(event.type in ENDINGS for event in await the_log(store)) == 1

    async def test_missing(self, store: Store, clock: ManualClock) -> None:
        assert await refused(store, end(sid("nobody"), ending(clock.now())), Why.MISSING) is None
        assert await refused(store, end(sid("nobody"), expiry(clock.now())), Why.MISSING) is None

    async def test_what_is_due_only_expires(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        assert await refused(store, end(record.id, ending(record.due)), Why.PAST_DUE) == record
        assert await ended(store, end(record.id, expiry(record.due))) == (record.id,)
        over = await the_record(store, record.id)
        assert (over.state, over.reason, over.ended) == (State.EXPIRED, "expired", record.due)

    async def test_what_is_not_due_does_not_expire(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        assert await refused(store, end(record.id, expiry(record.due - 0.001)), Why.STALE) == record

    async def test_open_under_a_name_ends_what_is_due_first(self, store: Store, clock: ManualClock) -> None:
        old = await opened(store, session("one", clock.now(), data=b"old"))
        clock.set(old.due)
        new = session("one", clock.now(), data=b"new")
        await refused(store, opening(new), Why.PAST_DUE)
        first, second = await store.apply([end(old.id, expiry(clock.now())), opening(new)])
        assert isinstance(first, Ends)
        assert isinstance(second, Done)
        assert (await the_record(store, old.id)).data == b"new"

    async def test_with_its_last_data(self, store: Store, clock: ManualClock) -> None:
        other, record = await several(store, clock, 2, owner="ann", keep=60.0)
        cursor = await end_of_log(store)
        how = ending(clock.now() + 2, "completed", state=State.CLOSED)
        last = Commit(how.at, how.change, NODE, (closing(record, how, b"last"), Put("ann/left", b"1")))
        (version, _) = await done(store, last)
        after = replaced(
            record,
            state=State.CLOSED,
            version=version,
            change=how.change,
            ended=how.at,
            reason="completed",
            data=b"last",
        )
        assert await the_record(store, record.id) == after
        assert [(event.type, event.reason, event.version) for event in await the_log(store, cursor)] == [
            (EventType.CLOSED, "completed", version)
        ]
        assert await everything(store, "owner", "ann") == [other]
        assert await everything(store, "kind", record.kind, state=State.CLOSED) == [after]
        assert await ended(store, expire(clock.now() + 5_000.0)) == (other.id,)
        await ask(store, Purge(how.at + 60.0, record.kind), Counted)
        assert await record_of(store, record.id) is None

    async def test_with_its_last_data_of_another_version(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await done(store, update(record.id, clock.now(), data=b"newer"))
        how = ending(clock.now(), state=State.CLOSED)
        await refused(store, Commit(how.at, how.change, NODE, (closing(record, how, b"last"),)), Why.STALE)
        assert (await the_record(store, record.id)).live


class Lives(Suite):
    """An id that is opened again is another life; what is meant for the earlier one does not reach it."""

    async def two(self, store: Store, clock: ManualClock) -> tuple[Record, Record]:
        first = await opened(store, session("one", clock.now()))
        await ended(store, end(first.id, ending(clock.now())))
        clock.set(clock.now() + 1)
        return first, await opened(store, session("one", clock.now()))

    async def test_none_begins_before_the_work_after_an_ending_is_done(self, store: Store, clock: ManualClock) -> None:
        first = await opened(store, session("one", clock.now(), finish=True))
        await ended(store, end(first.id, ending(clock.now())))
        over = await the_record(store, first.id)
        assert await refused(store, opening(session("one", clock.now())), Why.STALE) == over
        patch = Patch(first.id, Guard.ENDED, over.version, fields={"finish": False})
        await done(store, Commit(clock.now(), "worked", NODE, (patch,)))
        await opened(store, session("one", clock.now()))

    async def test_ending_for_an_earlier_life(self, store: Store, clock: ManualClock) -> None:
        first, second = await self.two(store, clock)
        late = End(Pick("id", first.id, before=life_before(first)), ending(clock.now()))
        assert await refused(store, late, Why.STALE) == second
        assert await the_record(store, first.id) == second
        own = End(Pick("id", first.id, before=life_before(second)), ending(clock.now()))
        assert await ended(store, own) == (first.id,)

    async def test_touch_for_an_earlier_life(self, store: Store, clock: ManualClock) -> None:
        first, second = await self.two(store, clock)
        late = Touch(first.id, clock.now() + 5, 0.0, life_before(first))
        assert await refused(store, late, Why.STALE) == second
        assert await the_record(store, first.id) == second
        own = Touch(first.id, clock.now() + 5, 0.0, life_before(second))
        assert await due_after(store, own) == second.due + 5


class Picks(Suite):
    """Endings picked from an index."""

    @pytest.mark.parametrize(("index", "value"), [("owner", "ann"), ("kind", "call"), ("node", HOME), ("all", None)])
    async def test_ends_the_members_that_live(
        self, store: Store, clock: ManualClock, index: Index, value: str | None
    ) -> None:
        members = await several(store, clock, 3, owner="ann", node=HOME)
        others = await several(store, clock, 2, owner="bob", kind="other", node="elsewhere")
        assert await ended(store, end(members[1].id, ending(clock.now(), "before"))) == (members[1].id,)
        answer = await ask(store, End(Pick(index, value, most=10), ending(clock.now(), "picked")), Ends)
        expected = ids([members[0], members[2]]) + (ids(others) if index == "all" else ())
        # Those of several owners may lie in several partitions, which have no order.
        assert sorted(answer.ids) == sorted(expected)
        assert not answer.more
        for place, version in zip(answer.ids, answer.versions, strict=True):
            after = await the_record(store, place)
            assert (after.version, after.reason, after.state) == (version, "picked", State.INTERRUPTED)
        assert (await the_record(store, members[1].id)).reason == "before"
        assert (await the_record(store, others[0].id)).live is (index != "all")

    async def test_each_with_its_own_event(self, store: Store, clock: ManualClock) -> None:
        records = await several(store, clock, 5, owner="ann")
        cursor = await end_of_log(store)
        how = ending(clock.now(), "picked")
        await ended(store, End(Pick("owner", "ann", most=10), how))
        events = await the_log(store, cursor)
        assert tuple(event.id for event in events) == ids(records)
        assert {(event.type, event.change, event.reason) for event in events} == {
            (EventType.INTERRUPTED, how.change, "picked")
        }

    async def test_kind_narrows_an_index(self, store: Store, clock: ManualClock) -> None:
        calls = await several(store, clock, 2, owner="ann")
        chats = await several(store, clock, 2, owner="ann", kind="chat")
        assert await ended(store, End(Pick("owner", "ann", "chat", 10), ending(clock.now()))) == ids(chats)
        assert await ended(store, End(Pick("all", None, "call", 10), ending(clock.now()))) == ids(calls)

    async def test_in_slices(self, store: Store, clock: ManualClock) -> None:
        records = await several(store, clock, 7, owner="ann")
        slices = []
        for _ in range(10):
            answer = await ask(store, End(Pick("owner", "ann", most=3), ending(clock.now())), Ends)
            slices.append(answer.ids)
            if not answer.more:
                break
        assert [len(one) for one in slices] == [3, 3, 1]
        assert sum(slices, ()) == ids(records)

    async def test_only_what_was_opened_before(self, store: Store, clock: ManualClock) -> None:
        records = await several(store, clock, 4, owner="ann")
        pick = Pick("all", most=10, before=records[2].opened)
        answer = await ask(store, End(pick, ending(clock.now())), Ends)
        assert (answer.ids, answer.more) == (ids(records[:2]), False)
        assert (await the_record(store, records[2].id)).live

    async def test_oldest_first_within_a_kind(self, store: Store, clock: ManualClock) -> None:
        late = await several(store, clock, 3, owner="ann", kind="a")
        early = await several(store, clock, 3, owner="ann", kind="b")
        taken = await ended(store, End(Pick("owner", "ann", most=4), ending(clock.now())))
        assert taken == ids(late) + ids(early[:1])

    async def test_nobody(self, store: Store, clock: ManualClock) -> None:
        for pick in (Pick("owner", "nobody"), Pick("kind", "none"), Pick("node", "none"), Pick("all")):
            assert await ask(store, End(pick, ending(clock.now())), Ends) == Ends((), ())

    async def test_what_is_due_is_left_to_its_expiry(self, store: Store, clock: ManualClock) -> None:
        due = await opened(store, session("due", clock.now(), owner="ann", idle=5.0))
        live = await opened(store, session("live", clock.now(), owner="ann"))
        clock.set(due.due)
        assert await ended(store, End(Pick("owner", "ann", most=9), ending(clock.now()))) == (live.id,)
        assert await the_record(store, due.id) == due

    async def test_nodes_are_asked_for_by_kind(self, store: Store, clock: ManualClock) -> None:
        node = await opened(store, session("node", clock.now(), kind=NODE_KIND, owner="ann", node=HOME))
        for pick in (Pick("all", most=9), Pick("owner", "ann", most=9), Pick("node", HOME, most=9)):
            assert await ended(store, End(pick, ending(clock.now()))) == ()
        assert await ended(store, End(Pick("all", None, NODE_KIND, 9), ending(clock.now()))) == (node.id,)


class Expiry(Suite):
    """What is due, when somebody looks."""

    async def test_in_the_order_of_due(self, store: Store, clock: ManualClock) -> None:
        records = [await opened(store, session(f"s{idle}", clock.now(), idle=float(idle))) for idle in (30, 10, 20)]
        answer = await ask(store, expire(clock.now() + 25), Ends)
        assert answer == Ends(ids([records[1], records[2]]), answer.versions, more=False, look=records[0].due)

    async def test_look_without_anything_due(self, store: Store, clock: ManualClock) -> None:
        assert await ask(store, expire(clock.now()), Ends) == Ends((), ())
        await opened(store, session("never", clock.now(), idle=NEVER))
        assert (await ask(store, expire(clock.now()), Ends)).look == NEVER
        record = await opened(store, session("one", clock.now()))
        assert await ask(store, expire(clock.now()), Ends) == Ends((), (), look=record.due)

    async def test_of_one_kind(self, store: Store, clock: ManualClock) -> None:
        call = await opened(store, session("call", clock.now()))
        chat = await opened(store, session("chat", clock.now(), kind="chat", idle=50.0))
        answer = await ask(store, expire(call.due, kind="call"), Ends)
        assert (answer.ids, answer.look) == ((call.id,), NEVER)
        assert (await the_record(store, chat.id)).live

    async def test_nodes_expire_with_the_others(self, store: Store, clock: ManualClock) -> None:
        node = await opened(store, session("node", clock.now(), kind=NODE_KIND, idle=15.0))
        assert await ended(store, expire(node.due)) == (node.id,)

    async def test_twenty_in_the_same_moment(self, store: Store, clock: ManualClock) -> None:
        records = [await opened(store, session(f"s{place}", clock.now())) for place in range(20)]
        clock.set(records[0].due)
        taken: list[str] = []
        for place in range(5):
            answer = await ask(store, expire(clock.now(), most=7), Ends)
            taken += answer.ids
            assert answer.more is (place < 2)
            assert answer.look == (records[0].due if place < 2 else NEVER)
            if not answer.more:
                break
        assert len(taken) == 20
        assert set(taken) == set(ids(records))
        endings = await the_log(store, types={EventType.EXPIRED})
        assert sorted(event.id for event in endings) == sorted(taken)

    async def test_nearer_of_the_two_deadlines(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), idle=50.0, absolute=clock.now() + 70))
        assert await due_after(store, Touch(record.id, clock.now() + 40, 0.0)) == record.absolute
        assert await ended(store, expire(record.absolute - 0.001)) == ()
        assert await ended(store, expire(record.absolute)) == (record.id,)


class Touches(Suite):
    """Proof of activity."""

    async def test_moves_due_without_version_or_event(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), data=b"x"))
        log = await the_log(store)
        at = clock.now() + 20
        assert await due_after(store, Touch(record.id, at, 0.0)) == at + 60
        assert await the_record(store, record.id) == replaced(record, touched=at, due=at + 60)
        assert await the_log(store) == log
        await done(store, update(record.id, at, version=record.version))

    async def test_never_earlier(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        at = clock.now() + 20
        await due_after(store, Touch(record.id, at, 0.0))
        assert await due_after(store, Touch(record.id, at - 10, 0.0)) == at + 60
        assert (await the_record(store, record.id)).touched == at

    async def test_deadline_that_was_moved_out_stays_out(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), due=clock.now() + 500))
        assert await due_after(store, Touch(record.id, clock.now() + 5, 0.0)) == clock.now() + 500

    async def test_within_the_window_nothing_is_written(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), idle=60.0, window=5.0))
        assert record.due == clock.now() + 65
        assert await due_after(store, Touch(record.id, clock.now() + 5, 5.0)) == record.due
        assert await the_record(store, record.id) == record
        assert await due_after(store, Touch(record.id, clock.now() + 5.5, 5.0)) == clock.now() + 70.5

    async def test_not_past_the_absolute_deadline(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), absolute=clock.now() + 70))
        assert await due_after(store, Touch(record.id, clock.now() + 30, 0.0)) == clock.now() + 70

    async def test_missing_past_due_and_ended(self, store: Store, clock: ManualClock) -> None:
        assert await refused(store, Touch(sid("nobody"), clock.now(), 0.0), Why.MISSING) is None
        record = await opened(store, session("one", clock.now()))
        assert await refused(store, Touch(record.id, record.due, 0.0), Why.PAST_DUE) == record
        assert await record_of(store, record.id) == record
        await ended(store, end(record.id, expiry(record.due)))
        over = await the_record(store, record.id)
        assert await refused(store, Touch(record.id, clock.now(), 0.0), Why.ENDED) == over
        assert await the_record(store, record.id) == over

    async def test_touch_that_came_before_an_expiry_wins(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        late = record.due
        first, by_id, swept = await store.apply(
            [Touch(record.id, late - 1, 0.0), end(record.id, expiry(late)), expire(late)]
        )
        assert first == Touched(late + 59)
        assert isinstance(by_id, Refused)
        assert by_id.why is Why.STALE
        assert swept == Ends((), (), look=late + 59)
        assert (await the_record(store, record.id)).live

    async def test_is_found_under_its_new_due(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        other = await opened(store, session("two", clock.now(), idle=70.0))
        await due_after(store, Touch(record.id, clock.now() + 30, 0.0))
        answer = await ask(store, expire(clock.now() + 80), Ends)
        assert (answer.ids, answer.look) == ((other.id,), clock.now() + 90)

    async def test_expiry_by_commit_needs_due(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await due_after(store, Touch(record.id, clock.now() + 30, 0.0))
        await refused(store, update(record.id, record.due, guard=Guard.DUE), Why.STALE)
