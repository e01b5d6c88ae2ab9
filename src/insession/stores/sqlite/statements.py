"""The SQL of one namespace, and how its rows become records, items and events."""

from __future__ import annotations

from collections.abc import Collection
from itertools import compress
from pathlib import Path
from typing import Any, Final

import msgspec

from insession.kernel.events import Event, EventType
from insession.kernel.leases import Lease
from insession.kernel.operations import Mark
from insession.kernel.record import Item, Record, State

BULK: Final = 2000
"""Data of more bytes than this lies apart, so that a touch or an ending does not write it again."""
STATES: Final = (State.ACTIVE, State.INTERRUPTED, State.EXPIRED, State.CLOSED)
CODES: Final = {state: code for code, state in enumerate(STATES)}

COLUMNS: Final = (
    *("id", "kind", "owner", "node", "state", "version", "change", "opened", "touched", "window", "reach"),
    *("absolute", "due", "ended", "reason", "keep", "finish", "stopped", "rank", "look", "data"),
)
LOOK: Final = COLUMNS.index("look")
_RECORD: Final = (
    "s.number, s.id, s.kind, s.owner, s.node, s.state, s.version, s.change, s.opened, s.touched, "
    's."window", s.reach, s.absolute, s.due, s.ended, s.reason, s.keep, s.finish, s.stopped, '
    "coalesce(s.data, (SELECT b.data FROM bulk_$ AS b WHERE b.number = s.number))"
)
_ITEM: Final = "i.key, i.data, i.version, i.changes, i.owner, i.expires"
_EVENT: Final = "type, time, id, kind, owner, version, reason, change, node, position"
_PAGE: Final = "kind = ? AND state = ? AND (rank, id) > (?, ?) ORDER BY rank, id LIMIT ?"

_TYPES: Final = {str(one): one for one in EventType}
_to_json: Final = msgspec.json.Encoder().encode
_changes_from: Final = msgspec.json.Decoder(tuple[str, ...]).decode
mark_to: Final = msgspec.json.Encoder().encode
mark_from: Final = msgspec.json.Decoder(Mark).decode
lease_to: Final = msgspec.msgpack.Encoder().encode
lease_from: Final = msgspec.msgpack.Decoder(Lease).decode


