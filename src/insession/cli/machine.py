"""The command about this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from insession.errors import ConfigurationError

from . import tables
from .call import ALONE, Call, command
from .codes import ERROR, OK, tell

_SOURCES: Final = {
    "environment": "the variable INSESSION_HARDWARE_ID; the id is derived from its text",
    "machine-id": "the machine id of Linux (/etc/machine-id), with the application's name",
    "mac": "the platform UUID of macOS, with the application's name",
    "windows": "the machine GUID of Windows, with the application's name",
    "random": "nothing tells this machine from others: it is random, and lost with the file",
}


@command("hardware-id", ALONE)
async def hardware_id(
    call: Call,
    *,
    application: Annotated[str, typer.Option("--app", help="Each application has its own id.")] = "insession",
    cache_file: Annotated[
        Path | None, typer.Option("--cache-file", help="Where it is kept; else in the state folder.", metavar="FILE")
    ] = None,
    length: Annotated[int, typer.Option("--length", min=8, max=64, help="So many characters.")] = 32,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say too where it is from, and whether it is kept.")
    ] = False,
) -> int:
    """Print the hardware id of this machine.

    It is what programs on it get from insession.tracking, of the same application.
    """
    from insession.tracking import HardwareIDProvider

    config = {"app": application, "length": length, "cache_file": None if cache_file is None else str(cache_file)}
    provider = HardwareIDProvider(config)
    if problems := provider.problems():
        raise ConfigurationError("; ".join(problems))
    if not await provider.initialize():
        tell("no hardware id can be had; set INSESSION_HARDWARE_ID")
        return ERROR
    status = provider.get_status()
    found = {"hardware_id": provider.hardware_id, "source": status["source"], "kept": status["has_cached_id"]}
    if call.display.as_json:
        call.display.lines([found])
    elif explain:
        why = _SOURCES.get(str(found["source"]), "")
        kept = "in a file: it stays when the source changes" if found["kept"] else "nowhere: it is made again each time"
        call.display.picture(
            tables.facts([("id", str(found["hardware_id"])), ("source", f"{found['source']}: {why}"), ("kept", kept)])
        )
    else:
        call.display.say(str(found["hardware_id"]))
    return OK
