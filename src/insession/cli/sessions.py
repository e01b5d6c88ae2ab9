"""The commands on sessions: list, show, open, touch, interrupt, close."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from msgspec import UNSET, UnsetType

from insession.errors import InsessionError, InvalidInput
from insession.service.wire import Ending, OpenSession

from . import stdin
from .call import Call, command
from .client import Client
from .codes import ENDED, OK, Usage, failed, first, tell

PAGE: Final = 500
IDs = Annotated[list[str], typer.Argument(metavar="ID...")]
KindName = Annotated[str | None, typer.Option("--kind", help="Sessions of this kind only.")]
Owner = Annotated[
    str | None,
    typer.Option("--owner", callback=stdin.line, help="Sessions of this owner only; -: read from standard input."),
]
State = Literal["active", "interrupted", "expired", "closed", "any"]


def seconds(text: str) -> float:
    """A number of seconds, or ``never``."""
    if text == "never":
        return math.inf
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number of seconds, and not 'never'") from None


Seconds = Annotated[float | None, typer.Option(parser=seconds, metavar="SECONDS", help="Seconds, or never.")]


@command("ls")
async def list_sessions(
    call: Call,
    *,
    kind: KindName = None,
    owner: Owner = None,
    node: Annotated[str | None, typer.Option("--node", help="Sessions of this process only.")] = None,
    state: Annotated[State, typer.Option("--state", help="Sessions in this state only.")] = "active",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0: all.")] = 100,
) -> int:
    """List sessions."""
    async with call.sessions() as client:
        cursor, left, more = None, limit, True
        while more:
            most = PAGE if not limit else min(PAGE, left)
            page = await client.find(kind=kind, owner=owner, node=node, state=state, cursor=cursor, limit=most)
            call.display.sessions(page.sessions)
            cursor, left = page.cursor, left - most
            more = cursor is not None and (not limit or left > 0)
        if cursor is not None:
            tell("there are more; --limit 0 shows all")
    return OK


@command("show")
async def show(call: Call, session_id: Annotated[str, typer.Argument(metavar="ID")]) -> int:
    """Show one session: its data, and what the log knows of it."""
    async with call.sessions() as client:
        session = await client.get(session_id)
        call.display.session(session, [] if call.display.as_json else await client.history(session_id))
    return OK


@command("open")
async def open_session(
    call: Call,
    *,
    kind: Annotated[str, typer.Option("--kind", help="Its kind.")] = "session",
    owner: Annotated[
        str | None,
        typer.Option("--owner", callback=stdin.line, help="Whom it belongs to; -: read from standard input."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What the other party calls it; one lives at a time.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", callback=stdin.text, help="Its data, as JSON; -: read from standard input.")
    ] = None,
    idle: Seconds = None,
    absolute: Seconds = None,
) -> int:
    """Open a session, and print its id."""
    wanted = OpenSession(kind, owner, name, _data(data), _deadline(idle), _deadline(absolute))
    async with call.sessions() as client:
        session = await client.open(wanted)
        call.display.lines([session]) if call.display.as_json else call.display.say(session.id)
    return OK


def _data(given: str | None) -> Any:
    if given is None:
        return None
    try:
        return msgspec.json.decode(given)
    except msgspec.DecodeError as error:
        raise InvalidInput("data", f"is not JSON: {error}") from None


def _deadline(given: float | None) -> float | UnsetType | None:
    return UNSET if given is None else None if given == math.inf else given


@command("touch")
async def touch(call: Call, session_ids: IDs) -> int:
    """Note that the other party was active.

    That moves the idle deadline.
    """

    async def one(client: Client, session_id: str) -> int:
        session = await client.touch(session_id)
        call.display.touched(session)
        return OK

    return await _each(call, session_ids, one)


@command("interrupt")
async def interrupt(
    call: Call,
    session_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All sessions, or all of --kind and --owner.")] = False,
    kind: KindName = None,
    owner: Owner = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; stays with the session.")] = "interrupted",
    wait: Annotated[float | None, typer.Option("--wait", help="Seconds to wait until the work stopped.")] = None,
) -> int:
    """End sessions and stop their work, wherever it runs."""
    ids = session_ids or []
    if bool(ids) == everything:
        raise Usage("name sessions by their ids, or say --all")
    if (kind or owner) if ids else wait is not None:
        raise Usage("--kind and --owner go with --all, --wait with ids")

    async def one(client: Client, session_id: str) -> int:
        return _ended(call, await client.interrupt(session_id, reason, wait))

    if ids:
        return await _each(call, ids, one)
    async with call.sessions() as client:
        call.display.number("interrupted", await client.interrupt_all(kind, owner, reason))
    return OK


@command("close")
async def close(
    call: Call,
    session_ids: IDs,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; stays with the session.")] = "completed",
) -> int:
    """End sessions in good order."""

    async def one(client: Client, session_id: str) -> int:
        return _ended(call, await client.close(session_id, reason))

    return await _each(call, session_ids, one)


async def _each(call: Call, session_ids: list[str], one: Callable[[Client, str], Awaitable[int]]) -> int:
    """Do it with each of several sessions: the others are tried whatever becomes of one."""
    codes: list[int] = []
    async with call.sessions() as client:
        for session_id in session_ids:
            try:
                codes.append(await one(client, session_id))
            except InsessionError as error:
                codes.append(failed(error, f"{session_id}: "))
    return first(codes)


def _ended(call: Call, ending: Ending) -> int:
    call.display.ending(ending)
    return OK if ending.won else ENDED
