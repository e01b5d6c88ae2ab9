"""What lies in the store of a dialogue."""

from __future__ import annotations

from typing import Any

from insession.dialogue import Dialogue
from insession.kernel.engine import Engine
from insession.kernel.operations import Find
from insession.kernel.record import Record


def engine_of(dialogue: Dialogue) -> Engine:
    engine: Engine = dialogue.driver.engine  # type: ignore[attr-defined]
    return engine


async def everything(dialogue: Dialogue) -> tuple[list[Record], dict[str, Any]]:
    """All records that live, and all items, as they are: versions and deadlines too."""
    engine = engine_of(dialogue)
    records = (await engine._ask(Find("all", None))).entries
    items = (await engine._ask(Find("item", ""))).entries
    return list(records), {item.key: item for item in items}


async def lease_names(dialogue: Dialogue) -> list[str]:
    """The leases that somebody holds or waits for, once what was given back has arrived."""
    engine = engine_of(dialogue)
    # Behind what was sent without waiting for its answer.
    found = await engine.batcher.send(Find("lease", ""))
    return [lease.name for lease in found.entries]
