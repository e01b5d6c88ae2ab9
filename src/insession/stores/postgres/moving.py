"""Marks and imports, and what is refused while the store does not stand open: see ``moving.sql``.

A mark is seen by what begins after its commit. What began before is waited for by two locks that are taken one after
the other, each alone, so that nobody waits for us while we wait for him.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any

from insession.kernel.events import fresh_epoch
from insession.kernel.marks import CHANGING, refusal
from insession.kernel.operations import Answer, Done, Import, Mark, Marked, Operation, Refused, Standing, Why
from insession.kernel.record import Item, Record

from .answers import Told
from .batch import Row, row_of
from .connections import Connections
from .schema import Schema

Plainly = Callable[[Sequence[Operation]], Awaitable[Sequence[Answer]]]


class Moving:
    """Applies what is about moving. ``tell`` hears that there may be something to read, ``plainly`` does the rest."""

    def __init__(
        self, connections: Connections, schema: Schema, tell: Callable[[Told], None], plainly: Plainly
    ) -> None:
        self._connections = connections
        self._space = schema.space
        self._tell = tell
        self._plainly = plainly
        self._stand = schema.call("stand", 4)
        self._settle = schema.call("settle_sessions", 0)
        self._take = schema.call("take", 4)

    async def apply(self, operations: Sequence[Operation]) -> list[Answer]:
        """A batch that holds marks or imports: what stands together goes together, in its order."""
        answers: list[Answer] = []
        for sort, group in groupby(operations, key=lambda one: type(one) if type(one) in {Mark, Import} else None):
            mine: list[Any] = list(group)
            if sort is Mark:
                answers += [await self._marked(mark) for mark in mine]
            elif sort is Import:
                answers += await self._imported(mine)
            else:
                answers += await self._plainly(mine)
        return answers

    async def refused(self, operations: Sequence[Operation], row: Row) -> list[Answer]:
        """The answers where the store does not stand open: what only reads goes on."""
        standing, store = row[5]
        reads = [one for one in operations if type(one) not in CHANGING]
        found = iter(await self._plainly(reads) if reads else ())
        refused = refusal(Standing(standing), store)
        return [refused if type(one) in CHANGING else next(found) for one in operations]

    async def _marked(self, mark: Mark) -> Marked:
        standing = None if mark.standing is None else mark.standing.value
        asked = (standing, mark.store, mark.number, fresh_epoch())
        ((stands, store, number),) = await self._connections.fetch(self._stand, *asked, safe=True)
        if mark.standing is not None:
            await self._connections.fetch(self._settle, safe=True)
            await self._connections.fetch("SELECT pg_advisory_xact_lock($1)", self._space, safe=True)
            self._tell(Told((), (1, 1, 0, 0, 1), handed=True))
            # What was under way has taken numbers meanwhile.
            ((stands, store, number),) = await self._connections.fetch(self._stand, None, "", 0, "", safe=True)
        return Marked(Standing(stands), store, number)

    async def _imported(self, imports: Sequence[Import]) -> list[Answer]:
        answers: list[Answer] = []
        for batch in _apart(imports):
            records = [row_of(one.one) for one in batch if isinstance(one.one, Record)]
            items = [_item_row(one.one) for one in batch if isinstance(one.one, Item)]
            gone = [one.key for one in batch if one.one is None]
            ((taken,),) = await self._connections.fetch(self._take, self._space, records, items, gone, safe=True)
            answers += [_answer(one) if taken else Refused(Why.STALE) for one in batch]
        return answers


def _apart(imports: Sequence[Import]) -> list[list[Import]]:
    """In batches that name nothing twice."""
    batches: list[list[Import]] = []
    keys: set[str] = set()
    for one in imports:
        if not batches or one.key in keys:
            batches.append([])
            keys.clear()
        batches[-1].append(one)
        keys.add(one.key)
    return batches


def _item_row(item: Item) -> Row:
    return (item.key, item.data, item.version, item.changes, item.owner, item.expires)


def _answer(ask: Import) -> Done:
    return Done((0 if ask.one is None else ask.one.version,))
