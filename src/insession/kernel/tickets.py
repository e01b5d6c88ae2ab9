"""Leases for somebody who holds them elsewhere: asked for by ticket, renewed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from insession.errors import Displaced, InvalidInput, LockLost, LockTimeout
from insession.kernel.batching import MOST_WAITING
from insession.kernel.ids import LARGEST_VERSION, check_count, check_seconds, check_text
from insession.kernel.operations import (
    Acquire,
    Fence,
    Find,
    Found,
    Granted,
    LeaseView,
    Refused,
    Release,
    Renew,
    Waiting,
    Why,
)
from insession.kernel.terms import MOST_PERMITS

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

TTL: Final = 30.0
"""So many seconds a permit lasts, and a place in the queue, unless it is asked for again."""
LONGEST_TICKET: Final = 64
MOST_LEASES: Final = 1_000


class Tickets:
    """The leases of an engine's store, for a holder who is not in this process.

    `Engine.lock` waits, renews and gives back by itself. Here whoever holds the ticket does all of that: he asks
    again until it is granted, renews before it runs out, and shows the fencing token with what must not happen later.
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def acquire(
        self,
        name: str,
        ticket: str,
        *,
        ttl: float = TTL,
        permits: int = 1,
        queue: int | None = None,
        note: bytes | None = None,
        again: bool = False,
    ) -> Granted | Waiting:
        """Ask for one of the permits of a lease, or ask again with the same ticket: it keeps its place.

        A ticket lives ``ttl`` seconds from its last question. ``queue`` bounds how many may wait (0: none).
        ``again``: the ticket has waited before; when its note was taken over and is done with, it is not queued anew.
        Raises `LockTimeout` where the queue is full or the note was ``taken``, `Displaced` for a holder whom somebody
        displaced.
        """
        if queue is not None and (queue != 0 or isinstance(queue, bool)):
            check_count(queue, "queue", MOST_WAITING)
        if note is not None and (type(note) is not bytes or len(note) > self._engine.most_data):
            raise InvalidInput("note", f"is bytes, at most {self._engine.most_data}")
        answer = await self._ask(
            Acquire(
                check_text(name, "name"),
                check_text(ticket, "ticket", LONGEST_TICKET),
                self._engine.clock.now(),
                check_seconds(ttl, "ttl", least=0.001),
                check_count(permits, "permits", MOST_PERMITS),
                queue,
                note,
                again=again,
                node=self._engine.name,
            )
        )
        if isinstance(answer, Refused):
            if answer.why is Why.LOST:
                raise Displaced(name)
            refused = LockTimeout(name)
            refused.taken = answer.why is Why.TAKEN
            raise refused
        granted: Granted | Waiting = answer
        return granted

    async def renew(self, name: str, ticket: str, token: int, *, ttl: float = TTL) -> Granted:
        """Prolong a permit by ``ttl`` seconds from now. Raises `LockLost`: it ran out, or somebody displaced it."""
        renewal = Renew(_fence(name, ticket, token), self._engine.clock.now(), check_seconds(ttl, "ttl", least=0.001))
        answer = await self._ask(renewal)
        if not isinstance(answer, Granted):
            raise LockLost(name)
        return answer

    async def release(self, name: str, ticket: str, token: int | None = None) -> None:
        """Give a permit, or a place in the queue, back; one that is not there any more has been given back.

        With the fencing ``token`` only that permit, not one that the same ticket was granted since; else `LockLost`.
        """
        if token is not None:
            await self.renew(name, ticket, token, ttl=0.001)
        fence = _fence(name, ticket, 1)
        answer = await self._ask(Release(fence.lease, fence.ticket, self._engine.clock.now()))
        self._engine.locks.handed_on(fence.lease, answer.next)

    async def find(
        self, prefix: str = "", *, cursor: str | None = None, limit: int = 100
    ) -> tuple[list[LeaseView], str | None]:
        """A page of leases that somebody holds or waits for, in the order of names; and where the next one begins.

        What has run out may be among them until somebody asks for it, or it is purged.
        """
        if prefix != "":
            check_text(prefix, "prefix")
        if cursor is not None:
            check_text(cursor, "cursor")
        check_count(limit, "limit", MOST_LEASES)
        found: Found = await self._ask(Find("lease", prefix, after=cursor, most=limit))
        return [one for one in found.entries if isinstance(one, LeaseView)], found.after

    async def _ask(self, operation: Acquire | Renew | Release | Find) -> Any:
        return await self._engine._ask(operation)


def _fence(name: str, ticket: str, token: int) -> Fence:
    return Fence(
        check_text(name, "name"),
        check_text(ticket, "ticket", LONGEST_TICKET),
        check_count(token, "fencing_token", LARGEST_VERSION),
    )
