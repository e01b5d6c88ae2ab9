"""Dialogues on an engine: a driver over any store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from insession.errors import ConfigurationError, Displaced, InsessionError, LeaseError, LockTimeout
from insession.kernel import commands, rules
from insession.kernel.connecting import connect
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.followers import Follower
from insession.kernel.ids import named_id, route
from insession.kernel.kinds import Kind
from insession.kernel.locks import Lock
from insession.kernel.operations import (
    Acquire,
    Commit,
    End,
    Fence,
    Find,
    Found,
    Guard,
    Load,
    Loaded,
    Operation,
    Patch,
    Put,
    Refused,
    Release,
)
from insession.kernel.record import Item, Record, State
from insession.kernel.terms import Terms, terms

from .driver import Change, Place, Policy
from .errors import ChatBusy, TurnLost, TurnMerged, TurnReplaced
from .messages import digest

_MOST_PLACES: Final = 1_024
_ASKED: Final = (Load, Commit, Acquire, Release, End)


class EngineDriver:
    """A driver over an engine: one that is open stays open, one made of a URL is opened and closed with the dialogue.

    Args:
        store: A URL, a store, or an engine.
        namespace: The part of the store to use; with a URL.
        kind: The kind that sessions are of, with their deadlines.
        options: What `insession.connect` takes beside, such as ``clock`` and ``keys``.
    """

    def __init__(
        self, store: Engine | Store | str | None = None, *, kind: Kind, namespace: str = "default", **options: Any
    ) -> None:
        self.kind: Kind = kind
        if isinstance(store, Engine):
            if options:
                raise ConfigurationError(f"{next(iter(options))}: is the engine's; it goes without one")
            self.engine: Engine = store
            if store.declared(kind.name) is None:
                store._declare(kind)  # noqa: SLF001 - a face declares its kind on the engine that it is given
        else:
            self.engine = connect(store, kinds=[kind], namespace=namespace, **options)
        self.most_data: int = self.engine.most_data
        self.immediate: bool = False
        self._opened = False
        self._policy: Policy | None = None
        self._places: dict[tuple[str, str], Place] = {}

    async def open(self) -> None:
        if not self.engine.is_open:
            await self.engine.__aenter__()
            self._opened = True
        self.immediate = self.engine.store.immediate.issuperset(_ASKED)

    async def close(self) -> None:
        if self._opened:
            self._opened = False
            await self.engine.__aexit__(None, None, None)

    def place(self, chat_id: str, owner: str) -> Place:
        found = self._places.get((chat_id, owner))
        if found is None:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            found = self._places[chat_id, owner] = self._place(chat_id, owner)
        return found

    def _place(self, chat_id: str, owner: str) -> Place:
        indexed = self.owner(owner)
        record = named_id(self.kind.name, indexed, chat_id, by_kind=False)
        home = record[:4] + digest("home", record)[4:]
        return Place(chat_id, indexed, record, home, f"{record}/turn", f"{home}/turns")

    def key(self, routed_by: str, digits: str, name: str) -> str:
        return f"{route(self.owner(routed_by))}{digits[4:]}/{name}"

    def owner(self, owner: str) -> str:
        return self.engine.owner_of(self.kind.name, owner)

    def visit(self, place: Place, keys: Sequence[str], policy: Policy) -> EngineVisit:
        if policy is not self._policy:
            self._policy, self._terms = policy, self._terms_of(policy)
        return EngineVisit(self, place, keys, self._terms)

    def _terms_of(self, policy: Policy) -> Terms:
        return terms(
            self.engine.most_data,
            ttl=policy.ttl,
            wait=policy.wait,
            queue=policy.queue,
            displace=policy.displace,
            note=policy.note,
            take=policy.take,
            cancel=policy.cancel,
        )

    async def load(self, keys: Sequence[str]) -> dict[str, Item | None]:
        loaded: Loaded = await self.engine._ask(Load(tuple(keys)))  # noqa: SLF001 - see `_ask`
        return items_of(keys, loaded, self.now())

    async def write(self, change: str, puts: Sequence[Put]) -> Refused | None:
        answer = await self.engine._ask(Commit(self.now(), change, self.engine.name, tuple(puts)))  # noqa: SLF001
        return answer if isinstance(answer, Refused) else None

    async def find(self, owner: str, after: str | None) -> tuple[list[Item], str | None]:
        found: Found = await self.engine._ask(Find("item owner", owner, after=after))  # noqa: SLF001
        return [one for one in found.entries if isinstance(one, Item)], found.after

    def follow(self, follower: Follower) -> Callable[[], None]:
        return self.engine.follow(self.kind.name, follower)

    def now(self) -> float:
        return self.engine.clock.now()

    async def sleep(self, seconds: float) -> None:
        await self.engine.clock.sleep(seconds)

    def fresh_change(self) -> str:
        return self.engine._change()  # noqa: SLF001

    def fresh_id(self) -> str:
        return self.engine._ids.fresh(None)  # noqa: SLF001


class EngineVisit:
    """A chat under its lease, on an engine."""

    def __init__(self, driver: EngineDriver, place: Place, keys: Sequence[str], of: Terms) -> None:
        self._driver = driver
        self._place = place
        self._keys = keys
        self._why: InsessionError | None = None
        self._lock: Lock = Lock(driver.engine, place.lease, of, Load((place.record, *keys)))

    async def __aenter__(self) -> Self:
        lock = self._lock
        try:
            await lock.__aenter__()
        except LockTimeout as error:
            raise (TurnMerged if error.taken else ChatBusy)(self._place.chat_id) from None
        assert lock.loaded is not None
        record = lock.loaded.found[0]
        self._there: Record | None = record if isinstance(record, Record) else None
        now = self._driver.now()
        self.record: Record | None = self._there if self._there and self._there.live and self._there.due > now else None
        self.items: Mapping[str, Item | None] = items_of(self._keys, lock.loaded, now, after=1)
        self.notes: tuple[bytes, ...] = lock.notes
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            swallowed = await self._lock.__aexit__(kind, error, trace)
        except LeaseError as lost:
            if lost.name != self._lock.name:
                raise
            raise why_lost(lost)(self._place.chat_id) from None
        if swallowed and self._why is not None:
            raise self._why
        return swallowed

    def cancel(self, why: InsessionError) -> None:
        self._why = why
        self._lock.cancel()

    @property
    def lost(self) -> bool:
        return self._lock.error is not None

    async def finish(self, change: Change) -> Refused | tuple[int, ...]:
        if self._lock.error is not None:
            raise why_lost(self._lock.error)(self._place.chat_id)
        answer = await self._finished(change)
        if isinstance(answer, Refused):
            return answer
        return tuple(answer.versions)

    async def _finished(self, change: Change) -> Any:
        lock, driver = self._lock, self._driver
        if not lock.ticket:
            # The first try was refused, and nobody waited: the lease is taken again, and versions tell the rest.
            async with driver.engine.lock(lock.name, ttl=lock.ttl) as anew:
                return (await anew.finish(*self._operations(change, anew.fence)))[-1]
        return (await lock.finish(*self._operations(change, lock.fence)))[-1]

    def _operations(self, change: Change, fence: Fence) -> list[Operation]:
        now, name = self._driver.now(), self._driver.engine.name
        operations: list[Operation] = []
        if change.opens and self._there is not None and self._there.live:
            # What is due expires first, in the same trip.
            expiry = rules.expiry(now, self._driver.fresh_change(), name)
            operations.append(commands.end_one(self._place.record, expiry))
        record = self._patch(change, now)
        parts = (*(() if record is None else (record,)), *change.puts)
        operations.append(Commit(now, change.id, name, parts, (), fence))
        return operations

    def _patch(self, change: Change, now: float) -> Patch | None:
        if change.opens:
            return None if change.quit is not None else self._opening(change, now)
        record = self.record
        if record is None:
            return None
        if change.quit is not None:
            how = rules.ending(now, State.CLOSED, change.quit, change.id, self._driver.engine.name)
            return commands.closing(record, how, change.data or record.data)
        fields = {"touched": now} if change.touch else {}
        return Patch(record.id, Guard.VERSION, record.version, None, fields, change.data, None, None, record.kind)

    def _opening(self, change: Change, now: float) -> Patch:
        kind, place = self._driver.kind, self._place
        assert change.data is not None
        deadlines = (kind.idle, kind.absolute, 0.0)
        record = commands.new_record(place.record, kind, place.owner, None, now, deadlines, change.data, change.id)
        opening = commands.open_session(record, self._driver.engine.name, ()).patches[0]
        assert isinstance(opening, Patch)
        return opening


def items_of(keys: Sequence[str], loaded: Loaded, now: float, *, after: int = 0) -> dict[str, Item | None]:
    """Items by their keys; an expired one is not there."""
    found = [one if isinstance(one, Item) and one.expires > now else None for one in loaded.found[after:]]
    return dict(zip(keys, found, strict=True))


def why_lost(error: LeaseError) -> Callable[[str], TurnLost | TurnReplaced]:
    """What a turn says that lost its lease."""
    return TurnReplaced if isinstance(error, Displaced) else TurnLost
