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
from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import Isolation

from . import group
from .codes import EPILOG
from .options import (
    Concurrency,
    Debug,
    Dialect,
    Host,
    Isolated,
    Namespace,
    OnlySave,
    Record,
    ReportFile,
    Resend,
    Root,
    Solution,
    Store,
    settings_of,
)
from .preflight import Preflight
from .serving import serve
from .solving import solver_from

_OF_2021: Final = ("type", "dataset", "language")
_OF_2023: Final = ("contest", "stage", "session_type", "nosology")


@command("check", ALONE, of=group, epilog=EPILOG)
async def check(
    call: Call,
    *,
    sample: Annotated[
        Path | None, typer.Option("--sample", metavar="FILE", help="Try the solution on it; else on the last received.")
    ] = None,
    min_free: Annotated[int, typer.Option("--min-free", min=0, help="MiB of disk that have to be free.")] = 200,
    solution: Solution = None,
    isolation: Isolated = "auto",
    only_save: OnlySave = None,
    root: Root = None,
    host: Host = None,
    namespace: Namespace = None,
    dialect: Dialect = None,
    store: Store = None,
) -> int:
    """Look whether a session would work, before its clock starts. Starts none."""
    settings = settings_of(
        root,
        host=host,
        namespace=namespace,
        dialect=dialect,
        store=store,
        solution=solution,
        only_save=only_save,
    )
    preflight = Preflight(settings, solver_from(settings, isolation), sample=sample, min_free=min_free)
    code = OK
    async for finding in preflight.findings():
        if call.display.as_json:
            call.display.lines([finding])
        else:
            call.display.say(f"{finding.verdict:<5} {finding.what}: {finding.remark}")
        if finding.verdict == "wrong":
            code = ERROR
    return code


@command("start", ALONE, of=group, epilog=EPILOG)
async def start(
    call: Call,
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
    solution: Solution = None,
    isolation: Isolated = "auto",
    concurrency: Concurrency = None,
    only_save: OnlySave = None,
    resend: Resend = None,
    record: Record = None,
    report: ReportFile = None,
    debug: Debug = None,
    root: Root = None,
    host: Host = None,
    namespace: Namespace = None,
    dialect: Dialect = None,
    store: Store = None,
) -> int:
    """Start a session and serve it to its end. Where one is active already it is joined, and none is started."""
    settings = settings_of(
        root,
        host=host,
        namespace=namespace,
        dialect=dialect,
        store=store,
        solution=solution,
        only_save=only_save,
        concurrency=concurrency,
        resend=resend,
        debug=debug,
    )
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

    solver = solver_from(settings, isolation)
    again = resuming(settings, isolation, root=root)
    total = options.file_count
    return await serve(call, settings, solver, begin, record=record, report=report, total=total, again=again)


@command("reconnect", ALONE, of=group, epilog=EPILOG)
async def reconnect(
    call: Call,
    *,
    solution: Solution = None,
    isolation: Isolated = "auto",
    concurrency: Concurrency = None,
    only_save: OnlySave = None,
    resend: Resend = None,
    record: Record = None,
    report: ReportFile = None,
    debug: Debug = None,
    root: Root = None,
    host: Host = None,
    namespace: Namespace = None,
    dialect: Dialect = None,
    store: Store = None,
) -> int:
    """Join the active session and serve it: what was answered is sent again, what was not is solved."""
    settings = settings_of(
        root,
        host=host,
        namespace=namespace,
        dialect=dialect,
        store=store,
        solution=solution,
        only_save=only_save,
        concurrency=concurrency,
        resend=resend,
        debug=debug,
    )

    async def begin(session: Session) -> None:
        await session.reconnect()

    solver = solver_from(settings, isolation)
    again = resuming(settings, isolation, root=root)
    return await serve(call, settings, solver, begin, record=record, report=report, again=again)


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


def resuming(settings: ExchangeSettings, isolation: Isolation, *, root: Path | None) -> list[str]:
    """The options that go on with a session as it was begun; what the environment says is left to it."""
    options = []
    if settings.solution is not None:
        options += ["--solution", settings.solution]
    if settings.only_save:
        options.append("--only-save")
    if isolation != "auto":
        options += ["--isolation", isolation]
    if root is not None:
        options += ["--root", str(root)]
    return options
