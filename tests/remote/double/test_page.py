"""The sample of the page about the double, and what the page lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from insession.testing.sankhya import DoubleSettings
from insession.testing.sankhya.faults import DEFAULT_WHEN
from tests.programs import ROOT

PAGE = (ROOT / "docs" / "sankhya-double.md").read_text("utf-8")


def test_the_sample_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSESSION_STORE", "sqlite:///sessions.db")
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/sankhya-double.md", "exec"), {})  # noqa: S102 - the page's own


def test_every_setting_and_every_fault_is_on_the_page() -> None:
    named = set(re.findall(r"`([a-z_0-9]+)`", PAGE))
    assert set(DoubleSettings.__struct_fields__) - named == set()
    assert set(DEFAULT_WHEN) - named == set()
