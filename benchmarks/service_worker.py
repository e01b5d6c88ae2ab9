"""A server of `service_load` in a process of its own: the service, or the same routes answered from a dict."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from typing import Annotated, Any, Final

import uvicorn
from litestar import Litestar, Response, get, post, put
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import HeaderParameter
from msgspec.structs import replace

from insession import Deadlines, State
from insession.service import serve
from insession.service.server import _listen
from insession.service.wire import Ending, OpenSession, SessionView

SESSIONS: Final[dict[str, SessionView]] = {}


def _found(session_id: str) -> SessionView:
    session = SESSIONS.get(session_id)
    if session is None:
        raise NotFoundException
    return session


def _kept(session: SessionView, status: int = 200) -> Response[SessionView]:
    SESSIONS[session.id] = session
    return Response(session, status_code=status, headers={"ETag": f'"{session.version}"'})


@post("/v1/sessions")
async def open_session(data: OpenSession) -> Response[SessionView]:
    now = time.time()
    assert isinstance(data.idle, float)
    deadlines = Deadlines(now + data.idle, None)
    session_id = secrets.token_hex(16)
    return _kept(
        SessionView(
            session_id, data.kind, data.owner, State.ACTIVE, None, 1, now, now, deadlines, None, None, data=data.data
        ),
        201,
    )


@get("/v1/sessions/{session_id:str}")
async def get_session(session_id: str) -> Response[SessionView]:
    return _kept(_found(session_id))


@post("/v1/sessions/{session_id:str}/touch", status_code=200)
async def touch_session(session_id: str) -> Response[SessionView]:
    return _kept(replace(_found(session_id), touched=time.time()))


@put("/v1/sessions/{session_id:str}/data")
async def put_data(
    session_id: str, data: Any, if_match: Annotated[str, HeaderParameter(name="If-Match")]
) -> Response[SessionView]:
    session = _found(session_id)
    if if_match != f'"{session.version}"':
        raise ClientException
    return _kept(replace(session, data=data, version=session.version + 1))


@post("/v1/sessions/{session_id:str}/close", status_code=200)
async def close_session(session_id: str) -> Ending:
    session = replace(_found(session_id), state=State.CLOSED, reason="completed", ended=time.time())
    SESSIONS[session_id] = session
    return Ending(won=True, session=session)


def serve_dict() -> None:
    """As the service is served: the same socket, the same server, the same options."""
    app = Litestar([open_session, get_session, touch_session, put_data, close_session], openapi_config=None)
    with _listen("127.0.0.1", 0) as listener:
        print(f"a dict at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, ws="none", log_config=None, access_log=False, server_header=False)
        asyncio.run(uvicorn.Server(config).serve([listener]))


if __name__ == "__main__":
    if sys.argv[1] == "dict":
        serve_dict()
    else:
        serve(sys.argv[1], port=0)
