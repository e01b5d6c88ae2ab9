"""A batch means what its operations would mean one after another."""

from __future__ import annotations

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.operations import (
    Acquire,
    Count,
    Counted,
    Done,
    End,
    Ends,
    Fence,
    Find,
    Found,
    Granted,
    Load,
    Loaded,
    Operation,
    Purge,
    Put,
    Refused,
    Release,
    Released,
    Touch,
    Touched,
    Waiting,
    Why,
)
from insession.testing.clock import ManualClock

from .samples import (
    done,
    end,
    ended,
    ending,
    everything,
    expire,
    opened,
    opening,
    record_of,
    session,
    sid,
    the_log,
    the_record,
    update,
    writing,
)
from .suite import Suite


class Batches(Suite):
    """Several operations in one call."""

    async def test_empty(self, store: Store) -> None:
        assert list(await store.apply([])) == []

    async def test_answers_in_their_order(self, store: Store, clock: ManualClock) -> None:
        at, record = clock.now(), session("one", clock.now(), owner="ann")
        answers = await store.apply(
            [
                Load((record.id,)),
                opening(record),
                Count("owner", "ann"),
                Touch(record.id, at + 1, 0.0),
                writing(at, Put(f"{record.id}/a", b"x")),
                Load((record.id,), record.id),
                Acquire("l", "a", at, self.lease_unit),
                Acquire("l", "b", at, self.lease_unit),
                Release("l", "a", at),
                Find("owner", "ann"),
                end(record.id, ending(at)),
                Count("owner", "ann"),
                expire(at),
                Purge(at + 1e6, "call"),
                Load((record.id,)),
            ]
        )
        expected = [
            Loaded, Done, Counted, Touched, Done, Loaded, Granted, Waiting, Released, Found, Ends, Counted,
            Ends, Counted, Loaded,
        ]  # fmt: skip
        assert [type(answer) for answer in answers] == expected
        assert answers[0] == answers[-1] == Loaded((None,))
        assert (answers[2], answers[11], answers[13]) == (Counted(1), Counted(0), Counted(1))

    async def test_one_record_changed_twice(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        first = update(record.id, clock.now(), version=record.version, data=b"1")
        stale = update(record.id, clock.now(), version=record.version, data=b"2")
        live = update(record.id, clock.now(), data=b"3", event=EventType.UPDATED)
        answers = await store.apply([first, stale, live])
        assert [type(answer) for answer in answers] == [Done, Refused, Done]
        current = answers[1]
        assert isinstance(current, Refused)
        assert current.why is Why.STALE
        assert (current.current.data, current.current.version) == (b"1", answers[0].versions[0])  # type: ignore[union-attr]
        after = await the_record(store, record.id)
        assert (after.data, after.version) == (b"3", answers[2].versions[0])  # type: ignore[union-attr]

    async def test_refused_ones_are_refused_alone(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        answers = await store.apply(
            [
                update(sid("none"), at, data=b"x"),
                opening(session("one", at)),
                writing(at, Put("x/1", b"x"), fence=Fence("l", "a", 1)),
                opening(session("two", at)),
                end(sid("none"), ending(at)),
                Touch(sid("none"), at, 0.0),
                opening(session("three", at)),
            ]
        )
        assert [type(answer) for answer in answers] == [Refused, Done, Refused, Done, Refused, Refused, Done]
        assert len(await everything(store, "all")) == len(await the_log(store)) == 3

    async def test_opened_changed_and_ended(self, store: Store, clock: ManualClock) -> None:
        record = session("one", clock.now())
        await store.apply(
            [
                opening(record),
                update(record.id, clock.now(), data=b"x"),
                end(record.id, ending(clock.now(), "first")),
                end(record.id, ending(clock.now(), "second")),
                opening(session("one", clock.now(), data=b"second life")),
            ]
        )
        after = await the_record(store, record.id)
        assert (after.live, after.data) == (True, b"second life")
        types = [event.type for event in await the_log(store)]
        assert types == [EventType.OPENED, EventType.INTERRUPTED, EventType.OPENED]

    async def test_items_go_with_the_record_before_they_are_read(self, store: Store, clock: ManualClock) -> None:
        first = await opened(store, session("one", clock.now()))
        await done(store, update(first.id, clock.now(), Put(f"{first.id}/a", b"x")))
        await ended(store, end(first.id, ending(clock.now())))
        clock.set(clock.now() + 1)
        item = Load((f"{first.id}/a",))
        answers = await store.apply(
            [item, opening(session("one", clock.now())), opening(session("two", clock.now())), item]
        )
        before, after = answers[0], answers[-1]
        assert isinstance(before, Loaded)
        assert before.found[0] is not None
        assert after == Loaded((None,))

    async def test_many_of_the_same_batch(self, store: Store, clock: ManualClock) -> None:
        records = [session(f"s{place}", clock.now()) for place in range(store.most)]
        answers = await store.apply([opening(record) for record in records])
        versions = [answer.versions[0] for answer in answers if isinstance(answer, Done)]
        assert len(versions) == len(set(versions)) == store.most
        assert await record_of(store, records[-1].id) is not None

    async def test_data_of_any_bytes(self, store: Store, clock: ManualClock) -> None:
        samples = [b"", b"\x00", bytes(range(256)), b"'\";--", "ä安".encode(), bytes(1 << 20)]
        for place, data in enumerate(samples):
            record = await opened(store, session(f"s{place}", clock.now(), data=data))
            assert (await the_record(store, record.id)).data == data

    async def test_texts_of_any_script(self, store: Store, clock: ManualClock) -> None:
        for place, text in enumerate(["O'Neil", "a|b,c:d", "%_*?[x]", "安娜", "👩\u200d🚀", "x" * 512]):
            clock.set(clock.now() + 1)
            record = await opened(store, session(f"s{place}", clock.now(), owner=text, node=text))
            await done(store, update(record.id, clock.now(), event=EventType.UPDATED, reason=text))
            after = await the_record(store, record.id)
            assert await everything(store, "owner", text) == await everything(store, "node", text) == [after]
            assert (await the_log(store))[-1].reason == text

    async def test_what_never_waits_answers_at_once(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), owner="ann"))
        operations: list[Operation] = [
            Load((record.id, sid("none"), f"{record.id}/a"), record.id),
            Find("owner", "ann"),
            Count("owner", "ann"),
            Touch(record.id, clock.now(), 5.0),
            Acquire("l", "a", clock.now(), self.lease_unit),
            end(record.id, ending(clock.now())),
            Purge(clock.now()),
        ]
        for operation in operations:
            if type(operation) in store.immediate:
                at_once = store.apply_now(operation)
                (answer,) = await store.apply([operation])
                assert type(at_once) is type(answer)
                if isinstance(operation, Load | Find | Count | Touch | End):
                    assert at_once == answer

    async def test_record_at_once(self, store: Store, clock: ManualClock) -> None:
        if Load not in store.immediate:
            pytest.skip("this store waits for a load")
        record = await opened(store, session("one", clock.now(), data=b"x"))
        assert store.record_now(record.id) == record
        assert store.record_now(sid("none")) is None
        await store.apply([update(record.id, clock.now(), data=b"y"), end(record.id, ending(clock.now()))])
        assert store.record_now(record.id) == await the_record(store, record.id)

    async def test_close_twice(self, store: Store) -> None:
        await store.close()
        await store.close()

    async def test_clock(self, store: Store, clock: ManualClock) -> None:
        before = await store.now()
        clock.set(clock.now() + 5)
        assert await store.now() == before + 5 == clock.now()
