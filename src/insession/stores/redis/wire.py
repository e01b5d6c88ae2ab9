"""Operations as arguments of one call, and its reply as answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, cast

from insession.errors import InvalidInput
from insession.kernel.events import EventType
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Acquire,
    Answer,
    Commit,
    Count,
    Counted,
    Done,
    End,
    Ends,
    Find,
    Found,
    Granted,
    Guard,
    Import,
    LeaseView,
    Load,
    Loaded,
    Mark,
    Operation,
    Patch,
    Purge,
    Put,
    Refused,
    Release,
    Released,
    Renew,
    Touch,
    Touched,
    Waiting,
    Why,
)
from insession.kernel.pages import cursor_of, place_of
from insession.kernel.record import Item, Record, State

from .moving import import_arguments, mark_arguments, marked_of
from .records import CODES, EVENT_CODES, Argument, envelope, id_of, item_of, optional, packed_id, record_of

_WHY: Final = tuple(Why)
_GUARDS: Final = {
    Guard.ANY: "n",
    Guard.ABSENT: "a",
    Guard.VERSION: "v",
    Guard.LIVE: "l",
    Guard.DUE: "d",
    Guard.ENDED: "e",
    Guard.SAME: "s",
}
_RULES: Final = {"deny": ("deny", 0), "oldest": ("oldest", 1), "least recently used": ("used", 2)}
"""As words, and as numbers."""
_TEXTS: Final = frozenset({"owner", "node", "reason", "stopped"})


_ABSENT: Final = Guard.ABSENT
_VERSION: Final = Guard.VERSION
_DUE: Final = Guard.DUE
_OPENED: Final = EventType.OPENED
_ACTIVE: Final = State.ACTIVE
_WHEN: Final = Struct(">dQ").pack
_TOUCH: Final = Struct(">3d").pack
_END: Final = Struct(">ddBB").pack
_LIMIT: Final = Struct(">IBB").pack
_DUE_THEN: Final = Struct(">d").unpack


class Failed(Exception):
    """One operation failed on the server, alone; the message is the server's."""


def grows(operation: Operation) -> bool:
    """Whether it takes room of its own: what is refused when the server has none left."""
    if type(operation) is Import:
        return operation.one is not None
    if type(operation) is not Commit:
        return False
    return any(
        part.data is not None or (isinstance(part, Patch) and part.record is not None) for part in operation.patches
    )


def arguments(operations: Sequence[Operation], retention: float) -> list[Argument]:
    """The arguments that say what to do."""
    said: list[Argument] = []
    for operation in operations:
        kind = type(operation)
        quick = _QUICK.get(kind)
        mine = None if quick is None else quick(operation)
        if mine is None:
            letter, encode = _ENCODERS[kind]
            rest = encode(operation)
            if letter == "P":
                rest.append(repr(retention))
            said += (letter, len(rest), *rest)
        else:
            said += mine
    return said


def _quick_load(load: Load) -> tuple[Argument, ...] | None:
    """One record."""
    keys = load.keys
    if len(keys) != 1 or load.under is not None or "/" in keys[0]:
        return None
    return ("l", packed_id(keys[0]))


def _quick_commit(commit: Commit) -> tuple[Argument, ...] | None:
    """An opening as engines send it, or nothing but new data over a version."""
    parts = commit.patches
    if len(parts) != 1 or commit.fence is not None:
        return None
    patch = parts[0]
    if type(patch) is not Patch:
        return None
    if patch.guard is _ABSENT:
        return _quick_opening(commit, patch)
    data = patch.data
    if patch.guard is not _VERSION or data is None or patch.fields or patch.event is not None or commit.limits:
        return None
    return ("u", packed_id(patch.id), _WHEN(commit.at, patch.version), packed_id(commit.change), data)


def _quick_opening(commit: Commit, patch: Patch) -> tuple[Argument, ...] | None:
    new, limits = patch.record, commit.limits
    if new is None or commit.again or len(limits) > 1 or patch.event is not _OPENED or patch.reason is not None:
        return None
    if new.opened != commit.at or new.change != commit.change or new.state is not _ACTIVE:
        return None
    limit = b""
    if limits:
        over, most = limits[0].over, limits[0].most
        limit = _LIMIT(most, over == "kind", _RULES[limits[0].then][1])
    return ("o", packed_id(patch.id), envelope(new) + new.data, commit.node, limit)


def _quick_touch(touch: Touch) -> tuple[Argument, ...]:
    return ("t", packed_id(touch.id), _TOUCH(touch.at, touch.window, touch.before))


