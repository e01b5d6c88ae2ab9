"""The commands about keys: rewrap, verify."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec

from insession.folders import state_folder
from insession.kernel.contract import Store
from insession.kernel.sealing import Rewrapped, Sealing, Verified
from insession.kernel.sealing import rewrap as rewrap_store
from insession.kernel.sealing import verify as verify_store
from insession.kernel.urls import sealed, store_from

from . import tables
from .call import STORE, Call, command
from .codes import ERROR, OK, Usage, tell
from .progress import progress
from .settings import Settings
from .target import store_of, stored


@command("rewrap", STORE)
async def rewrap(call: Call) -> int:
    """Seal anew, by the current key, what older keys sealed.

    Programs may use the store meanwhile. Exits with 1 where something was left.
    """
    async with _opened(call.settings) as store:
        with progress("rewrapping") as say:
            done = await rewrap_store(store, progress=lambda so_far: say(_rewrapped(so_far)))
    call.display.lines([done]) if call.display.as_json else call.display.say(_rewrapped(done))
    if not done.finished:
        tell("others still seal with an older key; give them the new ring, and call this again")
    if done.unreadable:
        tell("what cannot be read was left as it lies; insession verify names it")
    return OK if done.finished and not done.unreadable else ERROR


@command("verify", STORE)
async def verify(call: Call) -> int:
    """Open every value, and count by key.

    Exits with 1 where one cannot be read, or an older key sealed it.
    """
    async with _opened(call.settings) as store:
        with progress("verifying") as say:
            found = await verify_store(store, progress=lambda so_far: say(_verified(so_far)))
        current = await cast("Sealing", store).ready()
    if call.display.as_json:
        call.display.lines([{"current": current, **msgspec.structs.asdict(found)}])
    else:
        call.display.picture(tables.keys(found, current))
        for unread in found.named:
            call.display.say(f"{unread.name}: {unread.problem}")
        call.display.say(_verified(found))
    return ERROR if found.unreadable or set(found.keys) - {current} else OK


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    """The store with its ring of keys."""
    url = store_of(settings)
    stored(url)
    ring = settings.ring or state_folder() / "keys"
    # Not one that is made right now: nothing is sealed by that.
    if isinstance(ring, Path) and not ring.exists():
        raise Usage("which keys? Set INSESSION_KEYS, or INSESSION_KEYS_FILE to a file of them")
    store = sealed(store_from(url, namespace=settings.namespace or "default"), ring)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _rewrapped(told: Rewrapped) -> str:
    return (
        f"sealed anew {told.done}, sealed so before {told.skipped}, unreadable {told.unreadable}, "
        f"missed {told.missed}, passes {told.passes}"
    )


def _verified(found: Verified) -> str:
    return f"readable {sum(found.keys.values())}, unreadable {found.unreadable}"
