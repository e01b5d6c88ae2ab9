"""What a lock is asked for, checked once: the same terms serve any number of locks."""

from __future__ import annotations

from typing import Final

import msgspec

from insession.errors import InvalidInput
from insession.kernel.batching import MOST_WAITING
from insession.kernel.ids import check_count, check_seconds

MOST_PERMITS: Final = 10_000


class Terms(msgspec.Struct, frozen=True):
    """The options of `Engine.lock`, as they go into every question for the lease."""

    ttl: float
    wait: float | None
    permits: int
    queue: int | None
    note: bytes | None
    displace: bool
    grace: float
    take: bool
    cancel: bool


def terms(
    most_note: int,
    /,
    *,
    ttl: float = 30.0,
    wait: float | None = 30.0,
    permits: int = 1,
    queue: int | None = None,
    note: bytes | None = None,
    displace: bool = False,
    grace: float = 1.0,
    take: bool = False,
    cancel: bool = True,
) -> Terms:
    """The options as they can be taken; `InvalidInput` names the first that cannot."""
    ttl = check_seconds(ttl, "ttl", least=0.001)
    wait = None if wait is None else check_seconds(wait, "wait")
    if queue is not None and (queue != 0 or isinstance(queue, bool)):
        check_count(queue, "queue", MOST_WAITING)
    if type(note) not in {bytes, type(None)} or len(note or b"") > most_note:
        raise InvalidInput("note", f"is bytes, at most {most_note}")
    check_count(permits, "permits", MOST_PERMITS)
    grace = check_seconds(grace, "grace")
    return Terms(ttl, wait, permits, 0 if wait == 0 else queue, note, displace, grace, take, cancel)
