"""The other processes of these tests: ``python -m tests.processes.worker ROLE ARGUMENTS``.

What a worker writes in a line has happened: an acknowledgement leaves the process before anything else is done.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import insession
from insession.kernel import recovery
from insession.kernel.moving import copy_between
from insession.stores import sealed

from . import kinds, tangling


def say(*words: object) -> None:
    """One line, at once and whole."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def heard() -> str:
    """The next line that we are told."""
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


async def churn(url: str, callers: str, seed: str) -> None:
    """Open, update and end sessions until killed; every acknowledgement is a line."""
    async with insession.connect(url, kinds=[kinds.CHURN]) as engine:

        async def caller(place: int) -> None:
            chance = random.Random(f"{seed}-{place}")
            for number in itertools.count():
                session = await engine.open(kind="churn", owner=f"o{place}-{number}", data={"step": 0})
                say("opened", session.id, session.version)
                for _ in range(chance.randrange(4)):
                    await session.update(lambda data: data | {"step": data["step"] + 1}, event=True)
                    say("updated", session.id, session.data["step"])
                if chance.random() < 0.7:
                    await session.close(f"r{number}")
                    say("ended", session.id, f"r{number}")

        await asyncio.gather(*(caller(place) for place in range(int(callers))))


async def increment(url: str, session_id: str, callers: str, each: str, _: str) -> None:
    """Add to a session's number by compare-and-set."""
    async with insession.connect(url) as engine:

        async def caller() -> None:
            session = await engine.get(session_id)
            for _ in range(int(each)):
                await session.update(lambda data: {"number": data["number"] + 1})

        say("ready")
        await heard()
        await asyncio.gather(*(caller() for _ in range(int(callers))))
        say("done")


async def crowd(url: str, policy: str, number: str, _: str) -> None:
    """Open many sessions of one owner at once."""
    async with insession.connect(url, kinds=[kinds.limited(policy)]) as engine:

        async def caller() -> bool:
            try:
                await engine.open(kind="limited", owner="ann")
            except insession.LimitReached:
                return False
            return True

        say("ready")
        await heard()
        opened = await asyncio.gather(*(caller() for _ in range(int(number))))
        say("done", sum(opened))


async def write(url: str, callers: str, each: str, place: str) -> None:
    """Open and end sessions in large batches; say the ids."""
    async with insession.connect(url) as engine:

        async def caller(number: int) -> None:
            for turn in range(int(each)):
                session = await engine.open(kind="written", owner=f"o{place}-{number}-{turn}")
                await session.close("written")
                say("written", session.id)

        say("ready")
        await heard()
        await asyncio.gather(*(caller(number) for number in range(int(callers))))
        say("done")


async def work(url: str, number: str) -> None:
    """Run work for sessions; say how each of them was stopped."""
    async with insession.connect(url) as engine:

        async def run(session: insession.Session, entered: asyncio.Future[None]) -> None:
            try:
                async with session.running():
                    entered.set_result(None)
                    await asyncio.get_running_loop().create_future()
            except insession.SessionEnded as error:
                say("stopped", session.id, type(error).__name__, error.reason)

        async with asyncio.TaskGroup() as group:
            entered = []
            for place in range(int(number)):
                session = await engine.open(kind="worked", owner=f"o{place}")
                entered.append(asyncio.get_running_loop().create_future())
                group.create_task(run(session, entered[-1]))
                say("opened", session.id)
            await asyncio.gather(*entered)
            say("ready")
        # A stop is written down by a task of the engine; leaving at once would cut it off.
        await heard()


async def own(url: str, number: str) -> None:
    """Own sessions of every kind of recovery, until killed."""
    async with insession.connect(url, kinds=kinds.owned(None)) as engine:
        for kind in ("ends", "keeps", "calls"):
            for place in range(int(number)):
                session = await engine.open(kind=kind, owner=f"o{place}")
                say("opened", session.id, kind)
        say("ready")
        await asyncio.get_running_loop().create_future()


async def recover(url: str, most: str, ttl: str) -> None:
    """Recover what others left behind; say what the hook was called for, and hang in its call of this number."""
    recovery.RECOVERY_TTL = float(ttl)  # type: ignore[misc]
    numbers = itertools.count(1)

    async def call(session: insession.Session) -> None:
        say("called", session.id)
        if next(numbers) == int(most):
            await asyncio.get_running_loop().create_future()

    async with insession.connect(url, kinds=kinds.owned(call)):
        say("ready")
        await heard()


async def finish(url: str, most: str, ahead: str) -> None:
    """Do the work that is owed after endings; say what it was done for, and hang in the one of this number."""
    numbers = itertools.count(1)

    async def work_off(session: insession.Session) -> None:
        say("begun", session.id)
        if next(numbers) == int(most):
            await asyncio.get_running_loop().create_future()
        say("done", session.id)

    kind = insession.Kind("owed", finish=work_off)
    async with insession.connect(url, kinds=[kind], clock=kinds.clock_ahead(float(ahead))):
        say("ready")
        await heard()


async def count_locked(url: str, callers: str, each: str, _: str) -> None:
    """Count in an item without any guard but a lock; say the fencing tokens."""
    async with insession.connect(url) as engine:

        async def caller() -> None:
            for _ in range(int(each)):
                async with engine.lock("counter", ttl=5.0, wait=None) as lock:
                    entry = await engine.items.get("count/one")
                    await asyncio.sleep(0)
                    number = 0 if entry is None else entry.data
                    await engine.items.put("count/one", number + 1, fence=lock.fence)
                    say("counted", number + 1, lock.fence.token)

        say("ready")
        await heard()
        await asyncio.gather(*(caller() for _ in range(int(callers))))
        say("done")


