"""The routes under /v1: each is one verb of the engine."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from litestar import Response, Router, get, post, put
from litestar.params import FromQuery, HeaderParameter, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import UNSET
from msgspec.structs import asdict

from insession.errors import Conflict, InvalidInput
from insession.kernel.ids import check_seconds
from insession.kernel.marks import check_open
from insession.kernel.operations import Mark
from insession.kernel.record import State
from insession.kernel.upkeep import Stats

from . import feed
from .asking import OWNER, Asked, answers, engine_of, owner_of, version_of
from .bodies import OptionalBody, StrictBody
from .item_routes import ITEMS
from .lock_routes import LOCKS
from .log import read_log
from .problems import PreconditionFailed, Stopping
from .shapes import CURSOR, ETAG, ID, KIND, LAST_CURSOR, LIMIT, TEXT, TYPES, maybe
from .wire import (
    LONGEST_WAIT,
    CloseSession,
    Ending,
    Erase,
    Erased,
    Health,
    History,
    InterruptAll,
    InterruptedAll,
    InterruptSession,
    NodeList,
    OpenSession,
    Ready,
    SessionList,
    SessionView,
    shown,
)

SessionId = Annotated[str, PathParameter(schema_extra=ID)]


def _answer(session: SessionView, status: int = 200, **headers: str) -> Response[SessionView]:
    return Response(session, status_code=status, headers={"ETag": f'"{session.version}"', **headers})


@post(
    "/sessions",
    status_code=201,
    dto=StrictBody[OpenSession],
    return_dto=None,
    operation_class=OptionalBody,
    responses=answers(409, 413),
)
async def open_session(request: Asked, data: JSONBody[OpenSession | None] = None) -> Response[SessionView]:
    """Open a session. 409: one of that name lives, or the kind's limit is reached."""
    wanted = data or OpenSession()
    session = await engine_of(request).open(**asdict(wanted))
    return _answer(shown(session), 201, Location=f"/v1/sessions/{session.id}")


@get("/sessions", responses=answers())
async def list_sessions(
    request: Asked,
    *,
    owner: Annotated[str | None, QueryParameter(schema_extra=maybe(TEXT))] = None,
    owner_header: Annotated[str | None, HeaderParameter(name=OWNER, schema_extra=maybe(TEXT))] = None,
    kind: Annotated[str | None, QueryParameter(schema_extra=maybe(KIND))] = None,
    node: Annotated[str | None, QueryParameter(schema_extra=maybe(ID))] = None,
    in_state: Annotated[
        Literal["active", "interrupted", "expired", "closed", "any"], QueryParameter(name="state")
    ] = "active",
    cursor: Annotated[str | None, QueryParameter(schema_extra=maybe(TEXT))] = None,
    limit: Annotated[int, QueryParameter(schema_extra=LIMIT)] = 100,
) -> SessionList:
    """A page of sessions, without their data.

    An owner that nobody should find in a log of URLs travels in the header Insession-Owner, percent-encoded UTF-8.
    """
    engine = engine_of(request)
    if owner is not None and engine.kind(kind or "session").secret_owner:
        raise InvalidInput("owner", f"is a secret for this kind: URLs end in logs; send it in the header {OWNER}")
    page = await engine.find(
        owner=owner_of(owner, owner_header),
        kind=kind,
        node=node,
        state=None if in_state == "any" else in_state,
        cursor=cursor,
        limit=limit,
    )
    return SessionList([shown(session, data=False) for session in page.sessions], page.cursor)


@get("/sessions/{session_id:str}", responses=answers(404, 409))
async def get_session(request: Asked, session_id: SessionId) -> Response[SessionView]:
    """A session, live or ended. Its version is the ETag. 409: the data of a live one cannot be read."""
    return _answer(shown(await engine_of(request).get(session_id)))


@post("/sessions/{session_id:str}/touch", status_code=200, responses=answers(404, 410))
async def touch_session(request: Asked, session_id: SessionId) -> Response[SessionView]:
    """The other party was active: moves the idle deadline."""
    return _answer(shown(await engine_of(request).touch(session_id), wanted=False))


