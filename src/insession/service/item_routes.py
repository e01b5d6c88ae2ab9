"""The routes of items: what is no session."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote, unquote_to_bytes

from litestar import Response, delete, get, put
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from msgspec import UNSET

from insession.errors import Conflict, InvalidInput
from insession.kernel.items import ABSENT, Head

from .asking import OWNER, Asked, answers, engine_of, owner_of, version_of
from .bodies import StrictBody
from .problems import ItemNotFound, PreconditionFailed
from .shapes import ANY_VERSION, ETAG, KEY, LIMIT, PREFIX, SECONDS, TEXT, maybe
from .wire import ItemList, ItemView, ItemWritten, as_json

_PATH: Final = "/items/{key:path}"
_BEFORE: Final = b"/items/"
Key = Annotated[str, PathParameter(schema_extra=KEY)]


@get("/items", responses=answers())
async def list_items(
    request: Asked,
    *,
    prefix: Annotated[str, QueryParameter(schema_extra=PREFIX)] = "",
    owner: Annotated[str | None, QueryParameter(schema_extra=maybe(TEXT))] = None,
    owner_header: Annotated[str | None, HeaderParameter(name=OWNER, schema_extra=maybe(TEXT))] = None,
    cursor: Annotated[str | None, QueryParameter(schema_extra=maybe(TEXT))] = None,
    limit: Annotated[int, QueryParameter(schema_extra=LIMIT)] = 100,
) -> ItemList:
    """A page of items by the prefix of their keys, or of an owner, without their data."""
    engine = engine_of(request)
    found, after = await engine.items.heads(
        _own(prefix, "prefix"), owner=owner_of(owner, owner_header), after=cursor, limit=limit
    )
    return ItemList([_view(head) for head in found], after)


@get(_PATH, responses=answers(404, 409))
async def get_item(request: Asked, key: Key) -> Response[Any]:
    """The data of an item. Its version is the ETag. 409: it cannot be read."""
    key = _key(request)
    entry = await engine_of(request).items.get(key)
    if entry is None:
        raise ItemNotFound("there is no item under this key; it was never written, was deleted, or has expired")
    return Response(as_json(key, entry.data), headers={"ETag": f'"{entry.version}"'})


@put(_PATH, dto=StrictBody[Any], return_dto=None, responses=answers(412, 413))
async def put_item(
    request: Asked,
    key: Key,
    *,
    data: JSONBody[Any] = UNSET,
    if_match: Annotated[str | None, HeaderParameter(name="If-Match", schema_extra=maybe(ETAG))] = None,
    if_none_match: Annotated[str | None, HeaderParameter(name="If-None-Match", schema_extra=maybe(ANY_VERSION))] = None,
    owner_header: Annotated[str | None, HeaderParameter(name=OWNER, schema_extra=maybe(TEXT))] = None,
    expires_in: Annotated[float | None, QueryParameter(schema_extra=maybe(SECONDS, "number"))] = None,
) -> Response[ItemWritten]:
    """Write an item: over the version that If-Match names, with ``If-None-Match: *`` where none is, else over any.

    412: it is another one. The owner is the one in the header, or nobody; ``expires_in`` seconds from now it is gone.
    """
    if data is UNSET:
        raise InvalidInput("data", "is missing; the body is the new data, as JSON")
    key, version = _key(request), version_of(if_match)
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise InvalidInput("If-None-Match", "is * and nothing else")
        if if_match is not None:  # of one version, and not there: it cannot be
            raise PreconditionFailed(key, version)
        version = ABSENT
    try:
        written = await engine_of(request).items.put(
            key, data, version=version, owner=owner_of(None, owner_header), expires=expires_in
        )
    except Conflict as error:
        raise PreconditionFailed(key, error.version) from None
    return Response(ItemWritten(key, written), headers={"ETag": f'"{written}"'})


@delete(_PATH, responses=answers(412))
async def delete_item(
    request: Asked,
    key: Key,
    *,
    if_match: Annotated[str | None, HeaderParameter(name="If-Match", schema_extra=maybe(ETAG))] = None,
) -> None:
    """Delete an item, whether it is there or not; with If-Match only that version of it."""
    key = _key(request)
    try:
        await engine_of(request).items.delete(key, version=version_of(if_match))
    except Conflict as error:
        raise PreconditionFailed(key, error.version) from None


def _key(request: Asked) -> str:
    """The key that the path ends with, as it was sent: what routes a request takes ``//`` and ``/`` at the end away."""
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    try:
        return _own(unquote_to_bytes(raw.partition(_BEFORE)[2]).decode(), "key")
    except UnicodeDecodeError:
        raise InvalidInput("key", "is percent-encoded UTF-8") from None


def _own(key: str, field: str) -> str:
    """A key, or the begin of one, that is not the engine's own."""
    if key.startswith("~"):
        raise InvalidInput(field, "begins with ~: that is the engine's own")
    return key


def _view(head: Head) -> ItemView:
    return ItemView(head.key, head.version, head.expires, head.owner, head.size)


ITEMS: Final = [list_items, get_item, put_item, delete_item]
