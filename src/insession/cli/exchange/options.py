"""The options that the commands of an exchange share, and the settings that come of them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from insession.cli.call import Call
from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import Isolation

Flags = Mapping[str, Any]
"""The shared options of one call, None where they were not given."""
_OPTIONS: Final[dict[str, Any]] = {
    "root": Annotated[
        Path | None, typer.Option("--root", metavar="FOLDER", help="Where .env, files/ and logs/ are; else here.")
    ],
    "host": Annotated[str | None, typer.Option("--host", help="The platform's address; else HOST.")],
    "namespace": Annotated[str | None, typer.Option("--namespace", help="The namespace of socket.io (/pku).")],
    "dialect": Annotated[str | None, typer.Option("--dialect", help="The protocol's generation: 2021 or 2023.")],
    "store": Annotated[str | None, typer.Option("--store", help="URL of the journal's store; else SQLite.")],
    "solution": Annotated[
        str | None,
        typer.Option("--solution", help="module:function, a command for each file, or 'folder' for output/."),
    ],
    "isolation": Annotated[
        Isolation | None, typer.Option("--isolation", help="Where a function runs; auto: async ones in the loop.")
    ],
    "concurrency": Annotated[int | None, typer.Option("--concurrency", min=1, help="So many files at once (4).")],
    "only_save": Annotated[
        bool | None, typer.Option("--only-save/--answer", help="Save files and answer none.", show_default=False)
    ],
    "resend": Annotated[
        str | None, typer.Option("--resend", help="always, or never: what may have been sent goes no second time.")
    ],
    "debug": Annotated[
        bool | None, typer.Option("--debug/--no-debug", help="Write logs/debug_….log; else DEBUG.", show_default=False)
    ],
    "record": Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Record the session there, to replay it.")
    ],
    "report": Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the report there as JSON, at the end.")
    ],
}
LOCAL: Final = ("root", "store")
"""What a command takes that asks the journal,"""
PLATFORM: Final = ("root", "host", "namespace", "dialect", "store")
"""one that asks the platform too,"""
SOLVING: Final = ("solution", "isolation")
"""one that solves files,"""
SERVING: Final = (*SOLVING, "concurrency", "only_save", "resend", "record", "report", "debug", *PLATFORM)
"""and one that serves a session."""
_NO_SETTINGS: Final = frozenset({"root", "isolation", "record", "report"})
_NOT_AGAIN: Final = frozenset({"debug", "record", "report"})


def sharing(*names: str) -> Callable[[Callable[..., Awaitable[int]]], Callable[..., Awaitable[int]]]:
    """Add shared options to an ``async def work(call, flags, ...)``, which gets them as its ``flags``."""

    def made(work: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
        async def run(call: Call, *arguments: Any, **given: Any) -> int:
            flags = {name: given.pop(name) for name in names}
            return await work(call, flags, *arguments, **given)

        own = inspect.signature(work, eval_str=True)
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_OPTIONS[name])
            for name in names
        ]
        parameters = [one for one in own.parameters.values() if one.name != "flags"]
        run.__signature__ = own.replace(parameters=[*parameters, *shared])  # type: ignore[attr-defined]
        run.__doc__ = work.__doc__
        return run

    return made


def settings_of(flags: Flags, **more: Any) -> ExchangeSettings:
    """Settings from options, else the environment, else ``.env``."""
    given = {name: value for name, value in flags.items() if value is not None and name not in _NO_SETTINGS}
    return ExchangeSettings.read(flags["root"], **given | more)


def isolation_of(flags: Flags) -> Isolation:
    """Where a function runs."""
    isolation: Isolation = flags["isolation"] or "auto"
    return isolation


def resuming(flags: Flags) -> list[str]:
    """The flags that go on with a session as it was begun; what the environment and ``.env`` say is left to them."""
    options = []
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True and name not in _NOT_AGAIN:
            options.append(flag)
        # A URL with a password is not shown: whoever typed it knows it.
        elif value not in (None, True, False) and name not in _NOT_AGAIN and not (name == "store" and "@" in value):
            options += [flag, str(value)]
    return options
