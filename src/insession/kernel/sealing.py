"""Changing the keys of a store that is encrypted at rest: what an older key sealed is sealed anew, and counted.

All of these take an open store, or the engine that opened it. They walk the store page by page, beside those who
use it. How a value is sealed only the encrypting store knows; it is a `Sealing`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Protocol, cast

import msgspec

from insession.errors import ConfigurationError
from insession.kernel.contract import Store
from insession.kernel.life import Life
from insession.kernel.operations import Commit, Find, Found, Guard, Patch, Put, Refused, Why
from insession.kernel.record import CHECKS, NODE_KIND, Item, Record

PAGE: Final = 50
"""So many values are read, and written, at a time."""
MOST_PASSES: Final = 8
"""A pass finds what others sealed with an older key meanwhile; with those who go on doing so nobody catches up."""
MOST_NAMED: Final = 1_000
"""So many unreadable values are named; all are counted."""


class Examined(msgspec.Struct, frozen=True):
    """What there is to say of one sealed value: the number of its key, its data version, why it cannot be read."""

    key: int
    version: int
    problem: str | None = None


class Sealing(Protocol):
    """What a store that encrypts has beyond a store."""

    store: Store
    """The store below, where sealed values are seen as they lie."""

    async def rotate(self, keys: object) -> None:
        """Use another ring from now on."""

    async def ready(self) -> int:
        """Look whether the ring has changed at its source; the number of the key that seals."""

    def examined(self, entry: Record | Item) -> Examined:
        """What lies in a record or item of the store below."""

    def resealed(self, entry: Record | Item) -> bytes:
        """Its data, sealed by the current key; only of what can be read."""


class Unread(msgspec.Struct, frozen=True):
    """A value that cannot be read: a session's id or an item's key, and why. Nothing of the value."""

    name: str
    problem: str


class Rewrapped(msgspec.Struct, frozen=True):
    """What `rewrap` has done: ``done`` values sealed anew.

    Of the last pass: ``skipped`` had been sealed by the current key before, ``unreadable`` were left as they lie, and
    ``missed`` were changed by others at that moment. ``finished``: a pass has found nothing older; where that is false
    at the end, processes still seal with an older key.
    """

    done: int = 0
    skipped: int = 0
    unreadable: int = 0
    missed: int = 0
    passes: int = 0
    finished: bool = False


class Verified(msgspec.Struct, frozen=True):
    """What `verify` has found: readable values by the number of their key, and by their data version.

    ``named`` are the first 1,000 of the ``unreadable``.
    """

    keys: Mapping[int, int]
    versions: Mapping[int, int]
    unreadable: int
    named: tuple[Unread, ...]


async def rotate(store: Store | Life, keys: object) -> None:
    """Use another ring of keys from now on, in this process: a ring or its text.

    Not needed where the ring lies in a file: that is read again by itself. Raises `ConfigurationError`, and
    `DataUnreadable` where a key is not the store's key of that number; then the ring in use goes on.
    """
    await _sealing(store).rotate(keys)


async def rewrap(store: Store | Life, *, progress: Callable[[Rewrapped], object] | None = None) -> Rewrapped:
    """Seal anew what an older key of the ring sealed: the data of records, ended ones too, and of items.

    Versions, events and deadlines stay as they are, so nobody who uses the store notices. It needs no memory of its
    own: stopped in the middle it has done a part, called again it skips that. ``progress`` is told after every page.
    What cannot be read is left as it lies. `ConfigurationError` where the store is not encrypted.

    Notes of those who wait for a lease are not rewrapped: they are gone when the lease is granted or given up.
    """
    sealing, told = _sealing(store), Rewrapped()
    while told.passes < MOST_PASSES:
        before = told.done
        told = msgspec.structs.replace(told, skipped=0, unreadable=0, missed=0, passes=told.passes + 1)
        async for page in _pages(sealing.store):
            told = await _rewrapped(sealing, page, told)
            if progress is not None:
                progress(told)
        if told.done == before and not told.missed:
            return msgspec.structs.replace(told, finished=True)
    return told


async def verify(store: Store | Life, *, progress: Callable[[Verified], object] | None = None) -> Verified:
    """Open every value, and count: by key, by data version, and what cannot be read, by name.

    Nothing is changed, and nothing that was decrypted leaves this function. ``progress`` is told after every page.
    `ConfigurationError` where the store is not encrypted.
    """
    sealing = _sealing(store)
    keys: Counter[int] = Counter()
    versions: Counter[int] = Counter()
    named: list[Unread] = []
    unreadable = 0
    async for page in _pages(sealing.store):
        await sealing.ready()
        for entry in page:
            seen = sealing.examined(entry)
            if seen.problem is None:
                keys[seen.key] += 1
                versions[seen.version] += 1
                continue
            unreadable += 1
            if len(named) < MOST_NAMED:
                named.append(Unread(_name(entry), seen.problem))
        if progress is not None:
            progress(Verified(dict(keys), dict(versions), unreadable, tuple(named)))
    return Verified(dict(keys), dict(versions), unreadable, tuple(named))


def _sealing(store: Store | Life) -> Sealing:
    found = store.store if isinstance(store, Life) else store
    if not hasattr(found, "resealed"):
        raise ConfigurationError("this store is not encrypted; connect with keys=..., or the environment's ring")
    return cast("Sealing", found)


async def _pages(store: Store) -> AsyncIterator[list[Record | Item]]:
    """Everything that holds data, as it lies there: sessions of every kind and state, and items."""
    most = min(PAGE, store.most)
    for find in (
        Find("all", state=None, most=most),
        Find("kind", NODE_KIND, NODE_KIND, None, most=most),
        Find("item", "", most=most),
    ):
        after: str | None = None
        while True:
            (found,) = await store.apply([msgspec.structs.replace(find, after=after)])
            page = cast("Found", found)
            yield [one for one in page.entries if isinstance(one, Record | Item) and not _name(one).startswith(CHECKS)]
            after = page.after
            if after is None:
                break


async def _rewrapped(sealing: Sealing, page: list[Record | Item], told: Rewrapped) -> Rewrapped:
    """The count after one page, whose older values have been sealed anew in one batch."""
    current, now = await sealing.ready(), await sealing.store.now()
    seen = [(entry, sealing.examined(entry)) for entry in page]
    older = [entry for entry, one in seen if one.problem is None and one.key != current]
    answers = await sealing.store.apply([_anew(sealing, entry, now) for entry in older]) if older else []
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    unreadable = sum(one.problem is not None for _, one in seen)
    return Rewrapped(
        told.done + len(older) - len(refused),
        told.skipped + len(page) - len(older) - unreadable,
        told.unreadable + unreadable,
        told.missed + sum(answer.why is not Why.MISSING for answer in refused),
        told.passes,
    )


def _anew(sealing: Sealing, entry: Record | Item, now: float) -> Commit:
    data = sealing.resealed(entry)
    part: Patch | Put
    if isinstance(entry, Record):
        part = Patch(entry.id, Guard.SAME, entry.version, data=data, kind=entry.kind)
    else:
        part = Put(entry.key, data, Guard.SAME, entry.version, entry.owner, entry.expires)
    return Commit(now, f"rewrap-{secrets.token_hex(8)}", "", (part,))


def _name(entry: Record | Item) -> str:
    return entry.id if isinstance(entry, Record) else entry.key
