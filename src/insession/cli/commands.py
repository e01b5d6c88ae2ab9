"""The commands. Each is written once, for a store and for a service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Any, Final

import typer

import insession
from insession.errors import InsessionError
from insession.service.log import Logged
from insession.service.problems import problem_of

from .client import Client
from .display import Display
from .remote import ServiceProblem
from .target import DEFAULT_STORE, Usage, target

OK: Final = 0
ERROR: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
ENDED: Final = 4
UNAVAILABLE: Final = 5
STOPPED: Final = 130
_CODES: Final = {
    "invalid-input": USAGE,
    "configuration": USAGE,
    "session-not-found": NOT_FOUND,
    "session-ended": ENDED,
    "conflict": ENDED,
    "store-unavailable": UNAVAILABLE,
    "overloaded": UNAVAILABLE,
    "outcome-unknown": UNAVAILABLE,
}
_EPILOG: Final = (
    "Which sessions: --url or --store, else INSESSION_URL, else INSESSION_STORE, else sqlite:///insession.db if that"
    " file is here. Exit codes: 0 done, 1 error, 2 wrong usage or input, 3 no such session, 4 ended before,"
    " 5 store or service not reached, 130 stopped by Ctrl-C."
)
PAGE: Final = 500

app: typer.Typer = typer.Typer(
    name="insession", no_args_is_help=True, add_completion=False, epilog=_EPILOG, pretty_exceptions_enable=False
)
Store = Annotated[str | None, typer.Option("--store", help="URL of a store, such as sqlite:///insession.db.")]
URL = Annotated[str | None, typer.Option("--url", help="URL of a service, such as http://127.0.0.1:8080.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="The part of the store to use.")]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON object on a line.")]
KindName = Annotated[str | None, typer.Option("--kind", help="Sessions of this kind only.")]
Owner = Annotated[str | None, typer.Option("--owner", help="Sessions of this owner only.")]


def run() -> int:
    """Run a command; its exit code. What fails is one sentence on standard error."""
    try:
        code: Any = app(standalone_mode=False)
        return code if isinstance(code, int) else OK
    except (InsessionError, Usage) as error:
        return _failed(error)
    except typer.TyperException as error:
        # One that cannot be understood shows its usage and exits with 2.
        print(f"insession: {error.format_message()}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return STOPPED


def _failed(error: InsessionError | Usage, of: str = "") -> int:
    said = str(error).replace("\n", " ")
    print(f"insession: {of}{said}", file=sys.stderr)  # noqa: T201
    if isinstance(error, Usage):
        return USAGE
    problem = error.problem if isinstance(error, ServiceProblem) else problem_of(error)
    return _CODES.get(problem.name, ERROR)


def _with(store: str | None, url: str | None, namespace: str | None, work: Callable[[Client], Awaitable[int]]) -> None:
    """Do a command's work with its client."""

    async def whole() -> int:
        async with target(store, url, namespace) as client:
            return await work(client)

    try:
        code = asyncio.run(whole())
    except BrokenPipeError:
        # Whoever read has left and wants no more; what is buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    raise typer.Exit(code)


def _version(*, wanted: bool) -> None:
    if wanted:
        print(insession.__version__)  # noqa: T201
        raise typer.Exit


@app.callback()
def _insession(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=lambda value: _version(wanted=value), is_eager=True)
    ] = False,
) -> None:
    """Sessions of every kind: serve a store, look into it, stop what runs."""


