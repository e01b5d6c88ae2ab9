"""Removing what is over: what `Purge` means, over rows."""

from __future__ import annotations

from insession.kernel.operations import Counted, Find, Pick, Purge
from insession.kernel.record import ENDS, Record
from insession.kernel.rows import Rows


def purge(rows: Rows, ask: Purge) -> Counted:
    """Remove some of what is over."""
    if ask.owner is not None:
        return _purge_owner(rows, ask, ask.owner)
    if ask.kind is not None:
        return _purge_kind(rows, ask, ask.kind)
    expired = rows.items_expired(ask.before, ask.most)
    for item in expired:
        rows.remove(item)
    over = rows.leases_over(ask.before, ask.most)
    for lease in over:
        rows.keep_lease(lease.name, None)
    events = rows.trim(ask.before, ask.most)
    return Counted(len(expired) + len(over) + events, max(len(expired), len(over), events) >= ask.most)


def _purge_kind(rows: Rows, ask: Purge, kind: str) -> Counted:
    over = 0
    if ask.count is not None:
        over = max(0, sum(rows.count("kind", kind, kind, state) for state in ENDS) - ask.count)
    heads = [one for state in ENDS for one in rows.walk(Pick("kind", kind), kind, state, None, ask.most)]
    heads.sort(key=lambda record: (record.gone, record.id))
    old = [
        record
        for place, record in enumerate(heads[: ask.most])
        if not record.finish and (record.gone <= ask.before or place < over)
    ]
    for record in old:
        remove(rows, record)
    return Counted(len(old), len(old) >= ask.most)


def _purge_owner(rows: Rows, ask: Purge, owner: str) -> Counted:
    number = 0
    find = Find("owner", owner)
    for kind in list(rows.kinds()):
        for state in ENDS:
            page = rows.walk(find, kind, state, None, ask.most - number)
            for record in page:
                remove(rows, record)
            number += len(page)
    items = rows.items_of(owner, "", ask.most - number)
    for item in items:
        rows.remove(item)
    number += len(items)
    number += rows.forget(owner, ask.most - number)
    return Counted(number, number >= ask.most)


def remove(rows: Rows, record: Record) -> None:
    """Remove a record with what lies under it."""
    while page := rows.items(f"{record.id}/", "", 64):
        for item in page:
            rows.remove(item)
    rows.drop(record)
