"""The Python blocks of a page, run one after another as its readers do: ``python -m tests.pages PAGE``."""

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


async def run_blocks(page: str, name: str) -> int:
    """How many blocks have run."""
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = _BLOCK.findall(page)
    for number, block in enumerate(blocks):
        where = f"{name}, block {number}"
        code = compile(block, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        awaitable = types.FunctionType(code, names)()
        if inspect.iscoroutine(awaitable):
            await awaitable
    return len(blocks)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    print(asyncio.run(run_blocks(path.read_text(), path.name)), "blocks")
