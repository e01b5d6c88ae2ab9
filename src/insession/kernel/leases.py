"""Leases: the right to one of N permits for a time, first come first served. Pure functions.

A lease is granted only in the answer to a question of the ticket itself, so that no permit is ever
held by somebody who does not know of it. A lease that nobody holds or waits for is None.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from insession.kernel.events import Event, EventType
from insession.kernel.operations import (
    Acquire,
    Fence,
    Granted,
    LeaseView,
    Refused,
    Release,
    Released,
    Renew,
    Waiting,
    Why,
)
from insession.kernel.record import NEVER

LEASE_KIND = "~lease"
"""The kind in a ``displaced`` event, whose id is the lease's name."""


class Holder(msgspec.Struct, frozen=True):
    """A granted permit. ``void``: displaced, it only keeps its place until its release or its grace."""

    ticket: str
    token: int
    until: float
    void: bool = False
    notes: tuple[Waiter, ...] = ()


class Waiter(msgspec.Struct, frozen=True):
    """A ticket in the queue."""

    ticket: str
    until: float
    note: bytes | None = None
    displaces: bool = False


class Lease(msgspec.Struct, frozen=True):
    """A lease at rest."""

    name: str
    holders: tuple[Holder, ...] = ()
    queue: tuple[Waiter, ...] = ()

    def view(self) -> LeaseView:
        """What `Find` shows of it."""
        return LeaseView(
            self.name,
            tuple(holder.ticket for holder in self.holders),
            tuple(waiter.ticket for waiter in self.queue),
        )


class Decision(msgspec.Struct, frozen=True):
    """What becomes of a lease, what the asker hears, and what the log is told."""

    lease: Lease | None
    answer: Granted | Waiting | Released | Refused
    events: tuple[Event, ...] = ()


def fenced(lease: Lease | None, fence: Fence, now: float) -> bool:
    """Whether this fence no longer proves anything."""
    holder = _holder(lease, fence.ticket, now)
    return holder is None or holder.token != fence.token or holder.void


def free(decision: Decision, permits: int) -> bool:
    """Whether a permit was granted and, with somebody waiting, another one is free."""
    lease = decision.lease
    if lease is None or not isinstance(decision.answer, Granted):
        return False
    return bool(lease.queue) and len(lease.holders) < permits


def acquire(lease: Lease | None, ask: Acquire, token: Callable[[], int]) -> Decision:
    """Grant, let wait, or refuse."""
    if lease is None and not ask.again:
        # Nobody holds it or waits: what nearly always is.
        number, until = token(), ask.at + ask.ttl
        return Decision(Lease(ask.lease, (Holder(ask.ticket, number, until),)), Granted(number, until))
    lease = _swept(lease or Lease(ask.lease), ask.at)
    holder = _holder(lease, ask.ticket, ask.at)
    if holder is not None:
        return _hold_on(lease, holder, ask.at + ask.ttl, take=ask.take)
    keeper = next((held for held in lease.holders if _named(held.notes, ask.ticket)), None)
    if keeper is not None:
        return _still_taken(lease, keeper, ask)
    known = _named(lease.queue, ask.ticket)
    if ask.again and not known:
        return Decision(_kept(lease), Refused(Why.TAKEN))
    place = _place(lease, ask)
    if place == 0 and len(lease.holders) < ask.permits:
        return _granted(lease, ask, token())
    if not known and ask.queue is not None and len(lease.queue) >= ask.queue:
        return Decision(_kept(lease), Refused(Why.FULL))
    lease, events = _displaced(lease, ask) if ask.displace else (lease, ())
    waiter = Waiter(ask.ticket, ask.at + ask.ttl, ask.note, ask.displace)
    queue = [other for other in lease.queue if other.ticket != ask.ticket]
    queue.insert(place, waiter)
    look = min([held.until for held in lease.holders] + [other.until for other in queue[:place]], default=NEVER)
    return Decision(replace(lease, queue=tuple(queue)), Waiting(look, place), events)


def renew(lease: Lease | None, ask: Renew) -> Decision:
    """Prolong, unless it was lost or displaced."""
    lease = _swept(lease or Lease(ask.fence.lease), ask.at)
    holder = _holder(lease, ask.fence.ticket, ask.at)
    if holder is None or holder.token != ask.fence.token or holder.void:
        return Decision(_kept(lease), Refused(Why.LOST))
    return _hold_on(lease, holder, ask.at + ask.ttl, take=ask.take)


