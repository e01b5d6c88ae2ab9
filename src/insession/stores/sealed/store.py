"""The wrapper of a store: what goes in is sealed, what comes out is opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from insession.errors import DataUnreadable, StoreError, StoreFull
from insession.kernel.codec import FIRST
from insession.kernel.contract import Store, Waker
from insession.kernel.events import EventType, Page
from insession.kernel.operations import (
    Acquire,
    Answer,
    Commit,
    Found,
    Granted,
    Import,
    LeaseView,
    Load,
    Loaded,
    Operation,
    Patch,
    Put,
    Refused,
    Renew,
)
from insession.kernel.record import CHECKS, Item, Record
from insession.kernel.sealing import Examined

from .keys import Keys
from .ring import Ring, as_ring, checking
from .seals import ITEM, NOTE, RECORD, Seals, Unreadable, key_and_version

_log: Final = logging.getLogger("insession.sealed")
_MOST_TOLD: Final = 64


class SealedStore:
    """Any store, with the data of records and items and the notes of leases sealed by a ring of keys.

    ``keys`` is a ring, its text, the path of its file, or None: `Keys.found` when the store is opened. A ring that
    lies in a file is read again when the file changes: now and then, and before a value is called unreadable because
    its key is not known. Opening it raises `DataUnreadable` where a key of the ring is not the store's key of that
    number.

    A value that cannot be opened fails nobody: the record, item or note comes with `Unreadable` in its place, so that
    its session can be listed, ended and expired, and only decoding it raises `DataUnreadable`. An item that is
    loaded alone is wanted for its data, and nothing else of it: that load raises at once. What is wrong is logged,
    once for each problem.

    The ``under`` bound of `Load` counts sealed bytes: 36 more for each item.
    """

    def __init__(self, store: Store, keys: Keys | str | Path | None = None) -> None:
        self.store: Store = store
        self.immediate: frozenset[type[Operation]] = store.immediate
        self.most: int = store.most
        self.abreast: int = store.abreast
        self._ring = Ring(keys)
        self._renewing: asyncio.Task[None] | None = None
        self._told: set[str] = set()

    @property
    def keys(self) -> Keys:
        """The ring that it uses; where none was given it is known once the store is open."""
        return self._ring.keys

    async def open(self) -> None:
        await self._ring.find()
        await self.store.open()
        try:
            await self._check(self._ring.keys, self._ring.seals)
        except BaseException:
            await self.store.close()
            raise
        self.immediate = self.store.immediate

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await self.store.close()

    async def now(self) -> float:
        return await self.store.now()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        if self._ring.is_due:
            self._renew_soon()
        seals = self._ring.seals
        answers = await self.store.apply([_sealed(seals, operation) for operation in operations])
        opened = [self._opened(seals, *pair) for pair in zip(operations, answers, strict=True)]
        if len(opened) == 1:
            _check_item(operations[0], opened[0])
        return opened

    def apply_now(self, operation: Operation) -> Answer:
        seals = self._ring.seals
        answer = self._opened(seals, operation, self.store.apply_now(_sealed(seals, operation)))
        _check_item(operation, answer)
        return answer

    def record_now(self, session_id: str) -> Record | None:
        record = self.store.record_now(session_id)
        return None if record is None else self._opened_record(self._ring.seals, record)

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        return await self.store.events(after, limit, types)

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        return self.store.waker(types, leases=leases, answered=answered)

    async def rotate(self, keys: object) -> None:
        """Use another ring from now on: a `Keys`, or its text.

        Raises `ConfigurationError`, and `DataUnreadable` where a key is not the store's key of that number; then the
        ring in use goes on.
        """
        ring = as_ring(keys)
        seals = Seals(ring)
        await self._check(ring, seals)
        self._ring.use(ring, seals)

    async def ready(self) -> int:
        """Look where the ring lies if it is time; the number of the key that seals."""
        await self._renew()
        return self._ring.seals.current

    def examined(self, entry: Record | Item) -> Examined:
        """What lies in a record or item of the store below."""
        data, (key, version) = self._data_of(entry), key_and_version(entry.data)
        return Examined(key, version or FIRST, data.problem if type(data) is Unreadable else None)

    def resealed(self, entry: Record | Item) -> bytes:
        """The data of a record or item of the store below, sealed by the current key."""
        word, name, kind = _place(entry)
        return self._ring.seals.seal(word, name, self._data_of(entry), kind)

    def _data_of(self, entry: Record | Item) -> bytes:
        word, name, kind = _place(entry)
        return self._open(self._ring.seals, word, name, entry.data, kind)

    def _renew_soon(self) -> None:
        """Look for another ring in the background: nobody waits for it, so batches keep their order."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._renew_quietly())

    async def _renew_quietly(self) -> None:
        try:
            await self._renew()
        except StoreError as error:
            _log.warning("the ring of keys has changed, and cannot be compared with the store's yet: %s", error)

    async def _renew(self) -> None:
        ring = self._ring
        if ring.is_due:
            await ring.look()
        found = ring.next
        if found is not None:
            try:
                await self._check(*found)
            except DataUnreadable as error:
                ring.refuse(error)
            else:
                ring.use(*found)

    async def _check(self, keys: Keys, seals: Seals) -> None:
        operations = checking(keys, seals, await self.store.now())
        answer: Answer | None = None
        # A full store takes no new key's check; it can be read all the same, and what is there be ended.
        with suppress(StopIteration, StoreFull):
            while True:
                (answer,) = await self.store.apply([operations.send(answer)])

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
            elif not one.key.startswith(CHECKS):
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
        if type(data) is Unreadable and data.missing is not None:
            data = self._opened_anew(seals, data, (word, name, sealed, kind))
        if type(data) is Unreadable:
            self._tell(name, data.problem)
        return data

    def _opened_anew(self, seals: Seals, data: Unreadable, place: tuple[bytes, str, bytes, str | None]) -> bytes:
        """What one ring lacks the key for may be known to the one in use by now, or to one that nobody has read yet."""
        now = self._ring.seals
        if now is not seals and type(opened := now.open(*place)) is not Unreadable:
            return opened
        found = self._ring.look_now()
        if found is None:
            return data
        self._renew_soon()
        return found.open(*place)

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
    if type(operation) is Import and operation.one is not None:
        return replace(operation, one=_sealed_one(seals, operation.one))
    return operation


def _sealed_one(seals: Seals, one: Record | Item) -> Record | Item:
    if isinstance(one, Record):
        return replace(one, data=seals.seal(RECORD, one.id, one.data, one.kind))
    return replace(one, data=seals.seal(ITEM, one.key, one.data))


def _sealed_part(seals: Seals, part: Patch | Put) -> Patch | Put:
    if isinstance(part, Put):
        return part if part.data is None else replace(part, data=seals.seal(ITEM, part.key, part.data))
    if part.record is not None:
        # A store owns the record that it is handed and may number it; that of the caller stays clear.
        part = replace(part, record=_sealed_one(seals, part.record))
    return part if part.data is None else replace(part, data=seals.seal(RECORD, part.id, part.data, part.kind))


def _place(entry: Record | Item) -> tuple[bytes, str, str | None]:
    """What the data of a record or item is sealed for."""
    return (RECORD, entry.id, entry.kind) if isinstance(entry, Record) else (ITEM, entry.key, None)


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