async def hold(url: str, ttl: str) -> None:
    """Hold a lock, and commit under its fence when told to, however late that is."""
    async with insession.connect(url) as engine:
        lock = engine.lock("report", ttl=float(ttl))
        try:
            async with lock:
                say("held", lock.fence.token)
                await asyncio.get_running_loop().create_future()
        except insession.LeaseError as error:
            say("lost", type(error).__name__)
        await heard()
        try:
            await engine.items.put("report/one", "late", fence=lock.fence)
            say("committed")
        except insession.LeaseError as error:
            say("refused", type(error).__name__)


async def end(url: str) -> None:
    """End the sessions of each line all at once, until there is an empty one."""
    async with insession.connect(url) as engine:
        say("ready")
        while ids := (await heard()).split():
            ended = await asyncio.gather(*(engine.interrupt(session_id, "raced") for session_id in ids))
            say("ended", sum(ended))


async def tangle(url: str, seed: str, batches: str, place: str) -> None:
    """Send random batches, four at a time; say how many operations it were."""
    async with insession.connect(url) as engine:

        async def caller(number: int) -> int:
            sent, own = 0, tangling.Tangle(f"{place}-{number}", f"{seed}-{place}-{number}")
            for _ in range(int(batches) // 4):
                batch = own.batch(engine.clock.now())
                answers = await engine.store.apply(batch)
                assert len(answers) == len(batch)
                sent += len(batch)
            return sent

        say("ready")
        await heard()
        say("done", sum(await asyncio.gather(*(caller(number) for number in range(4)))))


async def feed(url: str, callers: str) -> None:
    """Open, update, touch and end sessions, and write items, until the store says that it has moved.

    What was acknowledged is a line: ``r`` id version state reason data, ``t`` id time, ``i`` key version data.
    """
    async with insession.connect(url, kinds=[insession.Kind("fed", idle=3600.0, window=0.0)]) as engine:

        def said(session: insession.Session) -> None:
            say("r", session.id, session.version, session.state, session.reason, session.data["step"])

        async def life(place: int, number: int) -> None:
            session = await engine.open(kind="fed", owner=f"o{place}", data={"step": 0})
            said(session)
            key = f"fed/{place}/{number % 50}"
            say("i", key, await engine.items.put(key, number), number)
            for _ in range(3):
                await session.update(lambda data: {"step": data["step"] + 1})
                said(session)
                await session.touch()
                say("t", session.id, repr(session.record.touched))
                step = session.data["step"]
                say("i", f"{session.id}/step", await session.items.put("step", step), step)
            if number % 3 == 0:
                await session.close(f"r{number}")
                said(session)
            elif number % 3 == 1:
                await engine.items.delete(key)
                say("i", key, 0, None)

        async def caller(place: int) -> None:
            try:
                async with engine.lock(f"fed/{place}") as lock:
                    say("l", f"fed/{place}", lock.fence.token)
                    for number in itertools.count():
                        await life(place, number)
            except insession.StoreMoved as error:
                say("moved", error.store)

        await asyncio.gather(*(caller(place) for place in range(int(callers))))
        say("done")


async def carry(source: str, target: str) -> None:
    """Let a target take over, with a line for each page."""
    copied = await copy_between(source, target, finish=True, progress=lambda so_far: say("page", so_far.passes))
    say("carried", copied.finished)


async def seal(url: str, path: str, callers: str, every: str, _place: str) -> None:
    """Write to sessions and items under keys that change, until told to stop; say which ring is used."""
    sealed.ring.LOOK_EVERY = float(every)
    stopped = asyncio.Event()
    async with insession.connect(url, keys=Path(path)) as engine:

        async def caller() -> None:
            session = await engine.open(kind="sealed", data={"n": 0})
            items, number = session.items, 0
            version = await items.put("count", 0, version=0)
            while not stopped.is_set():
                number += 1
                await session.update(lambda data: {"n": data["n"] + 1})
                # An item that is sealed anew keeps its version.
                version = await items.put("count", number, version=version)
                entry = await items.get("count")
                assert entry is not None
                assert (entry.data, (await engine.get(session.id)).data) == (number, {"n": number})
                # What other processes have sealed is read too.
                for one in (await engine.find(kind="sealed", limit=64)).sessions:
                    assert one.data["n"] >= 0
            say("wrote", session.id, number)

        async def tell() -> None:
            told: tuple[int, ...] = ()
            while not stopped.is_set():
                if told != engine.store.keys.numbers:  # type: ignore[attr-defined]
                    told = engine.store.keys.numbers  # type: ignore[attr-defined]
                    say(f"ring:{'-'.join(map(str, told))}")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for _ in range(int(callers)):
                group.create_task(caller())
            group.create_task(tell())
            await heard()
            stopped.set()


async def append(url: str, program: str, each: str, place: str) -> None:
    """Append to sessions as the old or the new program does; say which appends were done, and which refused."""
    async with insession.connect(url, kinds=[kinds.CHAT[program]]) as engine:
        ids, chance = (await heard()).split(), random.Random(f"{program}-{place}")

        async def caller(number: int) -> None:
            for _ in range(number):
                session_id = chance.choice(ids)
                try:
                    await engine.update(session_id, lambda data: data.longer())
                    say("appended", session_id)
                except insession.DataUnreadable:
                    say("newer", session_id)

        await asyncio.gather(*(caller(int(each) // 5) for _ in range(5)))


ROLES: dict[str, Callable[..., Coroutine[None, None, None]]] = {
    one.__name__: one
    for one in (
        *(churn, increment, crowd, write, work, own, recover, finish, count_locked, hold, end, tangle, feed, carry),
        *(seal, append),
    )
}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
