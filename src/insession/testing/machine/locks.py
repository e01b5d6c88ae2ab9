"""A lease as anybody would write it down: a list of holders and a list of those who wait."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

from insession.kernel.events import Event, EventType
from insession.kernel.leases import LEASE_KIND
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


@dataclasses.dataclass
class Place:
    """A ticket that waits."""

    ticket: str
    until: float
    note: bytes | None
    displaces: bool


@dataclasses.dataclass
class Permit:
    """A ticket that holds."""

    ticket: str
    token: int
    until: float
    void: bool = False
    notes: list[Place] = dataclasses.field(default_factory=list)


class Lock:
    """One lease."""

    def __init__(self, name: str, seen: Counter[str]) -> None:
        self.name = name
        self.holders: list[Permit] = []
        self.queue: list[Place] = []
        self.seen = seen

    def view(self, now: float) -> LeaseView:
        """Whoever has a part in it and is not out of time."""
        holders = tuple(permit.ticket for permit in self.holders if permit.until > now)
        return LeaseView(self.name, holders, tuple(place.ticket for place in self.queue if place.until > now))

    def permit(self, ticket: str, now: float) -> Permit | None:
        """What a ticket holds."""
        return next((one for one in self.holders if one.ticket == ticket and one.until > now), None)

    def proves(self, fence: Fence, now: float) -> bool:
        """Whether a fence holds."""
        permit = self.permit(fence.ticket, now)
        return permit is not None and permit.token == fence.token and not permit.void

    def sweep(self, now: float) -> None:
        """Drop what has run out; notes of a lost permit wait again, in front."""
        for permit in [one for one in self.holders if one.until <= now]:
            self.seen["lease_expired"] += 1
            self.seen["note_waiting_again"] += any(note.until > now for note in permit.notes)
        back = [note for one in self.holders if one.until <= now for note in one.notes]
        self.holders = [one for one in self.holders if one.until > now]
        before = len(back) + len(self.queue)
        self.queue = [one for one in back + self.queue if one.until > now]
        self.seen["ticket_expired"] += before > len(self.queue)

    def acquire(self, ask: Acquire, number: Callable[[], int]) -> tuple[Granted | Waiting | Refused, list[Event]]:
        """Ask for a permit."""
        self.sweep(ask.at)
        mine = self.permit(ask.ticket, ask.at)
        if mine is not None:
            return self.hold_on(mine, ask.at + ask.ttl, take=ask.take), []
        for permit in self.holders:
            for note in permit.notes:
                if note.ticket == ask.ticket:
                    note.until = ask.at + ask.ttl
                    self.seen["taken_and_told"] += 1
                    return Waiting(permit.until, 0, taken=True), []
        place = next((one for one in self.queue if one.ticket == ask.ticket), None)
        if place is None and ask.again:
            self.seen["note_was_taken"] += 1
            return Refused(Why.TAKEN), []
        others = [one for one in self.queue if one is not place]
        ahead = self.ahead(ask, place)
        if not ahead and len(self.holders) < ask.permits:
            self.queue = others
            permit = Permit(ask.ticket, number(), ask.at + ask.ttl)
            self.holders.append(permit)
            return self.hold_on(permit, permit.until, take=ask.take), []
        if place is None and ask.queue is not None and len(self.queue) >= ask.queue:
            self.seen["queue_full"] += 1
            return Refused(Why.FULL), []
        events = self.displace(ask) if ask.displace else []
        new = Place(ask.ticket, ask.at + ask.ttl, ask.note, ask.displace)
        self.queue = [*ahead, new, *(one for one in others if one not in ahead)]
        self.seen["lease_waited"] += 1
        until = [one.until for one in self.holders] + [one.until for one in ahead]
        return Waiting(min(until, default=NEVER), len(ahead)), events

    def ahead(self, ask: Acquire, place: Place | None) -> list[Place]:
        """Who stands before a ticket: everybody who came before, but to one that displaces only its like."""
        before = self.queue[: self.queue.index(place)] if place is not None else list(self.queue)
        if not ask.displace:
            return before
        like: list[Place] = []
        for one in before:
            if not one.displaces:
                break
            like.append(one)
        return like

    def hold_on(self, permit: Permit, until: float, *, take: bool) -> Granted | Refused:
        """Go on holding."""
        if permit.void:
            return Refused(Why.LOST)
        permit.until = max(permit.until, until)
        if take:
            taken = [one for one in self.queue if one.note is not None]
            self.seen["note_taken"] += bool(taken)
            permit.notes += taken
            self.queue = [one for one in self.queue if one.note is None]
        return Granted(permit.token, permit.until, tuple(one.note or b"" for one in permit.notes))

    def displace(self, ask: Acquire) -> list[Event]:
        """Void the oldest permit, if there is no other way."""
        if len(self.holders) < ask.permits or any(one.void for one in self.holders):
            return []
        victim = min(self.holders, key=lambda one: one.token)
        victim.void = True
        victim.until = min(victim.until, ask.at + ask.grace)
        self.seen["displaced"] += 1
        return [
            Event(
                EventType.DISPLACED,
                ask.at,
                self.name,
                LEASE_KIND,
                None,
                victim.token,
                None,
                victim.ticket,
                ask.node,
            )
        ]

    def renew(self, ask: Renew) -> Granted | Refused:
        """Prolong a permit."""
        self.sweep(ask.at)
        permit = self.permit(ask.fence.ticket, ask.at)
        if permit is None or not self.proves(ask.fence, ask.at):
            self.seen["lease_lost"] += 1
            return Refused(Why.LOST)
        self.seen["lease_renewed"] += 1
        return self.hold_on(permit, ask.at + ask.ttl, take=ask.take)

    def release(self, ask: Release) -> Released:
        """Give back a permit, or a place."""
        self.sweep(ask.at)
        if ask.unless_waited and self.queue and self.permit(ask.ticket, ask.at):
            self.seen["kept_for_who_waits"] += 1
            return Released(done=False, next=self.queue[0].ticket)
        self.seen["handed_on"] += bool(self.queue and self.permit(ask.ticket, ask.at))
        self.holders = [one for one in self.holders if one.ticket != ask.ticket]
        self.queue = [one for one in self.queue if one.ticket != ask.ticket]
        for note in [note for one in self.holders for note in one.notes if note.ticket == ask.ticket]:
            note.until = ask.at  # it is done with, and does not wait again
        return Released(done=True, next=self.queue[0].ticket if self.queue else None)
