"""The identity map of one turn: every piece of data once, whatever the way it was reached."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from insession.errors import InvalidInput
from insession.kernel.codec import decode
from insession.kernel.record import Item

from .data import DataType, Form, Ref, Registry, Stored
from .errors import DataLost, NotAdopted
from .scope import Scope, memory_id
from .undoing import Undoable

T = TypeVar("T")
_encoder: Final = msgspec.msgpack.Encoder()
Load = Callable[[str], Awaitable[Item | None]]
"""Reads a wide memory by the key of its item."""


class State(msgspec.Struct, array_like=True):
    """A session's data at rest: its id, where its dialogues stand, its data by identity, its undoable turns."""

    session_id: str
    positions: dict[str, Stored] = {}
    data: dict[str, Stored] = {}
    undo: tuple[Undoable, ...] = ()


def encoded(state: State, most: int) -> bytes:
    """A state as it is stored; `InvalidInput` names its largest piece of data where it is too large."""
    data = _encoder.encode(state)
    if len(data) > most:
        largest = max(state.data, key=lambda one: len(state.data[one].data), default="session")
        problem = f"the session's data has {len(data)} bytes, the most is {most}; this is the largest of it"
        raise InvalidInput(largest.partition(":")[0], problem)
    return data


class Kept:
    """One piece of data in a turn: the object, and what lies in the store of it."""

    __slots__ = ("base", "data", "expected", "identity", "item", "mixed", "stored", "type", "updates")

    def __init__(self, identity: str, of: DataType, data: Any, stored: Stored | None, item: Item | None = None) -> None:
        self.identity: str = identity
        self.type: DataType = of
        self.data: Any = data
        self.stored: Stored | None = stored
        """As it was read; None: it is not in the store."""
        self.item: Item | None = item
        self.base: bytes | None = None
        """Encoded as it was got, upgraded or by default: written only once it is different. None: to be written."""
        self.updates: list[Callable[[Any], Any]] = []
        self.expected: bytes | None = None
        """What the last update left: changed since, the memory cannot be merged by its updates."""
        self.mixed: bool = False


def identity_of(name: str, data_id: str) -> str:
    """``name:id``; of the only one of its type in the session ``name:``."""
    return f"{name}:{data_id}"


_HELD: Final[dict[int, Repository]] = {}
"""Which turn of this process has an object: each has one for as long as it lasts, and no two the same."""


