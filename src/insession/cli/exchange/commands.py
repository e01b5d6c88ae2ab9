"""The commands of an exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from insession.cli.call import ALONE, Call, command
from insession.cli.codes import ERROR, OK, Usage
from insession.errors import InvalidInput
from insession.exchange.options import ContestStarterOptions, SessionStarterOptions, StarterOptions
from insession.exchange.session import Session

from . import group
from .codes import EPILOG
from .options import PLATFORM, SERVING, Flags, isolation_of, settings_of, sharing
from .preflight import Preflight
from .serving import serve
from .solving import solver_from

_OF_2021: Final = ("type", "dataset", "language")
_OF_2023: Final = ("contest", "stage", "session_type", "nosology")


@command("check", ALONE, of=group, epilog=EPILOG)
@sharing("solution", "isolation", "only_save", *PLATFORM)
async def check(
    call: Call,
    flags: Flags,
    *,
    sample: Annotated[
        Path | None, typer.Option("--sample", metavar="FILE", help="Try the solution on it; else on the last received.")
    ] = None,
    min_free: Annotated[int, typer.Option("--min-free", min=0, help="MiB of disk that have to be free.")] = 200,
) -> int:
    """Look whether a session would work, before its clock starts. Starts none."""
    settings = settings_of(flags)
    solver = solver_from(settings, isolation_of(flags))
    code = OK
    async for finding in Preflight(settings, solver, sample=sample, min_free=min_free).findings():
        if call.display.as_json:
            call.display.lines([finding])
        else:
            call.display.say(f"{finding.verdict:<5} {finding.what}: {finding.remark}")
        if finding.verdict == "wrong":
            code = ERROR
    return code


@command("start", ALONE, of=group, epilog=EPILOG)
@sharing(*SERVING)
async def start(
    call: Call,
    flags: Flags,
    *,
    type: Annotated[
        str | None, typer.Option("--type", "-t", help="2021: algorithmic (default), technical or final.")
    ] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-ds", help="2021: train (default) or test.")] = None,
    language: Annotated[str | None, typer.Option("--language", "-lang", help="2021: rus (default) or eng.")] = None,
    contest: Annotated[str | None, typer.Option("--contest", "-c", help="2023: finder (default) or doctor.")] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", "-stage", help="2023: qualifying (default), semifinal or final.")
    ] = None,
    session_type: Annotated[
        str | None,
        typer.Option(
            "--session-type", "--sessiontype", "-st", help="2023: training (default), algorithmic, challenge, …"
        ),
    ] = None,
    nosology: Annotated[str | None, typer.Option("--nosology", help="2023: numbers, as in 1,2,3.")] = None,
    file_count: Annotated[int | None, typer.Option("--file-count", "-fc", help="So many files (2021: 300).")] = None,
    file_timeout: Annotated[
        int | None, typer.Option("--file-timeout", "-ft", help="Seconds for each (2021: 60).")
    ] = None,
) -> int:
    """Start a session and serve it to its end. Where one is active already it is joined, and none is started."""
    settings = settings_of(flags)
    options = starter(
        settings.dialect,
        type=type,
        dataset=dataset,
        language=language,
        contest=contest,
        stage=stage,
        session_type=session_type,
        nosology=nosology,
        file_count=file_count,
        file_timeout=file_timeout,
    )

    async def begin(session: Session) -> None:
        await session.start(options)

    return await serve(call, settings, flags, begin, total=options.file_count)


@command("reconnect", ALONE, of=group, epilog=EPILOG)
@sharing(*SERVING)
async def reconnect(call: Call, flags: Flags) -> int:
    """Join the active session and serve it: what was answered is sent again, what was not is solved."""

    async def begin(session: Session) -> None:
        await session.reconnect()

    return await serve(call, settings_of(flags), flags, begin)


def starter(dialect: str, **given: Any) -> StarterOptions:
    """The parameters of a start, of the dialect's generation; one of the other generation is refused."""
    wanted = {name: value for name, value in given.items() if value is not None}
    strange = _OF_2023 if dialect == "2021" else _OF_2021
    for name in wanted:
        if name in strange:
            raise Usage(f"--{name.replace('_', '-')} is no parameter of the dialect of {dialect}")
    try:
        return SessionStarterOptions(**wanted) if dialect == "2021" else ContestStarterOptions(**wanted)
    except InvalidInput as error:
        raise Usage(f"--{error.field.replace('_', '-')}: {error.problem}") from None
