"""Carrying everything that a store holds to another one, while it is in use.

Records (live and ended) and items go as they are, by version. Leases do not: who holds one loses it. The log does
not: the target begins one of its own, and who reads on with a cursor of the source is told that it is trimmed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import replace

from insession.errors import ConfigurationError
from insession.kernel.contract import Store
from insession.kernel.operations import Find, Found, Import, Index, Mark, Marked, Operation, Refused, Standing
from insession.kernel.record import NODE_KIND, Item, Record
from insession.kernel.urls import parse_url, store_from

LITTLE: Final = 0.01
"""Passes are made until one carries at most so much of what there is,"""
FEW: Final = 100
"""or so few records and items,"""
MOST_PASSES: Final = 10
"""or so many are made: who writes that fast is not waited for."""
_PAGE: Final = 4 << 20
"""About so many bytes of data are read, or written, at a time."""
_MOST: Final = 500
_FIRST: Final = 20
_INDEXES: Final[tuple[tuple[Index, str | None], ...]] = (("all", None), ("kind", NODE_KIND), ("item", ""))
"""Everything. Nodes are in no ``all``: the target's engines recover the sessions of those that stay behind."""
_TELLING: Final = ("host", "schema")
"""Options of a URL that say which store it is."""
_encode: Final = msgspec.msgpack.Encoder().encode


class Copied(msgspec.Struct, frozen=True):
    """How far a copy has come."""

    passes: int = 0
    """Begun so far."""
    records: int = 0
    items: int = 0
    """Found in the source by the pass under way, or by the last one."""
    written: int = 0
    removed: int = 0
    """Carried over, and removed because the source has it no more, by all passes."""
    changed: int = 0
    """The same of the pass under way, or the last one."""
    finished: bool = False
    """The source has moved, and the target has taken over."""


Progress = Callable[[Copied], None]


async def copy(
    source: Store,
    target: Store,
    *,
    finish: bool,
    names: tuple[str, str],
    progress: Progress | None = None,
) -> Copied:
    """Carry what a store holds to another one, pass after pass until little has changed since the last one.

    Both stores are open, and no wrapper of encryption is wanted: sealed data are carried as they lie there, and
    are opened by the same keys. The target is empty, or was filled from this source before; until the end it takes no
    changes by anybody else. One copy at a time. Stopped anywhere and called again it goes on.

    With ``finish`` the source is marked as moved then: its `apply` answers every change with that word, and nothing is
    acknowledged there any more. A last pass follows, without events; the target begins a new epoch, and takes over.
    Called again it finds that done.

    Args:
        source: Where from.
        target: Where to.
        finish: Whether the target takes over.
        names: The two as errors shall name them: URLs without passwords.
        progress: Called after every page.

    Raises `ConfigurationError` where the two do not go together, and what the stores raise.
    """
    moving = _Moving(source, target, names, progress)
    if await moving.begin():
        return Copied(finished=True)
    await moving.pass_until_little_changes()
    if finish:
        await moving.finish()
    return moving.copied


async def copy_between(
    source: str,
    target: str,
    *,
    finish: bool = False,
    namespace: str = "default",
    target_namespace: str | None = None,
    progress: Progress | None = None,
) -> Copied:
    """`copy` between the stores of two URLs; ``target_namespace`` is the ``namespace``, unless it is given."""
    spaces = (namespace, namespace if target_namespace is None else target_namespace)
    names = [_named(url, space) for url, space in zip((source, target), spaces, strict=True)]
    if parse_url(target).scheme == "memory":
        raise ConfigurationError(f"{names[1]}: ends with this process, and with it all that were carried there")
    first = store_from(source, namespace=spaces[0])
    second = store_from(target, namespace=spaces[1])
    await first.open()
    try:
        await second.open()
        try:
            return await copy(first, second, finish=finish, names=(names[0], names[1]), progress=progress)
        finally:
            await second.close()
    finally:
        await first.close()


def _named(url: str, namespace: str) -> str:
    """A store as marks and errors name it: with what tells it from others of the same server, and no password."""
    parsed = parse_url(url)
    told = [f"{name}={parsed.options[name]}" for name in _TELLING if name in parsed.options]
    return (
        parsed.shown + ("?" + "&".join(told) if told else "") + f" (namespace {namespace})" * (namespace != "default")
    )


