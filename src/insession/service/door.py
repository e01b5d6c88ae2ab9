"""Whom the service lets in: looked at before anything of a request is read but its head."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.params import QueryParameter
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from insession.errors import InvalidInput
from insession.kernel.urls import unknown

from .problems import NotServed, ReadOnly, TooManyRequests, Unauthorized
from .rates import Rates
from .tokens import Tokens

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Whoever watches over the process has no token."""
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Door(ASGIMiddleware):
    """Refuses other hosts and web pages, callers without a token, too many requests, and unknown query parameters."""

    scopes: tuple[ScopeType, ...] = (ScopeType.HTTP,)

    def __init__(self, hosts: frozenset[str] | None, tokens: Tokens | None, rates: Rates | None) -> None:
        self._hosts = hosts
        self._tokens = tokens
        self._rates = rates

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let a request in, or raise what it becomes as a problem."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._hosts is not None:
            _check_host(self._hosts, headers)
        self._check_caller(scope, headers)
        if scope["query_string"]:
            _check_query(scope)
        if scope.get("method") == "OPTIONS":
            await _tell_methods(scope, send)
        else:
            await next_app(scope, receive, send)

    def _check_caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        found = None
        authorization = headers.get(b"authorization")
        if self._tokens is not None and authorization is not None:
            found = self._tokens.of(authorization.decode("latin-1"))
        if self._rates is not None:
            client = scope["client"]
            caller = (client[0] if client else None) if found is None else found[0]
            seconds = self._rates.take(caller, time.monotonic())
            if seconds:
                raise TooManyRequests(seconds)
        if self._tokens is None or scope["path"] in PROBES:
            return
        if found is None:
            raise Unauthorized(shown=authorization is not None)
        if found[1] and scope.get("method") not in _READS:
            raise ReadOnly("this token may only read; ask with one that may do more")


async def _tell_methods(scope: Scope, send: Send) -> None:
    """The methods of a path. Litestar's own answer names those of the handler that was registered first."""
    routes = [route for route in scope["litestar_app"].routes if isinstance(route, HTTPRoute)]
    methods = next(route.methods for route in routes if route.path_format == scope["path_template"])
    headers = [(b"allow", ", ".join(sorted(methods)).encode())]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _check_host(hosts: frozenset[str], headers: Mapping[bytes, bytes]) -> None:
    """Web pages reach the loopback interface too, and give it names of their own."""
    asked = headers.get(b"host", b"").decode("latin-1").lower()
    host, _, port = asked.rpartition(":")
    if (host if port.isdigit() else f"{host}:{port}".lstrip(":")) not in hosts:
        raise NotServed(f"this service answers to {', '.join(sorted(hosts))} only; ask for it by that name")
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != asked:
        raise NotServed("this service does not answer web pages; ask it from a program")


def _check_query(scope: Scope) -> None:
    request: Request[Any, Any, Any] = Request(scope)
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
