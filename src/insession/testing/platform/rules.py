"""How the platform behaves, and which faults it makes: plain data, the same on a command line as in Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from insession.errors import InvalidInput
from insession.kernel.urls import unknown

Drop = Literal["transport", "disconnect", "restart", "half-open", "close"]
"""A way to lose the line.

``transport``: the TCP connection is reset. ``disconnect``: the server sends a socket.io DISCONNECT and
keeps the connection. ``restart``: everything is reset, and the port is closed for `PlatformRules.downtime`.
``half-open``: nothing is read or written any more, and nothing is closed. ``close``: an orderly Engine.IO close.
"""
DROPS: Final[tuple[Drop, ...]] = get_args(Drop)
USUAL: Final[tuple[Drop, ...]] = ("transport", "disconnect", "restart", "half-open")
FileId = str | int


class PlatformFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the platform sends: content that is text, or an object (the later form of the 2021 dialect)."""

    id: FileId
    content: str | dict[str, Any]

    @property
    def saved(self) -> bytes:
        """The bytes that a client has to find on its disk: text as UTF-8, an object as compact UTF-8 JSON."""
        return file_bytes(self.content)

    @property
    def sha256(self) -> str:
        """Of these bytes."""
        return digest(self.saved)


def file_bytes(content: str | Mapping[str, Any]) -> bytes:
    """What a content is on disk, and in the answer of the download."""
    if isinstance(content, str):
        return content.encode()
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def digest(content: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(content).hexdigest()


class _Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    @classmethod
    def of(cls, options: Mapping[str, object]) -> Any:
        """From plain values, words of a command line among them.

        Raises:
            InvalidInput: An option that is not known, or a value that it cannot have.
        """
        names = [field.name for field in msgspec.structs.fields(cls)]
        for name in options:
            if name not in names:
                raise InvalidInput(name, unknown("option", name, names))
        try:
            return msgspec.convert(dict(options), cls, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidInput("options", str(error)) from None


class PlatformRules(_Plan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the platform behaves when nothing goes wrong. Durations are seconds."""

    dialect: Literal["2021", "2023"] = "2021"
    """2021: the file is in the event. 2023: the event names a file, which is fetched over HTTP."""
    namespace: str = ""
    """Of socket.io; by default ``/pku`` in 2021 and ``/baseline`` in 2023."""
    spelling: Literal["avaiable", "available"] = "avaiable"
    """How the file event of 2021 is spelled. What the client sends is understood in both spellings."""
    content: Literal["string", "object", "xml"] = "string"
    """What made-up files hold: JSON in a string, a JSON object, or XML in a string."""
    session_ids: Literal["string", "number"] = "string"
    """Of 2021; in 2023 all ids are numbers."""
    names_session: bool = True
    """Whether file events of 2021 carry the session's id, which the document allows to leave out."""
    tokens: tuple[str, ...] = ()
    """Tokens that are known. None: any that is not empty."""
    joins: bool = True
    """Whether whoever connects with an active session is joined to it and told so, unasked."""
    count: int | None = None
    """Files of a session. By default as many as the start asks for, else 10."""
    interval: float | None = None
    """Between two files. By default what the start asks for, else 1."""
    first: float = 0.0
    """From the start to the first file."""
    size: int = 200
    """Characters of a made-up file, about."""
    file_timeout: int = 60
    """Of 2023: for how long a file may be answered, as the event says."""
    ending: Literal["answered", "time"] = "answered"
    """``answered``: `finish` when every file is answered. ``time``: `finish` when ``patience`` is over."""
    patience: float = 30.0
    """After the last file event: then the session is closed, answered or not (``timeout-close`` where ``ending``
    is ``answered``)."""
    away: Literal["later", "lost"] = "later"
    """What becomes of files that fall due while no client is joined, and of those that were on a line when it was
    lost. ``later``: at the rejoin the platform sends what fell due meanwhile, and once more each file that is not
    answered, in their order; an end that went into a lost line is told again at the next connection. ``lost``: it
    sends none of these; what fell due meanwhile counts as missed."""
    downtime: float = 0.3
    """For how long the port is closed at a restart."""
    ping_interval: Annotated[int, msgspec.Meta(ge=1)] = 25
    """Whole seconds: python-socketio tells clients no others."""
    ping_timeout: float = 20.0
    max_http_buffer_size: int = 1_000_000
    """A longer message of a client costs it the line, as on any socket.io server."""

    @property
    def room(self) -> str:
        """The namespace."""
        return self.namespace or {"2021": "/pku", "2023": "/baseline"}[self.dialect]


class PlatformFaults(_Plan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong. ``*_every=n`` is every n-th file of a session; 0 is never."""

    drop_every: int = 0
    """Lose the line right after the event of the file."""
    drops: tuple[Drop, ...] = USUAL
    """In these ways, in turn. A drop that falls due while the line is not in use (no result came since the last one)
    waits until it is."""
    duplicate_every: int = 0
    """Send its event twice."""
    swap_every: int = 0
    """Send it after the one that follows."""
    foreign_every: int = 0
    """Send another event first, of a session and a file that the client does not have."""
    refuse_every: int = 0
    """Answer its result with an error..."""
    refuse_times: int = 1
    """...so many times."""
    lose_acknowledgement_every: int = 0
    """Keep its first acknowledgement back."""
    refuse_repeats: bool = False
    """Answer a repeated result with an error instead of another acknowledgement."""
    fail_download_every: int = 0
    """Of 2023: answer its first download with `download_status` and a page that is no file."""
    download_status: int = 500
    silent_start: bool = False
    """Never answer a start."""
    refuse_start: str = ""
    """Answer a start with this error."""
    refuse_abort: str = ""
    """Answer an abort with this error."""
    silent_abort: bool = False
    """Never answer an abort."""
    connect_delay: float = 0.0
    """Look at the token for so long before the connection to the namespace is answered."""
