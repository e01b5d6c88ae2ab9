"""Which partition an operation concerns, and what the answers of several partitions are together.

A session's id chooses by its first 16 bits. An item or lease under a session's id lies with that. Any other item
lies where the part of its key before the last ``/`` says, so that what is read by its key alone is found, and
neighbours can be written as one; any other lease lies where its name says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from msgspec.structs import replace

from insession.errors import InvalidInput
from insession.kernel.ids import route
from insession.kernel.operations import (
    Acquire,
    Answer,
    Commit,
    Count,
    Counted,
    End,
    Ends,
    Find,
    Found,
    Import,
    LeaseView,
    Load,
    Loaded,
    Operation,
    Patch,
    Purge,
    Put,
    Release,
    Renew,
    Touch,
)
from insession.kernel.pages import cursor_of
from insession.kernel.record import Item, Record, State

from .records import packed_id

_ROUTED: Final = re.compile(r"[0-9a-f]{32}")
_ORDER: Final = {state: place for place, state in enumerate(State)}
_BY_KEY: Final = frozenset({"item", "item owner", "lease"})


class Routing:
    """The partitions of one store, by their number."""

    def __init__(self, number: int) -> None:
        self.number: Final = number

    def of_id(self, session_id: str) -> int:
        """The partition of a session."""
        digits = session_id[:4] if _ROUTED.fullmatch(session_id) else route(session_id)
        return int(digits, 16) % self.number

    def of_key(self, key: str) -> int:
        """The partition of an item."""
        under = key.partition("/")[0]
        return self.of_id(under if _ROUTED.fullmatch(under) else key.rpartition("/")[0])

    def of_lease(self, name: str) -> int:
        """The partition of a lease."""
        under, slash, _ = name.partition("/")
        return self.of_id(under if slash and _ROUTED.fullmatch(under) else name)

    def of_part(self, part: Patch | Put) -> int:
        """The partition of a part of a commit."""
        return self.of_key(part.key) if isinstance(part, Put) else self.of_id(part.id)

    def of_commit(self, commit: Commit) -> int | None:
        """The partition of a commit; None: it crosses."""
        found = {self.of_part(part) for part in commit.patches}
        if commit.fence is not None:
            found.add(self.of_lease(commit.fence.lease))
        return found.pop() if len(found) == 1 else None

    def one(self, operation: Operation) -> int | None:
        """The only partition that an operation concerns; None: it may be several."""
        if isinstance(operation, Commit):
            return self.of_commit(operation)
        if isinstance(operation, Touch):
            return self.of_id(operation.id)
        if isinstance(operation, Import):
            return self.of_name(operation.key)
        if isinstance(operation, Acquire | Release):
            return self.of_lease(operation.lease)
        if isinstance(operation, Renew):
            return self.of_lease(operation.fence.lease)
        if isinstance(operation, End) and operation.pick.index == "id":
            return self.of_id(operation.pick.value or "")
        return 0 if self.number == 1 else None

    def reads(self, operation: Load | Find | Count) -> dict[int, Operation]:
        """What every partition is asked of a read that may concern several."""
        if not isinstance(operation, Load):
            return dict.fromkeys(range(self.number), operation)
        keys: dict[int, list[str]] = {}
        for key in operation.keys:
            keys.setdefault(self.of_name(key), []).append(key)
        under = operation.under
        where = None if under is None else self.of_id(under)
        if where is not None or not keys:
            keys.setdefault(where or 0, [])
        return {one: Load(tuple(mine), under if one == where else None) for one, mine in keys.items()}

    def of_name(self, name: str) -> int:
        """The partition of what is loaded: an item has a slash."""
        return self.of_key(name) if "/" in name else self.of_id(name)

    def together(self, operation: Operation, answers: Mapping[int, Answer]) -> Answer:
        """The answer to a read, of those of the partitions."""
        if isinstance(operation, Load):
            return self._loaded(operation, cast("Mapping[int, Loaded]", answers))
        if isinstance(operation, Find):
            return found(operation, cast("Iterable[Found]", answers.values()))
        return Counted(sum(cast("Counted", one).number for one in answers.values()))

    def _loaded(self, load: Load, answers: Mapping[int, Loaded]) -> Loaded:
        places = {one: iter(loaded.found) for one, loaded in answers.items()}
        entries = tuple([next(places[self.of_name(key)]) for key in load.keys])
        if load.under is None:
            return Loaded(entries)
        below = answers[self.of_id(load.under)]
        return Loaded(entries, below.under, below.more)

    def check(self, operation: Operation) -> None:
        """Refuse what could not be sent, before anything of its batch is."""
        if not isinstance(operation, Commit) or (len(operation.patches) < 2 and operation.fence is None):  # noqa: PLR2004
            return
        parts = operation.patches
        if len({part.key if isinstance(part, Put) else part.id for part in parts}) < len(parts):
            raise InvalidInput("patches", "name one record or item twice")
        if self.of_commit(operation) is None:
            self.main(operation)

    def main(self, commit: Commit) -> int:
        """Where a commit that crosses is decided: with its lease, else its sessions, else its first item."""
        homes = {self.of_id(part.id) for part in commit.patches if isinstance(part, Patch)}
        if commit.fence is not None:
            home = self.of_lease(commit.fence.lease)
            if homes - {home}:
                raise InvalidInput("fence", "is of a lease in another partition; name the lease '<session id>/...'")
            return home
        if len(homes) > 1:
            raise InvalidInput("patches", "change sessions of two partitions; send two changes")
        return homes.pop() if homes else self.of_part(commit.patches[0])

    def steps(self, commit: Commit) -> list[tuple[int, Commit]]:
        """The commits that one which crosses is sent as, in their order: wide items first, the sessions last."""
        home = self.main(commit)
        parts: dict[int, list[Patch | Put]] = {}
        for part in commit.patches:
            parts.setdefault(self.of_part(part), []).append(part)
        last = parts.pop(home, [])
        steps = [(one, replace(commit, patches=tuple(mine), fence=None, limits=())) for one, mine in parts.items()]
        if commit.fence is not None and not commit.again:
            # Who lost the lease writes no wide items either. Sent again it may be done, and the lease given up.
            steps.insert(0, (home, replace(commit, patches=(), limits=())))
        if last:
            steps.append((home, replace(commit, patches=tuple(last))))
        return steps


def found(ask: Find, pages: Iterable[Found]) -> Found:
    """One page of those that the partitions gave, in the contract's order."""
    pages = list(pages)
    entries: list[Any] = sorted((entry for page in pages for entry in page.entries), key=_place)
    more = len(entries) > ask.most or any(page.after is not None for page in pages)
    entries = entries[: ask.most]
    if not more or not entries:
        return Found(tuple(entries))
    last = entries[-1]
    return Found(tuple(entries), cursor_of(last) if isinstance(last, Record) else _place(last)[0])


def _place(entry: Record | Item | LeaseView) -> tuple[Any, ...]:
    """Where an entry stands among others of its index; texts are ordered as their bytes are."""
    if isinstance(entry, Record):
        return (entry.kind, _ORDER[entry.state], entry.rank, packed_id(entry.id))
    return (entry.key if isinstance(entry, Item) else entry.name,)


def ends(answers: Sequence[Ends]) -> Ends:
    """What an ending did in several partitions."""
    return Ends(
        tuple([one for answer in answers for one in answer.ids]),
        tuple([one for answer in answers for one in answer.versions]),
        any(answer.more for answer in answers),
        min((answer.look for answer in answers), default=math.inf),
    )


def oldest(purge: Purge, over: int, pages: Mapping[int, Iterable[Record]]) -> dict[int, int]:
    """How many of each partition are among the ``over`` ended sessions that are to be gone first."""
    heads = sorted(
        ((record.rank, packed_id(record.id), one) for one, records in pages.items() for record in records),
    )[: min(over, purge.most)]
    return {one: sum(place == one for _, _, place in heads) for one in pages}
