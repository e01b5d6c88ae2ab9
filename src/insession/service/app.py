"""The application: routes over one engine, and one shape of error for everything that goes wrong."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import QueryParameter

import insession
from insession.errors import InsessionError, InvalidInput
from insession.kernel.engine import Engine
from insession.kernel.urls import unknown

from .bodies import invalid
from .feed import KEEP_ALIVE, Feeds
from .problems import MEDIA_TYPE, RETRY_AFTER, NotServed, Problem, http_problem, problem_of
from .routes import routes

_log: Final = logging.getLogger("insession.service")
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_Request = Request[Any, Any, Any]


def create_app(
    engine: Engine | str | None = None,
    *,
    namespace: str = "default",
    hosts: Collection[str] | None = LOOPBACK_NAMES,
    keep_alive: float = KEEP_ALIVE,
) -> Litestar:
    """The HTTP API over an engine, as an ASGI application.

    Args:
        engine: A store's URL (None: as `insession.connect` decides), or an engine. One that is not open yet is opened
            and closed by the application's lifespan; one that is open stays open.
        namespace: The part of the store to use; with a URL only.
        hosts: Host names that the service answers to. The service knows no callers yet, so by default it answers on
            the loopback names only, and to no web page of another origin. None: to every name and page.
        keep_alive: Seconds between two comments of an event stream that has nothing to say.
    """
    if not isinstance(engine, Engine):
        engine = insession.connect(engine, namespace=namespace)
    app = _application(engine, None if hosts is None else frozenset(hosts))
    app.state.engine = engine
    app.state.keep_alive = keep_alive
    return app


def _application(engine: Engine, hosts: frozenset[str] | None) -> Litestar:
    return Litestar(
        routes(),
        lifespan=[partial(_lifespan, engine)],
        before_request=partial(_admit, hosts),
        exception_handlers={
            InsessionError: _insession_error,
            ValidationException: _validation_error,
            HTTPException: _http_error,
            Exception: _error,
        },
        logging_config=None,
        # JSON may need a few bytes for one that is kept.
        request_max_body_size=4 * engine.most_data + 65_536,
        openapi_config=OpenAPIConfig(
            "insession",
            insession.__version__,
            path="/v1/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],
            use_handler_docstrings=True,
        ),
    )


@asynccontextmanager
async def _lifespan(engine: Engine, app: Litestar) -> AsyncIterator[None]:
    app.state.feeds = Feeds(app.state.keep_alive)
    try:
        if engine.is_open:  # whoever opened it closes it
            yield
        else:
            async with engine:
                yield
    finally:
        app.state.feeds.stop()


async def _admit(hosts: frozenset[str] | None, request: _Request) -> None:
    """Refuse what web pages send to the loopback interface, and query parameters that nobody knows."""
    if hosts is not None:
        host, _, port = request.headers.get("host", "").lower().rpartition(":")
        if (host if port.isdigit() else f"{host}:{port}".lstrip(":")) not in hosts:
            raise NotServed(f"this service answers to {', '.join(sorted(hosts))} only; ask for it by that name")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise NotServed("this service does not answer web pages; ask it from a program")
    known = _query_parameters(request.route_handler)
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(name, unknown("parameter", name, known))


@cache
def _query_parameters(handler: HTTPRouteHandler) -> frozenset[str]:
    """The names that a route knows in its query."""
    fields = handler.parsed_fn_signature.parameters.items()
    found = [(name, field.kwarg_definition) for name, field in fields]
    return frozenset(how.name or name for name, how in found if isinstance(how, QueryParameter))


def _problem(problem: Problem, headers: dict[str, str] | None = None) -> Response[Problem]:
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _insession_error(_: _Request, error: InsessionError) -> Response[Problem]:
    problem = problem_of(error)
    if problem.status == 500:  # noqa: PLR2004
        _log.error("%s: %s", type(error).__name__, error, exc_info=error)
    return _problem(problem, {"Retry-After": RETRY_AFTER} if problem.status == 503 else None)  # noqa: PLR2004


def _validation_error(request: _Request, error: ValidationException) -> Response[Problem]:
    """Litestar found a parameter or a body that it cannot take: the first of its complaints."""
    complaints: Any = error.extra if isinstance(error.extra, list) else []
    first = complaints[0] if complaints else {"message": error.detail}
    found = invalid(str(first["message"]), ())
    key = first.get("key", "request")
    field = request.route_handler.parsed_fn_signature.parameters.get(key)
    named = None if field is None else getattr(field.kwarg_definition, "name", None)
    return _insession_error(request, InvalidInput(named or key, found.problem))


def _http_error(_: _Request, error: HTTPException) -> Response[Problem]:
    return _problem(http_problem(error.status_code, error.detail), dict(error.headers or {}))


def _error(_: _Request, error: Exception) -> Response[Problem]:
    _log.error("a request failed: %r", error, exc_info=error)
    return _problem(http_problem(500, "the service failed; its log says more"))
