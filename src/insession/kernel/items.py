"""Items: what is no session, kept beside sessions or by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from insession.errors import Conflict, InvalidInput
from insession.kernel.codec import decode, encode
from insession.kernel.data import Data
from insession.kernel.ids import LARGEST_VERSION, check_count, check_key, check_owner, check_seconds, check_text
from insession.kernel.operations import Commit, Fence, Find, Found, Guard, Load, Loaded, Put, Refused, Why
from insession.kernel.record import NEVER, Item

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

ABSENT: Final = 0
"""The version of an item that is not there."""


class Entry(msgspec.Struct, frozen=True):
    """An item as a program reads it."""

    key: str
    data: Any
    version: int
    owner: str | None = None
    expires: float | None = None


class Head(msgspec.Struct, frozen=True):
    """An item without its data; ``size`` is how many bytes that has, as it is kept."""

    key: str
    version: int
    size: int
    owner: str | None = None
    expires: float | None = None


class Items:
    """Items of an engine, or those under one session: keys there are without the session's id."""

    __slots__ = ("_engine", "_prefix", "_shape")

    def __init__(self, engine: Engine, prefix: str = "", shape: Data[Any] | None = None) -> None:
        self._engine = engine
        self._prefix = prefix
        self._shape = shape

    def under(self, session_id: str) -> Items:
        """The items that lie under a session."""
        return Items(self._engine, f"{session_id}/", self._shape)

    def typed(self, data: type[Any] | Data[Any]) -> Items:
        """The same items, as data of a type: ``engine.items.typed(Data(Memory, version=2, upgrades={1: ...}))``.

        Older ones are upgraded as they are read, and kept so when they are put again. One of a newer version is not
        read; to write over none, put with the ``version`` that was read.
        """
        return Items(self._engine, self._prefix, data if isinstance(data, Data) else Data(data))

    async def get(self, key: str) -> Entry | None:
        """The item under a key; None if there is none, or it has expired."""
        full = check_key(self._prefix + check_text(key, "key"))
        loaded: Loaded = await self._engine._ask(Load((full,)))
        item = loaded.found[0]
        return self._entry(item) if isinstance(item, Item) and item.expires > self._engine.clock.now() else None

    async def put(
        self,
        key: str,
        data: object,
        *,
        version: int | None = None,
        owner: str | None = None,
        expires: float | None = None,
        fence: Fence | None = None,
    ) -> int:
        """Write an item; its new version.

        ``version`` is the one it must have (0: none there), else `Conflict`; ``expires`` seconds
        from now it is gone; ``fence`` must still hold its lease, else `LockLost`.
        """
        now = self._engine.clock.now()
        until = NEVER if expires is None else now + check_seconds(expires, "expires")
        most = self._engine.most_data
        encoded = encode(data, most) if self._shape is None else self._shape.encoded(data, most, "these items")
        return await self._commit(key, encoded, version, check_owner(owner), until, fence)

    async def delete(self, key: str, *, version: int | None = None, fence: Fence | None = None) -> None:
        """Delete an item, whether it is there or not."""
        await self._commit(key, None, version, None, NEVER, fence)

    async def find(
        self, prefix: str = "", *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[list[Entry], str | None]:
        """A page of items by prefix, or of an owner, in the order of keys; and where the next one begins.

        What the engine keeps for itself, under keys that begin with ``~``, is left out: a page may be short of it.
        Raises `DataUnreadable` where one of them cannot be read; `heads` does not.
        """
        found, more = await self._found(prefix, owner, after, limit)
        return [self._entry(item) for item in found], more

    async def heads(
        self, prefix: str = "", *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[list[Head], str | None]:
        """The page of `find` without data, which nobody reads then: what cannot be read is on it, too."""
        found, more = await self._found(prefix, owner, after, limit)
        return [
            Head(item.key.removeprefix(self._prefix), item.version, len(item.data), item.owner, _expires(item))
            for item in found
        ], more

    async def _found(
        self, prefix: str, owner: str | None, after: str | None, limit: int
    ) -> tuple[list[Item], str | None]:
        check_count(limit, "limit", 1_000)
        if prefix != "":
            check_text(prefix, "prefix")
        if after is not None:
            check_text(after, "after")
        if owner is not None:
            if prefix or self._prefix:
                raise InvalidInput("owner", "goes without a prefix")
            find = Find("item owner", check_owner(owner), after=after, most=limit)
        else:
            find = Find("item", self._prefix + prefix, after=self._prefix + after if after else None, most=limit)
        found: Found = await self._engine._ask(find)
        now = self._engine.clock.now()
        items = [item for item in found.entries if isinstance(item, Item) and item.expires > now]
        # What the engine keeps for itself is seen by who asks for it by its prefix.
        shown = [item for item in items if item.key[0] != "~" or prefix[:1] == "~"]
        return shown, None if found.after is None else found.after.removeprefix(self._prefix)

    async def _commit(
        self,
        key: str,
        data: bytes | None,
        version: int | None,
        owner: str | None,
        until: float,
        fence: Fence | None,
    ) -> int:
        engine = self._engine
        full = check_key(self._prefix + check_text(key, "key"))
        guard: Literal[Guard.ANY, Guard.ABSENT, Guard.VERSION] = Guard.ANY
        if fence is not None and not isinstance(fence, Fence):
            raise InvalidInput("fence", "is the one of a lock that is held")
        if version is not None:
            if version != ABSENT or isinstance(version, bool):
                check_count(version, "version", LARGEST_VERSION)
            guard = Guard.ABSENT if version == ABSENT else Guard.VERSION
        put = Put(full, data, guard, version or 0, owner, until)
        answer = await engine._ask(Commit(engine.clock.now(), engine._change(), engine.name, (put,), (), fence))
        if isinstance(answer, Refused):
            if answer.why is Why.FENCED:
                raise engine.locks.lost(fence)
            raise Conflict(full, answer.current.version if answer.current is not None else ABSENT)
        return int(answer.versions[0])

    def _entry(self, item: Item) -> Entry:
        key = item.key.removeprefix(self._prefix)
        shape = self._shape
        data = decode(item.data, None, item.key) if shape is None else shape.decoded(item.data, item.key)
        return Entry(key, data, item.version, item.owner, _expires(item))


def _expires(item: Item) -> float | None:
    return None if item.expires == NEVER else item.expires
