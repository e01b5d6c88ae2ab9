"""The options that the commands of an exchange share, and the settings that come of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import Isolation

Root = Annotated[
    Path | None, typer.Option("--root", metavar="FOLDER", help="Where .env, files/ and logs/ are; else here.")
]
Host = Annotated[str | None, typer.Option("--host", help="The platform's address; else HOST.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="The namespace of socket.io (/pku).")]
Dialect = Annotated[str | None, typer.Option("--dialect", help="The protocol's generation: 2021 or 2023.")]
Store = Annotated[str | None, typer.Option("--store", help="URL of the journal's store; else SQLite.")]
Debug = Annotated[bool | None, typer.Option("--debug/--no-debug", help="Write logs/debug_….log; else DEBUG.")]
Solution = Annotated[
    str | None,
    typer.Option("--solution", help="module:function, a command for each file, or a folder for answers."),
]
Isolated = Annotated[
    Isolation, typer.Option("--isolation", help="Where a function runs: loop, thread, process; auto: as it is.")
]
Concurrency = Annotated[int | None, typer.Option("--concurrency", min=1, help="So many files at once (4).")]
OnlySave = Annotated[bool | None, typer.Option("--only-save/--answer", help="Save files and answer none.")]
Resend = Annotated[
    str | None, typer.Option("--resend", help="always, or never: what may have been sent goes no second time.")
]
Record = Annotated[
    Path | None, typer.Option("--record", metavar="FILE", help="Record the session there, to replay it.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the report there as JSON, at the end.")
]


def settings_of(root: Path | None, **given: Any) -> ExchangeSettings:
    """Settings from options, else the environment, else ``.env``."""
    return ExchangeSettings.read(root, **{name: value for name, value in given.items() if value is not None})
