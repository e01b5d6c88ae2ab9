"""The operations that a store applies, and its answers.

A batch means what its operations would mean one after another, in their order. An operation that
is refused is refused alone. `interpreter` is the reference of what each of them does.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from insession.kernel.events import EventType
from insession.kernel.limits import Limit
from insession.kernel.record import NEVER, Item, Record, State


class Guard(enum.Enum):
    """What must be true of a record or item for a change, judged where the change is applied."""

    ANY = "any"
    """Items only: whatever is there."""
    ABSENT = "absent"
    """No record, or an ended one, which is replaced (unless work after its ending is owed: stale).

    One that is due answers past due. Of an item: none, or expired.
    """
    VERSION = "version"
    """Live, not due, and of this version."""
    LIVE = "live"
    """Live and not due."""
    DUE = "due"
    """Live and due: the only guard of an expiry, so that a touch that came first wins."""
    ENDED = "ended"
    """Ended, and of this version."""
    SAME = "same"
    """Of this version in any state (an item: expired too); version, changes and log stay as they are."""


class Why(enum.StrEnum):
    """Why an operation was refused."""

    STALE = "stale"
    ENDED = "ended"
    PAST_DUE = "past due"
    MISSING = "missing"
    LIMIT = "limit reached"
    FENCED = "fenced off"
    FULL = "full"
    TAKEN = "taken"
    LOST = "lost"
    MOVED = "moved"
    FILLING = "filling"


class Standing(enum.StrEnum):
    """Whether a store takes changes."""

    OPEN = "open"
    """It does; what every new store is."""
    FILLING = "filling"
    """It is being filled with what another store has, and takes nothing else."""
    MOVED = "moved"
    """What it has lies in another store by now: it takes nothing more, and is read only."""


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How sessions end; rests on nothing but their being live, so it is prepared before anybody knows for which."""

    at: float
    state: State
    reason: str | None
    guard: Guard
    """`Guard.LIVE` for an ending by somebody, `Guard.DUE` for an expiry."""
    change: str
    node: str


class Patch(msgspec.Struct, frozen=True, gc=False):
    """A change of one record.

    ``record`` is the whole of a new one (guard absent), ``fields`` the changed envelope fields of one
    that is there, ``data`` its new data; what is None stays.
    """

    id: str
    guard: Guard
    version: int = 0
    record: Record | None = None
    fields: Mapping[str, Any] | None = None
    data: bytes | None = None
    event: EventType | None = None
    reason: str | None = None
    """Reason of the event."""
    kind: str | None = None
    """Of the record whose data it changes, where the caller knows it: a store that encrypts binds the data to it."""


class Put(msgspec.Struct, frozen=True, gc=False):
    """A change of one item: written, or with ``data`` None deleted."""

    key: str
    data: bytes | None
    guard: Guard = Guard.ANY
    version: int = 0
    owner: str | None = None
    expires: float = NEVER


class Fence(msgspec.Struct, frozen=True, gc=False):
    """What a commit shows to prove that it still holds a lease."""

    lease: str
    ticket: str
    token: int


class Load(msgspec.Struct, frozen=True, gc=False):
    """Records (by id) and items (by key) as they are; with ``under``, the items below that session id, up to 1 MiB."""

    keys: tuple[str, ...]
    under: str | None = None


class Commit(msgspec.Struct, frozen=True, gc=False):
    """Patches of records and items that belong together: all of them, or none.

    That is so within one partition. Items that lie in another one than the session, or the fence, go first, each
    under its own guard; when one is refused, nothing follows.

    ``limits`` are checked for a session that it opens: when one is reached, members that are due
    expire first; then as many as make room are interrupted, or the commit is refused.
    ``again``: it is sent a second time because its answer was lost; then an open does not replace a
    session that began or ended since ``at``, which may be the one that it opened.
    """

    at: float
    change: str
    node: str
    patches: tuple[Patch | Put, ...]
    limits: tuple[Limit, ...] = ()
    fence: Fence | None = None
    again: bool = False


Index = Literal["id", "owner", "kind", "node", "all", "due", "finish", "item", "item owner", "lease"]


class Pick(msgspec.Struct, frozen=True, gc=False):
    """Which sessions: one id, or the first ``most`` of an index that were opened before ``before``.

    One id that was opened later is a later life of it, and refused as stale.

    Indexes are walked by kind, then in the order of opening (``due``: of due time); ``kind``
    narrows any of them. A store of several partitions walks one partition after the other. Only ``due``
    holds the kinds that begin with ``~`` (nodes) without being asked for one by ``kind``; it holds what
    is due at the ending's time.
    """

    index: Index
    value: str | None = None
    kind: str | None = None
    most: int = 1
    before: float = NEVER


class End(msgspec.Struct, frozen=True, gc=False):
    """End the picked sessions that are live, each with its own event."""

    pick: Pick
    ending: Ending


class Touch(msgspec.Struct, frozen=True, gc=False):
    """Proof of activity: ``touched`` becomes ``at`` and ``due`` follows, neither ever earlier.

    Live records only; written only if the last touch is older than ``window``. No version, no event.
    A session that was opened at ``before`` or later is a later life of the id, and refused as stale.
    """

    id: str
    at: float
    window: float
    before: float = NEVER


