"""The dialect of 2023: the event names the file, which is fetched over HTTP; an answer is a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

from insession.errors import ConfigurationError, InvalidInput
from insession.exchange.contracts import Id, Outgoing
from insession.exchange.errors import ValidationError
from insession.exchange.options import ContestStarterOptions, StarterOptions

from .dialect import FileCame, Heard, Said, Verdict, fields_of, id_in, id_or_none, message_in, plain
from .download import Downloads
from .named import SESSION_EVENTS

_VERDICTS: Final = {"session-file-send-success": True, "session-file-send-error": False}
_NAMED: Final = ("epicrisisId", "versionId", "taskId")


class Dialect2023:
    """The dialect of 2023. A file's id is made of its three, as its name on disk was: epicrisis, version, task."""

    name: ClassVar[str] = "2023"

    def __init__(
        self, *, download_host: str | None, token: str, seconds: float = 60.0, tls_verify: bool = True
    ) -> None:
        if not download_host:
            raise ConfigurationError("download_host: the dialect of 2023 fetches files; set DOWNLOAD_HOST")
        self._downloads = Downloads(download_host, token, seconds=seconds, tls_verify=tls_verify)

    def hear(self, event: str, payload: object) -> Heard | None:
        """See `Dialect.hear`."""
        name = plain(event)
        if name == "session-send-next-file":
            return self._file(fields_of(payload))
        if name in _VERDICTS:
            fields = fields_of(payload)
            return Verdict(
                session_id=id_or_none(fields, "sessionId"),
                key=f"{id_in(fields, 'epicrisisId')}/{id_in(fields, 'taskId')}",
                accepted=_VERDICTS[name],
                message=message_in(payload),
            )
        reader = SESSION_EVENTS.get(name)
        return None if reader is None else reader(payload)

    def _file(self, fields: Mapping[str, Any]) -> FileCame:
        timeout = fields.get("timeoutFile")
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
            raise ValidationError("timeoutFile: is no number of seconds")
        return FileCame(
            session_id=id_or_none(fields, "sessionId"),
            file_id="_".join(str(id_in(fields, name)) for name in _NAMED),
            fetch=partial(self._downloads.fetch, id_in(fields, "epicrisisId")),
            timeout=timeout,
            raw=dict(fields),
        )

    def start(self, options: StarterOptions) -> Said:
        """See `Dialect.start`."""
        if not isinstance(options, ContestStarterOptions):
            raise InvalidInput("options", "are ContestStarterOptions in the dialect of 2023")
        return Said("session-start", options.prepare_to_command())

    def rejoin(self) -> Said:
        """See `Dialect.rejoin`."""
        return Said("session-reconnect")

    def abort(self, session_id: Id | None, message: str) -> Said:  # noqa: ARG002 - the other dialect needs them
        """See `Dialect.abort`."""
        return Said("session-client-abort")

    def result(self, outgoing: Outgoing) -> Said:
        """See `Dialect.result`."""
        try:
            answer = json.loads(outgoing.answer.text)
        except ValueError:
            answer = None
        if not isinstance(answer, list):
            raise ValidationError("answer: is no list, which the dialect of 2023 wants")
        raw = outgoing.raw
        return Said(
            "session-send-file-result",
            {
                "sessionId": raw.get("sessionId", outgoing.session_id),
                "epicrisisId": raw["epicrisisId"],
                "taskId": raw["taskId"],
                "answer": answer,
            },
        )

    def key(self, file_id: Id, raw: Mapping[str, Any]) -> str:  # noqa: ARG002 - the other dialect needs it
        """See `Dialect.key`."""
        return f"{raw['epicrisisId']}/{raw['taskId']}"

    async def close(self) -> None:
        """See `Dialect.close`."""
        await self._downloads.close()
