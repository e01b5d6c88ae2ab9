"""Driving a store beside the model: send, compare, read the log, look at everything."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, Final, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from msgspec.structs import replace

from insession.kernel.contract import Store
from insession.kernel.events import ENDINGS, START, Event, EventType
from insession.kernel.operations import (
    Answer,
    Commit,
    Count,
    Counted,
    Fence,
    Find,
    Found,
    Granted,
    Load,
    Loaded,
    Operation,
    Patch,
    Purge,
)
from insession.kernel.record import NODE_KIND, Item, Record, State
from insession.testing.clock import ManualClock

from .agreement import Numbers, agree, agree_leases
from .intents import IDS, KEYS, KINDS_LIMIT, OWNERS_LIMIT
from .model import Model

NOWHERE: Final = 10**9
"""A version that no store has reached."""
_T = TypeVar("_T")


class Driver(RuleBasedStateMachine):
    """A store and the model, side by side. After every step they must hold the same."""

    seen: ClassVar[Counter[str]] = Counter()
    """How often each state was entered, over all runs of this class."""
    retention: float = 86_400.0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.seen = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.clock: ManualClock = ManualClock(1_000_000.0)
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.store: Store = self.make_store(self.clock)
        self.wait(self.store.open())
        self.model: Model = Model(self.seen)
        self.numbers: Numbers = Numbers()
        self.tokens: dict[tuple[str, str], int] = {}
        self.changes: int = 0
        self.steps: int = 0
        self.last: list[Operation] = []
        self.read: int = 0
        self.positions: list[int | None] = []
        self.tail: str = self.wait(self.store.events(None, 1, None)).cursor
        self.cursors: list[tuple[str, int]] = [(self.tail, 0)]
        self.kept: int = 0
        self.alive: dict[str, bool] = {}

    def make_store(self, clock: ManualClock) -> Store:
        """A new, empty store that goes by the clock; it is opened and closed by the machine."""
        raise NotImplementedError

    def may_forget(self, event: Event, newer: int) -> bool:
        """Whether the log may have forgotten an event, after which so many came."""
        return event.time <= self.now - self.retention

    def wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run the loop until this is done."""
        return self.loop.run_until_complete(work)

    async def _applied(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        return await self.store.apply(operations)

    def teardown(self) -> None:
        """Close the store."""
        self.wait(self.store.close())
        self.loop.close()

    @property
    def now(self) -> float:
        """The time of this step."""
        return self.clock.now()

    def fresh_change(self) -> str:
        """A change id that nobody had."""
        self.changes += 1
        return f"c{self.changes}"

    def version(self, key: str) -> int:
        """The version of a record or an item as the store numbers it."""
        one = self.model.items.get(key) if "/" in key else self.model.records.get(key)
        return NOWHERE if one is None else self.numbers.of_model[one.version]

    def fence(self, lease: str, ticket: str) -> Fence:
        """The fence that a ticket got last."""
        return Fence(lease, ticket, self.tokens.get((lease, ticket), NOWHERE))

    def send(self, *operations: Operation) -> Sequence[Answer]:
        """One batch: the store at once, the model one after another; then everything is compared."""
        self.last = list(operations)
        expected = [self.model.apply(one, self.now) for one in [self.numbers.translated(op) for op in operations]]
        answers = self.wait(self._applied([_copied(operation) for operation in operations]))
        assert len(answers) == len(operations)
        self.seen["batch"] += len(operations) > 1
        for operation, model, store in zip(operations, expected, answers, strict=True):
            self.compare(operation, model, store)
            if isinstance(store, Granted):
                self.tokens[_lease_of(operation)] = store.token
        self.follow()
        self.look_at_everything()
        return answers

    def compare(self, operation: Operation, model: Answer, store: Answer) -> None:
        """Assert that an answer is what the model says."""
        if isinstance(operation, Purge):
            assert isinstance(model, Counted)
            assert isinstance(store, Counted)
            # Of events the store knows how many it forgets, see `forget_events`.
            low, high = (0, model.number) if operation.owner else (model.number, store.number)
            high = model.number if operation.kind else high
            assert low <= store.number <= high, (operation, model, store)
        elif isinstance(operation, Find) and operation.index == "lease":
            assert isinstance(store, Found)
            agree_leases(self.model, operation, store)
        else:
            agree(model, store, self.numbers, f"{operation}")

    def look_at_everything(self) -> None:
        """Compare all records, items, leases and counts."""
        self.steps += 1
        asked: list[Operation] = [
            Load((*IDS, *KEYS), IDS[self.steps % len(IDS)]),
            Find("all", state=None, most=500),
            Find("all", kind=NODE_KIND, state=None, most=500),
            Find("item", "", most=500),
            Find("lease", "", most=500),
            Find("finish", state=None, most=500),
            *(Find("owner", owner, state=None, most=500) for owner in ("ann", "bob")),
            Find("node", "n1", state=None, most=500),
            *(Count("kind", kind, state=state) for kind in ("call", "chat", "free") for state in State),
            *(Count(index, value) for index, value in (("owner", "ann"), ("node", "n1"), ("all", None))),  # type: ignore[arg-type]
        ]
        answers = self.wait(self._applied(asked))
        before = self.seen.copy()
        for operation, store in zip(asked, answers, strict=True):
            self.compare(operation, self.model.apply(operation, self.now), store)
        self.seen.clear()
        self.seen.update(before)
        loaded = answers[0]
        assert isinstance(loaded, Loaded)
        for one in loaded.found:
            if one is not None:
                self.numbers.rise(one.key if isinstance(one, Item) else one.id, one.version)
        self.keep_limits(answers[1])
        if self.steps % 5 == 0:
            self.compare_log()

    def keep_limits(self, page: Answer) -> None:
        """Assert that no limit is exceeded, and that what lives has its opening in the log."""
        assert isinstance(page, Found)
        live = [one for one in page.entries if isinstance(one, Record) and one.live]
        of_owner = Counter((one.owner, one.kind) for one in live if one.owner is not None and one.kind != "free")
        assert max(of_owner.values(), default=0) <= OWNERS_LIMIT
        assert sum(one.kind == "chat" for one in live) <= KINDS_LIMIT
        for one in live:
            assert self.alive.get(one.id, True), f"{one.id} lives after its end, without a new opening"

    def follow(self) -> None:
        """Read the new events, and assert that each life has one opening and one end."""
        fresh: list[Event] = []
        more = True
        while more:
            page = self.wait(self.store.events(self.tail, 100, None))
            assert not page.trimmed
            fresh += page.events
            self.tail, more = page.cursor, page.more
        expected = self.model.log[self.read :]
        agree(tuple(one for one in expected if one is not None), tuple(fresh), self.numbers, "log")
        events = iter(fresh)
        self.positions += [None if one is None else next(events).position for one in expected]
        self.read = len(self.model.log)
        known = [position for position in self.positions if position is not None]
        assert known == sorted(set(known))
        self.cursors = [*self.cursors[-8:], (self.tail, self.read)]
        if None in expected:
            # What was erased before it could be read may have been an opening or an end.
            self.alive.clear()
        for event in fresh:
            self.live_once(event)
        self.forget_events()

    def live_once(self, event: Event) -> None:
        """Openings and endings of an id take turns."""
        if event.type is EventType.OPENED:
            assert not self.alive.get(event.id), f"{event.id} was opened twice"
            self.alive[event.id] = True
        elif event.type in ENDINGS:
            assert self.alive.get(event.id, True), f"{event.id} ended twice"
            self.alive[event.id] = False

    def forget_events(self) -> None:
        """Learn what the log has forgotten, and assert that it was allowed to."""
        page = self.wait(self.store.events(START, 1, None))
        assert not page.trimmed
        first = self.positions.index(page.events[0].position) if page.events else len(self.positions)
        for place in range(self.kept, first):
            event = self.model.log[place]
            if event is not None:
                assert self.may_forget(event, self.read - place - 1), f"{event} was forgotten too early"
                self.seen["trimmed"] += 1
                self.model.log[place] = None
                self.kept = place + 1

    def compare_log(self) -> None:
        """Compare all that the log still holds."""
        page = self.wait(self.store.events(START, 10_000, None))
        agree(tuple(one for one in self.model.log if one is not None), page.events, self.numbers, "log")

    def read_on(self, cursor: tuple[str, int], limit: int, types: frozenset[EventType] | None) -> None:
        """Compare a page from an old cursor."""
        text, place = cursor
        page = self.wait(self.store.events(text, limit, types))
        assert page.trimmed is (place < self.kept), (place, self.kept)
        self.seen["trimmed_cursor"] += page.trimmed
        events = list(page.events)
        while page.trimmed or (page.more and len(events) < limit):
            page = self.wait(self.store.events(page.cursor, limit - len(events), types))
            assert not page.trimmed
            events += page.events
        left = [one for one in self.model.log[place:] if one is not None and (types is None or one.type in types)]
        agree(tuple(left[:limit]), tuple(events), self.numbers, "page")
        assert page.more or len(left) <= limit


def _copied(operation: Operation) -> Operation:
    """A store owns the record that it is handed."""
    if not isinstance(operation, Commit):
        return operation
    parts = tuple(
        replace(part, record=replace(part.record)) if isinstance(part, Patch) and part.record else part
        for part in operation.patches
    )
    return replace(operation, patches=parts)


def _lease_of(operation: Any) -> tuple[str, str]:
    fence = getattr(operation, "fence", operation)
    return fence.lease, fence.ticket