class Acquire(msgspec.Struct, frozen=True, gc=False):
    """Ask for one of ``permits`` of a lease; asked again with the same ticket, it goes on waiting.

    A ticket lives ``ttl`` from its last question, its place is by arrival. ``queue`` bounds how many
    may wait (0: none). ``displace`` voids the holder's token at once; the lease is granted at the
    holder's release, or ``grace`` later. ``take`` takes over the notes of all who wait. With ``again``
    a ticket that the lease no longer knows is not queued anew: its note was taken, and is done with.
    """

    lease: str
    ticket: str
    at: float
    ttl: float
    permits: int = 1
    queue: int | None = None
    note: bytes | None = None
    displace: bool = False
    grace: float = 1.0
    take: bool = False
    again: bool = False
    node: str = ""


class Renew(msgspec.Struct, frozen=True, gc=False):
    """Prolong a granted lease; ``take`` takes over the notes of all who wait by now."""

    fence: Fence
    at: float
    ttl: float
    take: bool = False


class Release(msgspec.Struct, frozen=True, gc=False):
    """Give a permit, or a place in the queue, back; with ``unless_waited`` only if nobody waits."""

    lease: str
    ticket: str
    at: float
    unless_waited: bool = False


class Find(msgspec.Struct, frozen=True, gc=False):
    """A page of an index: sessions by owner, kind, node, all or finish, items by prefix or owner, leases by prefix.

    Sessions come by kind, state, rank (opening time of a live one, purge time of an ended one), id.
    ``state`` None: every state. The kinds that begin with ``~`` come only where ``kind`` names one.
    """

    index: Index
    value: str | None = None
    kind: str | None = None
    state: State | None = State.ACTIVE
    after: str | None = None
    most: int = 100


class Count(msgspec.Struct, frozen=True, gc=False):
    """How many sessions an index holds; what is due and not swept yet may be among them."""

    index: Index
    value: str | None = None
    kind: str | None = None
    state: State | None = State.ACTIVE


class Purge(msgspec.Struct, frozen=True, gc=False):
    """Remove up to ``most`` of what is over at ``before``.

    With ``kind``: its ended records past their keep time, or beyond the newest ``count``, and their items.
    With ``owner``: all ended records, items and events of that owner. With neither: expired items, leases
    that everybody let run out, and events older than ``before`` less the retention.
    """

    before: float
    kind: str | None = None
    count: int | None = None
    owner: str | None = None
    most: int = 200


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Say how the store stands from now on; None asks only. Sent alone, and it waits for what is under way.

    Where it does not stand open, whatever would change something is refused as moved or filling, and changes
    nothing: once this is answered, nothing that was asked before can still be done. Reading goes on.
    A store that becomes open again begins a new epoch of its log, and gives no number that is not above ``number``.
    """

    standing: Standing | None = None
    store: str = ""
    """The other store, as messages name it: its URL without password."""
    number: int = 0


class Import(msgspec.Struct, frozen=True, gc=False):
    """Put a record or an item as another store has it, version and all; without ``one`` remove it, and nothing below.

    No event, no limit. Only into a store that stands filling, else refused as stale. What is there in a later version
    stays, and so does a record of the same version that was touched later.
    """

    key: str
    """Of the record its id."""
    one: Record | Item | None


Operation = Load | Commit | End | Touch | Acquire | Renew | Release | Find | Count | Purge | Mark | Import


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """What `Load` found, in the order of its keys; None where nothing is. ``more``: there was more below the id."""

    found: tuple[Record | Item | None, ...]
    under: tuple[Item, ...] = ()
    more: bool = False


class Done(msgspec.Struct, frozen=True, gc=False):
    """The commit is done, now or when it was sent before.

    A version for each patch; 0: deleted, or written since by somebody else.
    """

    versions: tuple[int, ...]


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The operation changed nothing. ``current`` is what stands in its way, where there is such a thing."""

    why: Why
    current: Record | Item | None = None
    store: str = ""
    """Of `Why.MOVED` and `Why.FILLING`: the other store."""


class Touched(msgspec.Struct, frozen=True, gc=False):
    """The touch is done, or lay within the window; ``due`` is what is due now."""

    due: float


class Ends(msgspec.Struct, frozen=True, gc=False):
    """The sessions that this operation ended, with their versions now.

    ``more``: the index may hold more. ``look``: of ``due``, when to look again.
    """

    ids: tuple[str, ...]
    versions: tuple[int, ...]
    more: bool = False
    look: float = NEVER


class Granted(msgspec.Struct, frozen=True, gc=False):
    """The permit is held until ``until`` unless renewed; ``notes`` are those taken over."""

    token: int
    until: float
    notes: tuple[bytes, ...] = ()


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """Not yet: ask again at ``look``, or when the store wakes. ``ahead`` are before this ticket.

    ``taken``: a holder took the note over; the ticket waits again should that permit be lost.
    """

    look: float
    ahead: int
    taken: bool = False


class Released(msgspec.Struct, frozen=True, gc=False):
    """``done``: given back (or never held); ``next`` is the ticket whose turn it is now."""

    done: bool
    next: str | None = None


class LeaseView(msgspec.Struct, frozen=True, gc=False):
    """A lease as `Find` shows it: tickets of holders and of those who wait."""

    name: str
    holders: tuple[str, ...]
    waiting: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, gc=False):
    """A page; ``after`` is where the next one begins, None at the end."""

    entries: tuple[Record, ...] | tuple[Item, ...] | tuple[LeaseView, ...]
    after: str | None = None


class Counted(msgspec.Struct, frozen=True, gc=False):
    """A number; ``more``: a purge that could go on."""

    number: int
    more: bool = False


class Marked(msgspec.Struct, frozen=True, gc=False):
    """How the store stands now. ``number``: no version and no fencing token that it gave is greater."""

    standing: Standing
    store: str
    number: int


Answer = Loaded | Done | Refused | Touched | Ends | Granted | Waiting | Released | Found | Counted | Marked
