"""A process with many threads that make blocking calls of every sort, forks in the middle, and is interrupted there.

``python -m tests.blocking.crowd URL THREADS CALLS`` says ``half`` when half of the calls are done; Ctrl-C is due then.
Nothing may hang, nothing that was acknowledged may be missing in the end, and every answer is checked.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import insession
import insession.blocking
from insession.blocking import BlockingEngine, BlockingSession

SEED = 20_260
PATIENCE = 60


class Caller:
    """One thread: it remembers what it was told, and holds later answers against that."""

    def __init__(self, number: int, engine: BlockingEngine, shared: BlockingSession, calls: int) -> None:
        self.name = f"caller-{number}"
        self.engine = engine
        self.shared = shared
        self.calls = calls
        self.chance = random.Random(SEED + number)
        self.session = engine.open(owner=self.name, data={"n": 0})
        self.own = 0
        self.added = 0
        self.put = 0
        self.said: Counter[str] = Counter(opened=1)
        self.thread = threading.Thread(target=self.run, name=self.name)
        self.failure: BaseException | None = None

    def run(self) -> None:
        verbs: list[Callable[[], None]] = [
            *(self.read, self.read, self.touch, self.count_own, self.count_shared),
            *(self.reopen, self.item, self.find, self.look, self.work, self.locked),
        ]
        try:
            for _ in range(self.calls):
                self.chance.choice(verbs)()
                self.said["calls"] += 1
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.failure = error

    def read(self) -> None:
        assert self.engine.get(self.session.id).data == {"n": self.own}

    def touch(self) -> None:
        self.session.touch()

    def count_own(self) -> None:
        self.own += 1
        assert self.session.update({"n": self.own}) == {"n": self.own}

    def count_shared(self) -> None:
        self.shared.update(lambda data: {"n": data["n"] + 1})
        self.added += 1

    def reopen(self) -> None:
        how = self.chance.choice([self.session.close, self.session.interrupt])
        assert how("enough")
        assert not self.session.close()
        self.said["closed" if how == self.session.close else "interrupted"] += 1
        self.session, self.own = self.engine.open(owner=self.name, data={"n": 0}), 0
        self.said["opened"] += 1

    def item(self) -> None:
        self.put += 1
        self.engine.items.put(f"crowd/{self.name}", self.put)
        entry = self.engine.items.get(f"crowd/{self.name}")
        assert entry is not None
        assert entry.data == self.put

    def find(self) -> None:
        assert [one.id for one in self.engine.find(owner=self.name).sessions] == [self.session.id]
        assert self.engine.count(owner=self.name) == 1

    def look(self) -> None:
        assert not self.session.interrupted
        assert not self.session.wait_interrupted(0.0)

    def work(self) -> None:
        with self.session.running():
            self.session.raise_if_interrupted()

    def locked(self) -> None:
        with self.engine.lock(f"one of {self.chance.randrange(4)}", wait=PATIENCE) as lock:
            lock.raise_if_lost()


def child_of(engine: BlockingEngine, session: BlockingSession) -> None:
    """What a child of a fork sees; it exits with 0 if that is right."""
    signal.alarm(PATIENCE)  # a hang ends here
    right = 0
    for call in (engine.stats, session.refresh, lambda: session.interrupted, lambda: engine.items):
        try:
            call()
        except insession.CalledAfterFork:
            right += 1
    engine.shut_down()
    with insession.blocking.connect("memory:") as mine:
        right += mine.open().close()
    os._exit(0 if right == 5 else 1)


def fork(engine: BlockingEngine, session: BlockingSession) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            child_of(engine, session)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check(engine: BlockingEngine, callers: list[Caller], shared: BlockingSession) -> None:
    for caller in callers:
        if caller.failure is not None:
            raise caller.failure
    assert engine.get(shared.id).data == {"n": sum(caller.added for caller in callers)}
    said = sum((caller.said for caller in callers), Counter[str]())
    logged = Counter[str]()
    with contextlib.suppress(insession.CursorTrimmed):
        stream = engine.events(after=insession.START, types=["opened", "closed", "interrupted"])
        last = engine.open()
        for event in stream:
            logged[event.type] += 1
            if event.id == last.id:
                break
        # The shared one and the last one are opened by the main thread.
        assert logged == Counter(opened=said["opened"] + 2, closed=said["closed"], interrupted=said["interrupted"]), (
            logged,
            said,
        )
    for caller in callers:
        assert engine.get(caller.session.id).data == {"n": caller.own}


def until_half(callers: list[Caller]) -> None:
    while any(caller.thread.is_alive() for caller in callers):
        done = sum(caller.said["calls"] for caller in callers)
        if done >= sum(caller.calls for caller in callers) // 2:
            return
        time.sleep(0.005)


def main(url: str, threads: int, calls: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started this may ignore it
    begin = time.monotonic()
    with insession.blocking.connect(url) as engine:
        shared = engine.open(data={"n": 0})
        callers = [Caller(number, engine, shared, calls) for number in range(threads)]
        for caller in callers:
            caller.thread.start()
        until_half(callers)
        forked = fork(engine, shared)
        interrupted = False
        try:
            print("half", flush=True)
            shared.wait_interrupted(PATIENCE)
        except KeyboardInterrupt:
            interrupted = True
        for caller in callers:
            caller.thread.join()
        seconds = time.monotonic() - begin
        check(engine, callers, shared)
        number = sum(caller.said["calls"] for caller in callers)
        assert (forked, interrupted, number) == (0, True, threads * calls), (forked, interrupted, number)
    print(f"{number} turns of {threads} threads in {seconds:.1f} s, a fork and a Ctrl-C in the middle", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
