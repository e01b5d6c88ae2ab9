"""Credentials that were refused are not tried again, by no process of the store, until they change."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio.to_thread

from insession.errors import StoreError
from insession.kernel.clock import Clock
from insession.kernel.engine import Engine

from .alone import alone
from .contracts import Authenticator, Ticket
from .errors import CredentialsRefused
from .logs import logger

N, R, P = 1 << 14, 8, 1
"""The cost of scrypt (RFC 7914): 16 MiB, some 50 ms."""
_TTL: Final = 6.0
"""A process that dies within a login keeps the others from logging in for so long; renewed while it lives."""


def derived(secret: bytes, salt: bytes) -> bytes:
    """32 bytes out of a secret by scrypt (RFC 7914); it takes some 50 ms of a processor, so call it in a thread."""
    return hashlib.scrypt(secret, salt=salt, n=N, r=R, p=P, dklen=32)


class Latch:
    """What is known of the authenticator's credentials: accepted once, refused, or not tried yet.

    What was not tried yet is tried by one process at a time, so that a wrong password counts once.

    Args:
        engine: Where the processes of a store tell each other, in one item.
        place: Names service and account; also the salt.
        authenticator: Whose credentials these are.
        clock: The pool's.
        wait: Seconds to wait for another process that tries them.
    """

    def __init__(self, engine: Engine, place: str, authenticator: Authenticator, clock: Clock, wait: float) -> None:
        self._engine = engine
        self._key = f"remote/{place}/credentials"
        self._salt = place.encode()
        self._authenticator = authenticator
        self._clock = clock
        self._wait = wait
        self._here = asyncio.Lock()
        self._digest: bytes | None = None
        self._proof = ""
        self._known: dict[str, bool] = {}
        """What this process has seen of them, for when the store is away."""
        self._untold = False
        """Whether the store does not have that yet."""

    async def guarded(self, log_in: Callable[[], Awaitable[Ticket]]) -> Ticket:
        """Log in, unless the credentials are known to be refused. Raises `CredentialsRefused`."""
        proof = await self._proven()
        known = await self._look(proof)
        if known is not None:
            return await self._try(log_in, proof, known=known)
        async with self._here, alone(self._engine, self._key, ttl=_TTL, wait=self._wait):
            return await self._try(log_in, proof, known=await self._look(proof))

    async def reset(self) -> None:
        """Forget what is known: the next login asks the service."""
        self._known.clear()
        await self._engine.items.delete(self._key)

    async def _try(self, log_in: Callable[[], Awaitable[Ticket]], proof: str, *, known: bool | None) -> Ticket:
        if known is False:
            raise CredentialsRefused(
                "the service refused these credentials before, and they have not changed since; "
                "change them, or call retry_credentials() once the service takes them again",
                latched=True,
            )
        try:
            ticket = await log_in()
        except CredentialsRefused:
            await self._note(proof, accepted=False)
            raise
        if known is None:
            await self._note(proof, accepted=True)
        return ticket

    async def _proven(self) -> str:
        digest = self._authenticator.credentials_digest()
        if digest != self._digest:
            self._proof = (await anyio.to_thread.run_sync(derived, digest, self._salt)).hex()
            self._digest = digest
        return self._proof

    async def _look(self, proof: str) -> bool | None:
        try:
            entry = await self._engine.items.get(self._key)
        except StoreError:
            return self._known.get(proof)
        data: Any = None if entry is None else entry.data
        if isinstance(data, dict) and data.get("proof") == proof:
            return bool(data.get("accepted"))
        if self._untold and proof in self._known:  # found out while the store was away
            await self._note(proof, accepted=self._known[proof])
            return self._known[proof]
        return None

    async def _note(self, proof: str, *, accepted: bool) -> None:
        self._known = {proof: accepted}
        try:
            await self._engine.items.put(self._key, {"proof": proof, "accepted": accepted})
            self._untold = False
        except StoreError as error:
            self._untold = True
            logger().warning("other processes could not be told of the credentials: %s", error)
