"""Events in the hand of a thread: a stream to walk through, and observers."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from insession.errors import PortalClosed
from insession.kernel.events import Event
from insession.kernel.observers import Subscription
from insession.kernel.streams import EventStream

if TYPE_CHECKING:
    from .portal import Portal


class BlockingEventStream(Iterator[Event]):
    """`EventStream` for threads: what is here already comes along, so that a step is rarely a call.

    Threads may share one; each event then goes to one of them. An exception while a step waits (Ctrl-C) loses nothing.
    """

    def __init__(self, portal: Portal, stream: EventStream) -> None:
        self._portal = portal
        self._stream = stream
        self._here: deque[tuple[Event, str | None]] = deque()
        self._stepping = threading.Lock()
        self._fetching: asyncio.Task[Any] | None = None
        self._over = False
        self.cursor: str | None = stream.cursor

    def start(self) -> None:
        """As `EventStream.start`."""
        self._portal.call(self._stream.start)
        if self.cursor is None:
            self.cursor = self._stream.cursor

    @property
    def ready(self) -> bool:
        """Whether the next event is here already."""
        return bool(self._here) or self._stream.ready

    def __next__(self) -> Event:
        self._portal.check()
        with self._stepping:
            while not self._here and not self._over:
                try:
                    self._portal.call(self._fetch)
                except PortalClosed:
                    if not self._over:
                        raise
            if self._over:
                raise StopIteration
            event, self.cursor = self._here.popleft()
        return event

    def close(self) -> None:
        """End the stream, also for a thread that waits for its next event: nobody else could stop that one."""
        self._portal.call(self._end)

    async def _end(self) -> None:
        self._over = True
        if self._fetching is not None:
            self._fetching.cancel()

    async def _fetch(self) -> None:
        """Wait for an event, and bring along what is here with it."""
        stream = self._stream
        if self._over:
            return
        self._fetching = asyncio.current_task()
        try:
            self._here.append((await anext(stream), stream.cursor))
        finally:
            self._fetching = None
        while stream.ready:
            self._here.append((await anext(stream), stream.cursor))


class BlockingSubscription:
    """`Subscription` for threads: a plain function is called in a thread of the observer's own."""

    __slots__ = ("_portal", "_subscription")

    def __init__(self, portal: Portal, subscription: Subscription) -> None:
        self._portal = portal
        self._subscription = subscription

    @property
    def failures(self) -> int:
        """How often it raised, or did not finish in 5 s."""
        return self._subscription.failures

    def __enter__(self) -> Self:
        self._portal.call(self._subscription.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """As `Subscription.close`."""
        self._portal.call(self._subscription.close)
