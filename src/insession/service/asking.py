"""What a request says beside its body: whose engine it asks, which owner, which version."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote

from litestar import Request
from litestar.openapi.datastructures import ResponseSpec

from insession.errors import InvalidInput
from insession.kernel.engine import Engine

from . import problems
from .problems import Problem

Asked = Request[Any, Any, Any]
OWNER: Final = "Insession-Owner"
"""The header of an owner that nobody should find in a log of URLs; percent-encoded UTF-8."""
_ALWAYS: Final = (400, 401, 403, 429, 500, 503, 504)
_SAYS: Final = {
    400: "Something in the request cannot be taken; `field` names it",
    401: "A token is needed",
    403: "The token may only read, or the request came from a web page or under another host name",
    404: "It is not there",
    409: "Somebody was first",
    410: "It has ended, or is gone",
    412: "The version is another one",
    413: "The body is too large",
    429: "Too many requests; Retry-After says when there is room",
    500: "The service failed; its log says more",
    503: "Nothing has happened; Retry-After says when to try again",
    504: "It may have happened or not; read before asking again",
}
_ETAG: Final = re.compile(r'"([0-9]{1,19})"')


def answers(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems that a route may answer, for the schema: those of every route, and its own."""
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, description=_SAYS[status], media_type=problems.MEDIA_TYPE
        )
        for status in sorted({*_ALWAYS, *statuses})
    }


def engine_of(request: Asked) -> Engine:
    """The engine that the application serves."""
    engine: Engine = request.app.state.engine
    return engine


def owner_of(owner: str | None, header: str | None) -> str | None:
    """The owner that a request names, in its URL or in the header."""
    if header is None:
        return owner
    if owner is not None:
        raise InvalidInput("owner", "is given in the URL and in the header; give it once")
    try:
        return unquote(header, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput(OWNER, "is percent-encoded UTF-8") from None


def version_of(if_match: str | None) -> int | None:
    """The version that a request insists on; None: it takes any."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInput("If-Match", 'is an ETag that a read gave, such as "17" with its quotes, or *')
    return int(found[1])
