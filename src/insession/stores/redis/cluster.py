"""The store on a cluster: what concerns several partitions is asked of each, and put together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from msgspec.structs import replace
from redis.crc import key_slot
from redis.exceptions import ResponseError

from insession.errors import ConfigurationError, OutcomeUnknown, StoreError, StoreFull, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Waker
from insession.kernel.events import EventType, Page
from insession.kernel.operations import (
    Answer,
    Commit,
    Count,
    Counted,
    Done,
    End,
    Ends,
    Find,
    Found,
    Load,
    Operation,
    Purge,
    Refused,
)
from insession.kernel.record import Record, State
from insession.kernel.urls import StoreURL

from .calling import Caller, changes
from .dialling import Dialler
from .nodes import Nodes
from .routing import Routing, ends, oldest
from .serving import PATIENCE, ServerStore
from .signals import Signals
from .stretches import asked_of, page_of

PER_MASTER: Final = 4
"""So many partitions a new store gets for each master there is."""
MOST: Final = 128
"""So many partitions fit into a cursor."""
_ENDED: Final = (State.INTERRUPTED, State.EXPIRED, State.CLOSED)


class ClusterStore(ServerStore):
    """Everything on a cluster of Redis (6.2 or newer) or Valkey, in partitions.

    ``partitions`` is how many a new store gets; one that is there keeps what it has, and refuses another number.
    """

    # A batch with what concerns several partitions goes in steps, which nothing may overtake.
    abreast = 1

    def __init__(self, url: StoreURL, *, partitions: int | None = None, **options: Any) -> None:
        super().__init__(url, **options)
        self._wanted = partitions
        self._nodes = Nodes(self._dialler, self._where, self._patience)
        self._listening: list[Signals] = []
        self._callers: list[Caller] = []
        self._routing = Routing(1)

    @classmethod
    def from_url(cls, url: StoreURL, *, namespace: str, clock: Clock | None) -> ClusterStore:
        """``redis+cluster://user:password@one:port,two:port``; some of its servers, which know the others."""
        url.only({"timeout", "partitions", *Dialler.OPTIONS})
        return cls(
            url,
            namespace=namespace,
            clock=clock,
            patience=url.seconds("timeout", PATIENCE),
            partitions=_partitions(url),
        )

    def _prefix(self, number: int) -> str:
        return f"insession{{{self._namespace}.{number}}}"

    def _slot(self, number: int) -> int:
        return key_slot(f"{self._namespace}.{number}".encode())

    async def _connect(self) -> None:
        await self._nodes.learn()
        number = await self._number()
        self._routing = Routing(number)
        self._callers = [self._caller(one) for one in range(number)]
        groups: dict[Any, list[int]] = {}
        for one in range(number):
            groups.setdefault(self._nodes.master(self._slot(one)), []).append(one)
        # Each hears the master that its partitions are on now. What moves is heard all the same: messages are told
        # to every server of a cluster.
        self._listening = [self._signals(mine) for mine in groups.values()]
        await asyncio.gather(*(one.open() for one in self._listening))

    def _caller(self, number: int) -> Caller:
        slot, prefix = self._slot(number), self._prefix(number)
        # A key that is never there: while the slot is moved key by key, the call is refused before any of it runs.
        return Caller(
            self._manner,
            prefix,
            partial(self._nodes.line, slot),
            others=(f"{prefix}?",),
            turned_away=partial(self._nodes.turned_away, slot),
            number=number,
        )

    def _signals(self, numbers: Sequence[int]) -> Signals:
        prefixes = [self._prefix(one) for one in numbers]
        dial = partial(self._nodes.dial, self._slot(numbers[0]))
        return Signals(dial, self._patience, prefixes, self._own, self._hear)

    async def _number(self) -> int:
        """How many partitions the store has: what was written when it was made."""
        fresh = self._wanted or min(MOST, PER_MASTER * len(self._nodes.masters))
        key = f"insession{{{self._namespace}}}partitions"
        await self._asked(key, "SET", key, fresh, "NX")
        number = int(await self._asked(key, "GET", key))
        if self._wanted not in {None, number}:
            raise ConfigurationError(f"{self._where}: this store has {number} partitions, which cannot be changed")
        return number

    async def _asked(self, key: str, *command: Any) -> Any:
        slot = key_slot(key.encode())
        end = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                return await (await self._nodes.line(slot)).ask(*command)
            except ResponseError as error:
                if asyncio.get_running_loop().time() > end or not self._nodes.turned_away(slot, error):
                    raise
                await asyncio.sleep(0.02)

    async def _disconnect(self) -> None:
        await asyncio.gather(*(one.close() for one in self._listening))
        await self._nodes.close()

    async def now(self) -> float:
        self._check()
        return await self._time(partial(self._nodes.line, self._slot(0)))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Operations on one partition keep their order; what concerns several waits for all before it."""
        self._check()
        for operation in operations:
            self._routing.check(operation)
        given: list[Any] = [None] * len(operations)
        batch = Batch(self._routing)
        changed = False
        for place, operation in enumerate(operations):
            if batch.takes(place, operation):
                continue
            try:
                await self._flush(batch, given)
                changed = changed or batch.changing
                given[place] = await self._across(operation)
            except (StoreUnavailable, StoreFull) as error:
                raise _after(error, changed=changed) from error
            changed, batch = True, Batch(self._routing)
        try:
            await self._flush(batch, given)
        except (StoreUnavailable, StoreFull) as error:
            raise _after(error, changed=changed) from error
        return given

    async def _flush(self, batch: Batch, given: list[Any]) -> None:
        """Send what was collected, one call for each partition."""
        if len(batch.asked) == 1:
            ((one, mine),) = batch.asked.items()
            found = {one: await self._callers[one].apply(mine)}
        else:
            found = await self._each(batch.asked)
        batch.answer(found, given)

    async def _each(self, asked: Mapping[int, Sequence[Operation]]) -> dict[int, Sequence[Answer]]:
        calls = (self._callers[one].apply(mine) for one, mine in asked.items())
        found = dict(zip(asked, await asyncio.gather(*calls, return_exceptions=True), strict=True))
        failed = {one: answer for one, answer in found.items() if isinstance(answer, BaseException)}
        for error in failed.values():
            if not isinstance(error, StoreUnavailable | StoreFull):
                raise error
        for error in failed.values():
            assert isinstance(error, StoreError)  # noqa: S101 - said just above
            raise _after(error, changed=any(changes(mine) for one, mine in asked.items() if one not in failed))
        return cast("dict[int, Sequence[Answer]]", found)

    async def _one(self, number: int, operation: Operation) -> Any:
        (answer,) = await self._callers[number].apply([operation])
        return answer

    async def _across(self, operation: Operation) -> Answer:
        """What may change several partitions: one of them after the other."""
        if isinstance(operation, Commit):
            return await self._in_steps(operation)
        if isinstance(operation, End):
            return await self._end(operation)
        assert isinstance(operation, Purge)  # noqa: S101 - nothing else is left
        if operation.count is None or operation.kind is None or operation.owner is not None:
            return await self._purge(operation, dict.fromkeys(range(self._routing.number), operation))
        return await self._purge_surplus(operation)

    async def _in_steps(self, commit: Commit) -> Answer:
        versions: dict[int, int] = {}
        places = {id(part): place for place, part in enumerate(commit.patches)}
        changed = False
        for number, step in self._routing.steps(commit):
            try:
                answer = await self._one(number, step)
            except (StoreUnavailable, StoreFull) as error:
                raise _after(error, changed=changed) from error
            if isinstance(answer, Refused):
                return answer
            changed = changed or bool(step.patches)
            versions |= {places[id(part)]: one for part, one in zip(step.patches, answer.versions, strict=True)}
        return Done(tuple([versions[place] for place in range(len(commit.patches))]))

    async def _end(self, operation: End) -> Answer:
        answers: list[Ends] = []
        left = operation.pick.most
        for number in range(self._routing.number):
            # One that may end nobody still says whether there are more, and when to look again.
            pick = replace(operation.pick, most=left)
            try:
                answer = await self._one(number, replace(operation, pick=pick))
            except (StoreUnavailable, StoreFull) as error:
                raise _after(error, changed=left < operation.pick.most) from error
            left -= len(answer.ids)
            answers.append(answer)
        return ends(answers)

    async def _purge(self, purge: Purge, asked: Mapping[int, Purge]) -> Counted:
        number, more = 0, False
        for one, mine in asked.items():
            if number >= purge.most:
                return Counted(number, more=True)
            try:
                answer = await self._one(one, replace(mine, most=purge.most - number))
            except (StoreUnavailable, StoreFull) as error:
                raise _after(error, changed=number > 0) from error
            number, more = number + answer.number, more or answer.more
        return Counted(number, more=more)

    async def _purge_surplus(self, purge: Purge) -> Counted:
        """What is beyond the newest ``count`` of a kind, which lie in any partition."""
        every = range(self._routing.number)
        counts = [Count("kind", purge.kind, state=state) for state in _ENDED]
        finds = [Find("kind", purge.kind, state=state, most=purge.most) for state in _ENDED]
        found = await self._each(dict.fromkeys(every, counts))
        numbers = {one: sum(cast("Counted", each).number for each in answers) for one, answers in found.items()}
        over = max(0, sum(numbers.values()) - (purge.count or 0))
        chosen: dict[int, int] = {}
        if over:
            heads = await self._each(dict.fromkeys(every, finds))
            pages = {one: _records(cast("Sequence[Found]", answers)) for one, answers in heads.items()}
            chosen = oldest(purge, over, pages)
        asked = {one: replace(purge, count=numbers[one] - chosen.get(one, 0)) for one in every}
        return await self._purge(purge, asked)

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        """Of what several partitions have, what happened earlier comes first."""
        self._check()
        places = asked_of(after, len(self._callers))
        calls = (
            caller.page(position, epoch, limit, types)
            for caller, (position, epoch) in zip(self._callers, places, strict=True)
        )
        return page_of(await asyncio.gather(*calls), limit)

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        self._check()
        for one in self._listening:
            one.widen(types)
        return self._wakers.waker(types, leases=leases)


class Batch:
    """What can be sent at once: of each partition its operations, in their order."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._places: list[tuple[int, Operation, tuple[tuple[int, int], ...]]] = []
        self.asked: dict[int, list[Operation]] = {}
        """What each partition is asked."""

    @property
    def changing(self) -> bool:
        """Whether anything of it changes anything."""
        return any(changes(mine) for mine in self.asked.values())

    def takes(self, place: int, operation: Operation) -> bool:
        """Take an operation; false: it has to be sent by itself."""
        one = self._routing.one(operation)
        if one is not None:
            parts: Mapping[int, Operation] = {one: operation}
        elif isinstance(operation, Load | Find | Count):
            parts = self._routing.reads(operation)
        else:
            return False
        where = []
        for number, part in parts.items():
            mine = self.asked.setdefault(number, [])
            where.append((number, len(mine)))
            mine.append(part)
        self._places.append((place, operation, tuple(where)))
        return True

    def answer(self, found: Mapping[int, Sequence[Answer]], given: list[Any]) -> None:
        """Put the answers where they belong."""
        for place, operation, where in self._places:
            if len(where) == 1:
                ((number, mine),) = where
                given[place] = found[number][mine]
            else:
                given[place] = self._routing.together(
                    operation, {number: found[number][mine] for number, mine in where}
                )


def _after(error: StoreError, *, changed: bool) -> StoreError:
    """What a failure means where something else may have been changed before."""
    return OutcomeUnknown(f"{error}; other partitions were changed") if changed else error


def _records(pages: Sequence[Found]) -> list[Record]:
    return [entry for page in pages for entry in page.entries if isinstance(entry, Record)]


def _partitions(url: StoreURL) -> int | None:
    text = url.options.get("partitions")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MOST):  # noqa: PLR2004
        raise ConfigurationError(f"{url.shown}: partitions is a number from 1 to {MOST}")
    return int(text)
