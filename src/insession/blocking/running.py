"""Work of a thread for a session: a block, or a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from insession.errors import PortalClosed, SessionEnded

from .held import Held

if TYPE_CHECKING:
    from .portal import Portal

T = TypeVar("T")


class Running(AbstractContextManager[T], Generic[T]):
    """A block of a thread's work, registered on the loop as work that nothing there can stop.

    Args:
        portal: Where the session lives.
        manager: Makes the asynchronous block that stands for it there.
        inside: What the ``with`` statement gives, made of what that block gives.
        ended: The error that says how the session ended; None: it has not, as far as is known.
    """

    def __init__(
        self,
        portal: Portal,
        manager: Callable[[], AbstractAsyncContextManager[Any]],
        inside: Callable[[Any], T],
        ended: Callable[[T], SessionEnded | None],
    ) -> None:
        self._held: Held[Any] = portal.hold(manager, shielded=True)
        self._make = inside
        self._ended = ended
        self._inside: list[T] = []

    def __enter__(self) -> T:
        inside = self._make(self._held.__enter__())
        self._inside.append(inside)
        return inside

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._held.__exit__(kind, error, trace)
            told = self._held.told
        except PortalClosed:
            # The session may have been ended before everything else was.
            if (ended := self._ended(self._inside[0])) is not None:
                raise ended from None
            raise
        if told and error is None and (ended := self._ended(self._inside[0])) is not None:
            raise ended

    def leave(self) -> None:
        """Leave it without waiting, in any thread."""
        self._held.leave()


class Guard(Iterator[T]):
    """An iterator that ends with its session. The work for it begins at the first step."""

    __slots__ = ("_begun", "_check", "_over", "_running", "_source")

    def __init__(self, running: Running[Any], source: Iterable[T], check: Callable[[], None]) -> None:
        self._running = running
        self._source: Iterator[T] = iter(source)
        self._check = check
        self._begun = False
        self._over = False

    def __next__(self) -> T:
        if self._over:
            self._check()
            raise StopIteration
        try:
            if not self._begun:
                self._running.__enter__()
                self._begun = True
            self._check()
            element = next(self._source)
            self._check()
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise
        return element

    def close(self) -> None:
        """Close the iterator."""
        with suppress(SessionEnded):
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        if self._over:
            return
        self._over = True
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        finally:
            if self._begun:
                self._running.__exit__(type(error) if error is not None else None, error, None)

    def __del__(self) -> None:
        # A consumer that leaves its loop drops the iterator without closing it.
        if self._begun and not self._over:
            self._running.leave()
