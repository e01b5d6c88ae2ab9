"""Run the Python blocks of a page one after another, as somebody who follows it does: ``python -m tests.pages PAGE``."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


async def run_page(page: Path) -> int:
    """How many blocks have run."""
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = _BLOCK.findall(page.read_text())
    for number, block in enumerate(blocks):
        where = f"{page.name}, block {number}"
        code = compile(block, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        awaitable = types.FunctionType(code, names)()
        if inspect.iscoroutine(awaitable):
            await awaitable
    return len(blocks)


if __name__ == "__main__":
    print(asyncio.run(run_page(Path(sys.argv[1]))), "blocks")
