"""Runs the samples of a document, with their lines as they stand there."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"


class Samples:
    """The samples of a document, which share what they bind, as somebody who follows it from top to bottom does.

    What a fragment takes for granted is given as a keyword. ``replaced`` names what cannot run as printed, and what
    stands there instead; each has to be in the sample once.
    """

    def __init__(self, document: str) -> None:
        self.files: list[Path] = sorted((SAMPLES / document).glob("*.py"))
        self.names: dict[str, Any] = {}

    async def run(self, name: str, /, **given: Any) -> dict[str, Any]:
        """Run the sample of that name; what is bound afterwards."""
        awaitable = self._started(name, {}, given)()
        if inspect.iscoroutine(awaitable):
            await awaitable
        return self.names

    def run_plain(self, name: str, /, replaced: dict[str, str] | None = None, **given: Any) -> dict[str, Any]:
        """Run a sample of a plain program, which may start a loop of its own."""
        self._started(name, replaced or {}, given)()
        return self.names

    def _started(self, name: str, replaced: dict[str, str], given: dict[str, Any]) -> Callable[[], Any]:
        (file,) = [one for one in self.files if one.stem.partition("_")[2] == name]
        text = file.read_text("utf-8")
        for printed, instead in replaced.items():
            assert text.count(printed) == 1, f"{printed!r} is not once in {file.name}"
            text = text.replace(printed, instead)
        code = compile(text, str(file), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        self.names |= given
        return types.FunctionType(code, self.names)