@app.command(epilog=_EPILOG)
def serve(
    *,
    store: Annotated[
        str, typer.Option("--store", envvar="INSESSION_STORE", help="URL of the store to serve.")
    ] = DEFAULT_STORE,
    host: Annotated[str, typer.Option("--host", help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 8080,
    namespace: Annotated[str, typer.Option("--namespace", help="The part of the store to use.")] = "default",
) -> None:
    """Serve a store over HTTP, until SIGTERM or Ctrl-C."""
    from insession.service import serve as serve_store

    serve_store(store, host=host, port=port, namespace=namespace)


@app.command("ls", epilog=_EPILOG)
def list_sessions(
    *,
    kind: KindName = None,
    owner: Owner = None,
    state: Annotated[str, typer.Option("--state", help="active, interrupted, expired, closed or any.")] = "active",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0: all.")] = 100,
    as_json: AsJSON = False,
    store: Store = None,
    url: URL = None,
    namespace: Namespace = None,
) -> None:
    """List sessions."""
    display = Display(as_json=as_json)

    async def work(client: Client) -> int:
        cursor, left, more = None, limit, True
        while more:
            most = PAGE if not limit else min(PAGE, left)
            page = await client.find(kind=kind, owner=owner, state=state, cursor=cursor, limit=most)
            display.sessions(page.sessions)
            cursor, left = page.cursor, left - most
            more = cursor is not None and (not limit or left > 0)
        if cursor is not None:
            print("there are more; --limit 0 shows all", file=sys.stderr)  # noqa: T201
        return OK

    _with(store, url, namespace, work)


@app.command(epilog=_EPILOG)
def show(
    session_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    as_json: AsJSON = False,
    store: Store = None,
    url: URL = None,
    namespace: Namespace = None,
) -> None:
    """Show one session: its data, and what the log knows of it."""
    display = Display(as_json=as_json)

    async def work(client: Client) -> int:
        session = await client.get(session_id)
        display.session(session, [] if as_json else await client.history(session_id))
        return OK

    _with(store, url, namespace, work)


@app.command(epilog=_EPILOG)
def interrupt(
    session_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All sessions, or all of --kind and --owner.")] = False,
    kind: KindName = None,
    owner: Owner = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; stays with the session.")] = "interrupted",
    wait: Annotated[float | None, typer.Option("--wait", help="Seconds to wait until the work stopped.")] = None,
    as_json: AsJSON = False,
    store: Store = None,
    url: URL = None,
    namespace: Namespace = None,
) -> None:
    """End sessions and stop the work for them, wherever it runs."""
    ids = session_ids or []
    if bool(ids) == everything:
        raise Usage("name sessions by their ids, or say --all")
    if not everything and (kind or owner):
        raise Usage("--kind and --owner go with --all, --wait with ids")
    if everything and wait is not None:
        raise Usage("--kind and --owner go with --all, --wait with ids")
    display = Display(as_json=as_json)

    async def work(client: Client) -> int:
        if everything:
            display.interrupted(await client.interrupt_all(kind, owner, reason))
            return OK
        codes = [await _interrupt_one(client, display, session_id, reason, wait) for session_id in ids]
        return next((code for code in codes if code), OK)

    _with(store, url, namespace, work)


async def _interrupt_one(client: Client, display: Display, session_id: str, reason: str, wait: float | None) -> int:
    """Interrupt one of several: the others are tried whatever becomes of it."""
    try:
        ending = await client.interrupt(session_id, reason, wait)
    except InsessionError as error:
        return _failed(error, f"{session_id}: ")
    session = ending.session
    if display.as_json:
        display.line(ending)
    else:
        stopped = f", {session.stopped}" if session.stopped else ""
        before = "" if ending.won else ", ended before"
        display.say(f"{session.id} {session.state.value}: {session.reason}{before}{stopped}")
    return OK if ending.won else ENDED


@app.command(epilog=_EPILOG)
def events(
    *,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on where the log ends.")] = True,
    after: Annotated[
        str | None, typer.Option("--after", help="A cursor; 0: from the first event that is kept.")
    ] = None,
    types: Annotated[str | None, typer.Option("--types", help="Such as opened,interrupted.")] = None,
    as_json: AsJSON = False,
    store: Store = None,
    url: URL = None,
    namespace: Namespace = None,
) -> None:
    """Show the event log: from now on, or after a cursor."""
    display = Display(as_json=as_json)
    # To the end from now on would be nothing.
    begin = after if follow or after is not None else insession.START
    wanted = None if types is None else [one.strip() for one in types.split(",")]

    async def work(client: Client) -> int:
        cursor = await _show_log(display, client.events(begin, wanted, follow=follow)) or begin
        if not follow:
            return OK
        go_on = f"go on with --after {cursor or insession.START}"
        print(f"insession: {client.where} ended the stream; {go_on}", file=sys.stderr)  # noqa: T201
        return UNAVAILABLE

    _with(store, url, namespace, work)


async def _show_log(display: Display, log: AsyncGenerator[Logged, None]) -> str | None:
    """Show events until there are no more; the cursor after the last of them."""
    cursor = None
    async with contextlib.aclosing(log):
        async for logged in log:
            display.event(logged)
            cursor = logged.cursor
    return cursor
