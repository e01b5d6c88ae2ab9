"""Operations that arrive together travel together.

Callers wait for futures; whatever waits in one turn of the loop, or while a batch is under way,
leaves as one `Store.apply`. What one caller sends together stays together, in its order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, cast

from msgspec.structs import replace

from insession.errors import OutcomeUnknown, Overloaded, StoreError, StoreFull, StoreUnavailable
from insession.kernel.contract import Store
from insession.kernel.marks import away
from insession.kernel.operations import Answer, Commit, End, Ends, Operation, Refused, Why

MOST_WAITING: Final = 10_000
WORTH_HALVING: Final = 16
"""So many callers are sent as two batches, where two may be under way: one is prepared while the other is applied."""
_SURE: Final = frozenset({Why.LIMIT, Why.FENCED})
"""Refusals that mean the same however often a commit was sent."""

_Entry = tuple[asyncio.Future[Any], tuple[Operation, ...]]


class Batcher:
    """The queue between the callers of one engine and its store.

    ``ended`` is told of every ending that the store answered, whether or not its caller still waits.
    """

    __slots__ = (
        "_closed",
        "_ended",
        "_loop",
        "_scheduled",
        "_store",
        "_tasks",
        "_under_way",
        "_urgent",
        "_waiting",
        "batches",
        "sent",
    )

    def __init__(self, store: Store, ended: Callable[[End, Ends], None] | None = None) -> None:
        self._store = store
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Entry] = deque()
        self._urgent: deque[_Entry] = deque()
        self._scheduled = False
        self._under_way = 0
        self._closed = False
        self._tasks: set[asyncio.Future[Any]] = set()
        self.batches: int = 0
        self.sent: int = 0

    def send(self, *operations: Operation, urgent: bool = False) -> asyncio.Future[Any]:
        """Queue operations that belong together; the future gives their answers (of one: its answer).

        ``urgent`` ones (renewals of leases) wait at most for the batch under way, and have a bound of
        their own. A future that is cancelled before its operations leave takes them along; afterwards
        they run to their end.
        """
        if self._closed:
            raise StoreUnavailable("this engine is closed; nothing of the operation ran")
        queue = self._urgent if urgent else self._waiting
        if len(queue) >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING} operations wait for the store; let some finish, then try again")
        future: asyncio.Future[Any] = self._loop.create_future()
        queue.append((future, operations))
        if not self._scheduled and self._under_way < self._store.abreast:
            self._scheduled = True
            self._loop.call_soon(self._leave)
        return future

    async def close(self) -> None:
        """Take no more, and wait until everything that was queued has been answered."""
        self._closed = True
        while self._tasks or self._waiting or self._urgent:
            self._leave()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            # A gathering of what is done does not yield, and what is done leaves the set in its own turn.
            await asyncio.sleep(0)

    def _leave(self) -> None:
        self._scheduled = False
        if self._under_way >= self._store.abreast:
            return
        entries, operations = self._next_batch()
        if not entries:
            # All of these were cancelled while they waited; not so the others, perhaps.
            if self._waiting or self._urgent:
                self._leave()
            return
        self._under_way += 1
        self.batches += 1
        self.sent += len(operations)
        try:
            answers = self._store.apply(operations)
        except Exception as error:
            answers = self._loop.create_future()
            answers.set_exception(error)
        if isinstance(answers, asyncio.Future):
            # No task for the most frequent case: nothing is to be done but to wait for the answer.
            self._tasks.add(answers)
            answers.add_done_callback(partial(self._arrived, entries))
        else:
            self._start(entries, answers)
        if self._waiting or self._urgent:
            self._leave()

    def _next_batch(self) -> tuple[list[_Entry], list[Operation]]:
        entries: list[_Entry] = []
        operations: list[Operation] = []
        most, waiting = self._store.most, len(self._waiting)
        left = waiting // 2 if waiting >= WORTH_HALVING and self._under_way < self._store.abreast - 1 else 0
        for queue, rest in ((self._urgent, 0), (self._waiting, left)):
            while len(queue) > rest and len(operations) < most:
                entry = queue.popleft()
                if not entry[0].cancelled():
                    entries.append(entry)
                    operations += entry[1]
        return entries, operations

    def _arrived(self, entries: list[_Entry], answers: asyncio.Future[Sequence[Answer]]) -> None:
        self._tasks.discard(answers)
        if answers.cancelled() or answers.exception() is not None:
            self._start(entries, answers)
            return
        self._under_way -= 1
        self._answer(entries, answers.result())
        if self._waiting or self._urgent:
            self._leave()

    def _start(self, entries: list[_Entry], answers: Awaitable[Sequence[Answer]]) -> None:
        task = self._loop.create_task(self._run(entries, answers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, entries: list[_Entry], asked: Awaitable[Sequence[Answer]]) -> None:
        try:
            answers = await asked
        except OutcomeUnknown as error:
            await self._again(entries, error)
        except StoreFull as error:
            # Nothing of the batch ran, for the sake of those operations that take room.
            await self._one_by_one(entries, error)
        except StoreUnavailable as error:
            _fail(entries, error)
        except Exception as error:
            await self._one_by_one(entries, error)
        else:
            self._answer(entries, answers)
        finally:
            self._under_way -= 1
            if self._waiting or self._urgent:
                self._leave()

    def _answer(
        self, entries: Iterable[_Entry], answers: Sequence[Answer], again: OutcomeUnknown | None = None
    ) -> None:
        """``again``: why they were sent a second time, which is the answer where the second one leaves it open."""
        place = 0
        for future, group in entries:
            mine = answers[place : place + len(group)]
            place += len(group)
            for operation, answer in zip(group, mine, strict=True):
                if type(answer) is Ends and self._ended is not None:
                    self._ended(cast("End", operation), answer)
            if future.done():
                continue
            if again is not None and any(map(_unsure, group, mine)):
                _fail([(future, group)], again)
                continue
            error = away(mine)
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(mine[0] if len(group) == 1 else mine)

    async def _one_by_one(self, entries: list[_Entry], error: Exception) -> None:
        """A batch that failed as a whole: its operations alone, so that one bad one fails no neighbour."""
        if len(entries) == 1:
            _fail(entries, error)
            return
        for entry in entries:
            try:
                self._answer([entry], await self._store.apply(entry[1]))
            except Exception as alone:
                _fail([entry], alone)

    async def _again(self, entries: list[_Entry], error: OutcomeUnknown) -> None:
        """The answer was lost: what was sent is sent once more, and says whether it had been done."""
        operations = [_marked(operation) for _, group in entries for operation in group]
        try:
            answers = await self._store.apply(operations)
        except Exception:
            _fail(entries, error)
        else:
            self._answer(entries, answers, error)


def _marked(operation: Operation) -> Operation:
    return replace(operation, again=True) if isinstance(operation, Commit) else operation


def _unsure(operation: Operation, answer: Answer) -> bool:
    """Whether the answer to an operation that was sent again leaves open if it ran the first time."""
    if away((answer,)) is not None:
        return True
    if isinstance(operation, Commit):
        return isinstance(answer, Refused) and answer.why not in _SURE
    return isinstance(operation, End) and operation.pick.index != "id"


def _fail(entries: Iterable[_Entry], error: Exception) -> None:
    """Every caller gets an error of its own: one exception raised twice would collect tracebacks."""
    for future, _ in entries:
        if not future.done():
            future.set_exception(_copied(error) if isinstance(error, StoreError) else error)


def _copied(error: StoreError) -> StoreError:
    # Not by its constructor, whose arguments are not those of the message.
    mine = type(error).__new__(type(error), *error.args)
    mine.__dict__.update(error.__dict__)
    mine.__cause__ = error
    return mine
