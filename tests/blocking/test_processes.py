"""Real processes: forked, interrupted by Ctrl-C, and ended by somebody who forgot to close."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.programs import ROOT, clean_environ, run

pytestmark = pytest.mark.processes
PYTHON = (sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning")
HEAD = """
import os, signal, sys, threading, time
import insession, insession.blocking
signal.signal(signal.SIGINT, signal.default_int_handler)
engine = insession.blocking.connect("sqlite:///sessions.db")
"""


def program(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program that begins with an engine of its own."""
    return run(*PYTHON, "-c", HEAD + textwrap.dedent(text), cwd=folder)


def interrupted_crowd(url: str, threads: int, calls: int) -> str:
    """Let a crowd of threads make their calls, with a fork and a real Ctrl-C in the middle; what it says at its end."""
    popen = subprocess.Popen(
        (*PYTHON, "-m", "tests.blocking.crowd", url, str(threads), str(calls)),
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert popen.stdout is not None
        if popen.stdout.readline() == "half\n":
            popen.send_signal(signal.SIGINT)
        said, errors = popen.communicate(timeout=600)
    finally:
        popen.kill()
        popen.wait()
    assert popen.returncode == 0, errors
    return said.strip()


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_crowd_that_is_forked_and_interrupted(store: str, tmp_path: Path) -> None:
    url = "memory:" if store == "memory" else f"sqlite:///{tmp_path / 'sessions.db'}"
    assert interrupted_crowd(url, 16, 40).startswith("640 turns of 16 threads")


def test_a_child_of_a_fork_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    done = program(
        """
        session = engine.open(data={"n": 1})
        with session.running(), engine.lock("report") as lock:
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                for call in (engine.open, lambda: session.interrupted, lock.take, lock.raise_if_lost, session.touch):
                    try:
                        call()
                    except insession.CalledAfterFork as error:
                        print(error)
                # The ends of these blocks say it too, and so does nothing that runs at the exit of the interpreter.
        if pid == 0:
            sys.exit("the block ended in order")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        print(session.refresh().data, session.update({"n": 2}))
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    refusal = "this was opened before the fork, and stays with the parent process; open one in this process"
    assert done.stdout.splitlines() == [*[refusal] * 5, "{'n': 1} {'n': 2}"]
    assert done.stderr.count("CalledAfterFork") >= 1
    assert "in order" not in done.stderr


def test_one_that_was_made_before_a_fork_is_opened_after_it(tmp_path: Path) -> None:
    done = program(
        """
        pid = os.fork()
        print(engine.open().close(), flush=True)
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\nTrue\n")


def test_ctrl_c_cancels_what_waits_and_the_engine_goes_on(tmp_path: Path) -> None:
    done = program(
        """
        session = engine.open()
        stream = engine.events()
        stream.start()

        def waits():
            with engine.lock("report"):
                with engine.lock("report", wait=None):
                    pass

        for wait in (session.wait_interrupted, lambda: next(stream), waits):
            begin = time.monotonic()
            try:
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
                wait()
            except KeyboardInterrupt:
                print("interrupted" if time.monotonic() - begin < 10 else "too late")
        with engine.lock("report", wait=0):
            print(engine.open().id == next(stream).id, engine.stats().locks)
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["interrupted"] * 3 + ["True 1"]


def test_ctrl_c_that_nobody_catches_ends_the_program(tmp_path: Path) -> None:
    done = program(
        """
        with engine:
            engine.open().update({"n": 1})
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            engine.open().wait_interrupted()
        """,
        tmp_path,
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr.strip().endswith("KeyboardInterrupt")
    assert not (tmp_path / "sessions.db-wal").exists()


def test_who_forgets_to_close_loses_nothing(tmp_path: Path) -> None:
    done = program(
        """
        def work():
            time.sleep(0.1)
            for _ in range(100):
                engine.open()
            print(engine.count())

        threading.Thread(target=work).start()  # the program's end waits for it, and the portal for both
        lock = engine.lock("report", ttl=3600)
        lock.__enter__()
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "100\n")
    assert not (tmp_path / "sessions.db-wal").exists()  # it was closed in order
    again = program("print(engine.count(), engine.lock('report', wait=0).__enter__().name)", tmp_path)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", "100 report\n")
