"""The command line: ``insession serve | ls | show | interrupt | events``.

Needs the extra: ``pip install 'insession[cli]'``; ``serve`` also ``insession[service]``.
"""

from __future__ import annotations

import sys

__all__ = ["main"]
_PARTS = frozenset({"typer", "rich", "httpx2"})


def main() -> None:
    """Run the command that the arguments say, and exit with its code."""
    try:
        from .commands import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PARTS:
            raise
        sys.exit(f"insession: {error.name} is not installed: pip install 'insession[cli]'")
    sys.exit(run())
