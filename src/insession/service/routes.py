"""The routes under /v1: each is one verb of the engine."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

from litestar import Request, Response, Router, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import UNSET

from insession.errors import Conflict, InvalidInput
from insession.kernel.engine import Engine
from insession.kernel.ids import check_seconds
from insession.kernel.record import State
from insession.kernel.upkeep import Stats

from . import feed, problems
from .bodies import StrictBody
from .log import read_log
from .problems import PreconditionFailed, Problem
from .wire import (
    CloseSession,
    Ending,
    Health,
    History,
    InterruptAll,
    InterruptedAll,
    InterruptSession,
    OpenSession,
    SessionList,
    SessionView,
    shown,
)

LONGEST_WAIT: Final = 60.0
"""So many seconds an interrupt may wait until the work has stopped."""
_ETAG: Final = re.compile(r'"([0-9]{1,19})"')
_Request = Request[Any, Any, Any]


def _problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(Problem, generate_examples=False, description="A problem", media_type=problems.MEDIA_TYPE)
        for status in (*statuses, 503, 504)
    }


def _engine(request: _Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _answer(session: SessionView, status: int = 200, **headers: str) -> Response[SessionView]:
    return Response(session, status_code=status, headers={"ETag": f'"{session.version}"', **headers})


@post("/sessions", status_code=201, dto=StrictBody[OpenSession], return_dto=None, responses=_problems(400, 409, 413))
async def open_session(request: _Request, data: JSONBody[OpenSession | None] = None) -> Response[SessionView]:
    """Open a session. 409: one of that name lives, or the kind's limit is reached."""
    wanted = data or OpenSession()
    session = await _engine(request).open(
        kind=wanted.kind,
        owner=wanted.owner,
        name=wanted.name,
        data=wanted.data,
        idle=wanted.idle,
        absolute=wanted.absolute,
    )
    return _answer(shown(session), 201, Location=f"/v1/sessions/{session.id}")


@get("/sessions", responses=_problems(400))
async def list_sessions(
    request: _Request,
    *,
    owner: FromQuery[str | None] = None,
    owner_header: Annotated[str | None, HeaderParameter(name="Insession-Owner")] = None,
    kind: FromQuery[str | None] = None,
    in_state: Annotated[
        Literal["active", "interrupted", "expired", "closed", "any"], QueryParameter(name="state")
    ] = "active",
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 100,
) -> SessionList:
    """A page of sessions, without their data.

    An owner that nobody should find in a log of URLs travels in the header Insession-Owner, percent-encoded UTF-8.
    """
    if owner_header is not None:
        if owner is not None:
            raise InvalidInput("owner", "is given in the URL and in the header; give it once")
        owner = _decoded(owner_header)
    page = await _engine(request).find(
        owner=owner, kind=kind, state=None if in_state == "any" else in_state, cursor=cursor, limit=limit
    )
    return SessionList([shown(session, data=False) for session in page.sessions], page.cursor)


@get("/sessions/{session_id:str}", responses=_problems(400, 404, 409))
async def get_session(request: _Request, session_id: FromPath[str]) -> Response[SessionView]:
    """A session, live or ended. Its version is the ETag. 409: the data of a live one cannot be read."""
    return _answer(shown(await _engine(request).get(session_id)))


@post("/sessions/{session_id:str}/touch", status_code=200, responses=_problems(400, 404, 409, 410))
async def touch_session(request: _Request, session_id: FromPath[str]) -> Response[SessionView]:
    """The other party was active: moves the idle deadline."""
    return _answer(shown(await _engine(request).touch(session_id)))


@put(
    "/sessions/{session_id:str}/data",
    dto=StrictBody[Any],
    return_dto=None,
    responses=_problems(400, 404, 409, 410, 412, 413),
)
async def put_data(
    request: _Request,
    session_id: FromPath[str],
    *,
    data: JSONBody[Any] = UNSET,
    if_match: Annotated[str | None, HeaderParameter(name="If-Match")] = None,
    touch: FromQuery[bool] = False,
    event: FromQuery[bool] = False,
) -> Response[SessionView]:
    """Replace a session's data: over the version that If-Match names (412 if it has changed), else over any.

    ``touch`` also counts as activity, ``event`` writes an ``updated`` event.
    """
    if data is UNSET:
        raise InvalidInput("data", "is missing; the body is the new data, as JSON")
    session = await _engine(request).get(session_id)
    version = _version(if_match)
    if version is None:
        await session.update(lambda _: data, touch=touch, event=event)
        return _answer(shown(session))
    # That a session has ended is said before that its version has moved, which it has by ending.
    if session.state is State.ACTIVE and session.version != version:
        raise PreconditionFailed(session_id, session.version)
    try:
        await session.update(data, touch=touch, event=event)
    except Conflict as error:
        raise PreconditionFailed(session_id, error.version) from None
    return _answer(shown(session))


