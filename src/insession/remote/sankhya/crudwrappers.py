"""The request wrappers of the document: find, insert, update and remove over the wrapper of a context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from .blocking import SankhyaWrapper
from .entities import Entity
from .wrapper import AsyncSankhyaWrapper

E = TypeVar("E", bound=Entity)


class SimpleCRUDRequestWrapper:
    """Rows over the wrapper of a context: ``SimpleCRUDRequestWrapper(context.wrapper)``. It owns nothing."""

    def __init__(self, wrapper: SankhyaWrapper) -> None:
        self._wrapper = wrapper

    def find(
        self, entity: type[E], criteria: str = "", max_results: int = 0, *, parameters: Sequence[object] = ()
    ) -> list[E]:
        """As `AsyncSankhyaWrapper.find_async`."""
        return self._wrapper.find(entity, criteria, parameters, max_results=max_results)

    def insert(self, row: E) -> E:
        """As `AsyncSankhyaWrapper.insert_async`."""
        return self._wrapper.insert(row)

    def update(self, row: E) -> E:
        """As `AsyncSankhyaWrapper.update_async`."""
        return self._wrapper.update(row)

    def remove(self, row: Entity) -> None:
        """As `AsyncSankhyaWrapper.remove_async`."""
        self._wrapper.remove(row)


class AsyncSimpleCRUDRequestWrapper:
    """`SimpleCRUDRequestWrapper` over the wrapper of an async context."""

    def __init__(self, wrapper: AsyncSankhyaWrapper) -> None:
        self._wrapper = wrapper

    async def find(
        self, entity: type[E], criteria: str = "", max_results: int = 0, *, parameters: Sequence[object] = ()
    ) -> list[E]:
        """As `AsyncSankhyaWrapper.find_async`."""
        return await self._wrapper.find_async(entity, criteria, parameters, max_results=max_results)

    async def insert(self, row: E) -> E:
        """As `AsyncSankhyaWrapper.insert_async`."""
        return await self._wrapper.insert_async(row)

    async def update(self, row: E) -> E:
        """As `AsyncSankhyaWrapper.update_async`."""
        return await self._wrapper.update_async(row)

    async def remove(self, row: Entity) -> None:
        """As `AsyncSankhyaWrapper.remove_async`."""
        await self._wrapper.remove_async(row)
