"""The masters of a cluster: which of them has which slot, and one connection to each that is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from insession.errors import ConfigurationError, StoreUnavailable

from .dialling import Address, Carrier, Dialler
from .link import Line, Link

_PAUSES: Final = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Seconds between attempts to reach a slot's master, the last one again and again."""
_SHARE: Final = 0.3
"""So much of the patience one server gets to be reached."""
_LATER: Final = (AskError, TryAgainError, ClusterDownError)


class Nodes:
    """What is known of the cluster.

    The map is read when the store is opened and when a master is gone; a slot that moved is told by the refusal.
    A slot that is being moved key by key is waited for: the program would see a part of its partition's keys.
    """

    def __init__(self, dialler: Dialler, where: str, patience: float) -> None:
        self._dialler = dialler
        self._where = where
        self._patience = patience
        self._ranges: list[tuple[int, int, Address]] = []
        self._moved: dict[int, Address] = {}
        self._links: dict[Address, Link] = {}
        self._learning = asyncio.Lock()
        self._read = 0
        self._closed = False

    @property
    def masters(self) -> tuple[Address, ...]:
        """The masters that have slots."""
        return tuple(dict.fromkeys(address for _, _, address in self._ranges))

    def master(self, slot: int) -> Address:
        """Who has a slot, as far as it is known."""
        moved = self._moved.get(slot)
        if moved is not None:
            return moved
        for first, last, address in self._ranges:
            if first <= slot <= last:
                return address
        raise StoreUnavailable(f"{self._where}: no master has slot {slot}")

    def turned_away(self, slot: int, error: ResponseError) -> bool:
        """Whether what was refused may be sent again; nothing of it ran. A slot that moved is looked for there."""
        if isinstance(error, MovedError):
            self._moved[slot] = (error.host or self.master(slot)[0], error.port)
            return True
        return isinstance(error, _LATER)

    async def learn(self) -> None:
        """Read the map from the first server that knows one."""
        before = self._read
        async with self._learning:
            if self._read != before:
                return
            problem: Exception | None = None
            for address in dict.fromkeys((*self.masters, *self._dialler.hosts)):
                try:
                    async with asyncio.timeout(self._patience * _SHARE):
                        self._ranges = list(_ranges(await self._asked(address), address[0]))
                except (RedisError, OSError, TimeoutError) as error:
                    problem = error
                    self._refuse(error)
                    continue
                self._moved.clear()
                self._read += 1
                return
            raise StoreUnavailable(f"{self._where}: no server tells the slots of the cluster: {problem}") from problem

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
            raise ConfigurationError(f"{self._where}: the server refuses this user: {error}") from error
        if isinstance(error, ResponseError) and "cluster support disabled" in str(error):
            raise ConfigurationError(f"{self._where}: the server is not one of a cluster; use redis://") from error

    async def _asked(self, address: Address) -> Any:
        connection = await self._dialler.connect(address)
        try:
            await connection.send_command("CLUSTER", "SLOTS", check_health=False)
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    async def line(self, slot: int) -> Line:
        """A line to the master of a slot; `StoreUnavailable` if there is none in time."""
        loop = asyncio.get_running_loop()
        end, attempt = loop.time() + self._patience, 0
        while True:
            if self._closed:
                raise StoreUnavailable(f"{self._where}: the store is not open")
            try:
                return await self._opened(self.master(slot))
            except StoreUnavailable:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                if loop.time() + pause >= end:
                    raise
                await asyncio.sleep(pause)
            await self._learn_again(end)

    async def _opened(self, address: Address) -> Line:
        """A line to a master; who does not answer at all must leave time to look for another."""
        try:
            async with asyncio.timeout(self._patience * _SHARE):
                return await self._link(address).open()
        except TimeoutError:
            raise StoreUnavailable(f"{self._where}: cannot be reached: no answer") from None

    async def _learn_again(self, end: float) -> None:
        try:
            async with asyncio.timeout_at(end):
                await self.learn()
        except (StoreUnavailable, TimeoutError):
            # The master that is known is tried again.
            return

    def _link(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            link = Link(partial(self._dialler.connect, address), self._where, self._patience)
            self._links[address] = link
        return link

    async def dial(self, slot: int) -> Carrier:
        """A connection of its own to the master of a slot."""
        try:
            return await self._dialler.connect(self.master(slot))
        except (RedisError, OSError, StoreUnavailable):
            with suppress(StoreUnavailable, ConfigurationError):
                await self.learn()
            raise

    async def close(self) -> None:
        """Give up every connection, after the calls under way."""
        self._closed = True
        await asyncio.gather(*(link.close() for link in self._links.values()))


def _ranges(reply: Any, asked: str) -> Iterable[tuple[int, int, Address]]:
    """The slots of the masters; a server that does not know its own name is where it was asked."""
    for first, last, master, *_ in reply:
        host = master[0].decode() if master[0] else ""
        yield int(first), int(last), (asked if host in {"", "?"} else host, int(master[1]))
