"""``python -m tests.exchange.participating start|reconnect OPTIONS``: a participant as a process, which may be killed.

OPTIONS are JSON: settings of `ExchangeSettings`, and ``solution``, ``isolation``, ``policy``. It says what happens, a
line each.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from insession.exchange.answering import Policy
from insession.exchange.contracts import ExchangeEvent, What
from insession.exchange.options import SessionStarterOptions
from insession.exchange.session import Session
from insession.exchange.settings import ExchangeSettings
from tests.exchange import failing


def say(*words: object) -> None:
    print(*words, flush=True)


def tell(event: ExchangeEvent) -> None:
    """Only what is rare: a line for each file would be most of the work."""
    if event.what in {What.UNKNOWN, What.FAILED, What.FALLBACK, What.REFUSED, What.JOINED, What.STARTED}:
        say(event.what.value, event.file_id if event.file_id is not None else event.session_id, event.message)


async def participate(verb: str, options: dict[str, Any]) -> None:
    policy = Policy(**options.pop("policy", {}), fallback=failing.fallback)
    solution, isolation = options.pop("solution", "tests.exchange.failing:steady"), options.pop("isolation", "auto")
    settings = ExchangeSettings(**options)
    async with Session(settings, solution=solution, isolation=isolation, policy=policy, on_event=tell) as session:
        if verb == "start":
            await session.start(SessionStarterOptions(file_count=10, file_timeout=20))
        else:
            await session.reconnect()
        outcome = await session.wait()
    say("ended", outcome.value)


if __name__ == "__main__":
    # What it has to say it says by `tell`.
    logging.getLogger("insession.exchange").addHandler(logging.NullHandler())
    asyncio.run(participate(sys.argv[1], json.loads(sys.argv[2])))
