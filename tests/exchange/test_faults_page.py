"""docs/exchange-faults.md names a test for each fault, and the tests are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "exchange-faults.md"


def test_each_fault_has_its_row_and_each_row_its_tests() -> None:
    rows = re.findall(r"^\| (W\d+) \|.*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [f"W{number}" for number in range(1, 35)]
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text("utf-8")))
    written = {
        name for path in HERE.glob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    assert named - written == set()


def test_a_row_without_a_test_says_why() -> None:
    for row in re.findall(r"^\| W\d+ \|.*$", PAGE.read_text("utf-8"), re.MULTILINE):
        assert "`test_" in row or "Ruled out" in row
