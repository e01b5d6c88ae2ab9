"""A portal by itself: calls, blocks, and what happens to them when a wait is interrupted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from insession import PortalClosed
from insession.blocking import Portal, connect
from insession.blocking.calls import Call, Latch
from insession.blocking.held import Held

PATIENCE = 30.0


class Interruption(BaseException):
    """Raised in a waiting thread, as Ctrl-C is."""


def test_an_exception_while_waiting_cancels_and_waits_for_the_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = list[str]()
    begun = threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            steps.append("clean")

    waited, wait = 0, Latch.wait

    def interrupted(self: Latch, loop: asyncio.AbstractEventLoop) -> None:
        nonlocal waited
        waited += 1
        if waited == 1:
            assert begun.wait(PATIENCE)
            raise Interruption
        wait(self, loop)

    monkeypatch.setattr(Latch, "wait", interrupted)
    with Portal() as portal, pytest.raises(Interruption):
        try:
            portal.call(work)
        finally:
            steps.append("raised")
    assert steps == ["clean", "raised"]


def test_an_exception_before_the_start_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = list[str]()

    async def work() -> None:
        ran.append("ran")

    def interrupted(_: Call[None]) -> None:
        raise Interruption

    with Portal() as portal:
        with monkeypatch.context() as patch, pytest.raises(Interruption):
            patch.setattr(Call, "post", interrupted)
            portal.call(work)
        assert ran == []
        portal.call(work)
        assert ran == ["ran"]


def test_a_portal_holds_context_managers_open() -> None:
    seen = list[object]()

    @asynccontextmanager
    async def manager() -> AsyncIterator[str]:
        seen.append("entered")
        try:
            yield "inside"
        except KeyError:
            seen.append("swallowed")
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        finally:
            seen.append("left")

    with Portal() as portal:
        with portal.hold(manager) as inside:
            assert inside == "inside"
        with portal.hold(manager):
            raise KeyError
        with pytest.raises(ZeroDivisionError), portal.hold(manager):
            raise ZeroDivisionError
        with pytest.raises(Interruption), portal.hold(manager):
            raise Interruption
        assert seen == [
            *("entered", "left", "entered", "swallowed", "left"),
            *("entered", "ZeroDivisionError", "left", "entered", "BlockLeft", "left"),
        ]


def test_a_manager_that_cannot_be_entered() -> None:
    with Portal() as portal:
        with pytest.raises(ZeroDivisionError), portal.hold(lambda: 1 / 0):  # type: ignore[arg-type,return-value]
            pytest.fail("it began")
        with pytest.raises(ZeroDivisionError):
            portal.call(lambda: 1 / 0)  # type: ignore[arg-type,return-value]


def test_errors_at_the_end_reach_who_closes_it() -> None:
    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        yield
        raise ZeroDivisionError

    portal = Portal(resource)
    portal.start()
    with pytest.raises(ZeroDivisionError):
        portal.close()
    portal.close()


def test_what_a_context_variable_says_goes_along() -> None:
    variable = ContextVar("variable", default="unset")

    async def read() -> str:
        return variable.get()

    with Portal() as portal:
        variable.set("set")
        assert portal.call(read) == "set"


def test_an_exception_at_the_end_of_a_block_cancels_it(monkeypatch: pytest.MonkeyPatch) -> None:
    left = list[str]()

    @asynccontextmanager
    async def manager() -> AsyncIterator[None]:
        try:
            yield
        finally:
            left.append("left")

    def interrupted(_: Held[None]) -> None:
        raise Interruption

    with Portal() as portal:
        held = portal.hold(manager)
        with monkeypatch.context() as patch, pytest.raises(Interruption), held:
            patch.setattr(Held, "leave", interrupted)
        with monkeypatch.context() as patch, pytest.raises(Interruption), portal.hold(manager):
            patch.setattr(Call, "wait", interrupted)
        with monkeypatch.context() as patch:
            patch.setattr(Call, "post", interrupted)
            with pytest.raises(Interruption), portal.hold(manager):
                pytest.fail("it began")
    assert left == ["left"] * 2


def test_an_exception_while_it_starts_leaves_it_to_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise Interruption

    engine = connect("memory:")
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        patch.setattr(threading.Thread, "start", interrupted)
        engine.open()
    with engine:
        assert engine.count() == 0


def test_a_loop_that_is_gone_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        def began(self, _: object) -> bool:
            return False

        def over(self, _: object) -> None: ...

    async def work() -> None: ...

    monkeypatch.setattr("insession.blocking.calls.LOOK", 0.01)
    loop = asyncio.new_event_loop()
    late = Call(Ended(), loop, work)
    late.begin()
    with pytest.raises(PortalClosed):
        late.result()
    call = Call(Ended(), loop, work)
    loop.close()
    with pytest.raises(PortalClosed, match="under way"):
        call.wait()
    with pytest.raises(PortalClosed):
        call.post()
    call.abandon()  # there is nothing left to wait for
