"""Permits that no block holds: given back, lost, handed to another process."""

from __future__ import annotations

import asyncio

import pytest

from insession import ConfigurationError, Engine, LockLost, LockTimeout
from insession.kernel.permits import Permit
from insession.testing.clock import ManualClock, settle


def _permit(engine: Engine, *, permits: int = 1, wait: float | None = 0) -> Permit:
    return Permit(engine, "seats", permits=permits, wait=wait, ttl=30.0)


async def test_it_is_renewed_until_it_is_given_back(engine: Engine, other: Engine, clock: ManualClock) -> None:
    mine = await _permit(engine).acquire()
    await clock.advance(300.0)
    assert mine.held
    with pytest.raises(LockTimeout):
        await _permit(other).acquire()
    waiting = asyncio.ensure_future(_permit(other, wait=None).acquire())
    await settle()
    mine.release()
    mine.release()
    assert (await waiting).held
    assert not mine.held


async def test_a_waiter_that_is_cancelled_leaves_the_queue(engine: Engine, other: Engine) -> None:
    mine = await _permit(engine).acquire()
    waiting = asyncio.ensure_future(_permit(other, wait=None).acquire())
    await settle()
    waiting.cancel()
    await settle()
    mine.release()
    await settle()
    assert (await _permit(engine).acquire()).held


async def test_one_that_is_waited_for_is_not_held_and_cannot_be_given_back(engine: Engine, other: Engine) -> None:
    mine = await _permit(engine).acquire()
    theirs = _permit(other, wait=None)
    waiting = asyncio.ensure_future(theirs.acquire())
    await settle()
    assert not theirs.held
    theirs.release()
    mine.release()
    await waiting
    assert theirs.held


async def test_one_that_is_lost_says_so_and_may_be_acquired_again(engine: Engine, clock: ManualClock) -> None:
    mine = await _permit(engine).acquire()
    clock.set(clock.now() + 31.0)
    await clock.advance(0.1)
    assert isinstance(mine.error, LockLost)
    assert not mine.held
    await mine.acquire()
    assert mine.held


async def test_handed_over_it_is_there_for_whoever_adopts_it(engine: Engine, other: Engine, clock: ManualClock) -> None:
    mine = await _permit(engine).acquire()
    fence = await mine.hand_over(600.0)
    assert not mine.held
    mine.release()
    await clock.advance(500.0)
    with pytest.raises(LockTimeout):
        await _permit(engine).acquire()
    theirs = _permit(other)
    await theirs.adopt(fence)
    with pytest.raises(ConfigurationError):
        await theirs.adopt(fence)
    await clock.advance(500.0)
    assert theirs.held
    theirs.release()
    await settle()
    assert (await _permit(engine).acquire()).held


async def test_what_nobody_adopts_runs_out(engine: Engine, other: Engine, clock: ManualClock) -> None:
    fence = await (await _permit(engine).acquire()).hand_over(60.0)
    await clock.advance(61.0)
    with pytest.raises(LockLost):
        await _permit(other).adopt(fence)
    late = await _permit(other).acquire()
    with pytest.raises(LockLost):
        await _permit(engine).adopt(fence)
    assert late.held


async def test_what_was_lost_cannot_be_handed_over(engine: Engine, clock: ManualClock) -> None:
    mine = await _permit(engine).acquire()
    clock.set(clock.now() + 31.0)
    with pytest.raises(LockLost):
        await mine.hand_over(60.0)
