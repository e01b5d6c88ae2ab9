"""Whatever happens on the way: every file that the platform sent has exactly one answer, its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from .storm import judge_answers, judge_inputs, storm

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
MIXED: Final[Mapping[str, Any]] = {
    "solution": "tests.exchange.failing:mixed",
    "isolation": "process",
    # The deadline is twenty seconds, of which what hangs or blocks is given eight.
    "policy": {"concurrency": 4, "tries": 1, "margin": 12.0},
    "file_timeout": 20,
}


@pytest.mark.requirement("R45")
async def test_a_storm(tmp_path: Path) -> None:
    seen = await storm(tmp_path, files=150, drop_every=30, kills=(20, 50, 80), interval=0.04, **MIXED)
    sorts = judge_answers(seen)
    judge_inputs(seen.counters, tmp_path)
    assert seen.counters.sent == 150
    assert set(seen.counters.drops) == {"transport", "disconnect", "restart", "half-open"}
    assert seen.counters.closed == ["finish"]
    assert sorts["unknown"] == 0
    # Most are solved; on a machine that is very busy some are late.
    assert sorts["solved"] > 10
    # Every 110th hangs, every 70th blocks, every 29th raises.
    assert sorts["fallback"] >= 1 + 2 + 5


@pytest.mark.requirement("R45")
async def test_a_storm_in_which_nothing_is_sent_twice(tmp_path: Path) -> None:
    seen = await storm(tmp_path, files=120, drop_every=24, kills=(20, 60), resend="never")
    sorts = judge_answers(seen)
    judge_inputs(seen.counters, tmp_path)
    assert seen.counters.repeats == 0
    # One answer is on its way at a time, and one more may be written down as leaving.
    assert sorts["unknown"] <= 2 * (len(seen.counters.drops) + 2)