def _quick_end(end: End) -> tuple[Argument, ...] | None:
    """The ending of one id."""
    pick, how = end.pick, end.ending
    if pick.index != "id" or pick.value is None:
        return None
    when = _END(how.at, pick.before, CODES[how.state], how.guard is _DUE)
    return ("e", packed_id(pick.value), when, optional(how.reason), packed_id(how.change), how.node)


def _load(load: Load) -> list[Argument]:
    keys = [f"i{key}" if "/" in key else b"s" + packed_id(key) for key in load.keys]
    return [len(keys), *keys, optional(load.under)]


def _commit(commit: Commit) -> list[Argument]:
    parts, fence = commit.patches, commit.fence
    if len(parts) > 1 and len({part.key if isinstance(part, Put) else part.id for part in parts}) < len(parts):
        raise InvalidInput("patches", "name one record or item twice")
    said: list[Argument] = [repr(commit.at), packed_id(commit.change), commit.node, int(commit.again)]
    said += (0, "", "", 0) if fence is None else (1, fence.lease, fence.ticket, fence.token)
    said.append(len(commit.limits))
    for limit in commit.limits:
        said += _limit(limit)
    said.append(len(parts))
    for part in parts:
        said += _put(part) if isinstance(part, Put) else _patch(part)
    return said


def _limit(limit: Limit) -> tuple[Argument, ...]:
    return (limit.most, limit.over, _RULES[limit.then][0])


def _patch(patch: Patch) -> list[Argument]:
    new, data, fields = patch.record, patch.data, patch.fields
    if new is not None:
        head, data, fields = envelope(new), new.data, None
    else:
        head = b""
    said: list[Argument] = ["r", packed_id(patch.id), _GUARDS[patch.guard], patch.version, head]
    said += (0, b"") if data is None else (1, data)
    said += (EVENT_CODES[patch.event] if patch.event is not None else "", optional(patch.reason))
    said.append(len(fields) if fields else 0)
    for name, value in fields.items() if fields else ():
        said += (name, _field(name, value))
    return said


def _field(name: str, value: Any) -> Argument:
    if name in _TEXTS:
        return optional(value)
    if isinstance(value, State):
        return CODES[value]
    if isinstance(value, bool):
        return int(value)
    return repr(value) if isinstance(value, float) else str(value)


def _put(put: Put) -> list[Argument]:
    said: list[Argument] = ["i", put.key, _GUARDS[put.guard], put.version]
    said += (0, b"") if put.data is None else (1, put.data)
    said += (optional(put.owner), repr(put.expires))
    return said


def _end(end: End) -> list[Argument]:
    pick, ending = end.pick, end.ending
    value = pick.value or ""
    return [
        *(pick.index, packed_id(value) if pick.index == "id" else value, pick.kind or "", pick.most, repr(pick.before)),
        *(repr(ending.at), CODES[ending.state], optional(ending.reason), _GUARDS[ending.guard]),
        *(packed_id(ending.change), ending.node),
    ]


def _acquire(ask: Acquire) -> list[Argument]:
    return [
        *(ask.lease, ask.ticket, repr(ask.at), repr(ask.ttl), ask.permits, "" if ask.queue is None else ask.queue),
        *((0, b"") if ask.note is None else (1, ask.note)),
        *(int(ask.displace), repr(ask.grace), int(ask.take), int(ask.again), ask.node),
    ]


def _renew(ask: Renew) -> list[Argument]:
    fence = ask.fence
    return [fence.lease, fence.ticket, fence.token, repr(ask.at), repr(ask.ttl), int(ask.take)]


def _release(ask: Release) -> list[Argument]:
    return [ask.lease, ask.ticket, repr(ask.at), int(ask.unless_waited)]


def _state(state: State | None) -> Argument:
    return "" if state is None else CODES[state]


def _find(ask: Find) -> list[Argument]:
    said: list[Argument] = [ask.index, ask.value or "", ask.kind or "", _state(ask.state), ask.most]
    if ask.index in {"item", "item owner", "lease"}:
        return [*said, "", "", "", ask.after or ""]
    start = place_of(ask.after)
    if start is None:
        return [*said, "", "", "", ""]
    (kind, state), (rank, session_id) = start
    return [*said, kind, state, repr(rank), packed_id(session_id)]


def _count(ask: Count) -> list[Argument]:
    return [ask.index, ask.value or "", ask.kind or "", _state(ask.state)]


def _purge(ask: Purge) -> list[Argument]:
    count: Argument = "" if ask.count is None else ask.count
    return [repr(ask.before), ask.kind or "", count, optional(ask.owner), ask.most]


_ENCODERS: Final[dict[type[Any], tuple[str, Callable[[Any], list[Argument]]]]] = {
    Load: ("L", _load),
    Commit: ("C", _commit),
    End: ("E", _end),
    Acquire: ("A", _acquire),
    Renew: ("R", _renew),
    Release: ("G", _release),
    Find: ("F", _find),
    Count: ("N", _count),
    Purge: ("P", _purge),
    Mark: ("M", mark_arguments),
    Import: ("I", import_arguments),
}

