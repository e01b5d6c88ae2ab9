"""Whatever happens on the way: every file that the platform sent has exactly one answer, its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from .storm import judge_answers, judge_inputs, storm

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
MIXED = {"solution": "tests.exchange.solving:mixed", "isolation": "process", "policy": {"concurrency": 8, "tries": 1}}


@pytest.mark.requirement("R45")
async def test_a_storm(tmp_path: Path) -> None:
    seen = await storm(tmp_path, files=300, drop_every=60, kills=(40, 130, 220), **MIXED)
    print(seen.told, seen.counters.drops)
    sorts = judge_answers(seen)
    judge_inputs(seen.counters, tmp_path)
    assert seen.counters.sent == 300
    assert set(seen.counters.drops) == {"transport", "disconnect", "restart", "half-open"}
    assert seen.counters.closed == ["finish"]
    assert sorts["unknown"] == 0
    assert sorts["fallback"] < 60


@pytest.mark.requirement("R45")
async def test_a_storm_in_which_nothing_is_sent_twice(tmp_path: Path) -> None:
    seen = await storm(tmp_path, files=300, drop_every=60, kills=(40, 130, 220), resend="never")
    judge_answers(seen)
    judge_inputs(seen.counters, tmp_path)
    assert seen.counters.repeats == 0
