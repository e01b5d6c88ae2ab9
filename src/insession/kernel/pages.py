"""Pages and numbers of the indexes: what `Find` and `Count` mean, over rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from insession.errors import InvalidInput
from insession.kernel.operations import Count, Counted, Find, Found, Pick
from insession.kernel.record import Record, State
from insession.kernel.rows import Place, Rows

_ORDER: Final = {state: place for place, state in enumerate(State)}


def find(rows: Rows, ask: Find) -> Found:
    """A page of an index."""
    if ask.index in {"item", "item owner", "lease"}:
        return _find_by_key(rows, ask)
    records: list[Record] = []
    start = place_of(ask.after)
    for kind in kinds_of(rows, ask):
        for state in State if ask.state is None else (ask.state,):
            where = (kind, _ORDER[state])
            if start is not None and where < start[0]:
                continue
            after = start[1] if start is not None and where == start[0] else None
            records += rows.walk(ask, kind, state, after, ask.most + 1 - len(records))
            if len(records) > ask.most:
                page = records[: ask.most]
                return Found(tuple(page), cursor_of(page[-1]))
    return Found(tuple(records))


def _find_by_key(rows: Rows, ask: Find) -> Found:
    value, after, most = ask.value or "", ask.after or "", ask.most + 1
    entries: list[Any]
    if ask.index == "lease":
        entries = [lease.view() for lease in rows.leases(value, after, most)]
        keys = [view.name for view in entries]
    else:
        entries = list((rows.items if ask.index == "item" else rows.items_of)(value, after, most))
        keys = [item.key for item in entries]
    more = len(entries) > ask.most
    return Found(tuple(entries[: ask.most]), keys[ask.most - 1] if more else None)


def count(rows: Rows, ask: Count) -> Counted:
    """How many sessions an index holds."""
    states = State if ask.state is None else (ask.state,)
    pairs = [(kind, state) for kind in kinds_of(rows, ask) for state in states]
    return Counted(sum(rows.count(ask.index, ask.value, kind, state) for kind, state in pairs))


def kinds_of(rows: Rows, ask: Pick | Find | Count) -> Iterable[str]:
    """The kinds that a pick, a page or a number speaks of, in order."""
    if ask.index == "kind":
        return (ask.value or "",) if ask.kind in {None, ask.value} else ()
    if ask.kind is not None:
        return (ask.kind,)
    return [name for name in rows.kinds() if ask.index == "due" or not name.startswith("~")]


def after_kind(kind: str) -> str:
    """A cursor behind every session of a kind: no state has that number, and no id sorts behind that one."""
    return f"{kind}|{len(State)}|inf|~"


def cursor_of(record: Record) -> str:
    """Where a page goes on that ended with this record."""
    return f"{record.kind}|{_ORDER[record.state]}|{record.rank!r}|{record.id}"


def place_of(cursor: str | None) -> tuple[tuple[str, int], Place] | None:
    """Kind, number of the state, and place behind which a page begins; `InvalidInput` names ``after``."""
    if cursor is None:
        return None
    try:
        kind, state, rank, session_id = cursor.split("|", 3)
        return (kind, int(state)), (float(rank), session_id)
    except ValueError:
        raise InvalidInput("after", "is not one that a page gave out") from None
