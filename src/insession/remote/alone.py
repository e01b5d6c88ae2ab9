"""One at a time in all processes of a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from insession.errors import LockTimeout, StoreError
from insession.kernel.engine import Engine
from insession.kernel.permits import Permit

from .errors import Busy
from .logs import logger


@asynccontextmanager
async def alone(engine: Engine, name: str, *, ttl: float, wait: float) -> AsyncIterator[None]:
    """A block that nobody else is in. Raises `Busy` where it is not our turn within ``wait`` seconds.

    ``ttl`` is how long the others wait if this process dies in its block. Should the lease be lost the block goes on.
    With the store away only what the caller has for its own process keeps others out.
    """
    permit = Permit(engine, name, ttl=ttl, wait=wait)
    try:
        await permit.acquire()
    except LockTimeout:
        raise Busy("another process tries the same, and does not get done; try again") from None
    except StoreError as error:
        logger().warning("this happens without the other processes: %s", error)
    try:
        yield
    finally:
        permit.release()
