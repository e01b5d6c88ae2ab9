"""The commands that look: events, stats, locks, nodes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Final

import typer

from insession.kernel.events import START
from insession.service.log import Logged

from . import tables
from .call import Call, command
from .codes import OK, UNAVAILABLE, tell
from .display import Display

PAGE: Final = 500


@command("events")
async def events(
    call: Call,
    *,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on where the log ends.")] = True,
    after: Annotated[
        str | None, typer.Option("--after", help="A cursor; 0: from the first event that is kept.")
    ] = None,
    types: Annotated[str | None, typer.Option("--types", help="Such as opened,interrupted.")] = None,
) -> int:
    """Show the event log: from now on, or after a cursor."""
    # To the end from now on would be nothing.
    begin = after if follow or after is not None else START
    wanted = None if types is None else [one.strip() for one in types.split(",")]
    async with call.sessions() as client:
        cursor = await _show_log(call.display, client.events(begin, wanted, follow=follow)) or begin
        if not follow:
            return OK
        tell(f"{client.where} ended the stream; go on with --after {cursor or START}")
        return UNAVAILABLE


async def _show_log(display: Display, log: AsyncGenerator[Logged, None]) -> str | None:
    """Show events until there are no more; the cursor after the last of them."""
    cursor = None
    async with contextlib.aclosing(log):
        async for logged in log:
            display.event(logged)
            cursor = logged.cursor
    return cursor


@command("stats")
async def stats(call: Call) -> int:
    """Show numbers by kind and state.

    With --url also those of the service that answers.
    """
    async with call.sessions() as client:
        found = await client.stats()
    if call.display.as_json:
        call.display.lines([found])
    else:
        call.display.picture(tables.counts(found))
        if call.settings.url:
            # Over a store it would be this command, which began just now.
            call.display.picture(tables.numbers(found))
    return OK


@command("locks")
async def locks(
    call: Call, *, prefix: Annotated[str, typer.Option("--prefix", help="Locks whose names begin so.")] = ""
) -> int:
    """List the locks that somebody holds or waits for."""
    async with call.sessions() as client:
        cursor, more = None, True
        while more:
            page = await client.locks(prefix, cursor=cursor, limit=PAGE)
            call.display.lines(page.locks) if call.display.as_json else call.display.picture(tables.locks(page.locks))
            cursor = page.cursor
            more = cursor is not None
    return OK


@command("nodes")
async def nodes(call: Call) -> int:
    """List the processes that own work now."""
    async with call.sessions() as client:
        found = await client.nodes()
    call.display.lines(found) if call.display.as_json else call.display.picture(tables.nodes(found))
    return OK
