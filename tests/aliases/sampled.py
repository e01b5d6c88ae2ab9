"""Runs the samples of a document, with their lines as they stand there."""

from __future__ import annotations

import ast
import inspect
import types
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"


class Samples:
    """The samples of a document, which share what they bind, as somebody who follows it from top to bottom does.

    What a fragment takes for granted is given as a keyword.
    """

    def __init__(self, document: str) -> None:
        self.files: list[Path] = sorted((SAMPLES / document).glob("*.py"))
        self.names: dict[str, Any] = {}

    async def run(self, name: str, /, **given: Any) -> dict[str, Any]:
        """Run the sample of that name; what is bound afterwards."""
        (file,) = [one for one in self.files if one.stem.partition("_")[2] == name]
        code = compile(file.read_text(), str(file), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        self.names |= given
        awaitable = types.FunctionType(code, self.names)()
        if inspect.iscoroutine(awaitable):
            await awaitable
        return self.names