@post(
    "/sessions/{session_id:str}/interrupt",
    status_code=200,
    dto=StrictBody[InterruptSession],
    return_dto=None,
    responses=_problems(400, 404),
)
async def interrupt_session(
    request: _Request, session_id: FromPath[str], data: JSONBody[InterruptSession | None] = None
) -> Ending:
    """End a session and stop the work for it, anywhere. Ended before, it stays as it was: ``won`` is false.

    With ``wait`` (seconds, at most 60) the answer comes after the work has stopped, or when they are over.
    """
    wanted = data or InterruptSession()
    if wanted.wait is not None and check_seconds(wanted.wait, "wait") > LONGEST_WAIT:
        raise InvalidInput("wait", f"is at most {LONGEST_WAIT:g} seconds")
    engine = _engine(request)
    won = await engine.interrupt(session_id, wanted.reason, wait=wanted.wait)
    return Ending(won, shown(await engine.get(session_id)))


@post(
    "/sessions/{session_id:str}/close",
    status_code=200,
    dto=StrictBody[CloseSession],
    return_dto=None,
    responses=_problems(400, 404),
)
async def close_session(
    request: _Request, session_id: FromPath[str], data: JSONBody[CloseSession | None] = None
) -> Ending:
    """End a session in good order. Ended before, it stays as it was: ``won`` is false."""
    wanted = data or CloseSession()
    engine = _engine(request)
    won = await engine.close(session_id, wanted.reason)
    return Ending(won, shown(await engine.get(session_id)))


@post("/interrupt", status_code=200, dto=StrictBody[InterruptAll], return_dto=None, responses=_problems(400))
async def interrupt_all(request: _Request, data: JSONBody[InterruptAll | None] = None) -> InterruptedAll:
    """End every session that was opened before now, of a kind or an owner if given; ``{}`` means all."""
    if data is None:
        # An empty request is more often a slip than the wish to end everything.
        raise InvalidInput("body", "says which sessions: {} for all, or kind, owner")
    number = await _engine(request).interrupt_all(data.reason, kind=data.kind, owner=data.owner)
    return InterruptedAll(number)


@get("/sessions/{session_id:str}/history", responses=_problems(400, 404))
async def history(request: _Request, session_id: FromPath[str]) -> History:
    """What the log still knows of a session, oldest first."""
    engine = _engine(request)
    events = await engine.history(session_id)
    if not events:
        await engine.get(session_id)
    return History(events)


@get("/stats")
async def stats(request: _Request) -> Stats:
    """Numbers of the store by kind and state, and of this process."""
    return await _engine(request).stats()


@get("/events", media_type=feed.MEDIA_TYPE, responses=_problems(400))
async def events(
    request: _Request,
    *,
    after: FromQuery[str | None] = None,
    types: FromQuery[str | None] = None,
    follow: FromQuery[bool] = True,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> Stream:
    """The event log as server-sent events. The id of each is the cursor after it.

    It begins after the cursor in Last-Event-ID, else after ``after`` (``0``: at the first that is kept), else now.
    ``types`` is a list with commas; with ``follow=false`` the stream ends where the log ends. An event named
    ``trimmed`` says that events before its cursor are gone.
    """
    wanted = None if types is None else types.split(",")
    reading = await read_log(_engine(request), last_event_id or after, wanted)
    content = request.app.state.feeds.follow(reading) if follow else feed.frames(reading.to_the_end())
    return Stream(content, media_type=feed.MEDIA_TYPE, headers=feed.HEADERS)


@get("/healthz", responses=_problems())
async def healthz(request: _Request) -> Health:
    """Whether the store answers."""
    return Health("ok", await _engine(request).store.now())


V1: Final = [
    open_session,
    list_sessions,
    get_session,
    touch_session,
    put_data,
    interrupt_session,
    close_session,
    interrupt_all,
    history,
    stats,
    events,
]


def routes() -> list[Any]:
    """All of them: versioned, but for the health check."""
    return [Router("/v1", route_handlers=V1), healthz]


def _decoded(header: str) -> str:
    try:
        return unquote(header, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput("Insession-Owner", "is percent-encoded UTF-8") from None


def _version(if_match: str | None) -> int | None:
    """The version that a request insists on; None: it takes any."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInput("If-Match", 'is an ETag that a read gave, such as "17" with its quotes, or *')
    return int(found[1])
