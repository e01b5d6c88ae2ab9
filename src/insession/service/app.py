"""The application: routes over one engine, and one shape of error for everything that goes wrong."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from litestar import Litestar, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from msgspec import UNSET, UnsetType

import insession
from insession.errors import InsessionError, InvalidInput
from insession.kernel.engine import Engine

from .asking import Asked
from .bodies import invalid
from .door import LOOPBACK_NAMES, Door
from .feed import KEEP_ALIVE, Feeds
from .problems import MEDIA_TYPE, Problem, headers_of, http_problem, problem_of
from .rates import RATE, Rates
from .routes import routes
from .tokens import Tokens

_log: Final = logging.getLogger("insession.service")


def create_app(
    engine: Engine | str | None = None,
    *,
    namespace: str = "default",
    hosts: Collection[str] | None = LOOPBACK_NAMES,
    tokens: Tokens | str | None = None,
    rate: float | UnsetType | None = UNSET,
    keep_alive: float = KEEP_ALIVE,
) -> Litestar:
    """The HTTP API over an engine, as an ASGI application.

    Args:
        engine: A store's URL (None: as `insession.connect` decides), or an engine. One that is not open yet is opened
            and closed by the application's lifespan; one that is open stays open.
        namespace: The part of the store to use; with a URL only.
        hosts: Host names that the service answers to: the loopback names, and no web page of another origin.
            None: to every name and page.
        tokens: The bearer tokens of which a request must show one, or their text (`Tokens.parse`). None: whoever
            reaches the application may ask anything.
        rate: Requests a second of each caller (a token, or else an address), twice as many at once; more answer 429.
            None: no limit. Unless set 1,000 with tokens, and no limit without.
        keep_alive: Seconds between two comments of an event stream that has nothing to say.

    Raises `ConfigurationError` for tokens or a rate that cannot be.
    """
    if not isinstance(engine, Engine):
        engine = insession.connect(engine, namespace=namespace)
    if isinstance(tokens, str):
        tokens = Tokens.parse(tokens)
    if rate is UNSET:
        rate = None if tokens is None else RATE
    door = Door(None if hosts is None else frozenset(hosts), tokens, None if rate is None else Rates(rate))
    app = _application(engine, door, None if tokens is None else [{"bearer": []}], rate)
    app.state.engine = engine
    app.state.keep_alive = keep_alive
    return app


def _application(
    engine: Engine, door: Door, security: list[dict[str, list[str]]] | None, rate: float | None
) -> Litestar:
    schemes = {"bearer": SecurityScheme("http", scheme="bearer")}
    # JSON may need a few bytes for one that is kept.
    most = 4 * engine.most_data + 65_536
    often = "" if rate is None else f" A caller asks at most {rate:g} times a second."
    return Litestar(
        routes(security),
        lifespan=[partial(_lifespan, engine)],
        middleware=[door],
        exception_handlers={
            InsessionError: _insession_error,
            ValidationException: _validation_error,
            HTTPException: _http_error,
            Exception: _error,
        },
        logging_config=None,
        request_max_body_size=most,
        openapi_config=OpenAPIConfig(
            "insession",
            insession.__version__,
            description=f"Sessions over HTTP. A body has at most {most} bytes.{often}",
            path="/v1/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],
            use_handler_docstrings=True,
            components=Components(security_schemes={} if security is None else dict(schemes)),
        ),
    )


@asynccontextmanager
async def _lifespan(engine: Engine, app: Litestar) -> AsyncIterator[None]:
    app.state.stopping = False
    app.state.feeds = Feeds(app.state.keep_alive)
    try:
        if engine.is_open:  # whoever opened it closes it
            yield
        else:
            async with engine:
                yield
    finally:
        stop(app)


def stop(app: Litestar) -> None:
    """From now on the application says that it is not ready, and its event streams end."""
    app.state.stopping = True
    app.state.feeds.stop()


def _problem(problem: Problem, headers: dict[str, str] | None = None) -> Response[Problem]:
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _insession_error(_: Asked, error: InsessionError) -> Response[Problem]:
    problem = problem_of(error)
    if problem.status == 500:  # noqa: PLR2004
        _log.error("%s: %s", type(error).__name__, error, exc_info=error)
    return _problem(problem, headers_of(error, problem.status))


def _validation_error(request: Asked, error: ValidationException) -> Response[Problem]:
    """Litestar found a parameter or a body that it cannot take: the first of its complaints."""
    complaints: Any = error.extra if isinstance(error.extra, list) else []
    first = complaints[0] if complaints else {"message": error.detail}
    found = invalid(str(first["message"]), ())
    key = first.get("key", "request")
    if key == "data":  # what is there has been read by `StrictBody`
        return _insession_error(request, InvalidInput("body", "is missing"))
    field = request.route_handler.parsed_fn_signature.parameters.get(key)
    named = None if field is None else getattr(field.kwarg_definition, "name", None)
    return _insession_error(request, InvalidInput(named or key, found.problem))


def _http_error(_: Asked, error: HTTPException) -> Response[Problem]:
    return _problem(http_problem(error.status_code, error.detail), dict(error.headers or {}))


def _error(_: Asked, error: Exception) -> Response[Problem]:
    _log.error("a request failed: %r", error, exc_info=error)
    return _problem(http_problem(500, "the service failed; its log says more"))
