"""A process with a desk of its own, which says when it has come as far as it can, and then waits to be killed.

Files whose id begins with ``acked`` are acknowledged, ``sent`` are not, and ``slow`` are never solved.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from insession.exchange.answering import Policy
from insession.exchange.contracts import Outgoing, What
from insession.exchange.epicrisis import Epicrisis

from .desks import Line, received, serving

COUNT = 5


class Worker:
    """A solution whose calls are counted in a file, and whose answers come never twice."""

    def __init__(self, root: Path) -> None:
        self._calls = root / "calls"

    async def __call__(self, epicrisis: Epicrisis) -> str:
        with self._calls.open("a") as calls:
            calls.write(f"{epicrisis.id}\n")
        if str(epicrisis.id).startswith("slow"):
            await asyncio.Event().wait()
        return f"{epicrisis.id} {os.urandom(8).hex()}"


async def main(root: Path) -> None:
    line = Line(acknowledges=False)
    plain = line.send

    async def send(outgoing: Outgoing) -> None:
        await plain(outgoing)
        with (root / "answers").open("a") as answers:
            answers.write(outgoing.answer.text.decode() + "\n")
        if str(outgoing.file_id).startswith("acked") and line.desk is not None:
            await line.desk.acknowledged(outgoing.file_id)

    line.send = send  # type: ignore[method-assign]
    policy = Policy(concurrency=100)
    async with serving(root, Worker(root), line=line, policy=policy) as (desk, _):
        for sort in ("acked", "sent", "slow"):
            for number in range(COUNT):
                await desk.take_in(received(f"{sort}-{number}", f"<{sort} {number}/>".encode()))
        await line.told(What.SOLVING, 3 * COUNT)
        await line.until(lambda: len(line.sent) == 2 * COUNT)
        await line.told(What.ACKNOWLEDGED, COUNT)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
