"""Files and images of the service: what is asked for, and what comes back."""

from __future__ import annotations

import dataclasses
from email.message import Message
from typing import Final
from urllib.parse import quote
from uuid import UUID

from insession.remote.errors import OutcomeLost

from .dialect import HTTP_OK, UNAUTHORIZED, gone
from .envelope import decoded_text
from .errors import SankhyaInputError, ServiceRequestFileNotFoundException
from .messages import NO_FILE, NOT_STARTED
from .wire import Answer, refused_status, unreadable

NOT_FOUND: Final = 404
_NO_NAME: Final = "/\\\0\r\n"


@dataclasses.dataclass(frozen=True, slots=True)
class FileRequest:
    """A file or an image. ``path`` lies below the module ``mge``; ``image``: that there is none is no failure."""

    service: str
    path: str = dataclasses.field(repr=False)
    image: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class FileKey:
    """The key of a file. It is good in the session that it was given in, and in no other: `text` is not all of it."""

    text: str = dataclasses.field(repr=False)
    token: UUID
    generation: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file of the service. ``name`` is what the service calls it, and never a path."""

    name: str | None
    content: bytes = dataclasses.field(repr=False)
    content_type: str = "application/octet-stream"


def file_request(key: str) -> FileRequest:
    """The request for the file of a key."""
    if not key:
        raise SankhyaInputError("key", "is the text that open_file gave")
    return FileRequest("file", f"visualizadorArquivos.mge?chaveArquivo={quote(key, safe='')}")


def image_request(entity: str, keys: dict[str, object]) -> FileRequest:
    """The request for the image of a row of an entity."""
    if not entity.isidentifier():
        raise SankhyaInputError("entity", "is a name like 'Produto'")
    if not keys:
        raise SankhyaInputError("keys", "name the row, as in CODPROD=4")
    for name in keys:
        if not name.isidentifier():
            raise SankhyaInputError("keys", f"{name!r} is no name of a column")
    row = "@".join(f"{name}={quote(str(value), safe='')}" for name, value in keys.items())
    return FileRequest("image", f"{entity}@IMAGEM@{row}.dbimage", image=True)


def received(request: FileRequest, answer: Answer) -> File | None:
    """The file in an answer; None: there is no such image."""
    name = request.service
    if answer.status == UNAUTHORIZED or NOT_STARTED in decoded_text(answer.content[:4_096]):
        raise gone(name, answer.status)
    if answer.status == NOT_FOUND and request.image:
        return None
    if answer.status != HTTP_OK:
        failure = refused_status(name, answer)
        raise OutcomeLost(str(failure), error=failure)
    disposition = answer.headers.get("Content-Disposition", "")
    if not disposition and answer.is_html:
        raise _no_file(name, answer)
    if not answer.content:
        raise unreadable(name, answer, "it is empty")
    kind = answer.headers.get("Content-Type", "application/octet-stream")
    return File(_name(disposition), answer.content, kind)


def _no_file(name: str, answer: Answer) -> Exception:
    if NO_FILE in decoded_text(answer.content):
        return ServiceRequestFileNotFoundException(NO_FILE, service=name, status=answer.status)
    return unreadable(name, answer, "it is an HTML page")


def _name(disposition: str) -> str | None:
    """The file name of a Content-Disposition (RFC 6266), without anything that would make it a path."""
    if not disposition:
        return None
    message = Message()
    message["Content-Disposition"] = disposition
    name = message.get_filename()
    if name is None:
        return None
    cleaned = "".join("_" if one in _NO_NAME else one for one in name).strip()
    return cleaned if cleaned.strip(".") else None
