"""Items in the hand of a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insession.kernel.data import Data
from insession.kernel.items import Entry, Head, Items
from insession.kernel.operations import Fence

if TYPE_CHECKING:
    from .portal import Portal


class BlockingItems:
    """`Items` for threads."""

    __slots__ = ("_items", "_portal")

    def __init__(self, portal: Portal, items: Items) -> None:
        self._portal = portal
        self._items = items

    def under(self, session_id: str) -> BlockingItems:
        """The items that lie under a session."""
        return BlockingItems(self._portal, self._items.under(session_id))

    def typed(self, data: type[Any] | Data[Any]) -> BlockingItems:
        """As `Items.typed`."""
        return BlockingItems(self._portal, self._items.typed(data))

    def get(self, key: str) -> Entry | None:
        """As `Items.get`."""
        return self._portal.call(self._items.get, key)

    def put(
        self,
        key: str,
        data: object,
        *,
        version: int | None = None,
        owner: str | None = None,
        expires: float | None = None,
        fence: Fence | None = None,
    ) -> int:
        """As `Items.put`."""
        return self._portal.call(self._items.put, key, data, version=version, owner=owner, expires=expires, fence=fence)

    def delete(self, key: str, *, version: int | None = None, fence: Fence | None = None) -> None:
        """As `Items.delete`."""
        self._portal.call(self._items.delete, key, version=version, fence=fence)

    def find(
        self, prefix: str = "", *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[list[Entry], str | None]:
        """As `Items.find`."""
        return self._portal.call(self._items.find, prefix, owner=owner, after=after, limit=limit)

    def heads(
        self, prefix: str = "", *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[list[Head], str | None]:
        """As `Items.heads`."""
        return self._portal.call(self._items.heads, prefix, owner=owner, after=after, limit=limit)
