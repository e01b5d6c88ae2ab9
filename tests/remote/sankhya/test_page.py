"""The page on Sankhya is run as its readers would."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import types
from pathlib import Path
from typing import Any

import pytest

from insession.testing import SankhyaDouble

PAGE = Path(__file__).parents[3] / "docs" / "sankhya.md"


def test_every_block_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    with SankhyaDouble(answers={"CACSP.incluirNota": "<pk><NUNOTA>7</NUNOTA></pk>"}) as double:
        monkeypatch.setenv("SANKHYA_BASE_URL", double.url)
        monkeypatch.setenv("SANKHYA_USERNAME", "SUP")
        monkeypatch.setenv("SANKHYA_PASSWORD", "secret")
        double.inject("reset_after", service="saveRecord", nth=3)
        for number, block in enumerate(blocks):
            code = compile(block, f"block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            # Unlike other pages: blocking ones run where no loop does.
            awaitable = types.FunctionType(code, names)()
            if inspect.iscoroutine(awaitable):
                asyncio.run(awaitable)
        assert len(blocks) == 4
        assert names["number"] == "7"
        assert "São Paulo" in capsys.readouterr().out
        counters = double.counters
        assert (counters.saves_received, counters.live_sessions, double.count()) == (3, 0, 3)
        assert counters.violations == ()
