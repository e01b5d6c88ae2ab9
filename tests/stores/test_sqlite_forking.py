"""SQLite's locks are those of a process, and so is its memory of them: forks, and two stores of one process."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

import insession
from tests.programs import run

pytestmark = pytest.mark.processes
PYTHON = (sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c")
HEAD = """
import os, signal, sys, threading, time
from pathlib import Path
import insession, insession.blocking
URL = "sqlite:///sessions.db?synchronous=normal"
engine = insession.blocking.connect(URL)

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""


def program(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(*PYTHON, HEAD + textwrap.dedent(text), cwd=folder)


def test_the_child_of_a_busy_parent_is_held_up_by_nobody(tmp_path: Path) -> None:
    done = program(
        """
        over = threading.Event()
        engine.open()  # what is being imported at a fork stays half imported in the child

        def busy():
            while not over.is_set():
                engine.open(kind="chat")
                engine.count(kind="chat")

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                signal.alarm(25)
                with insession.blocking.connect(URL) as mine:
                    mine.open(kind="of-a-child")
                os._exit(0)
            codes.append(ended(pid))
        over.set()
        for thread in threads:
            thread.join()
        print(codes, engine.count(kind="of-a-child"))
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{[0] * 8} 8\n"


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="shows the locks of processes")
def test_the_child_has_locks_of_its_own_and_outlives_its_parents_end(tmp_path: Path) -> None:
    """Without them its parent would take itself for the last one, and bring the log home under the child's feet."""
    done = program(
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        engine.open(kind="of-the-parent")
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.alarm(25)
            os.close(writing)
            with insession.blocking.connect(URL) as mine:
                mine.open(kind="of-a-child")
                inode, locks = os.stat("sessions.db").st_ino, Path("/proc/locks").read_text()
                own = [line for line in locks.splitlines() if f" {os.getpid()} " in line and f":{inode} " in line]
                os.kill(os.getppid(), signal.SIGUSR1)
                os.read(reading, 1)
                for _ in range(50):
                    mine.open(kind="of-a-child")
            os._exit(0 if own else 7)
        signal.sigwait({signal.SIGUSR1})
        engine.__exit__(None, None, None)
        os.close(writing)
        print(ended(pid))
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "0\n"
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] > 0
    again = program('print(engine.count(kind="of-a-child"), engine.count(kind="of-the-parent"))', tmp_path)
    assert again.stdout == "51 1\n"


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="shows the locks of processes")
async def test_a_second_store_of_a_process_takes_no_lock_from_the_first(tmp_path: Path) -> None:
    """Else another process that closes the file takes itself for the last one, and deletes the log."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"

    def locks() -> list[str]:
        inode = (tmp_path / "sessions.db").stat().st_ino
        lines = Path("/proc/locks").read_text("utf-8").splitlines()
        return [line for line in lines if f" {os.getpid()} " in line and f":{inode} " in line]

    async with insession.connect(url) as first:
        await first.open()
        assert locks()
        async with insession.connect(url) as second:
            await second.open()
            assert locks()
        assert locks()
