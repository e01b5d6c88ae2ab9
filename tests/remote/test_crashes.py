"""Nothing is left at the service, whatever becomes of a process: real processes, real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from insession.stores.memory import MemoryStore
from insession.testing import FaultyStore, ManualClock

from .conftest import Make
from .tiny import Client, Fault, Searcher, Tiny, find
from .waiting import happens

ROOT = Path(__file__).parents[2]
Process = asyncio.subprocess.Process


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/remote.db"


@asynccontextmanager
async def worker(*arguments: object, lines: int = 1, errors: bool = False) -> AsyncIterator[tuple[Process, list[str]]]:
    """Another process, once it has said so many lines; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.remote.worker", *map(str, arguments)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if errors else None,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(40):
            said = [(await process.stdout.readline()).decode().strip() for _ in range(lines)]
        yield process, said
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ended(process: Process) -> int:
    async with asyncio.timeout(40):
        return await process.wait()


@pytest.mark.processes
@pytest.mark.requirement("S44", "S48")
async def test_sessions_of_a_killed_process_are_ended_by_the_next_and_those_of_a_living_one_are_not(
    make: Make, tiny: Tiny, file: str
) -> None:
    async with worker("hold", file, tiny.port, 2, lines=2) as (living, _):
        theirs = set(tiny.sessions)
        async with worker("hold", file, tiny.port, 3, lines=3) as (dead, _):
            assert len(tiny.sessions) == 5
            dead.send_signal(signal.SIGKILL)
            await _ended(dead)
        async with make(store=file), make(store=file):
            await happens(lambda: set(tiny.sessions) == theirs)
            assert (tiny.counts["logout"], tiny.counts["logouts_ok"]) == (3, 3)
        assert living.stdin is not None
        living.stdin.write(b"\n")
        assert await _ended(living) == 0
    assert (tiny.sessions, tiny.counts["logouts_ok"]) == ({}, 5)


@pytest.mark.processes
@pytest.mark.requirement("S45")
async def test_a_process_killed_in_its_login_is_found_by_its_tag(make: Make, tiny: Tiny, file: str) -> None:
    held = asyncio.Event()
    tiny.fail("login", Fault(hold=held))
    async with worker("intend", file, tiny.port) as (process, _):
        await happens(lambda: tiny.counts["login"] == 1)
        process.send_signal(signal.SIGKILL)
        await _ended(process)
    held.set()
    await happens(lambda: len(tiny.sessions) == 1)
    async with make(Searcher(tiny.port), store=file):
        await happens(lambda: not tiny.sessions)


@pytest.mark.processes
@pytest.mark.requirement("S44")
async def test_a_process_killed_between_the_ending_and_the_log_out(make: Make, tiny: Tiny, file: str) -> None:
    tiny.fail("logout", Fault(hold=asyncio.Event()))
    async with worker("closing", file, tiny.port) as (process, _):
        assert process.stdin is not None
        process.stdin.write(b"\n")
        await happens(lambda: tiny.counts["logout"] == 1)
        process.send_signal(signal.SIGKILL)
        await _ended(process)
    assert len(tiny.sessions) == 1
    async with make(store=file):
        await happens(lambda: not tiny.sessions)


@pytest.mark.processes
@pytest.mark.requirement("S43")
@pytest.mark.parametrize(("ending", "code"), [("end", 0), ("sys.exit", 3), ("exception", 1)])
async def test_a_script_that_closes_nothing_logs_out_at_its_exit(tiny: Tiny, file: str, ending: str, code: int) -> None:
    async with worker("script", file, tiny.port, ending, errors=True) as (process, _):
        assert await _ended(process) == code
    assert (tiny.sessions, tiny.counts["logouts_ok"]) == ({}, 1)


@pytest.mark.processes
@pytest.mark.requirement("S43")
@pytest.mark.parametrize("arguments", [("script", "wait"), ("task",)])
async def test_sigterm_is_an_exit_where_that_was_asked_for(tiny: Tiny, file: str, arguments: tuple[str, ...]) -> None:
    job, *rest = arguments
    async with worker(job, file, tiny.port, *rest, errors=True) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert await _ended(process) == 128 + signal.SIGTERM
    assert (tiny.sessions, tiny.counts["logouts_ok"]) == ({}, 1)


@pytest.mark.processes
@pytest.mark.requirement("S57")
async def test_processes_share_the_places(tiny: Tiny, file: str) -> None:
    tiny.most = 4
    async with AsyncExitStack() as stack:
        crowds = [await stack.enter_async_context(worker("crowd", file, tiny.port, 4, lines=0)) for _ in range(3)]
        codes = [await _ended(process) for process, _ in crowds]
    assert codes == [0, 0, 0]
    assert (tiny.counts["logins_full"], tiny.counts["logins_ok"]) == (0, 48)
    assert tiny.counts["peak_sessions"] <= 4
    assert tiny.sessions == {}


