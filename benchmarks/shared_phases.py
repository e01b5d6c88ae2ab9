"""What is measured over a shared store: callers in a closed loop, one verb after another, and a count of what ran."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import insession
from insession.kernel.codec import encode
from insession.kernel.operations import Answer, Commit, End, Load, Operation, Touch
from insession.kernel.urls import store_from

from .measuring import SEED

SIZE: Final = 500
"""Bytes of a session's data, and of a peer's value."""
EACH: Final = 4
"""So many sessions has every owner: below the limit, which is checked all the same."""
DEVICE: Final = insession.Kind("device", idle=3600.0, window=0.0, limits=(insession.Limit(most=EACH + 1),))
PLAIN: Final = insession.Kind("plain", idle=3600.0, window=0.0)
"""Without a limit."""
VERBS: Final = ("open", "load", "update", "touch", "end")
_SENT: Final[dict[str, type[Operation]]] = {"open": Commit, "load": Load, "update": Commit, "touch": Touch, "end": End}
_NAMES: Final = itertools.count()
Todo = Iterable[Callable[[], Awaitable[object]]]


def _content(step: int) -> dict[str, Any]:
    content = {"lang": "en", "agent": "x" * 400, "step": step}
    content["agent"] = "x" * (400 + SIZE - len(encode(content)))
    assert len(encode(content)) == SIZE
    return content


DATA: Final = _content(1)
CHANGED: Final = _content(2)
VALUE: Final = encode(DATA)


class Counted:
    """A shared store, with a count of what it is sent."""

    def __init__(self, url: str, namespace: str) -> None:
        self._store: Any = store_from(url, namespace=namespace)
        self.immediate: frozenset[type[Operation]] = frozenset()
        self.most: int = self._store.most
        self.abreast: int = self._store.abreast
        self.batches: int = 0
        self.operations: Counter[type[Any]] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def apply(self, operations: Sequence[Operation]) -> Awaitable[Sequence[Answer]]:
        self.batches += 1
        self.operations.update(map(type, operations))
        answers: Awaitable[Sequence[Answer]] = self._store.apply(operations)
        return answers


async def by_callers(todo: Todo, callers: int) -> float:
    """How many of these a second, so many at a time."""
    waiting = list(todo)
    number = len(waiting)
    waiting.reverse()

    async def caller() -> None:
        while waiting:
            await waiting.pop()()

    begin = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return number / (time.perf_counter() - begin)


class Phases:
    """The verbs of an engine, each over the same sessions; one round opens them, and ends them again.

    Every phase asserts that the store was sent as many operations as there were calls (the engine's own
    upkeep apart), and that as many sessions live as should.
    """

    def __init__(self, engine: insession.Engine, store: Counted, callers: int, kind: str = "device") -> None:
        self._engine = engine
        self._store = store
        self._callers = callers
        self._kind = kind
        self._turn = 0
        # Nobody else opens for the same owners.
        self._name = f"o{next(_NAMES)}"
        self._chance = random.Random(SEED)
        self._handles: list[insession.Session] = []
        self.sizes: dict[str, list[float]] = {}
        """Operations in a batch, by verb, one for each round."""

    async def rate(self, verb: str, number: int) -> float:
        """Operations a second of a verb; the verbs follow one another as in `VERBS`."""
        store, before = self._store, await self._engine.count(kind=self._kind)
        batches, sent = store.batches, store.operations.copy()
        todo = getattr(self, f"_{verb}")(number)
        rate = await by_callers(todo, self._callers)
        ran = store.operations - sent
        self.sizes.setdefault(verb, []).append(ran.total() / (store.batches - batches))
        live = await self._engine.count(kind=self._kind) - before
        if verb == "mixed":
            assert live == 0
            assert all(ran[kind] >= number // len(VERBS) for kind in set(_SENT.values()))
            return rate * len(VERBS)
        assert live == {"open": number, "end": -number}.get(verb, 0), (verb, live)
        assert number <= ran[_SENT[verb]] <= number + 100, (verb, ran)
        assert verb != "open" or len({one.id for one in self._handles}) == number
        return rate

    async def _opened(self, owner: str) -> insession.Session:
        session = await self._engine.open(kind=self._kind, owner=owner, data=DATA)
        self._handles.append(session)
        return session

    def _owner(self, number: int) -> str:
        return f"{self._name}-{self._turn}-{number // EACH}"

    def _open(self, number: int) -> Todo:
        self._turn += 1
        self._handles.clear()
        return [partial(self._opened, self._owner(n)) for n in range(number)]

    def _load(self, _: int) -> Todo:
        ids = [one.id for one in self._handles]
        self._chance.shuffle(ids)
        return [partial(self._engine.get, session_id) for session_id in ids]

    def _update(self, _: int) -> Todo:
        return [partial(session.update, CHANGED) for session in self._handles]

    def _touch(self, _: int) -> Todo:
        return [session.touch for session in self._handles]

    def _end(self, _: int) -> Todo:
        return [session.close for session in self._handles]

    def _mixed(self, number: int) -> Todo:
        """Lives: each of the five verbs once."""
        self._turn += 1
        return [partial(life, self._engine, self._owner(n), self._kind) for n in range(number // len(VERBS))]


async def life(engine: insession.Engine, owner: str, kind: str = "device") -> None:
    """A session from its opening to its end, with each of the five verbs once."""
    session = await engine.open(kind=kind, owner=owner, data=DATA)
    await engine.get(session.id)
    await session.update(CHANGED)
    await session.touch()
    assert await session.close()
