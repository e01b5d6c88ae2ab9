"""Solutions of the tests: what is right for a file can be told from its bytes, whoever computes it."""

from __future__ import annotations

import hashlib
import json
import time

from insession.exchange.epicrisis import Epicrisis

HANGS, BLOCKS, RAISES = 110, 70, 29
"""Every so many-th file."""


def right(sha256: str) -> str:
    """The answer to a file with bytes of this digest."""
    return json.dumps([{"sha256": sha256}])


def fallback(epicrisis: Epicrisis) -> str:
    """What stands in; it says for which file."""
    return json.dumps([{"instead": epicrisis.id}])


async def steady(epicrisis: Epicrisis) -> str:
    """Answers each file, at once."""
    return right(hashlib.sha256(epicrisis.content).hexdigest())


def spoilt(number: int) -> str:
    """What happens to the n-th file under `mixed`; nothing to most."""
    for every, what in ((HANGS, "hangs"), (BLOCKS, "blocks"), (RAISES, "raises")):
        if number % every == 0:
            return what
    return ""


def mixed(epicrisis: Epicrisis) -> str:
    """Hangs, blocks a CPU, raises, or answers; to be run in processes."""
    return _answer(epicrisis, spoilt(int(epicrisis.id)))


def rarely(epicrisis: Epicrisis) -> str:
    """The same, a tenth as often: a session of thousands of files."""
    number = int(epicrisis.id)
    return _answer(epicrisis, "" if number % 10 else spoilt(number // 10))


def _answer(epicrisis: Epicrisis, what: str) -> str:
    if what == "raises":
        raise ValueError(what)
    while what:
        # One that hangs sleeps, one that blocks computes.
        time.sleep(3_600 if what == "hangs" else 0)
    return right(hashlib.sha256(epicrisis.path_to_xml.read_bytes()).hexdigest())
