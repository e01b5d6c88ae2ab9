"""Threads that find, insert, update and remove through one context while sessions die all the time."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Any, Final

from insession.remote.sankhya import Partner, SankhyaContext, SankhyaSettings
from insession.testing import SankhyaDouble

SEEDED: Final = 100
FIND: Final = "CRUDServiceProvider.loadRecords"


@dataclass(slots=True)
class Crowd:
    """What the threads did, and what they found wrong."""

    calls: int = 0
    inserted: list[str] = field(default_factory=list)
    removed: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self, *, wrong: str = "") -> None:
        """Count a call."""
        with self.lock:
            self.calls += 1
            if wrong:
                self.wrong.append(wrong)


def crowd(double: SankhyaDouble, ctx: SankhyaContext, threads: int, calls: int, *, seed: int = 20_260) -> Crowd:
    """Let threads make their calls; half of them in a session of their own, the others in borrowed ones."""
    seen = Crowd()
    workers = [
        threading.Thread(target=_guarded, args=(seen, ctx, place, calls, random.Random(seed + place)))
        for place in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return seen


def settings_of(double: SankhyaDouble, **options: Any) -> SankhyaSettings:
    """How a context reaches the double."""
    return SankhyaSettings(base_url=double.url, username="SUP", password="secret", **options)


def check(double: SankhyaDouble, seen: Crowd, threads: int, calls: int, cap: int | None) -> str:
    """What has to be true when everything has ended."""
    counters = double.counters
    assert seen.wrong == []
    assert seen.calls == threads * calls
    assert double.count() == 3 + SEEDED + len(seen.inserted) - seen.removed
    assert counters.duplicate_saves == 0
    assert (counters.live_sessions, counters.orphans, counters.overlaps) == (0, 0, 0)
    assert counters.violations == ()
    # Each session was begun once, and once more for each of its deaths at most.
    created = counters.logins_ok - counters.expirations
    assert created <= threads + (cap or threads) + 1
    assert counters.logouts + counters.expirations == counters.logins_ok
    if cap is not None:
        assert counters.peak_live_sessions <= cap
    return (
        f"{seen.calls:,} calls, {counters.expirations:,} sessions died, {counters.logins_ok:,} logins, "
        f"at most {counters.peak_live_sessions} sessions and {counters.peak_concurrent_logins} logins at once, "
        f"{counters.saves_executed:,} saves and none twice"
    )


def _guarded(seen: Crowd, ctx: SankhyaContext, place: int, calls: int, chance: random.Random) -> None:
    try:
        _work(seen, ctx, place, calls, chance)
    except BaseException as error:  # noqa: BLE001 - a thread's end would not be seen
        seen.done(wrong=f"thread {place}: {error!r}")


def _work(seen: Crowd, ctx: SankhyaContext, place: int, calls: int, chance: random.Random) -> None:
    token = ctx.acquire_session() if place % 2 else None
    mine: list[Partner] = []
    try:
        for number in range(calls):
            verb = chance.choices(["find", "page", "insert", "update", "remove"], [10, 1, 3, 2, 1])[0]
            if verb in {"update", "remove"} and not mine:
                verb = "find"
            if token is not None and verb == "find":
                seen.done(wrong=_invoked(ctx, token, chance.randint(4, SEEDED + 3)))
            else:
                seen.done(wrong=_called(seen, ctx, verb, mine, f"Novo {place} {number}", chance))
    finally:
        if token is not None:
            ctx.finalize_session(token)


def _invoked(ctx: SankhyaContext, token: Any, code: int) -> str:
    criteria = {"expression": {"$": f"CODPARC = {code}"}}
    body = {"rootEntity": "Parceiro", "criteria": criteria, "entity": {"path": "", "fieldset": {"list": "NOMEPARC"}}}
    answer = ctx.invoke_with_token(token, FIND, {"dataSet": body})
    found = [one.text for one in answer.element.iter("f0")]
    return "" if found == [f"Parceiro {code}"] else f"invoked {code}: {found}"


def _called(seen: Crowd, ctx: SankhyaContext, verb: str, mine: list[Partner], name: str, chance: random.Random) -> str:
    wrapper = ctx.wrapper
    if verb == "find":
        code = chance.randint(4, SEEDED + 3)
        found = [one.name for one in wrapper.find(Partner, "CODPARC = ?", [code])]
        return "" if found == [f"Parceiro {code}"] else f"find {code}: {found}"
    if verb == "page":
        number = len(wrapper.find(Partner, "CODPARC BETWEEN 4 AND ?", [SEEDED + 3]))
        return "" if number == SEEDED else f"page: {number}"
    if verb == "insert":
        made = wrapper.insert(Partner(name=name))
        with seen.lock:
            seen.inserted.append(name)
        mine.append(made)
        return "" if made.name == name else f"insert {name}: {made}"
    one = mine.pop()
    if verb == "remove":
        wrapper.remove(one)
        with seen.lock:
            seen.removed += 1
        return ""
    one.name = f"{one.name} de novo"
    made = wrapper.update(one)
    return "" if made.name == one.name else f"update {one}: {made}"
