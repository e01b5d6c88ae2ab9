"""Fork, spawn, and workers that are forked from a program that has loaded everything."""

from __future__ import annotations

import pytest

from insession.testing import SankhyaDouble

from .conftest import Run

pytestmark = pytest.mark.processes
CHILD = """
import signal, sys
from insession.errors import CalledAfterFork
from insession.remote.sankhya import Partner, SankhyaContext

ctx = None

def own(_=None):
    signal.alarm(30)
    with SankhyaContext.from_settings() as own:
        return len(own.wrapper.find(Partner, "CODPARC <= 5"))

def child():
    "What a worker does that inherits a context."
    try:
        ctx.wrapper.find(Partner, "CODPARC = 1")
    except CalledAfterFork:
        return own()
    return "it used the session of its parent"
"""


@pytest.mark.requirement("S61")
def test_a_child_neither_uses_nor_ends_its_parents_sessions(double: SankhyaDouble, start: Run) -> None:
    program = start(
        CHILD
        + """
ctx = SankhyaContext.from_settings()
ctx.acquire_session()
pid = os.fork()
if pid == 0:
    say(child())
    ctx = None
    sys.exit(0)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
sys.stdin.readline()
say(len(ctx.wrapper.find(Partner, "CODPARC = 1")))
ctx.dispose()
"""
    )
    assert [program.line(), program.line()] == ["5", "0"]
    counters = double.counters
    assert (counters.logins_ok, counters.logouts, counters.live_sessions) == (3, 1, 2)
    program.say()
    assert program.line() == "1"
    assert program.end()[0] == 0
    assert (double.counters.live_sessions, double.counters.orphans, double.counters.violations) == (0, 0, ())


@pytest.mark.requirement("S62")
def test_locks_that_are_held_at_the_fork_stop_no_child(double: SankhyaDouble, start: Run) -> None:
    program = start(
        CHILD
        + """
ctx = SankhyaContext.from_settings()
over = threading.Event()

def busy():
    while not over.is_set():
        token = ctx.acquire_session()
        ctx.wrapper.find(Partner, "CODPARC = 1")
        ctx.finalize_session(token)

threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
pids = []
for _ in range(3):
    time.sleep(0.1)
    pid = os.fork()
    if pid == 0:
        code = 0 if own() == 5 else 7
        os._exit(code)
    pids.append(pid)
say(*[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
over.set()
for thread in threads:
    thread.join()
ctx.dispose()
"""
    )
    assert program.line() == "0 0 0"
    assert program.end()[0] == 0
    assert (double.counters.live_sessions, double.counters.overlaps) == (0, 0)


@pytest.mark.requirement("S62")
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_pools_of_processes(double: SankhyaDouble, start: Run, method: str) -> None:
    program = start(
        f"""
        import multiprocessing
        from tests.remote.processes.pooled import find_own

        if __name__ == "__main__":
            with SankhyaContext.from_settings() as ctx:
                with multiprocessing.get_context("{method}").Pool(2) as pool:
                    say(*pool.map(find_own, [3, 4, 5]))
                    pool.close()
                    pool.join()
                say(len(ctx.wrapper.find(Partner, "CODPARC = 1")))
        """
    )
    assert [program.line(), program.line()] == ["3 4 5", "1"]
    assert program.end()[0] == 0
    counters = double.counters
    assert (counters.live_sessions, counters.logins_ok, counters.logouts) == (0, 4, 4)


@pytest.mark.requirement("S62")
def test_workers_forked_from_a_program_that_has_loaded_everything(double: SankhyaDouble, start: Run) -> None:
    """As a server does that loads the application before it forks: the context is made by each worker."""
    program = start(
        CHILD
        + """
import insession.remote.sankhya.blocking

def work():
    with SankhyaContext.from_settings() as mine:
        mine.wrapper.find(Partner, "CODPARC = 1")
        say("works")
        signal.sigwait({signal.SIGUSR1})
    os._exit(0)

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
with SankhyaContext.from_settings() as master:
    master.wrapper.find(Partner, "CODPARC = 1")
pids = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        work()
    pids.append(pid)
sys.stdin.readline()
for pid in pids:
    os.kill(pid, signal.SIGUSR1)
say(*[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""
    )
    assert [program.line(), program.line()] == ["works", "works"]
    assert double.counters.live_sessions == 2
    program.say()
    assert program.line() == "0 0"
    assert program.end()[0] == 0
    assert (double.counters.live_sessions, double.counters.logouts) == (0, 3)
