"""A lone operation, as a plain statement: half the cost of the call that takes any batch.

Where something stands in its way it changes nothing, and `Alone.apply` answers None: the general call then says what
it is. So a refusal costs a second trip. Only an opening, which makes room for itself, asks the general call within its
own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from insession.kernel.operations import (
    Answer,
    Commit,
    Done,
    End,
    Guard,
    Load,
    Loaded,
    Operation,
    Patch,
    Touch,
    Touched,
)
from insession.kernel.record import Record, State

from .answers import FIELDS, Told, answers_of, record_of
from .batch import CODES, Row, limits_of, lock_number
from .connections import Connections
from .schema import Schema

_UPDATED: Final = frozenset({Guard.VERSION, Guard.LIVE})


class Alone:
    """Sends operations that come alone. ``tell`` is called with what became visible."""

    def __init__(
        self, connections: Connections, schema: Schema, tell: Callable[[Told], None], *, server_clock: bool
    ) -> None:
        self._connections = connections
        self._server_clock = server_clock
        self._space = schema.space
        self._tell = tell
        self._ways: dict[type[Any], Callable[[Any], Awaitable[Answer | None]]] = {
            Load: self._load,
            Touch: self._touch,
            Commit: self._commit,
            End: self._end,
        }
        lock = (
            "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($1::bigint)) UPDATE @sessions AS s SET "
        )
        live = " FROM locked WHERE s.id = $2 AND s.state < 1 AND s.due > $3"
        self._record = schema.sql(f"SELECT {FIELDS} FROM @sessions WHERE id = $1")  # noqa: S608 - our own words
        self._touching = schema.sql(
            lock
            + "touched = $3, due = greatest(least($3 + s.reach, s.absolute), s.due)"
            + live
            + " AND s.opened < $4 AND $3 - s.touched > $5 RETURNING s.due"
        )
        self._updating = schema.sql(
            lock
            + "version = nextval('@number'), change = $4, data = coalesce($6::bytea, s.data)"
            + live
            + " AND s.change <> $4 AND s.version = coalesce($5::bigint, s.version) RETURNING s.version"
        )
        self._opening = schema.call("open_alone", 23)
        self._ending = schema.call("end_alone", 9)

    async def apply(self, operation: Operation) -> Answer | None:
        """Its answer, or None: it was not sent, or refused."""
        way = self._ways.get(type(operation))
        return None if way is None else await way(operation)

    async def _load(self, ask: Load) -> Loaded | None:
        if ask.under is not None or len(ask.keys) != 1 or "/" in ask.keys[0]:
            return None
        rows = await self._connections.fetch(self._record, ask.keys[0], safe=True)
        return Loaded((record_of(rows[0]) if rows else None,))

    async def _touch(self, ask: Touch) -> Touched | None:
        rows = await self._connections.fetch(
            self._touching, self._space, ask.id, ask.at, ask.before, ask.window, safe=False
        )
        return Touched(rows[0][0]) if rows else None

    async def _commit(self, ask: Commit) -> Answer | None:
        part = ask.patches[0]
        if len(ask.patches) > 1 or not isinstance(part, Patch) or ask.fence is not None or ask.again:
            return None
        if part.record is not None:
            return await self._open(ask, part, part.record)
        if part.guard not in _UPDATED or part.fields or part.event is not None:
            return None
        version = part.version if part.guard is Guard.VERSION else None
        rows = await self._connections.fetch(
            self._updating, self._space, part.id, ask.at, ask.change, version, part.data, safe=False
        )
        return Done((rows[0][0],)) if rows else None

    async def _open(self, ask: Commit, part: Patch, one: Record) -> Answer | None:
        if one.state is not State.ACTIVE or one.ended or one.reason is not None or one.stopped is not None:
            return None
        if any(limit.over == "kind" for limit in ask.limits):
            return None
        names, most = {lock_number(self._space, "session", one.id)}, None
        if ask.limits and one.owner is not None:
            names.add(lock_number(self._space, "owner", one.kind, one.owner))
            most = min(limit.most for limit in ask.limits)
        rows = await self._connections.fetch(
            self._opening,
            *(self._server_clock, self._space, sorted(names), most, limits_of(ask)),
            *(one.id, one.kind, one.owner, one.node, one.change, one.opened, one.touched, one.window, one.reach),
            *(one.absolute, one.due, one.keep, one.finish, one.data),
            *(None if part.event is None else part.event.value, part.reason, ask.at, ask.node),
            safe=False,
        )
        return self._answered(ask, rows)

    async def _end(self, ask: End) -> Answer | None:
        pick, how = ask.pick, ask.ending
        if pick.index != "id" or pick.value is None:
            return None
        rows = await self._connections.fetch(
            self._ending,
            *(self._space, pick.value, pick.before, how.at, CODES[how.state], how.reason),
            *(how.guard is Guard.DUE, how.change, how.node),
            safe=False,
        )
        return self._answered(ask, rows) if rows else None

    def _answered(self, operation: Operation, rows: Sequence[Row]) -> Answer:
        (answer,), told = answers_of((operation,), rows)
        if told is not None:
            self._tell(told)
        return answer
