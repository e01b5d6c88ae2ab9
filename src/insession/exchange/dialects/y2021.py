"""The dialect of 2021, as the protocol's page has it: the file's content is in the event.

Files are heard in both spellings (``avaiable`` is the page's own), with text or an object as their content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from insession.errors import InvalidInput
from insession.exchange.contracts import Id, Outgoing
from insession.exchange.errors import EmptyError, ValidationError
from insession.exchange.files import content_bytes
from insession.exchange.options import SessionStarterOptions, StarterOptions

from .dialect import FileCame, Heard, Said, Verdict, fields_of, id_in, id_or_none, message_in, plain
from .named import SESSION_EVENTS

_FILES: Final = frozenset({"session-file-avaiable", "session-file-available"})
_VERDICTS: Final = {"session-file-send-success": True, "session-file-send-error": False}


class Dialect2021:
    """The dialect of 2021. ``abort_spelling`` is ``cliend``, the page's own, or ``client``."""

    name: ClassVar[str] = "2021"

    def __init__(self, *, abort_spelling: Literal["cliend", "client"] = "cliend") -> None:
        self._abort = abort_spelling

    def hear(self, event: str, payload: object) -> Heard | None:
        """See `Dialect.hear`."""
        name = plain(event)
        if name in _FILES:
            return _file(fields_of(payload))
        if name in _VERDICTS:
            fields = fields_of(payload)
            file_id = id_in(fields, "fileId")
            return Verdict(
                session_id=id_or_none(fields, "sessionId"),
                key=str(file_id),
                file_id=file_id,
                accepted=_VERDICTS[name],
                message=message_in(payload),
            )
        reader = SESSION_EVENTS.get(name)
        return None if reader is None else reader(payload)

    def start(self, options: StarterOptions) -> Said:
        """See `Dialect.start`."""
        if not isinstance(options, SessionStarterOptions):
            raise InvalidInput("options", "are SessionStarterOptions in the dialect of 2021")
        return Said("session-start", options.prepare_to_command())

    def rejoin(self) -> Said:
        """See `Dialect.rejoin`."""
        return Said("session-reconnect")

    def abort(self, session_id: Id | None, message: str) -> Said:
        """See `Dialect.abort`. Only the page's own spelling has a payload."""
        if self._abort == "client":
            return Said("session-client-abort")
        fields = {} if session_id is None else {"sessionId": session_id}
        return Said("session-cliend-abort", fields | ({"message": message} if message else {}))

    def result(self, outgoing: Outgoing) -> Said:
        """See `Dialect.result`."""
        content = outgoing.answer.text.decode()
        return Said(
            "session-file-send",
            {"sessionId": outgoing.session_id, "fileId": outgoing.file_id, "content": content},
        )

    def key(self, file_id: Id, raw: Mapping[str, Any]) -> str:  # noqa: ARG002 - the other dialect needs it
        """See `Dialect.key`."""
        return str(file_id)

    async def close(self) -> None:
        """See `Dialect.close`."""


def _file(fields: Mapping[str, Any]) -> FileCame:
    return FileCame(
        session_id=id_or_none(fields, "sessionId"),
        file_id=id_in(fields, "fileId"),
        content=_content(fields.get("content")),
        raw={name: value for name, value in fields.items() if name != "content"},
    )


def _content(content: object) -> bytes:
    """Text as it is, an object as compact JSON (R36)."""
    if content is None or content in ("", b""):
        raise EmptyError("content: the file has none")
    if not isinstance(content, str | bytes | dict | list):
        raise ValidationError("content: is neither text nor an object")
    try:
        return content_bytes(content)
    except InvalidInput as error:
        raise ValidationError(str(error)) from None