class Statements:
    """Every statement about one namespace."""

    def __init__(self, namespace: str) -> None:
        def sql(text: str) -> str:
            for short, long in (
                ("{record}", _RECORD),
                ("{item}", _ITEM),
                ("{event}", _EVENT),
                ("{page}", _PAGE),
            ):
                text = text.replace(short, long)
            return text.replace("$", namespace)

        self._sql = sql
        self._updates: dict[tuple[bool, ...], str] = {}
        self.exists: str = sql("SELECT 1 FROM sqlite_schema WHERE name = 'state_$'")
        self.schema: str = sql((Path(__file__).with_name("schema.sql")).read_text("utf-8"))
        self.first_state: str = sql("INSERT INTO state_$ VALUES (?, 0, 1, 0, 0, '{}', NULL)")
        self.state: str = sql("SELECT number, first, position, handed, counts, mark FROM state_$")
        self.save_state: str = sql("UPDATE state_$ SET number = ?, first = ?, position = ?, handed = ?, counts = ?")
        self.save_mark: str = sql("UPDATE state_$ SET mark = ?")
        self.begin_epoch: str = sql("UPDATE state_$ SET epoch = ?")
        self._of_records()
        self._of_items()
        self._of_log()

    def _of_records(self) -> None:
        sql = self._sql
        wanted = "FROM json_each(?) AS wanted CROSS JOIN"
        self.record: str = sql("SELECT {record} FROM sessions_$ AS s WHERE s.id = ?")
        self.records: str = sql("SELECT {record} " + wanted + " sessions_$ AS s ON s.id = wanted.value")
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        self.insert: str = sql("INSERT INTO sessions_$ VALUES (!)").replace("!", marks)
        self.delete: str = sql("DELETE FROM sessions_$ WHERE number = ?")
        self.put_bulk: str = sql("INSERT OR REPLACE INTO bulk_$ VALUES (?, ?)")
        self.delete_bulk: str = sql("DELETE FROM bulk_$ WHERE number = ?")
        walk = "SELECT {record} FROM sessions_$ AS s INDEXED BY "
        self.ranked: str = sql(walk + "ranked_$ WHERE {page}")
        self.finish: str = sql(walk + "finish_$ WHERE finish = 1 AND {page}")
        self.owned: str = sql(walk + "owned_$ WHERE owner = ? AND {page}")
        self.placed: str = sql(walk + "placed_$ WHERE node = ? AND {page}")
        sweep = " INDEXED BY sweep_$ WHERE kind = ? AND look <= ? ORDER BY look, id LIMIT ?"
        self.due: str = sql("SELECT {record} FROM sessions_$ AS s!").replace("!", sql(sweep))
        self.looks: str = sql("SELECT number, state, due, look FROM sessions_$!").replace("!", sql(sweep))
        self.look_again: str = sql("UPDATE sessions_$ SET look = ? WHERE number = ?")
        count = "SELECT count(*) FROM sessions_$ INDEXED BY "
        self.count_owned: str = sql(count + "owned_$ WHERE owner = ? AND kind = ? AND state = ?")
        self.counts_owned: str = sql(
            "SELECT wanted.value, (SELECT count(*) FROM sessions_$ INDEXED BY owned_$ "
            "WHERE owner = wanted.value AND kind = ? AND state = 0) FROM json_each(?) AS wanted"
        )
        self.count_placed: str = sql(count + "placed_$ WHERE node = ? AND kind = ? AND state = ?")
        self.count_finish: str = sql(count + "finish_$ WHERE finish = 1 AND kind = ? AND state = ?")

    def _of_items(self) -> None:
        sql = self._sql
        wanted = "FROM json_each(?) AS wanted CROSS JOIN"
        self.item: str = sql("SELECT {item} FROM items_$ AS i WHERE i.key = ?")
        self.items: str = sql("SELECT {item} " + wanted + " items_$ AS i ON i.key = wanted.value")
        self.put_item: str = sql(
            "INSERT INTO items_$ VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "version = excluded.version, changes = excluded.changes, owner = excluded.owner, "
            "expires = excluded.expires, data = excluded.data"
        )
        self.delete_item: str = sql("DELETE FROM items_$ WHERE key = ?")
        page = "SELECT {item} FROM items_$ AS i "
        self.items_from: str = sql(page + "WHERE key >= ? AND key < ? ORDER BY key LIMIT ?")
        self.items_after: str = sql(page + "WHERE key > ? AND key < ? ORDER BY key LIMIT ?")
        self.items_owned: str = sql(page + "INDEXED BY items_owned_$ WHERE owner = ? AND key > ? ORDER BY key LIMIT ?")
        self.items_expired: str = sql(
            page + "INDEXED BY items_expire_$ WHERE expires <= ? AND expires < 9e999 ORDER BY expires, key LIMIT ?"
        )
        self.lease: str = sql("SELECT body FROM leases_$ WHERE name = ?")
        self.put_lease: str = sql(
            "INSERT INTO leases_$ VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET body = excluded.body, until = excluded.until"
        )
        self.leases_over: str = sql("SELECT body FROM leases_$ WHERE until <= ? LIMIT ?")
        self.delete_lease: str = sql("DELETE FROM leases_$ WHERE name = ?")
        self.leases_from: str = sql("SELECT body FROM leases_$ WHERE name >= ? AND name < ? ORDER BY name LIMIT ?")
        self.leases_after: str = sql("SELECT body FROM leases_$ WHERE name > ? AND name < ? ORDER BY name LIMIT ?")

    def _of_log(self) -> None:
        sql = self._sql
        self.append: str = sql("INSERT INTO events_$ VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        self.bounds: str = sql("SELECT epoch, first, position FROM state_$")
        self.events: str = sql(
            "SELECT {event} FROM events_$ WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
        )
        self.events_of: str = sql(
            "SELECT {event} FROM events_$ WHERE position > ? AND position <= ? "
            "AND type IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT ?"
        )
        self.heads: str = sql("SELECT position, time FROM events_$ ORDER BY position LIMIT ?")
        self.trim: str = sql("DELETE FROM events_$ WHERE position < ?")
        self.forget: str = sql(
            "DELETE FROM events_$ WHERE position IN "
            "(SELECT position FROM events_$ WHERE owner = ? ORDER BY position LIMIT ?)"
        )
        self.sight: str = sql("SELECT position, handed FROM state_$")
        self.types: str = sql("SELECT DISTINCT type FROM events_$ WHERE position > ? AND position <= ?")

    def update(self, changed: tuple[bool, ...]) -> str:
        """The statement that writes these columns of a session; indexes without them stay as they are."""
        text = self._updates.get(changed)
        if text is None:
            names = [f'"{name}" = ?' for name in compress(COLUMNS, changed)]
            text = self._updates[changed] = self._sql("UPDATE sessions_$ SET ! WHERE number = ?").replace(
                "!", ", ".join(names)
            )
        return text


def row_of(record: Record) -> tuple[Any, ...]:
    """A record in the order of `COLUMNS`."""
    live = record.state is State.ACTIVE
    data = record.data
    return (
        record.id,
        record.kind,
        record.owner,
        record.node,
        0 if live else CODES[record.state],
        record.version,
        record.change,
        record.opened,
        record.touched,
        record.window,
        record.reach,
        record.absolute,
        record.due,
        record.ended,
        record.reason,
        record.keep,
        1 if record.finish else 0,
        record.stopped,
        record.opened if live else record.gone,
        record.due if live else None,
        data if len(data) <= BULK else None,
    )


def record_of(row: tuple[Any, ...]) -> Record:
    """The record in a row of ``{record}``, which begins with its number."""
    _, session_id, kind, owner, node, state, version, change, opened, touched = row[:10]
    window, reach, absolute, due, ended, reason, keep, finish, stopped, data = row[10:]
    return Record(
        session_id,
        kind,
        owner,
        node,
        STATES[state],
        version,
        change,
        opened,
        touched,
        window,
        reach,
        absolute,
        due,
        ended,
        reason,
        keep,
        finish == 1,
        stopped,
        data,
    )


def json_list(values: Collection[str]) -> str:
    """Values as a statement takes a list of any length."""
    return _to_json(list(values)).decode()


def item_row(item: Item, number: int) -> tuple[Any, ...]:
    """An item as its table takes it; the number counts only if it is new."""
    changes = _to_json(item.changes).decode()
    return (number, item.key, item.version, changes, item.owner, item.expires, item.data)


def item_of(row: tuple[Any, ...]) -> Item:
    """The item in a row of ``{item}``."""
    key, data, version, changes, owner, expires = row
    return Item(key, data, version, _changes_from(changes), owner, expires)


def event_row(event: Event, position: int) -> tuple[Any, ...]:
    """An event as its table takes it."""
    return (
        position,
        event.type.value,
        event.time,
        event.id,
        event.kind,
        event.owner,
        event.version,
        event.reason,
        event.change,
        event.node,
    )


def event_of(row: tuple[Any, ...]) -> Event:
    """The event in a row of ``{event}``."""
    return Event(_TYPES[row[0]], *row[1:])
