"""The commands that look at a session, end it, or rehearse one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from insession.cli import tables
from insession.cli.call import ALONE, Call, command
from insession.cli.codes import ERROR, NOT_FOUND, OK, tell
from insession.exchange.aborting import ask
from insession.exchange.errors import ExchangeError
from insession.exchange.holding import exchange_engine
from insession.exchange.looking import Seen, is_served, newest, see
from insession.exchange.progress import counts, line, summary
from insession.exchange.recording import Recording
from insession.exchange.replay import Replay, replay
from insession.exchange.report import Report
from insession.exchange.session import Session, policy_of
from insession.exchange.settings import ExchangeSettings

from . import group
from .codes import EPILOG, of_error
from .options import LOCAL, PLATFORM, SOLVING, Flags, isolation_of, settings_of, sharing
from .solving import required


@command("status", ALONE, of=group, epilog=EPILOG)
@sharing(*LOCAL)
async def status(
    call: Call,
    flags: Flags,
    *,
    session: Annotated[str | None, typer.Option("--session", help="The platform's id; else the newest.")] = None,
    files: Annotated[bool, typer.Option("--files", help="Every file.")] = False,
) -> int:
    """What the journal knows of a session, also while it is served in another terminal. Asks no platform."""
    settings = settings_of(flags)
    async with exchange_engine(settings.store) as engine:
        found = await newest(engine, settings.token.get_secret_value(), session)
        if found is None:
            tell("the journal knows of no such session of this participant")
            return NOT_FOUND
        seen = await see(found)
    if call.display.as_json:
        call.display.lines([_as_dict(seen)])
        return OK
    call.display.picture(tables.facts(_facts(seen)))
    call.display.picture(summary(seen.report) if files else counts(seen.report))
    return OK


@command("abort", ALONE, of=group, epilog=EPILOG)
@sharing(*PLATFORM)
async def abort(
    call: Call,
    flags: Flags,
    *,
    message: Annotated[
        str, typer.Option("--message", help="What the platform is told.")
    ] = "aborted by the participant",
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the process that serves it (60).")
    ] = 60.0,
) -> int:
    """Abort the active session, also one that is served in another terminal, and say what is left of it."""
    try:
        report = await _aborted(settings_of(flags), message, wait)
    except ExchangeError as error:
        return of_error(error)
    if call.display.as_json:
        call.display.lines([report.as_dict()])
    else:
        call.display.say(f"session {report.session_id} aborted")
        call.display.picture(counts(report))
        for file in report.open:
            call.display.say(f"left: {line(file)}")
    return OK


@command("replay", ALONE, of=group, epilog=EPILOG)
@sharing(*SOLVING, "concurrency", "root")
async def replayed(
    call: Call,
    flags: Flags,
    recording: Annotated[Path, typer.Argument(metavar="FILE", help="What --record has written.")],
    *,
    speed: Annotated[
        float | None, typer.Option("--speed", min=0.001, help="1: as fast as the files came; else at once.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="FOLDER", help="Keep files/ of the replay there; else nowhere.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option("--answers", metavar="FILE", help="Write answers there, a JSON object on a line.")
    ] = None,
) -> int:
    """Run a solution against a recording: offline, and without a token."""
    read = Recording(recording)
    # No platform is asked: neither token nor host has to be there.
    settings = settings_of(flags, token="replay", host=read.header.host, dialect=read.header.dialect)  # noqa: S106
    solver = required(settings, isolation_of(flags))
    with tempfile.TemporaryDirectory() as passing:
        done = await replay(
            read, solver, folder=folder or Path(passing), policy=policy_of(settings), speed=speed, saved=settings.root
        )
    if answers is not None:
        _write(answers, done)
    if call.display.as_json:
        call.display.lines([{**done.report.as_dict(), "different": done.different}])
    else:
        call.display.picture(summary(done.report))
        for file in done.different:
            call.display.say(f"file {file}: another answer than the recorded one")
    return ERROR if done.unsolved else OK


async def _aborted(settings: ExchangeSettings, message: str, wait: float) -> Report:
    participant = settings.token.get_secret_value()
    async with exchange_engine(settings.store) as engine:
        session = await newest(engine, participant)
        if session is not None and await is_served(session) and await ask(session, message, wait):
            return (await see(session)).report
    async with Session(settings.but(only_save=True)) as joined:
        await joined.abort(message)
    async with exchange_engine(settings.store) as engine:
        session = await newest(engine, participant)
        return Report() if session is None else (await see(session)).report


def _as_dict(seen: Seen) -> dict[str, Any]:
    data = {name: value for name, value in seen.data.items() if name != "session_id"}
    return {"key": seen.key, "live": seen.live, "served": seen.served, **data, **seen.report.as_dict()}


def _facts(seen: Seen) -> list[tuple[str, Any]]:
    report = seen.report
    state = "served now" if seen.served else "not over, and served by nobody: reconnect goes on with it"
    if not seen.live and not seen.served:
        state = report.outcome.value if report.outcome else "over"
    facts: list[tuple[str, Any]] = [("session", str(report.session_id)), ("state", state)]
    facts += [(name, tables.plain(str(seen.data[name]))) for name in ("host", "dialect") if seen.data.get(name)]
    if parameters := seen.data.get("parameters"):
        facts.append(("parameters", tables.plain(msgspec.json.encode(parameters).decode())))
    if report.began is not None:
        facts.append(("since", tables.moment(report.began)))
    if report.ended is not None:
        facts.append(("ended", tables.moment(report.ended)))
    return facts


def _write(path: Path, done: Replay) -> None:
    lines = ({"file": file, "answer": text.decode(errors="replace")} for file, text in done.answers.items())
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in lines))
