"""``exchange check``: what would go wrong in a session, found before its clock starts."""

from __future__ import annotations

import asyncio
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from insession.errors import InsessionError
from insession.exchange.connection import Target, Websocket
from insession.exchange.dto import SessionFileDto
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import AuthRefused, ExchangeError
from insession.exchange.holding import exchange_engine
from insession.exchange.looking import newest
from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import OutputFolder, Solver

Verdict = Literal["ok", "note", "wrong"]
_MIB: Final = 2**20
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OF_OTHERS: Final = 0o077


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    remark: str


class Preflight:
    """Looks at one thing after another.

    Args:
        settings: Those of the session.
        solver: What answers files; None in only-save mode.
        sample: A file to try it on; else the newest that was received before.
        min_free: MiB of disk that have to be free.
    """

    def __init__(
        self, settings: ExchangeSettings, solver: Solver | None, *, sample: Path | None, min_free: int
    ) -> None:
        self._settings: ExchangeSettings = settings
        self._solver: Solver | None = solver
        self._sample: Path | None = sample
        self._min_free: int = min_free
        self._active: bool = False

    async def findings(self) -> AsyncIterator[Finding]:
        """What was found, one after another; what fails otherwise is a finding too."""
        looks: tuple[tuple[str, Callable[[], Awaitable[tuple[Verdict, str]]]], ...] = (
            ("settings", self._of_settings),
            ("disk", self._disk),
            ("store", self._store),
            ("platform", self._platform),
            ("solution", self._solution),
        )
        for what, look in looks:
            try:
                verdict, remark = await look()
            except (InsessionError, OSError) as error:
                verdict, remark = "wrong", str(error)
            yield Finding(what=what, verdict=verdict, remark=remark)

    async def _of_settings(self) -> tuple[Verdict, str]:
        settings = self._settings
        place = urlsplit(settings.host)
        if not settings.tls_verify:
            return "note", "certificates are not verified: whoever stands between reads the token and the files"
        if place.scheme in {"http", "ws"} and place.hostname not in _LOCAL:
            return "note", "HOST is http: whoever stands between reads the token and the files"
        file = settings.root / ".env"
        if file.is_file() and stat.S_IMODE(file.stat().st_mode) & _OF_OTHERS:
            return "note", f"others may read {file}, which holds the token; chmod 600 it"
        return "ok", f"{place.scheme}://{place.netloc}{settings.namespace}, dialect of {settings.dialect}"

    async def _disk(self) -> tuple[Verdict, str]:
        folder = self._settings.files
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"0")
        free = shutil.disk_usage(folder).free // _MIB
        verdict: Verdict = "wrong" if free < self._min_free else "ok"
        return verdict, f"{free} MiB are free in {folder}" + (f", not {self._min_free}" if verdict == "wrong" else "")

    async def _store(self) -> tuple[Verdict, str]:
        settings = self._settings
        async with exchange_engine(settings.store) as engine:
            session = await newest(engine, settings.token.get_secret_value(), live=True)
            if session is None:
                return "ok", "the journal can be read; it knows of no session that is not over"
            self._active = True
            return "note", f"session {session.data['session_id']} is not over: reconnect goes on with it"

    async def _platform(self) -> tuple[Verdict, str]:
        if self._active:
            # The platform would take this line for the participant's, and send it the next file.
            return "note", "not asked while a session is active: a file that comes to a check would be nobody's"
        settings = self._settings
        line = Websocket(Target.of(settings))
        said: asyncio.Future[tuple[Verdict, str]] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        try:
            _hear(line, said)
            await line.connect()
            took = time.monotonic() - began
            done, _ = await asyncio.wait({said}, timeout=settings.join_timeout)
            if done:
                return said.result()
            return "ok", f"reached in {took:.2f} s, took the token; {_server(line)}"
        except ExchangeError as error:
            return "wrong", str(error)
        finally:
            await line.disconnect()

    async def _solution(self) -> tuple[Verdict, str]:
        if self._solver is None:
            return "ok", "files are saved and not answered"
        if isinstance(self._solver, OutputFolder):
            return "note", "not tried: another program puts its answers into output/"
        sample = self._sample or _newest_file(self._settings.files)
        if sample is None:
            return "note", "not tried: give a file with --sample"
        limit = self._settings.file_timeout or 60.0
        dto = SessionFileDto(session_id="check", file_id=sample.stem)
        began = time.monotonic()
        try:
            # It lies where it lies: nothing is written for a check.
            epicrisis = Epicrisis(dto, path_to_xml=sample, timeout=limit)
            async with asyncio.timeout(limit):
                answer = await self._solver.solve(epicrisis, limit)
        except TimeoutError:
            return "wrong", f"no answer to {sample} within {limit:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a solution raises is what we were asked to find
            return "wrong", f"on {sample}: {type(error).__name__}: {error}"
        finally:
            await self._solver.close()
        if answer is None:
            return "wrong", f"it answers {sample} with nothing"
        return "ok", f"answered {sample} in {time.monotonic() - began:.2f} s"


def _server(line: Websocket) -> str:
    """What the server said of itself, as far as it does."""
    said = "it speaks socket.io 3 or 4 (Engine.IO 4)"
    if (opening := line.opening) is None:
        return said
    most = "" if opening.most_payload is None else f", takes messages of at most {opening.most_payload} bytes"
    return f"{said}{most}, and a line without a word for {opening.silence:g} s is dead"


def _hear(line: Websocket, said: asyncio.Future[tuple[Verdict, str]]) -> None:
    def tell(verdict: Verdict, remark: str) -> None:
        if not said.done():
            said.set_result((verdict, remark))

    def refused(payload: object = None) -> None:
        message = payload.get("message") if isinstance(payload, dict) else payload
        tell("wrong", str(AuthRefused(str(message or ""))))
        line.halt()

    def heard(event: str, *_: object) -> None:
        if event.replace("_", "-") == "connection-auth-error":
            refused(*_)
        elif event.replace("_", "-") in {"session-reconnect-success", "session-auto-reconnect-error"}:
            tell("note", "reached; a session of this participant is active there: reconnect joins it")

    line.on("*", heard)


def _newest_file(files: Path) -> Path | None:
    found = sorted(files.glob("sessions/*/input/*.xml"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None
