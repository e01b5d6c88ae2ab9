"""The routes of locks: held by a ticket, from outside of any engine."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Final

from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from insession.kernel.operations import Granted
from insession.kernel.tickets import Tickets

from .asking import Asked, answers, engine_of
from .bodies import StrictBody
from .shapes import LIMIT, LOCK_PREFIX, TEXT, maybe
from .wire import (
    AcquireLock,
    LockGranted,
    LockList,
    LockReleased,
    LockView,
    LockWaiting,
    ReleaseLock,
    RenewLock,
)

LONGEST_LOOK: Final = 1 / 3
"""A ticket that waits asks again within this part of its time to live, or it loses its place."""
_ANSWERS: Final = {
    **answers(409, 413),
    200: ResponseSpec(LockGranted, generate_examples=False, description="The permit is held"),
    202: ResponseSpec(LockWaiting, generate_examples=False, description="It waits in the queue"),
}


@get("/locks", responses=answers())
async def list_locks(
    request: Asked,
    *,
    prefix: Annotated[str, QueryParameter(schema_extra=LOCK_PREFIX)] = "",
    cursor: Annotated[str | None, QueryParameter(schema_extra=maybe(TEXT))] = None,
    limit: Annotated[int, QueryParameter(schema_extra=LIMIT)] = 100,
) -> LockList:
    """A page of the locks that somebody holds or waits for, in the order of their names."""
    found, after = await Tickets(engine_of(request)).find(prefix, cursor=cursor, limit=limit)
    return LockList([LockView(one.name, list(one.holders), list(one.waiting)) for one in found], after)


@post("/locks/acquire", status_code=200, dto=StrictBody[AcquireLock], return_dto=None, responses=_ANSWERS)
async def acquire_lock(request: Asked, data: JSONBody[AcquireLock]) -> Response[Any]:
    """Ask for a permit of a lock: 200, it is held; 202, it waits: send the same again, with the ticket.

    409: the queue is full, the note was taken over, or a holder was displaced (``reason``).
    """
    engine = engine_of(request)
    ticket = secrets.token_hex(16) if data.ticket is None else data.ticket
    note = None if data.note is None else data.note.encode()
    answer = await Tickets(engine).acquire(
        data.name, ticket, ttl=data.ttl, permits=data.permits, queue=data.queue, note=note, again=data.again
    )
    if isinstance(answer, Granted):
        return Response(LockGranted(ticket, answer.token, answer.until), status_code=200)
    look = max(0.0, min(answer.look - engine.clock.now(), data.ttl * LONGEST_LOOK))
    return Response(LockWaiting(ticket, look, answer.ahead), status_code=202)


@post("/locks/renew", status_code=200, dto=StrictBody[RenewLock], return_dto=None, responses=answers(409, 413))
async def renew_lock(request: Asked, data: JSONBody[RenewLock]) -> LockGranted:
    """Prolong a permit. 409: it is lost."""
    held = await Tickets(engine_of(request)).renew(data.name, data.ticket, data.fencing_token, ttl=data.ttl)
    return LockGranted(data.ticket, held.token, held.until)


@post("/locks/release", status_code=200, dto=StrictBody[ReleaseLock], return_dto=None, responses=answers(409, 413))
async def release_lock(request: Asked, data: JSONBody[ReleaseLock]) -> LockReleased:
    """Give a permit, or a place in the queue, back. 409: the permit of this fencing token is lost."""
    await Tickets(engine_of(request)).release(data.name, data.ticket, data.fencing_token)
    return LockReleased()


LOCKS: Final = [list_locks, acquire_lock, renew_lock, release_lock]
