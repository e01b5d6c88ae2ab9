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
    # The deadline is twenty seconds, of which what hangs or blocks is given ten.
    "policy": {"concurrency": 4, "tries": 1, "margin": 10.0},
    "file_timeout": 20,
}


@pytest.mark.requirement("R45")
async def test_a_storm(tmp_path: Path) -> None:
    seen = await storm(tmp_path, files=300, drop_every=60, kills=(40, 100, 160), **MIXED)
    sorts = judge_answers(seen)
    judge_inputs(seen.counters, tmp_path)
    assert seen.counters.sent == 300
    assert set(seen.counters.drops) == {"transport", "disconnect", "restart", "half-open"}
    assert seen.counters.closed == ["finish"]
    assert sorts["unknown"] == 0
    # Most are solved; on a machine that is very busy most are late.
    assert sorts["solved"] > 0
    # Every 110th hangs, every 70th blocks, every 29th raises.
    assert sorts["fallback"] >= 2 + 4 + 10


@pytest.mark.requirement("R45")
async def test_a_storm_in_which_nothing_is_sent_twice(tmp_path: Path) -> None:
    seen = await storm(tmp_path, files=120, drop_every=24, kills=(20, 60), resend="never")
    sorts = judge_answers(seen)
    judge_inputs(seen.counters, tmp_path)
    assert seen.counters.repeats == 0
    # One answer is on its way at a time, and one more may be written down as leaving.
    assert sorts["unknown"] <= 2 * (len(seen.counters.drops) + 2)
