"""The suite that every driver of dialogues must pass.

Subclass `DriverSuite`, and give it a fixture ``driver``::

class TestMine(DriverSuite):
@pytest.fixture
def driver(self):
return MyDriver(...)
"""

from __future__ import annotations

import asyncio

import pytest

from insession.dialogue.driver import Change, Driver, Place, Policy
from insession.dialogue.errors import ChatBusy, TurnConflict
from insession.kernel.operations import Guard, Put, Refused

POLICY = Policy(10.0, 10.0, None)
AT_ONCE = Policy(10.0, 0.0, 0)


class DriverSuite:
    """What a driver promises."""

    @pytest.fixture
    def driver(self) -> Driver:
        """The driver under test, not open yet."""
        raise NotImplementedError

    @pytest.fixture
    async def opened(self, driver: Driver) -> Driver:
        """The driver, open."""
        await driver.open()
        return driver

    async def _closed(self, driver: Driver) -> None:
        await driver.close()

    async def test_a_place_is_the_same_every_time(self, opened: Driver) -> None:
        first, again, other = (opened.place(chat, "ann") for chat in ("one", "one", "two"))
        assert first == again
        assert len({first.record, first.home, other.record, other.home}) == 4
        await self._closed(opened)

    async def test_nothing_is_there_at_the_beginning(self, opened: Driver) -> None:
        place = opened.place("one", "ann")
        async with opened.visit(place, [f"{place.home}/turns"], POLICY) as visit:
            assert visit.record is None
            assert visit.items == {f"{place.home}/turns": None}
            assert not visit.lost
        await self._closed(opened)

    async def test_a_turn_is_written_whole_and_read_by_the_next(self, opened: Driver) -> None:
        place = opened.place("one", "ann")
        turns = f"{place.home}/turns"
        await self._write(opened, place, Change("c1", b"first", opens=True, puts=[Put(turns, b"1")]))
        async with opened.visit(place, [turns], POLICY) as visit:
            assert visit.record is not None
            assert visit.record.data == b"first"
            item = visit.items[turns]
            assert item is not None
            assert item.data == b"1"
            assert not isinstance(await visit.finish(Change("c2", b"second", opens=False)), Refused)
        assert (await opened.load([turns]))[turns] is not None
        await self._closed(opened)

    async def test_a_refused_part_refuses_the_whole(self, opened: Driver) -> None:
        place = opened.place("one", "ann")
        turns, other = f"{place.home}/turns", f"{place.home}/other"
        await self._write(opened, place, Change("c1", b"first", opens=True, puts=[Put(turns, b"1")]))
        async with opened.visit(place, [], POLICY) as visit:
            puts = [Put(other, b"new"), Put(turns, b"2", Guard.VERSION, 999)]
            assert isinstance(await visit.finish(Change("c2", b"second", opens=False, puts=puts)), Refused)
        async with opened.visit(place, [turns, other], POLICY) as visit:
            assert visit.record is not None
            assert visit.record.data == b"first"
            assert visit.items[other] is None
        await self._closed(opened)

    async def test_a_session_that_quits_is_gone_for_the_next(self, opened: Driver) -> None:
        place = opened.place("one", "ann")
        await self._write(opened, place, Change("c1", b"first", opens=True))
        await self._write(opened, place, Change("c2", b"", opens=False, quit="completed"))
        async with opened.visit(place, [], POLICY) as visit:
            assert visit.record is None
        await self._write(opened, place, Change("c3", b"anew", opens=True))
        async with opened.visit(place, [], POLICY) as visit:
            assert visit.record is not None
            assert visit.record.data == b"anew"
        await self._closed(opened)

    async def test_one_visit_at_a_time(self, opened: Driver) -> None:
        place, other = opened.place("one", "ann"), opened.place("two", "ann")
        async with opened.visit(place, [], POLICY), opened.visit(other, [], AT_ONCE):
            with pytest.raises(ChatBusy):
                async with opened.visit(place, [], AT_ONCE):
                    raise AssertionError
        await self._closed(opened)

    async def test_visits_are_in_the_order_of_asking(self, opened: Driver) -> None:
        place, order = opened.place("one", "ann"), list[int]()

        async def visit(number: int) -> None:
            async with opened.visit(place, [], POLICY):
                order.append(number)

        async with opened.visit(place, [], POLICY):
            tasks = []
            for number in range(5):
                tasks.append(asyncio.ensure_future(visit(number)))
                # A question and its answer: by then the one before has been asked too.
                await opened.load([f"{place.home}/turns"])
                await opened.write(f"w{number}", [Put(f"{place.home}/noise", b"")])
        await asyncio.gather(*tasks)
        assert order == list(range(5))
        await self._closed(opened)

    async def test_a_visit_that_was_displaced_writes_nothing(self, opened: Driver) -> None:
        place = opened.place("one", "ann")
        inside = asyncio.Event()

        async def displaced() -> None:
            async with opened.visit(place, [], Policy(10.0, 10.0, None, cancel=False)) as visit:
                inside.set()
                while not visit.lost:  # noqa: ASYNC110 - a driver tells of a loss by nothing else
                    await asyncio.sleep(0.002)
                with pytest.raises(TurnConflict):
                    await visit.finish(Change("c1", b"late", opens=True))

        task = asyncio.ensure_future(displaced())
        await inside.wait()
        async with opened.visit(place, [], Policy(10.0, 10.0, None, displace=True)) as visit:
            assert visit.record is None
        with pytest.raises(TurnConflict):
            await task
        async with opened.visit(place, [], POLICY) as visit:
            assert visit.record is None
        await self._closed(opened)

    async def _write(self, driver: Driver, place: Place, change: Change) -> None:
        async with driver.visit(place, [], POLICY) as visit:
            assert not isinstance(await visit.finish(change), Refused)