def release(lease: Lease | None, ask: Release) -> Decision:
    """Give back what the ticket holds, or its place in the queue; its taken notes are gone."""
    if lease is None:
        return Decision(None, Released(done=True))
    if not lease.queue and len(lease.holders) == 1:
        (held,) = lease.holders
        if held.ticket == ask.ticket and not held.notes:
            return Decision(None, Released(done=True))
    lease = _swept(lease, ask.at)
    if ask.unless_waited and lease.queue and _holder(lease, ask.ticket, ask.at):
        return Decision(lease, Released(done=False, next=lease.queue[0].ticket))
    holders = tuple(_without_note(holder, ask) for holder in lease.holders if holder.ticket != ask.ticket)
    queue = tuple(waiter for waiter in lease.queue if waiter.ticket != ask.ticket)
    ahead = queue[0].ticket if queue else None
    return Decision(_kept(replace(lease, holders=holders, queue=queue)), Released(done=True, next=ahead))


def _without_note(holder: Holder, ask: Release) -> Holder:
    """A ticket that gives up while its note is taken does not wait again, should the permit be lost."""
    if not _named(holder.notes, ask.ticket):
        return holder
    notes = tuple(replace(one, until=ask.at) if one.ticket == ask.ticket else one for one in holder.notes)
    return replace(holder, notes=notes)


def last_until(lease: Lease) -> float:
    """When the last of its permits and tickets runs out; nothing is lost with it after that."""
    ends = [holder.until for holder in lease.holders] + [one.until for one in lease.queue]
    ends += [one.until for holder in lease.holders for one in holder.notes]
    return max(ends, default=0.0)


def _holder(lease: Lease | None, ticket: str, now: float) -> Holder | None:
    if lease is not None:
        for held in lease.holders:
            if held.ticket == ticket and held.until > now:
                return held
    return None


def _named(waiters: tuple[Waiter, ...], ticket: str) -> bool:
    return any(waiter.ticket == ticket for waiter in waiters)


def _kept(lease: Lease) -> Lease | None:
    return lease if lease.holders or lease.queue else None


def _swept(lease: Lease, now: float) -> Lease:
    """Without what has run out; notes taken under a lost permit wait again, in front."""
    lost = [held for held in lease.holders if held.until <= now]
    if not lost and all(waiter.until > now for waiter in lease.queue):
        return lease
    again = tuple(waiter for held in lost for waiter in held.notes)
    holders = tuple(held for held in lease.holders if held.until > now)
    queue = tuple(waiter for waiter in again + lease.queue if waiter.until > now)
    return replace(lease, holders=holders, queue=queue)


def _still_taken(lease: Lease, keeper: Holder, ask: Acquire) -> Decision:
    """A taken ticket that goes on asking lives on: it waits again should the permit be lost."""
    notes = tuple(
        replace(waiter, until=ask.at + ask.ttl) if waiter.ticket == ask.ticket else waiter for waiter in keeper.notes
    )
    holders = tuple(replace(held, notes=notes) if held is keeper else held for held in lease.holders)
    return Decision(replace(lease, holders=holders), Waiting(keeper.until, 0, taken=True))


def _place(lease: Lease, ask: Acquire) -> int:
    """Where the ticket stands in the queue; a displacing one comes before those that only wait."""
    for place, waiter in enumerate(lease.queue):
        if waiter.ticket == ask.ticket or (ask.displace and not waiter.displaces):
            return place
    return len(lease.queue)


def _granted(lease: Lease, ask: Acquire, token: int) -> Decision:
    queue = tuple(waiter for waiter in lease.queue if waiter.ticket != ask.ticket)
    holder = Holder(ask.ticket, token, ask.at + ask.ttl)
    held = replace(lease, holders=(*lease.holders, holder), queue=queue)
    return _hold_on(held, holder, holder.until, take=ask.take)


def _hold_on(lease: Lease, holder: Holder, until: float, *, take: bool) -> Decision:
    """The holder goes on, and with ``take`` has the notes of all who wait by now."""
    if holder.void:
        return Decision(lease, Refused(Why.LOST))
    taken = tuple(waiter for waiter in lease.queue if waiter.note is not None) if take else ()
    notes = holder.notes + taken
    prolonged = replace(holder, until=max(until, holder.until), notes=notes)
    holders = tuple(prolonged if held.ticket == holder.ticket else held for held in lease.holders)
    queue = tuple(waiter for waiter in lease.queue if waiter not in taken)
    bytes_taken = tuple(waiter.note for waiter in notes if waiter.note is not None)
    return Decision(
        replace(lease, holders=holders, queue=queue),
        Granted(prolonged.token, prolonged.until, bytes_taken),
    )


def _displaced(lease: Lease, ask: Acquire) -> tuple[Lease, tuple[Event, ...]]:
    """Void the permit that was granted first, if none is free or voided already."""
    if len(lease.holders) < ask.permits or any(held.void for held in lease.holders):
        return lease, ()
    victim = min(lease.holders, key=lambda held: held.token)
    until = min(victim.until, ask.at + ask.grace)
    void = replace(victim, void=True, until=until)
    holders = tuple(void if held is victim else held for held in lease.holders)
    event = Event(
        EventType.DISPLACED, ask.at, lease.name, LEASE_KIND, None, victim.token, None, victim.ticket, ask.node
    )
    return replace(lease, holders=holders), (event,)
