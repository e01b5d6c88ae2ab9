"""The wrapper of a store: what goes in is sealed, what comes out is opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Final, NoReturn

from msgspec.structs import replace

from insession.errors import ConfigurationError, DataUnreadable, StoreUnavailable
from insession.kernel.contract import Store, Waker
from insession.kernel.events import EventType, Page
from insession.kernel.operations import (
    Acquire,
    Answer,
    Commit,
    Found,
    Granted,
    LeaseView,
    Load,
    Loaded,
    Operation,
    Patch,
    Put,
    Refused,
    Renew,
)
from insession.kernel.record import Item, Record

from .keys import Keys
from .seals import ITEM, NOTE, RECORD, Seals, Unreadable

_log: Final = logging.getLogger("insession.sealed")
_MOST_TOLD: Final = 64


class SealedStore:
    """Any store, with the data of records and items and the notes of leases sealed by a ring of keys.

    ``keys`` is a ring, its text, or None: `Keys.found` when the store is opened.

    A value that cannot be opened fails nobody: the record, item or note comes with `Unreadable` in its place, so that
    its session can be listed, ended and expired, and only decoding it raises `DataUnreadable`. An item that is
    loaded alone is wanted for its data, and nothing else of it: that load raises at once. What is wrong is logged,
    once for each problem.

    The ``under`` bound of `Load` counts sealed bytes: 36 more for each item.
    """

    def __init__(self, store: Store, keys: Keys | str | None = None) -> None:
        if isinstance(keys, str):
            keys = Keys.parse(keys)
        if keys is not None and not isinstance(keys, Keys):
            raise ConfigurationError(f"keys: is a ring of keys, its text, or None, not {type(keys).__name__}")
        self.store: Store = store
        self.immediate: frozenset[type[Operation]] = store.immediate
        self.most: int = store.most
        self.abreast: int = store.abreast
        self._keys = keys
        self._seals: Seals | None = None if keys is None else Seals(keys)
        self._told: set[str] = set()

    @property
    def keys(self) -> Keys:
        """The ring that it uses; where none was given it is known once the store is open."""
        return self._keys or _not_open()

    async def open(self) -> None:
        if self._keys is None:
            self._keys = await asyncio.to_thread(Keys.found)
            self._seals = Seals(self._keys)
        await self.store.open()
        self.immediate = self.store.immediate

    async def close(self) -> None:
        await self.store.close()

    async def now(self) -> float:
        return await self.store.now()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        seals = self._seals or _not_open()
        answers = await self.store.apply([_sealed(seals, operation) for operation in operations])
        opened = [self._opened(seals, *pair) for pair in zip(operations, answers, strict=True)]
        if len(opened) == 1:
            _check_item(operations[0], opened[0])
        return opened

    def apply_now(self, operation: Operation) -> Answer:
        seals = self._seals or _not_open()
        answer = self._opened(seals, operation, self.store.apply_now(_sealed(seals, operation)))
        _check_item(operation, answer)
        return answer

    def record_now(self, session_id: str) -> Record | None:
        record = self.store.record_now(session_id)
        return None if record is None else self._opened_record(self._seals or _not_open(), record)

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        return await self.store.events(after, limit, types)

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        return self.store.waker(types, leases=leases, answered=answered)

    def _opened(self, seals: Seals, operation: Operation, answer: Answer) -> Answer:
        if type(answer) is Loaded:
            found = tuple([None if one is None else self._opened_one(seals, one) for one in answer.found])
            return Loaded(found, tuple([self._opened_item(seals, item) for item in answer.under]), answer.more)
        if type(answer) is Found:
            return self._opened_page(seals, answer)
        if type(answer) is Refused and answer.current is not None:
            return Refused(answer.why, self._opened_one(seals, answer.current))
        if type(answer) is Granted and answer.notes:
            name = _lease_of(operation)
            return replace(answer, notes=tuple([self._open(seals, NOTE, name, note) for note in answer.notes]))
        return answer

    def _opened_page(self, seals: Seals, page: Found) -> Found:
        entries: list[Record] = []
        items: list[Item] = []
        for one in page.entries:
            if isinstance(one, LeaseView):
                return page
            if isinstance(one, Record):
                entries.append(self._opened_record(seals, one))
            else:
                items.append(self._opened_item(seals, one))
        return Found(tuple(entries) if entries else tuple(items), page.after)

    def _opened_one(self, seals: Seals, one: Record | Item) -> Record | Item:
        return self._opened_record(seals, one) if isinstance(one, Record) else self._opened_item(seals, one)

    def _opened_record(self, seals: Seals, record: Record) -> Record:
        return replace(record, data=self._open(seals, RECORD, record.id, record.data, record.kind))

    def _opened_item(self, seals: Seals, item: Item) -> Item:
        return replace(item, data=self._open(seals, ITEM, item.key, item.data))

    def _open(self, seals: Seals, word: bytes, name: str, sealed: bytes, kind: str | None = None) -> bytes:
        data = seals.open(word, name, sealed, kind)
        if type(data) is Unreadable:
            self._tell(name, data.problem)
        return data

    def _tell(self, name: str, problem: str) -> None:
        # Once, and not for ever: a wrong ring makes every value of a store unreadable.
        if problem not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(problem)
            _log.error("data of %r, and maybe more, cannot be read: %s", name, problem)


def _sealed(seals: Seals, operation: Operation) -> Operation:
    if type(operation) is Commit:
        return replace(operation, patches=tuple([_sealed_part(seals, part) for part in operation.patches]))
    if type(operation) is Acquire and operation.note is not None:
        return replace(operation, note=seals.seal(NOTE, operation.lease, operation.note))
    return operation


def _sealed_part(seals: Seals, part: Patch | Put) -> Patch | Put:
    if isinstance(part, Put):
        return part if part.data is None else replace(part, data=seals.seal(ITEM, part.key, part.data))
    if part.record is not None:
        # A store owns the record that it is handed and may number it; that of the caller stays clear.
        record = replace(part.record, data=seals.seal(RECORD, part.id, part.record.data, part.record.kind))
        part = replace(part, record=record)
    return part if part.data is None else replace(part, data=seals.seal(RECORD, part.id, part.data, part.kind))


def _check_item(operation: Operation, answer: Answer) -> None:
    """Raise `DataUnreadable` for an item that was loaded alone. In a larger batch that would fail its neighbours."""
    if type(operation) is Load and operation.under is None and len(operation.keys) == 1 and type(answer) is Loaded:
        item = answer.found[0]
        if type(item) is Item and type(item.data) is Unreadable:
            raise DataUnreadable(item.key, item.data.problem)


def _lease_of(operation: Operation) -> str:
    if isinstance(operation, Renew):
        return operation.fence.lease
    return operation.lease if isinstance(operation, Acquire) else ""


def _not_open() -> NoReturn:
    raise StoreUnavailable("the store is not open, and has no keys before")
