"""One chat from four processes: nothing lost, nothing twice, nothing at the same time, and recovery within a lease."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Final

import pytest

from tests.processes.conftest import one_log_url
from tests.processes.running import Worker

MODULE: Final = "tests.dialogue.talker"
FAULTS: Final = ("burst", "raises", "long", "frozen", "killed")
__all__ = ["one_log_url"]


async def talk_from_processes(url: str, fault: str, *, messages: int, lease: float) -> str:
    """Let four processes send their messages to one chat at once; asserts what has to hold of what they say."""
    each = messages // 4
    async with AsyncExitStack() as stack:
        talkers = []
        for place in range(4):
            own = fault if place == 0 else "burst"
            worker = Worker("talk", url, own, place * each, each, lease, module=MODULE)
            talkers.append(await stack.enter_async_context(worker))
        for talker in talkers:
            await talker.until("ready")
        for talker in talkers:
            await talker.say("go")
        said = [await _until_over(talker, fault if place == 0 else "burst") for place, talker in enumerate(talkers)]
        reader = await stack.enter_async_context(Worker("read", url, module=MODULE))
        ((_, *numbers),) = [line for line in await reader.rest() if line[0] == "lines"]
    return _judged(said, [int(number) for number in numbers], fault, lease)


async def _until_over(talker: Worker, fault: str) -> list[list[str]]:
    if fault != "killed":
        return await talker.until("over")
    before = await talker.until("hanging")
    talker.kill()
    return before


def _judged(said: list[list[list[str]]], lines: list[int], fault: str, lease: float) -> str:
    told = [line for talker in said for line in talker]
    done = {int(line[1]) for line in told if line[0] == "done"}
    failed = {int(line[1]): line[2] for line in told if line[0] == "failed"}
    sent = [int(line[1]) for line in told if line[0] == "sent"]
    assert len(lines) == len(set(lines)), "a message was answered twice"
    # A process that is killed says no more of what it had committed.
    unsaid = set(lines) - done
    assert done <= set(lines), "a turn that was acknowledged is lost"
    assert not unsaid if fault != "killed" else not unsaid & set(failed), "a turn that failed was saved"
    assert sorted(sent) == sorted(done) or fault == "killed", "a reply without its turn, or a turn without its reply"
    assert not set(sent) & set(failed), "a turn that failed has replied"
    if fault == "frozen":
        assert set(failed.values()) == {"TurnLost"}
    if fault == "raises":
        assert set(failed.values()) == {"LookupError"}
    for talker in said:
        own = [number for number in lines if any(line[:2] == ["in", str(number)] for line in talker)]
        assert own == sorted(own), "the order of a process's messages was not kept"
    return _live_turns_apart(told, done, fault, lease)


def _live_turns_apart(told: list[list[str]], done: set[int], fault: str, lease: float) -> str:
    begins = {int(line[1]): float(line[2]) for line in told if line[0] == "in"}
    ends = {int(line[1]): float(line[2]) for line in told if line[0] == "out"}
    spans = sorted((begins[number], ends[number]) for number in done)
    assert all(one[1] <= other[0] for one, other in pairwise(spans)), "two live turns overlap"
    longest = max(other[0] - one[1] for one, other in pairwise(spans))
    if fault in {"killed", "frozen"}:
        # A queue that is not waiting for anybody goes on at once; here it waited for the lease to run out.
        assert longest <= lease + 2.0, f"the next turn came {longest:.2f} s after the last one"
    return f"{len(done)} turns, the longest pause {longest * 1000:.0f} ms"


@pytest.mark.processes
@pytest.mark.requirement("D41", "D42", "D43", "D44", "D46", "D47", "D49", "D50")
@pytest.mark.parametrize("fault", ["frozen", "killed"])  # with all the others around them; the soak has each alone
async def test_one_chat_from_four_processes(one_log_url: str, fault: str) -> None:
    async with asyncio.timeout(50.0):
        assert await talk_from_processes(one_log_url, fault, messages=32, lease=0.6)
