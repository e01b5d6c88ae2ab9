"""Operations as an engine makes them, in few words; and asking a store, where the type of the answer is asserted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, TypeVar

from insession.kernel.contract import Store
from insession.kernel.events import START, Event, EventType
from insession.kernel.ids import named_id
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Answer,
    Commit,
    Done,
    End,
    Ending,
    Ends,
    Fence,
    Find,
    Found,
    Guard,
    Index,
    Load,
    Loaded,
    Operation,
    Patch,
    Pick,
    Put,
    Refused,
    Touch,
    Touched,
    Why,
)
from insession.kernel.record import NEVER, Item, Record, State
from insession.kernel.rules import due_at

KIND: Final = "call"
NODE: Final = "node-of-the-suite"
_changes = count(1)
_A = TypeVar("_A", bound=Answer)


def fresh_change() -> str:
    """A change id that nobody had, in no process of this host."""
    return f"change-{os.getpid()}-{next(_changes)}"


def sid(name: str, owner: str | None = None, *, kind: str = KIND, by_kind: bool = False) -> str:
    """The id of a session; those of one owner, and those without one, lie in one partition."""
    return named_id(kind, owner if owner is not None else "nobody", name, by_kind=by_kind)


def session(
    name: str,
    at: float,
    *,
    kind: str = KIND,
    owner: str | None = None,
    idle: float = 60.0,
    window: float = 0.0,
    absolute: float = NEVER,
    by_kind: bool = False,
    **fields: Any,
) -> Record:
    """A record that begins at a time; `name` is a word for it, or the id of an earlier life.

    ``by_kind``: it lies with all others of its kind, which has a limit over all owners.
    """
    record = Record(
        id=sid(name, owner, kind=kind, by_kind=by_kind),
        kind=kind,
        owner=owner,
        node=None,
        state=State.ACTIVE,
        version=0,
        change=fresh_change(),
        opened=at,
        touched=at,
        window=window,
        reach=idle + window,
        absolute=absolute,
        due=due_at(at, idle + window, absolute),
        ended=0.0,
        reason=None,
        keep=3600.0,
        finish=False,
        stopped=None,
        data=b"",
    )
    return replaced(record, **fields)


def replaced(record: Record, **fields: Any) -> Record:
    """A copy with some fields changed: a store owns the record that it is handed, so hand it a copy."""
    return Record(**{name: fields.get(name, getattr(record, name)) for name in Record.__struct_fields__})


def opening(record: Record, *parts: Put, limits: Sequence[Limit] = (), fence: Fence | None = None) -> Commit:
    """The opening of a session, with an event."""
    patch = Patch(record.id, Guard.ABSENT, record=replaced(record), event=EventType.OPENED)
    return Commit(record.opened, record.change, NODE, (patch, *parts), tuple(limits), fence)


def update(
    session_id: str,
    at: float,
    *parts: Put,
    version: int = 0,
    guard: Guard | None = None,
    data: bytes | None = None,
    fields: Mapping[str, Any] | None = None,
    event: EventType | None = None,
    reason: str | None = None,
    fence: Fence | None = None,
    change: str | None = None,
) -> Commit:
    """A change of a record; under the guard version where one is given, else under live."""
    guard = guard or (Guard.VERSION if version else Guard.LIVE)
    patch = Patch(session_id, guard, version, None, fields, data, event, reason)
    return Commit(at, change or fresh_change(), NODE, (patch, *parts), fence=fence)


def writing(at: float, *puts: Put, change: str | None = None, fence: Fence | None = None) -> Commit:
    """A change of items alone."""
    return Commit(at, change or fresh_change(), NODE, puts, fence=fence)


def ending(at: float, reason: str | None = "stop", *, state: State = State.INTERRUPTED, change: str = "") -> Ending:
    """An ending by somebody."""
    return Ending(at, state, reason, Guard.LIVE, change or fresh_change(), NODE)


def expiry(at: float, *, change: str = "") -> Ending:
    """The ending of what is due."""
    return Ending(at, State.EXPIRED, "expired", Guard.DUE, change or fresh_change(), NODE)


def end(session_id: str, how: Ending) -> End:
    """End one session."""
    return End(Pick("id", session_id), how)


def expire(at: float, *, kind: str | None = None, most: int = 100) -> End:
    """Give what is due its expiry."""
    return End(Pick("due", None, kind, most), expiry(at))


def limit(most: int, then: Any = "deny", *, over: Any = "owner") -> Limit:
    """A limit: deny, oldest, or least recently used."""
    return Limit(most=most, over=over, then=then)


async def ask(store: Store, operation: Operation, answer: type[_A]) -> _A:
    """The answer to one operation, which is of this type."""
    (given,) = await store.apply([operation])
    assert isinstance(given, answer), given
    return given


async def done(store: Store, commit: Commit) -> tuple[int, ...]:
    """The versions of a commit that is done."""
    return (await ask(store, commit, Done)).versions


async def opened(store: Store, record: Record, **options: Any) -> Record:
    """The record as it lies in the store after its opening."""
    (version,) = await done(store, opening(record, **options))
    return replaced(record, version=version)


async def refused(store: Store, operation: Operation, why: Why) -> Record | Item | None:
    """What stands in the way of an operation that is refused for this reason."""
    answer = await ask(store, operation, Refused)
    assert answer.why is why
    return answer.current


async def ended(store: Store, operation: End) -> tuple[str, ...]:
    """The ids that an ending ended."""
    return (await ask(store, operation, Ends)).ids


async def due_after(store: Store, touch: Touch) -> float:
    """When a touched session is due."""
    return (await ask(store, touch, Touched)).due


async def record_of(store: Store, session_id: str) -> Record | None:
    """The record under an id."""
    (found,) = (await ask(store, Load((session_id,)), Loaded)).found
    assert not isinstance(found, Item)
    return found


async def the_record(store: Store, session_id: str) -> Record:
    """The record under an id, which is there."""
    found = await record_of(store, session_id)
    assert found is not None
    return found


async def item_of(store: Store, key: str) -> Item | None:
    """The item under a key."""
    (found,) = (await ask(store, Load((key,)), Loaded)).found
    assert not isinstance(found, Record)
    return found


async def everything(store: Store, index: Index, value: str | None = None, **options: Any) -> list[Any]:
    """All pages of an index."""
    entries: list[Any] = []
    after: str | None = None
    for _ in range(10_000):
        page = await ask(store, Find(index, value, after=after, **options), Found)
        entries += page.entries
        if page.after is None:
            return entries
        after = page.after
    raise AssertionError("the pages have no end")


async def the_log(store: Store, after: str = START, types: Any = None, *, limit: int = 100) -> list[Event]:
    """All events after a cursor."""
    events: list[Event] = []
    for _ in range(10_000):
        page = await store.events(after, limit, types)
        assert len(page.events) <= limit
        events += page.events
        after = page.cursor
        if not page.more:
            return events
    raise AssertionError("the log has no end")


async def end_of_log(store: Store) -> str:
    """The cursor of the log's end."""
    page = await store.events(None, 1, None)
    assert page.events == ()
    return page.cursor
