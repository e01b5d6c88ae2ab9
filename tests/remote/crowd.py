"""Threads that find, insert, update and remove through one context while sessions die all the time."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from insession.remote.sankhya import Partner, SankhyaContext, SankhyaSettings
from insession.testing import SankhyaDouble, SankhyaDoubleProcess

SEEDED: Final = 100
FIND: Final = "CRUDServiceProvider.loadRecords"


@dataclass(slots=True)
class Crowd:
    """What the threads did, and what they found wrong."""

    calls: int = 0
    inserted: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self, *, wrong: str = "") -> None:
        """Count a call."""
        with self.lock:
            self.calls += 1
            if wrong:
                self.wrong.append(wrong)


class Worker(threading.Thread):
    """One of the threads; it has a session of its own, or borrows one for each call."""

    def __init__(self, seen: Crowd, ctx: SankhyaContext, place: int, calls: int) -> None:
        super().__init__(name=f"crowd {place}")
        self._seen = seen
        self._ctx = ctx
        self._place = place
        self._left = calls
        self._own = place % 2 == 0
        self._chance = random.Random(20_260 + place)
        self._mine: list[Partner] = []

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - a thread's end would not be seen
            self._seen.done(wrong=f"{self.name}: {error!r}")

    def _work(self) -> None:
        token = self._ctx.acquire_session() if self._own else None
        try:
            for number in range(self._left):
                verb = self._chance.choices(["find", "page", "insert", "update", "remove"], [10, 1, 3, 2, 1])[0]
                if verb in {"update", "remove"} and not self._mine:
                    verb = "find"
                if verb == "find":
                    wrong = self._find(self._chance.randint(4, SEEDED + 3), token)
                else:
                    wrong = self._other(verb, f"Novo {self._place} {number}")
                self._seen.done(wrong=wrong)
        finally:
            if token is not None:
                self._ctx.finalize_session(token)

    def _find(self, code: int, token: UUID | None) -> str:
        if token is None:
            found = [one.name for one in self._ctx.wrapper.find(Partner, "CODPARC = ?", [code])]
        else:
            criteria = {"expression": {"$": f"CODPARC = {code}"}}
            fields = {"path": "", "fieldset": {"list": "NOMEPARC"}}
            body = {"dataSet": {"rootEntity": "Parceiro", "criteria": criteria, "entity": fields}}
            answer = self._ctx.invoke_with_token(token, FIND, body)
            found = [one.text for one in answer.element.iter("f0")]
        return "" if found == [f"Parceiro {code}"] else f"find {code}: {found}"

    def _other(self, verb: str, name: str) -> str:
        wrapper = self._ctx.wrapper
        if verb == "page":
            number = len(wrapper.find(Partner, "CODPARC BETWEEN 4 AND ?", [SEEDED + 3]))
            return "" if number == SEEDED else f"page: {number}"
        if verb == "insert":
            made = wrapper.insert(Partner(name=name))
            self._seen.inserted.append(name)
            self._mine.append(made)
            return "" if made.name == name else f"insert {name}: {made}"
        one = self._mine.pop()
        if verb == "remove":
            wrapper.remove(one)
            self._seen.removed.append(name)
            return ""
        changed = wrapper.update(Partner(code=one.code, name=f"{one.name} de novo"))
        return "" if changed.name == f"{one.name} de novo" else f"update {one}: {changed}"


def crowd(ctx: SankhyaContext, threads: int, calls: int) -> Crowd:
    """Let threads make their calls."""
    seen = Crowd()
    workers = [Worker(seen, ctx, place, calls) for place in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return seen


def settings_of(double: SankhyaDouble | SankhyaDoubleProcess, **options: Any) -> SankhyaSettings:
    """How a context reaches the double."""
    return SankhyaSettings(base_url=double.url, username="SUP", password="secret", **options)


def check(double: SankhyaDouble | SankhyaDoubleProcess, seen: Crowd, calls: int, cap: int) -> str:
    """What has to be true when everything has ended; a word about what was seen."""
    counters = double.counters
    assert seen.wrong == []
    assert seen.calls == calls
    assert double.count() == 3 + SEEDED + len(seen.inserted) - len(seen.removed)
    assert counters.duplicate_saves == 0
    assert (counters.live_sessions, counters.orphans, counters.overlaps) == (0, 0, 0)
    assert counters.violations == ()
    assert counters.peak_live_sessions <= cap
    # Every session was begun once, and again at most once for each death: each login was logged out, or died.
    assert counters.logouts + counters.expirations == counters.logins_ok
    return (
        f"{seen.calls:,} calls, {counters.expirations:,} sessions died, {counters.logins_ok:,} logins, at most "
        f"{counters.peak_live_sessions} sessions and {counters.peak_concurrent_logins} logins at once, "
        f"{counters.saves_executed:,} saves and none twice"
    )