class Repository:
    """The data of one turn. `get` finds or makes it, `adopt` takes in what is new, `changed` is what is to be saved."""

    def __init__(
        self, registry: Registry, scope: Callable[[], Scope], state: State, key_of: Callable[[DataType, str], str]
    ) -> None:
        self.registry: Final = registry
        self._scope_of = scope
        self._scope: Scope | None = None
        self.state: State = state
        self.restored: bool = False
        """Whether the session's data was put back to another state."""
        self.restores: int = 0
        """So often it was put back, to this turn's beginning or further: who keeps something of it reads it anew."""
        self._key_of = key_of
        self._load: Load | None = None
        self._kept: dict[str, Kept] = {}
        self._by_object: dict[int, Kept] = {}
        self._items: dict[str, Item | None] = {}
        self.positions: dict[str, Stored] = dict(state.positions)
        """Where the dialogues of this session stand, by name; whoever moves them writes here."""

    @property
    def scope(self) -> Scope:
        """The dimensions of this turn."""
        if self._scope is None:
            self._scope = self._scope_of()
        return self._scope

    def preload(self, items: Mapping[str, Item | None], load: Load) -> None:
        """Take what was read with the lease, and the way to read more."""
        self._items.update(items)
        self._load = load

    def holds(self, data: object) -> bool:
        """Whether this very object is data of this turn."""
        return id(data) in self._by_object

    def identity(self, data: object) -> str:
        """The identity of adopted data."""
        try:
            return self._by_object[id(data)].identity
        except KeyError:
            raise NotAdopted(f"this {type(data).__name__} is not the session's; adopt it first") from None

    async def get(self, cls: type[T] | str, data_id: str = "") -> T:
        """The data of a type: the one in this turn, else the stored one, else a new one."""
        of = self.registry.of(cls)
        identity = self._identity(of, data_id)
        kept = self._kept.get(identity)
        if kept is None:
            kept = await self._fetched(of, identity)
            if kept is None:
                if data_id and of.form is not Form.MEMORY:
                    raise DataLost(identity)
                kept = self._made(of, identity)
        return cast("T", kept.data)

    async def resolve(self, reference: Ref[T]) -> T:
        """What a reference points at: `DataLost` if it is gone, `NotAdopted` if it was never the session's."""
        if not isinstance(reference, Ref):
            raise InvalidInput("reference", f"is a Ref, not {type(reference).__name__}")
        target = reference._target  # noqa: SLF001
        if target is not None:
            self.identity(target)
            return target
        identity = reference.identity
        if identity is None:
            raise NotAdopted("the reference points at nothing")
        of = self.registry[identity.partition(":")[0]]
        kept = self._kept.get(identity) or await self._fetched(of, identity)
        if kept is None:
            # A memory of this turn's scope is never gone: it is as it was made.
            if of.form is not Form.MEMORY or identity != self._identity(of, ""):
                raise DataLost(identity)
            kept = self._made(of, identity)
        reference._target = kept.data  # noqa: SLF001
        return cast("T", kept.data)

    def adopt(self, data: T) -> T:
        """Make new data the session's. A memory that is there already is given back in its place."""
        there = self._by_object.get(id(data))
        if there is not None:
            return data
        of = self.registry.of(type(data))
        data_id = "" if of.form is Form.MEMORY else secrets.token_hex(8)
        identity = self._identity(of, data_id)
        if identity in self._kept:
            return cast("T", self._kept[identity].data)
        if of.form is Form.MEMORY and (stored := self._stored(of, identity)) is not None:
            return cast("T", self._opened(of, identity, *stored).data)
        self._keep(Kept(identity, of, data, None))
        return data

    async def update(self, cls: type[T] | str, change: Callable[[T], T | None]) -> T:
        """Change a memory by a function, which is called again with what is there if another chat was first."""
        data = await self.get(cls)
        kept = self._by_object[id(data)]
        before = self._encoded(kept).data
        if kept.expected is None:
            kept.expected = kept.base
        kept.mixed = kept.mixed or before != kept.expected
        self._replace(kept, change(data))
        kept.updates.append(cast("Callable[[Any], Any]", change))
        kept.expected = self._encoded(kept).data
        return cast("T", kept.data)

    def restore(self, state: State) -> None:
        """Put the session's data back to another state. Objects that were got before belong to no session any more."""
        self.restored = self.restored or state is not self.state
        self.restores += 1
        self.state = state
        self.positions = dict(state.positions)
        for kept in [one for one in self._kept.values() if not one.type.wide]:
            del self._kept[kept.identity]
            self._let_go(kept.data)

    def saved(self) -> State:
        """The state of the session as it is to be saved: what is reachable, and nothing else."""
        data = dict(self.state.data)
        waiting = [kept for kept in self._kept.values() if not kept.type.wide]
        done: set[str] = set()
        while waiting:
            # Encoding one may adopt another, which it points at.
            for kept in waiting:
                done.add(kept.identity)
                encoded = self._encoded(kept)
                if encoded.data != kept.base:
                    data[kept.identity] = encoded
            waiting = [one for one in self._kept.values() if not one.type.wide and one.identity not in done]
        return State(self.state.session_id, self.positions, self._reachable(data), self.state.undo)

    def memories(self) -> list[tuple[Kept, Stored]]:
        """The wide memories that have changed, with what is to be stored."""
        changed, done = [], set[str]()
        # Encoding one may adopt another, which it points at.
        while waiting := [one for one in self._kept.values() if one.type.wide and one.identity not in done]:
            for kept in waiting:
                done.add(kept.identity)
                encoded = self._encoded(kept)
                if encoded.data != kept.base:
                    self._check_refs(kept, encoded)
                    changed.append((kept, encoded))
        return changed

    def _check_refs(self, kept: Kept, encoded: Stored) -> None:
        """What outlives the session points at nothing that does not."""
        for name in (one.partition(":")[0] for one in encoded.refs):
            if not self.registry[name].wide:
                raise InvalidInput(kept.type.name, f"outlives the session, and points at {name}, which does not")

    def again(self, kept: Kept, item: Item | None) -> Stored | None:
        """A memory that another chat has changed, with this turn's updates made anew; None if it had other changes."""
        if not kept.updates or kept.mixed or self._encoded(kept).data != kept.expected:
            return None
        kept.item = item
        kept.stored = None if item is None else stored_in(item)
        fresh = kept.type.default() if kept.stored is None else kept.type.decode(kept.stored, kept.identity)
        self._replace(kept, fresh)
        for change in kept.updates:
            self._replace(kept, change(kept.data))
        kept.expected = self._encoded(kept).data
        return self._encoded(kept)

    def unread(self, kept: Kept) -> bool:
        """Whether a memory was taken for new without anybody having looked."""
        return self._key_of(kept.type, kept.identity.partition(":")[2]) not in self._items

    def _identity(self, of: DataType, data_id: str) -> str:
        if of.form is not Form.MEMORY:
            return identity_of(of.name, data_id)
        if data_id:
            raise InvalidInput("data_id", f"{of.name} is a memory: its id follows from its scope")
        return identity_of(of.name, memory_id(of.name, of.scope, self.scope))

    async def _fetched(self, of: DataType, identity: str) -> Kept | None:
        if of.wide:
            key = self._key_of(of, identity.partition(":")[2])
            if key not in self._items and self._load is not None:
                self._items[key] = await self._load(key)
                if identity in self._kept:  # another task of the turn was first
                    return self._kept[identity]
        stored = self._stored(of, identity)
        return None if stored is None else self._opened(of, identity, *stored)

    def _stored(self, of: DataType, identity: str) -> tuple[Stored, Item | None] | None:
        if not of.wide:
            stored = self.state.data.get(identity)
            return None if stored is None else (stored, None)
        item = self._items.get(self._key_of(of, identity.partition(":")[2]))
        return None if item is None else (stored_in(item), item)

    def _opened(self, of: DataType, identity: str, stored: Stored, item: Item | None) -> Kept:
        return self._based(self._keep(Kept(identity, of, of.decode(stored, identity), stored, item)))

    def _made(self, of: DataType, identity: str) -> Kept:
        return self._based(self._keep(Kept(identity, of, of.default(), None)))

    def _based(self, kept: Kept) -> Kept:
        kept.base = self._encoded(kept).data
        return kept

    def _keep(self, kept: Kept) -> Kept:
        if _HELD.setdefault(id(kept.data), self) is not self:
            raise NotAdopted(f"this {kept.type.name} belongs to another session that is in a turn")
        self._kept[kept.identity] = kept
        self._by_object[id(kept.data)] = kept
        return kept

    def _let_go(self, data: Any) -> None:
        del self._by_object[id(data)]
        _HELD.pop(id(data), None)

    def close(self) -> None:
        """The turn is over: its data may be any session's."""
        for number in self._by_object:
            _HELD.pop(number, None)

    def _replace(self, kept: Kept, data: Any) -> None:
        """Take over what a function made: into the same object, where it can be changed."""
        if data is None or data is kept.data:
            return
        if type(data) is not kept.type.cls:
            raise InvalidInput(kept.type.name, f"the function gave a {type(data).__name__}; it gives the data, or None")
        try:
            for name in _fields(data):
                setattr(kept.data, name, getattr(data, name))
        except AttributeError:  # frozen: whoever asks anew gets the new one
            self._let_go(kept.data)
            kept.data = data
            self._keep(kept)

    def _encoded(self, kept: Kept) -> Stored:
        return kept.type.encode(kept.data, self._referred)

    def _referred(self, reference: Ref[Any]) -> str:
        target = reference._target  # noqa: SLF001
        if target is None:
            if reference.identity is None:
                raise ValueError("a reference points at nothing")
            return reference.identity
        reference.identity = self.identity(self.adopt(target))
        return reference.identity

    def _reachable(self, data: Mapping[str, Stored]) -> dict[str, Stored]:
        """What is named by its type alone, what a position names, memories, and what these point at."""
        waiting = [one for one in data if one.endswith(":") or self._is_memory(one)]
        waiting += _refs_of(self.positions.values())
        kept: dict[str, Stored] = {}
        while waiting:
            identity = waiting.pop()
            if identity in data and identity not in kept:
                kept[identity] = data[identity]
                waiting += data[identity].refs
        # In their old order, so that what has not changed reads the same.
        return {identity: stored for identity, stored in data.items() if identity in kept}

    def _is_memory(self, identity: str) -> bool:
        name = identity.partition(":")[0]
        return name in self.registry and self.registry[name].form is Form.MEMORY


def _refs_of(stored: Iterable[Stored]) -> list[str]:
    return [one for each in stored for one in each.refs]


def _fields(data: Any) -> Iterable[str]:
    if isinstance(data, msgspec.Struct):
        return data.__struct_fields__
    return cast("Iterable[str]", vars(type(data)).get("__dataclass_fields__", ()))


def stored_in(item: Item) -> Stored:
    """What a memory's item holds; `DataUnreadable` names its key."""
    stored: Stored = decode(item.data, Stored, item.key)
    return stored
