"""The commands that keep a store in order: erase, copy, migrate."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from insession.kernel.contract import Versioned
from insession.kernel.moving import Copied, copy_between
from insession.kernel.urls import store_from

from . import stdin, tables
from .call import STORE, Call, command
from .codes import ERROR, OK, Usage, tell
from .progress import progress
from .target import store_of, stored


def _meant(context: typer.Context, *, yes: bool) -> bool:
    """Ask, unless that was said, or nobody is there to be asked."""
    if not yes and not context.resilient_parsing:
        if not sys.stdin.isatty():
            raise Usage("what is erased is gone for good; say --yes")
        if not typer.confirm("Erase everything of this owner, for good?", err=True):
            tell("nothing was erased")
            raise typer.Exit(ERROR)
    return True


@command("erase")
async def erase(
    call: Call,
    owner: Annotated[
        str, typer.Argument(metavar="OWNER", callback=stdin.line, help="Whose; -: read from standard input.")
    ],
    *,
    yes: Annotated[  # noqa: ARG001 - its callback has seen to it
        bool,
        typer.Option(
            "--yes",
            callback=lambda context, value: _meant(context, yes=value),
            help="Do not ask whether that is meant.",
        ),
    ] = False,
) -> int:
    """End and remove everything of an owner.

    That is sessions, items and events.
    """
    async with call.sessions() as client:
        call.display.number("erased", await client.erase(owner))
    return OK


@command("copy", ("as_json", "namespace", "config"))
async def copy(
    call: Call,
    *,
    source: Annotated[
        str,
        typer.Option("--from", envvar="INSESSION_COPY_FROM", metavar="URL", help="The store where everything is now."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            envvar="INSESSION_COPY_TO",
            metavar="URL",
            help="An empty store, or one that this was called for before.",
        ),
    ],
    to_namespace: Annotated[
        str | None, typer.Option("--to-namespace", help="The part of the other store; else as --namespace.")
    ] = None,
    finish: Annotated[bool, typer.Option("--finish", help="Mark the source as moved: the target takes over.")] = False,
) -> int:
    """Carry everything to another store, while this one is in use.

    Sessions and items go by version, again and again until little has changed since the pass before. With --finish
    the source then refuses every change, a last pass is made, and the target takes over.
    """
    stored(source)
    with progress("copying") as say:
        copied = await copy_between(
            source,
            to,
            finish=finish,
            namespace=call.settings.namespace or "default",
            target_namespace=to_namespace,
            progress=lambda so_far: say(_how_far(so_far)),
        )
    if call.display.as_json:
        call.display.lines([copied])
    else:
        call.display.picture(tables.facts((name, str(value)) for name, value in msgspec.structs.asdict(copied).items()))
        if not copied.finished:
            tell("the source is still the one to use; --finish lets the target take over")
    return OK


def _how_far(copied: Copied) -> str:
    return f"pass {copied.passes}, {copied.records} sessions, {copied.items} items, {copied.written} written"


@command("migrate", STORE)
async def migrate(call: Call) -> int:
    """Bring a store's tables to the form of this version.

    It says what they were before. Every program does so when it opens the store; this is for doing it before the
    first of them starts.
    """
    url = store_of(call.settings)
    shown = stored(url).shown
    store = store_from(url, namespace=call.settings.namespace or "default")
    before = await store.schema_found() if isinstance(store, Versioned) else None
    with progress("migrating"):
        await store.open()
        await store.close()
    after = store.schema if isinstance(store, Versioned) else None
    if call.display.as_json:
        call.display.lines([{"store": shown, "before": before, "after": after}])
    else:
        call.display.say(f"{shown}: {_migrated(before, after)}")
    return OK


def _migrated(before: int | None, after: int | None) -> str:
    if after is None:
        return "has no schema, there is nothing to migrate"
    if before is None:
        return f"made, version {after}"
    return f"version {after} as before" if before == after else f"version {before} before, {after} now"