@pytest.mark.processes
@pytest.mark.requirement("S52")
async def test_another_process_goes_on_with_the_same_session(make: Make, tiny: Tiny, file: str) -> None:
    async with make(store=file) as pool:
        token = await pool.acquire()
        blob = await pool.detach(token)
        async with worker("attach", file, tiny.port, token, blob) as (process, said):
            assert said == ["attached"]
            assert await _ended(process) == 0
        assert (tiny.counts["logins_ok"], tiny.counts["logouts_ok"], tiny.sessions) == (1, 1, {})
    assert tiny.counts["logout"] == 1


@pytest.mark.requirement("S44")
async def test_a_process_that_stood_still_renews_what_was_taken_from_it(make: Make, tiny: Tiny, client: Client) -> None:
    clock, memory = ManualClock(), MemoryStore()
    faulty = FaultyStore(memory)
    async with make(store=faulty, clock=clock) as pool, make(store=memory, clock=clock):
        token = await pool.acquire()
        faulty.down = True  # it cannot say that it lives
        await happens_with(clock, lambda: not tiny.sessions)
        faulty.down = False
        held = pool._holding.find(token)
        await happens_with(clock, lambda: held.stale)
        assert await pool.invoke(token, find()) == "x"
        assert (tiny.counts["logins_ok"], pool.generation(token)) == (2, 2)
        assert pool.stats()["active_sessions"] == 1


async def happens_with(clock: ManualClock, condition: Any) -> None:
    """As `happens`, while time passes."""
    async with asyncio.timeout(20):
        while not condition():
            await clock.advance(1.0)
            await asyncio.sleep(0.001)


async def test_what_an_operator_ends_is_lost(make: Make, tiny: Tiny) -> None:
    async with make(max_sessions=1) as pool:
        token = await pool.acquire()
        held = pool._holding.find(token)
        assert held.row is not None
        assert held.row.session is not None
        await pool._engine.interrupt(held.row.session.id, "by hand")
        await happens(lambda: not tiny.sessions)
        with pytest.raises(Exception, match="no session"):
            await pool.invoke(token, find())
        stats = pool.stats()
        assert (stats["active_sessions"], stats["lost"], stats["total_finalized"]) == (0, 1, 0)
        assert tiny.counts["logout"] == 1
        await pool.acquire()


@pytest.mark.requirement("S47")
async def test_the_register_holds_no_password_and_is_this_user_s_alone(
    make: Make, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("INSESSION_STATE_DIR", str(state))
    monkeypatch.delenv("INSESSION_STORE", raising=False)
    key = "1:" + "A" * 43 + "="
    async with make(store=None, keys=key) as pool:
        await pool.acquire()
        (ref,) = tiny.sessions
        content = b"".join(path.read_bytes() for path in state.iterdir())
        assert b"correct horse" not in content
        assert ref.encode() not in content
        assert b"ann" not in content.replace(b"annot", b"")
        assert (state.stat().st_mode & 0o777, (state / "remote.db").stat().st_mode & 0o777) == (0o700, 0o600)


@pytest.mark.requirement("S47")
async def test_a_record_that_cannot_be_read_is_set_aside(make: Make, tiny: Tiny, store: MemoryStore) -> None:
    async with make() as pool:
        await pool.acquire()
        register = pool._holding._register
    from insession import Kind, connect

    foreign = Kind(register.kind.name, recovery="end")
    async with connect(store, kinds=[foreign]) as engine:
        await engine.open(kind=register.kind.name, data={"what": "is this?"})
    async with make() as pool:
        token = await pool.acquire()
        assert await pool.invoke(token, find()) == "x"


@pytest.mark.processes
@pytest.mark.requirement("S61")
async def test_a_forked_child_neither_uses_nor_ends_what_its_parent_holds(make: Make, tiny: Tiny) -> None:
    async with make() as pool:
        token = await pool.acquire()
        pid = os.fork()
        if pid == 0:  # pragma: no cover - the child
            code = 1
            try:
                pool._check()
            except Exception as error:  # noqa: BLE001 - its name is the answer
                code = 0 if type(error).__name__ == "CalledAfterFork" else 2
            os._exit(code)
        assert await asyncio.to_thread(os.waitpid, pid, 0) == (pid, 0)
        assert await pool.invoke(token, find()) == "x"
        assert tiny.counts["logout"] == 0
