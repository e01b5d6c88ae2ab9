"""How a command is called: with the options that all commands share, a display, and settings."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from .app import EPILOG, app
from .client import Opened
from .codes import OK, Usage
from .display import Display
from .settings import Settings, read
from .target import sessions

Store = Annotated[str | None, typer.Option("--store", help="URL of a store, such as sqlite:///insession.db.")]
URL = Annotated[str | None, typer.Option("--url", help="URL of a service, such as http://127.0.0.1:8080.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="The part of the store to use.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="INSESSION_CONFIG", help="The file with settings: insession.toml.", metavar="FILE"),
]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON object on a line.")]
_SHARED: Final[dict[str, Any]] = {
    "as_json": AsJSON,
    "store": Store,
    "url": URL,
    "namespace": Namespace,
    "config": Config,
}
SESSIONS: Final = tuple(_SHARED)
"""What a command takes that asks a store or a service,"""
STORE: Final = ("as_json", "store", "namespace", "config")
"""one that needs the store itself,"""
ALONE: Final = ("as_json",)
"""and one that asks neither."""
Work = TypeVar("Work", bound=Callable[..., Awaitable[int]])


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command."""

    display: Display
    settings: Settings

    def sessions(self) -> Opened:
        """The client of the store or service that is meant."""
        return sessions(self.settings)


def command(
    name: str, takes: Iterable[str] = SESSIONS, *, of: typer.Typer = app, epilog: str = EPILOG
) -> Callable[[Work], Work]:
    """Make an ``async def work(call, ...) -> exit code`` a command of this name, with the shared options it takes.

    Args:
        name: What it is called with.
        takes: The shared options.
        of: The group that it belongs to.
        epilog: What its help ends with.
    """

    def made(work: Work) -> Work:
        of.command(name, epilog=epilog)(_runner(work, tuple(takes)))
        return work

    return made


def _runner(work: Callable[..., Awaitable[int]], takes: tuple[str, ...]) -> Callable[..., None]:
    """The function that typer calls: the command's own parameters and the shared ones, each once."""

    def run(**given: Any) -> None:
        flags = {name: given.pop(name) for name in takes}
        as_json, config = flags.pop("as_json"), flags.pop("config", None)
        _check(flags)
        logging.basicConfig(level=logging.WARNING, format="insession: %(message)s")
        call = Call(Display(as_json=as_json), read(config, flags) if flags else Settings())

        async def whole() -> int:
            return await work(call, **given)

        try:
            code = asyncio.run(whole())
        except BrokenPipeError:
            # Whoever read has left and wants no more; what is buffered goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = OK
        raise typer.Exit(code)

    run.__doc__ = work.__doc__
    run.__annotations__ = {}
    run.__signature__ = _signature(work, takes)  # type: ignore[attr-defined]
    return run


def _signature(work: Callable[..., Awaitable[int]], takes: Iterable[str]) -> inspect.Signature:
    """What typer is to see."""
    own = inspect.signature(work, eval_str=True)
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name == "as_json" else None,
            annotation=_SHARED[name],
        )
        for name in takes
    ]
    parameters = [one for one in own.parameters.values() if one.name != "call"]
    return own.replace(parameters=[*parameters, *shared], return_annotation=None)


def _check(flags: Mapping[str, Any]) -> None:
    if flags.get("url") and flags.get("store"):
        raise Usage("give --store or --url, not both")
    if flags.get("url") and flags.get("namespace"):
        raise Usage("--namespace goes with --store; a service has its own")