class _Moving:
    """One copy under way."""

    def __init__(self, source: Store, target: Store, names: tuple[str, str], progress: Progress | None) -> None:
        self._source = source
        self._target = target
        self._from, self._to = names
        self._progress = progress
        self._known: dict[str, int] = {}
        """What the target holds, by key, as a digest."""
        self._last = False
        """Nothing changes in the source any more."""
        self.copied = Copied()

    async def begin(self) -> bool:
        """Make sure that the two go together; whether everything has been done before."""
        ours, theirs = await _mark(self._source), await _mark(self._target)
        if ours.standing is Standing.FILLING:
            raise ConfigurationError(f"{self._from}: is being filled from {ours.store} itself; finish that first")
        if ours.standing is Standing.MOVED and ours.store != self._to:
            raise ConfigurationError(f"{self._from}: has moved to {ours.store}; copy from there")
        if theirs.standing is Standing.MOVED:
            raise ConfigurationError(f"{self._to}: has moved to {theirs.store} itself; copy to there")
        if theirs.standing is Standing.FILLING and theirs.store != self._from:
            raise ConfigurationError(f"{self._to}: is being filled from {theirs.store}; give another store")
        self._last = ours.standing is Standing.MOVED
        if theirs.standing is Standing.OPEN:
            # What took over counts on from where the source stopped: one that does not was emptied, or made anew.
            if ours.standing is Standing.MOVED and theirs.number >= ours.number:
                return True
            await self._take_hold()
        await self._look_at_target()
        return False

    async def _take_hold(self) -> None:
        """Let the empty target stand filling."""
        await self._check_empty()
        await _mark(self._target, Mark(Standing.FILLING, self._from))
        try:
            await self._check_another()
            await self._check_empty()
        except ConfigurationError:
            await _mark(self._target, Mark(Standing.OPEN))
            raise

    async def _check_another(self) -> None:
        """Two URLs may mean the same store."""
        if (await _mark(self._source)).standing is Standing.FILLING:
            raise ConfigurationError(f"{self._to}: is the store that everything is to be copied from")

    async def _check_empty(self) -> None:
        async for entries in _everything(self._target, most=1):
            if entries:
                raise ConfigurationError(f"{self._to}: holds something of its own; give an empty store or namespace")

    async def _look_at_target(self) -> None:
        async for entries in _everything(self._target):
            self._known |= {_key(one): _digest(one) for one in entries}

    async def pass_until_little_changes(self) -> None:
        """Make passes."""
        before: int | None = None
        while self.copied.passes < MOST_PASSES and not self._last:
            await self._pass()
            changed, there = self.copied.changed, self.copied.records + self.copied.items
            if changed <= max(FEW, LITTLE * there) or (before is not None and changed >= before):
                return
            before = changed

    async def finish(self) -> None:
        """Let the target take over. Nothing of the source can change between the mark and the last pass."""
        moved = await _mark(self._source, Mark(Standing.MOVED, self._to))
        self._last = True
        await self._pass()
        await _mark(self._target, Mark(Standing.OPEN, number=moved.number))
        self.copied = replace(self.copied, finished=True)

    async def _pass(self) -> None:
        """Carry what has changed since the last pass, and remove what is not there any more."""
        self._say(passes=self.copied.passes + 1, records=0, items=0, changed=0)
        gone = self._known
        self._known = {}
        async for entries in _everything(self._source):
            new: list[Record | Item] = []
            for one in entries:
                key, digest = _key(one), _digest(one)
                # One that moved on meanwhile comes twice.
                if gone.pop(key, self._known.get(key)) != digest:
                    new.append(one)
                self._known[key] = digest
            await self._send([Import(_key(one), one) for one in new])
            records = sum(isinstance(one, Record) for one in entries)
            self._count(written=len(new), records=records, items=len(entries) - records)
        await self._send([Import(key, None) for key in gone])
        self._count(removed=len(gone))

    async def _send(self, imports: Sequence[Import]) -> None:
        for batch in _batches(imports, self._target.most):
            answers = await self._target.apply(batch)
            # In the last pass partitions open one after the other, each with all that it is to have.
            if not self._last and any(isinstance(answer, Refused) for answer in answers):
                await self._hold_on()
                await self._target.apply(batch)

    async def _hold_on(self) -> None:
        """Some of the target stands open: whoever began to take hold of it was stopped, or somebody has finished."""
        # In this order: nobody lets the target take over before the source has moved.
        theirs, ours = await _mark(self._target), await _mark(self._source)
        if theirs.standing is Standing.OPEN or ours.standing is Standing.MOVED:
            raise ConfigurationError(f"{self._to}: somebody else has let it take over; nothing more is copied")
        await _mark(self._target, Mark(Standing.FILLING, self._from))

    def _count(self, *, written: int = 0, removed: int = 0, records: int = 0, items: int = 0) -> None:
        so_far = self.copied
        self._say(
            records=so_far.records + records,
            items=so_far.items + items,
            written=so_far.written + written,
            removed=so_far.removed + removed,
            changed=so_far.changed + written + removed,
        )

    def _say(self, **numbers: int) -> None:
        self.copied = replace(self.copied, **numbers)
        if self._progress is not None:
            self._progress(self.copied)


async def _mark(store: Store, mark: Mark | None = None) -> Marked:
    (answer,) = await store.apply([mark or Mark()])
    assert isinstance(answer, Marked)
    return answer


async def _everything(store: Store, *, most: int = _FIRST) -> AsyncIterator[tuple[Record | Item, ...]]:
    """Pages of all records and items that stay where they are; their sizes follow those of the data."""
    for index, value in _INDEXES:
        after: str | None = None
        while True:
            found = await _page(store, Find(index, value, state=None, after=after, most=most))
            entries: tuple[Record | Item, ...] = found.entries  # type: ignore[assignment]
            yield entries
            after = found.after
            if after is None:
                break
            size = sum(len(one.data) for one in entries)
            most = max(1, min(_MOST, 2 * most, most * _PAGE // max(1, size)))


async def _page(store: Store, find: Find) -> Found:
    (answer,) = await store.apply([find])
    assert isinstance(answer, Found)
    return answer


def _batches(imports: Iterable[Import], most: int) -> Iterable[list[Operation]]:
    batch: list[Operation] = []
    size = 0
    for one in imports:
        if batch and (len(batch) >= most or size >= _PAGE):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += 0 if one.one is None else len(one.one.data)
    if batch:
        yield batch


def _key(one: Record | Item) -> str:
    return one.key if isinstance(one, Item) else one.id


def _digest(one: Record | Item) -> int:
    return int.from_bytes(blake2b(_encode(one), digest_size=8).digest(), "big")