_QUICK: Final[dict[type[Any], Callable[[Any], tuple[Argument, ...] | None]]] = {
    Load: _quick_load,
    Commit: _quick_commit,
    Touch: _quick_touch,
    End: _quick_end,
}
"""The short forms of what nearly all operations are; None: this one is not such."""


def answers(operations: Sequence[Operation], replies: Sequence[Any]) -> list[Answer]:
    """What the call answered. Raises `Failed` where an operation failed on the server."""
    given: list[Answer] = []
    for operation, reply in zip(operations, replies, strict=True):
        if type(reply) is not list:
            given.append(_SHORT[type(operation)](operation, reply))
        elif reply[0] > 0:
            given.append(_DECODERS[type(operation)](operation, reply))
        elif reply[0] == 0:
            given.append(_refused(reply))
        else:
            raise Failed(reply[1].decode(errors="replace"))
    return given


def _record(load: Load, raw: bytes | None) -> Loaded:
    return Loaded((None if raw is None else record_of(load.keys[0], raw),))


def _ended(end: End, version: int) -> Ends:
    return Ends((cast("str", end.pick.value),), (version,))


_SHORT: Final[dict[type[Any], Callable[[Any, Any], Answer]]] = {
    Load: _record,
    Commit: lambda _, version: Done((version,)),
    Touch: lambda _, due: Touched(*_DUE_THEN(due)),
    End: _ended,
}
"""The answers to short forms."""


def _refused(reply: Sequence[Any]) -> Refused:
    if len(reply) == 2:  # noqa: PLR2004
        return Refused(_WHY[reply[1]])
    if len(reply) == 3:  # noqa: PLR2004
        return Refused(_WHY[reply[1]], store=reply[2].decode())
    key, raw = reply[2], reply[3]
    current = item_of(key[1:].decode(), raw) if key.startswith(b"i") else record_of(id_of(key[1:]), raw)
    return Refused(_WHY[reply[1]], current)


def _entry(key: str, raw: bytes) -> Record | Item:
    return item_of(key, raw) if "/" in key else record_of(key, raw)


def _loaded(load: Load, reply: Sequence[Any]) -> Loaded:
    found = [None if raw is None else _entry(key, raw) for key, raw in zip(load.keys, reply[1], strict=True)]
    under = reply[2]
    if not under:
        return Loaded(tuple(found))
    items = [item_of(key.decode(), raw) for key, raw in zip(under[::2], under[1::2], strict=True)]
    return Loaded(tuple(found), tuple(items), reply[3] == 1)


def _ends(_: End, reply: Sequence[Any]) -> Ends:
    return Ends(tuple([id_of(one) for one in reply[1]]), tuple(reply[2]), reply[3] == 1, float(reply[4]))


def _lease(_: Acquire | Renew | Release, reply: Sequence[Any]) -> Answer:
    if reply[0] == 1:
        return Granted(reply[1], float(reply[2]), tuple(reply[3]))
    if reply[0] == 2:  # noqa: PLR2004
        return Waiting(float(reply[1]), reply[2], reply[3] == 1)
    return Released(done=reply[1] == 1, next=None if reply[2] is None else reply[2].decode())


def _found(ask: Find, reply: Sequence[Any]) -> Found:
    more = reply[2] == 1
    if ask.index == "lease":
        views = tuple([LeaseView(name.decode(), _names(held), _names(waiting)) for name, held, waiting in reply[1]])
        return Found(views, views[-1].name if more else None)
    raw = reply[1]
    if ask.index in {"item", "item owner"}:
        items = tuple([item_of(key.decode(), one) for key, one in zip(raw[::2], raw[1::2], strict=True)])
        return Found(items, items[-1].key if more else None)
    records = tuple([record_of(id_of(key), one) for key, one in zip(raw[::2], raw[1::2], strict=True)])
    return Found(records, cursor_of(records[-1]) if more else None)


def _names(raw: Sequence[bytes]) -> tuple[str, ...]:
    return tuple([name.decode() for name in raw])


_DECODERS: Final[dict[type[Any], Callable[[Any, Any], Answer]]] = {
    Load: _loaded,
    Commit: lambda _, reply: Done(tuple(reply[1])),
    End: _ends,
    Acquire: _lease,
    Renew: _lease,
    Release: _lease,
    Find: _found,
    Count: lambda _, reply: Counted(reply[1]),
    Purge: lambda _, reply: Counted(reply[1], reply[2] == 1),
    Mark: marked_of,
    Import: lambda _, reply: Done(tuple(reply[1])),
}
