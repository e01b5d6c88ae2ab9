"""The command line: ``insession serve | ls | show | open | touch | interrupt | close | ...``, see docs/cli.md.

Needs the extra: ``pip install 'insession[cli]'``; ``serve`` also ``insession[service]``.
"""

from __future__ import annotations

import sys

__all__ = ["main"]
_PARTS = {
    "typer": "cli",
    "rich": "cli",
    "httpx2": "cli",
    "pydantic": "cli",
    "pydantic_settings": "cli",
    "aiohttp": "exchange",
    "socketio": "exchange",
    "engineio": "exchange",
}
"""By the extra that brings them."""


def main() -> None:
    """Run the command that the arguments say, and exit with its code."""
    try:
        from .commands import run

        code = run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _PARTS:
            raise
        sys.exit(f"insession: {missing} is not installed: pip install 'insession[{_PARTS[missing]}]'")
    except KeyboardInterrupt:
        # Before a command had begun.
        code = 130
    sys.exit(code)