@put(
    "/sessions/{session_id:str}/data",
    dto=StrictBody[Any],
    return_dto=None,
    responses=answers(404, 409, 410, 412, 413),
)
async def put_data(
    request: Asked,
    session_id: SessionId,
    *,
    data: JSONBody[Any] = UNSET,
    if_match: Annotated[str | None, HeaderParameter(name="If-Match", schema_extra=maybe(ETAG))] = None,
    touch: FromQuery[bool] = False,
    event: FromQuery[bool] = False,
) -> Response[SessionView]:
    """Replace a session's data: over the version that If-Match names (412 if it has changed), else over any.

    ``touch`` also counts as activity, ``event`` writes an ``updated`` event.
    """
    if data is UNSET:
        raise InvalidInput("data", "is missing; the body is the new data, as JSON")
    session = await engine_of(request).get(session_id)
    version = version_of(if_match)
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
    operation_class=OptionalBody,
    responses=answers(404, 413),
)
async def interrupt_session(
    request: Asked, session_id: SessionId, data: JSONBody[InterruptSession | None] = None
) -> Ending:
    """End a session and stop the work for it, anywhere. Ended before, it stays as it was: ``won`` is false.

    With ``wait`` (seconds, at most 60) the answer comes after the work has stopped, or when they are over.
    """
    wanted = data or InterruptSession()
    if wanted.wait is not None and check_seconds(wanted.wait, "wait") > LONGEST_WAIT:
        raise InvalidInput("wait", f"is at most {LONGEST_WAIT:g} seconds")
    engine = engine_of(request)
    won = await engine.interrupt(session_id, wanted.reason, wait=wanted.wait)
    return Ending(won, shown(await engine.get(session_id)))


@post(
    "/sessions/{session_id:str}/close",
    status_code=200,
    dto=StrictBody[CloseSession],
    return_dto=None,
    operation_class=OptionalBody,
    responses=answers(404, 413),
)
async def close_session(request: Asked, session_id: SessionId, data: JSONBody[CloseSession | None] = None) -> Ending:
    """End a session in good order. Ended before, it stays as it was: ``won`` is false."""
    wanted = data or CloseSession()
    engine = engine_of(request)
    won = await engine.close(session_id, wanted.reason)
    return Ending(won, shown(await engine.get(session_id)))


@post("/interrupt", status_code=200, dto=StrictBody[InterruptAll], return_dto=None, responses=answers(413))
async def interrupt_all(request: Asked, data: JSONBody[InterruptAll]) -> InterruptedAll:
    """End every session that was opened before now, of a kind or an owner if given; ``{}`` means all."""
    number = await engine_of(request).interrupt_all(data.reason, kind=data.kind, owner=data.owner)
    return InterruptedAll(number)


@get("/sessions/{session_id:str}/history", responses=answers(404))
async def history(request: Asked, session_id: SessionId) -> History:
    """What the log still knows of a session, oldest first."""
    engine = engine_of(request)
    events = await engine.history(session_id)
    if not events:
        await engine.get(session_id)
    return History(events)


@get("/stats", responses=answers())
async def stats(request: Asked) -> Stats:
    """Numbers of the store by kind and state, and of this process."""
    return await engine_of(request).stats()


@get("/events", media_type=feed.MEDIA_TYPE, responses=answers())
async def events(
    request: Asked,
    *,
    after: Annotated[str | None, QueryParameter(schema_extra=maybe(CURSOR))] = None,
    types: Annotated[str | None, QueryParameter(schema_extra=maybe(TYPES))] = None,
    follow: FromQuery[bool] = True,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID", schema_extra=maybe(LAST_CURSOR))] = None,
) -> Stream:
    """The event log as server-sent events. The id of each is the cursor after it.

    It begins after the cursor in Last-Event-ID, else after ``after`` (``0``: at the first that is kept), else now.
    ``types`` is a list with commas; with ``follow=false`` the stream ends where the log ends. An event named
    ``trimmed`` says that events before its cursor are gone.
    """
    wanted = None if types is None else types.split(",")
    reading = await read_log(engine_of(request), last_event_id or after, wanted)
    content = request.app.state.feeds.follow(reading) if follow else feed.frames(reading.to_the_end())
    return Stream(content, media_type=feed.MEDIA_TYPE, headers=feed.HEADERS)


@get("/nodes", responses=answers())
async def list_nodes(request: Asked) -> NodeList:
    """The processes that own work now."""
    return NodeList([shown(node, wanted=False) for node in await engine_of(request).nodes()])


@post("/erase", status_code=200, dto=StrictBody[Erase], return_dto=None, responses=answers(413))
async def erase(request: Asked, data: JSONBody[Erase]) -> Erased:
    """End and remove everything of an owner: sessions, items, events. There is no way back."""
    return Erased(await engine_of(request).erase(data.owner))


@get("/healthz", responses=answers())
async def healthz() -> Health:
    """Whether the process lives; asks nobody else."""
    return Health()


@get("/readyz", responses=answers())
async def readyz(request: Asked) -> Ready:
    """Whether the service takes requests: its store answers and has not moved, and it is not shutting down."""
    if request.app.state.stopping:
        raise Stopping("the service is stopping; ask another one")
    store = engine_of(request).store
    check_open(await store.apply([Mark()]))
    return Ready(await store.now())


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
    list_nodes,
    erase,
    *LOCKS,
    *ITEMS,
]


def routes(security: list[dict[str, list[str]]] | None) -> list[Any]:
    """All of them: versioned, but for the health checks; what they ask for as the schema says it."""
    return [Router("/v1", route_handlers=V1, security=security), healthz, readyz]
