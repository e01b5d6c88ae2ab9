"""How many sessions there are at once, in all processes of a store."""

from __future__ import annotations

import logging

from insession.errors import LeaseError, LockTimeout, StoreError
from insession.kernel.engine import Engine
from insession.kernel.operations import Fence
from insession.kernel.permits import Permit

from .errors import SessionLimit
from .logs import logger

TTL = 30.0
"""A process that died keeps its places so long; its sessions have been logged out by then (nodes are dead after 15)."""


class Cap:
    """Places for sessions, first come first served: permits of one lease.

    Args:
        engine: In whose store the lease lies.
        name: Of the lease.
        most: So many places; None: without limit.
        service: For errors.
    """

    def __init__(self, engine: Engine, name: str, most: int | None, service: str) -> None:
        self._engine = engine
        self._name = name
        self._most = most
        self._service = service
        self.waiting: int = 0

    async def take(self, wait: float) -> Permit | None:
        """Wait for a place. Raises `SessionLimit`, and `StoreUnavailable` where nobody knows how many are taken."""
        if self._most is None:
            return None
        permit = self._permit(wait)
        await self._acquire(permit, wait)
        return permit

    async def keep(self, permit: Permit | None, wait: float) -> None:
        """See to it that a place is still held; one that was lost is waited for. With the store away it goes on."""
        if permit is None or permit.held:
            return
        try:
            await self._acquire(permit, wait)
        except StoreError as error:
            logger().warning("the place of a session could not be taken again: %s", error)

    async def adopt(self, fence: Fence | None, wait: float) -> Permit | None:
        """Go on with a place that was handed over; one that has run out is waited for anew."""
        if self._most is None:
            return None
        permit = self._permit(wait)
        if fence is not None and fence.lease == self._name:
            try:
                return await permit.adopt(fence)
            except LeaseError:
                logger().log(logging.INFO, "the place of an attached session has run out; waiting for another")
        await self._acquire(permit, wait)
        return permit

    def _permit(self, wait: float) -> Permit:
        return Permit(self._engine, self._name, permits=self._most, ttl=TTL, wait=wait)

    async def _acquire(self, permit: Permit, wait: float) -> None:
        self.waiting += 1
        try:
            await permit.acquire()
        except LockTimeout:
            raise SessionLimit(self._service, wait, service_full=False) from None
        finally:
            self.waiting -= 1
