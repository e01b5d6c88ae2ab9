"""Every command as a process: in a pipe, over a store and over a service, and on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import insession as library
from insession.cli.commands import app
from tests.programs import INSESSION, Process, clean_environ, insession

from .conftest import STORE, Run, lines
from .terminal import COLUMNS, CTRL_C, on_terminal

pytestmark = pytest.mark.processes
KEY = "1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEYS = f"2:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=,{KEY}"


def test_the_life_of_a_session(cli: Run, folder: Path, target: tuple[str, str]) -> None:
    whose = ("--kind", "call", "--owner", "ann")
    (opened,) = lines(cli("open", *whose, "--idle", "60", "--absolute", "never", "--data", '{"a": [1]}', "--json"))
    assert (opened["kind"], opened["owner"], opened["data"]) == ("call", "ann", {"a": [1]})
    assert opened["deadlines"]["absolute"] is None
    (touched,) = lines(cli("touch", opened["id"], "--json"))
    assert touched["touched"] >= opened["touched"]
    # A second of that name cannot live, and its data is nothing that the list of processes should show.
    named = ("open", *whose, "--name", f"line {target[0]}", *target)
    second = insession(*named, "--data", "-", cwd=folder, said='"from a pipe"').stdout.strip()
    assert lines(cli("show", second, "--json"))[0]["data"] == "from a pipe"
    again = insession(*named, cwd=folder)
    assert (again.returncode, again.stdout) == (4, "")
    found = insession("ls", "--owner", "-", "--kind", "call", "--json", *target, cwd=folder, said="ann\n")
    assert {one["id"] for one in lines(found)} == {opened["id"], second}
    done = cli("close", opened["id"], second, "--reason", "done")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{one} closed: done" for one in (opened["id"], second)]
    over = cli("close", second, "--json")
    assert (over.returncode, json.loads(over.stdout)["won"]) == (4, False)


def test_what_is_there(cli: Run, inside: Run, folder: Path, target: tuple[str, str]) -> None:
    kind = "counted" if target[0] == "--store" else "numbered"
    inside("open", "--kind", kind, *target)
    (stats,) = lines(cli("stats", "--json"))
    assert stats["sessions"][kind] == {"active": 1}
    shown = inside("stats", *target).stdout
    assert kind in shown
    assert ("batches" in shown) is (target[0] == "--url")
    asked = asyncio.run(
        _locked(folder, lambda: [cli("locks", "--json"), cli("nodes", "--json"), inside("nodes", *target)])
    )
    (lock,) = lines(asked[0])
    assert (lock["name"], len(lock["holders"]), lock["waiting"]) == ("report", 1, [])
    (node,) = lines(asked[1])
    assert node["kind"] == "~node"
    assert f" {os.getpid()} " in next(line for line in asked[2].stdout.splitlines() if node["id"] in line)
    assert lines(inside("locks", "--prefix", "other", "--json", *target)) == []


async def _locked(folder: Path, ask: Callable[[], list[CompletedProcess[str]]]) -> list[CompletedProcess[str]]:
    """What is answered while this process holds a lock and a session of its own."""
    kinds = [library.Kind("owned", recovery="end")]
    async with library.connect(f"sqlite:///{folder}/sessions.db", kinds=kinds) as engine, engine.lock("report"):
        session = await engine.open(kind="owned")
        answers = await asyncio.to_thread(ask)
        await session.close()
        return answers


def test_erasing(inside: Run, folder: Path, target: tuple[str, str]) -> None:
    owner = f"gone {target[0]}"
    for _ in range(2):
        inside("open", "--owner", owner, *target)
    (erased,) = lines(insession("erase", "-", "--yes", "--json", *target, cwd=folder, said=f"{owner}\n"))
    assert erased["erased"] >= 2
    assert lines(inside("ls", "--owner", owner, "--state", "any", "--json", *target)) == []


def test_keeping_a_store(tmp_path: Path) -> None:
    store, other = ("--store", "sqlite:///a.db"), ("--store", "sqlite:///b.db")
    (tmp_path / "a.db").touch()
    assert lines(insession("migrate", "--json", *store, cwd=tmp_path))[0]["before"] is None
    older, newer = {"INSESSION_KEYS": KEY}, {"INSESSION_KEYS": KEYS}
    session = insession(
        "open", "--owner", "ann", "--data", '"secret"', *store, cwd=tmp_path, environ=older
    ).stdout.strip()
    behind = insession("verify", "--json", *store, cwd=tmp_path, environ=newer)
    assert behind.returncode == 1
    told = json.loads(behind.stdout)
    assert (told["current"], told["unreadable"]) == (2, 0)
    assert told["keys"]["1"] >= 1
    done = lines(insession("rewrap", "--json", *store, cwd=tmp_path, environ=newer))[0]
    assert (done["done"], done["unreadable"], done["missed"]) == (told["keys"]["1"], 0, 0)
    copied = insession("copy", "--from", store[1], "--to", other[1], "--finish", "--json", cwd=tmp_path)
    assert lines(copied)[0]["finished"] is True
    moved = insession("open", *store, cwd=tmp_path)
    assert (moved.returncode, moved.stdout) == (5, "")
    assert "sqlite:///b.db" in moved.stderr
    assert lines(insession("show", session, "--json", *other, cwd=tmp_path, environ=newer))[0]["data"] == "secret"
    blind = insession("verify", *other, cwd=tmp_path, environ=older)
    assert blind.returncode == 1
    assert session in blind.stdout
    assert "MDEyMzQ1Njc4" not in blind.stdout + blind.stderr
    keyless = insession("verify", *other, cwd=tmp_path, environ={"INSESSION_STATE_DIR": str(tmp_path)})
    assert (keyless.returncode, keyless.stdout) == (2, "")
    assert "INSESSION_KEYS" in keyless.stderr


def test_the_hardware_id(tmp_path: Path) -> None:
    environ = {"INSESSION_HARDWARE_ID": "pod 7", "INSESSION_STATE_DIR": str(tmp_path)}
    (found,) = lines(insession("hardware-id", "--json", cwd=tmp_path, environ=environ))
    assert (len(found["hardware_id"]), found["source"], found["kept"]) == (32, "environment", True)
    assert insession("hardware-id", cwd=tmp_path, environ=environ).stdout == f"{found['hardware_id']}\n"


See = Callable[..., str]


@pytest.fixture
def see(tmp_path: Path) -> See:
    """Runs a command on a terminal, in a folder with an empty store; what is shown."""
    (tmp_path / "insession.db").touch()
    environ = {"INSESSION_STATE_DIR": str(tmp_path), "INSESSION_HARDWARE_ID": "pod 7"}

    def seen(*arguments: str, says: str, code: int = 0, typed: str = "", when: str = "") -> str:
        shown = on_terminal(*arguments, cwd=tmp_path, environ=environ, say=typed, when=when)
        assert (shown.code, says in shown.text) == (code, True), shown.raw
        wide = [line for line in shown.text.split("\n") if len(line.rpartition("\r")[2]) > COLUMNS]
        # Events are lines for grep, and not folded.
        assert [line for line in wide if not line.startswith("20")] == [], wide
        return shown.text.strip()

    return seen


class TestOnATerminal:
    """Each command that was seen in a pipe, with tables that fit the terminal's width."""

    def test_sessions(self, see: See) -> None:
        session = see("open", "--kind", "call", "--owner", "ann", says="")
        other = see("open", "--owner", "bob " * 40, says="")
        see("ls", says=session)
        see("show", session, says="active")
        see("touch", session, says="ends never")
        see("interrupt", session, says="interrupted: interrupted")
        see("close", other, says="closed: completed")
        see("events", "--no-follow", says="interrupted")

    def test_the_store_and_the_machine(self, see: See) -> None:
        see("migrate", says="made, version")
        see("stats", says="active")
        see("locks", says="holders")
        see("nodes", says="host")
        see("erase", "ann", says="nothing was erased", code=1, typed="n\n", when="good?")
        see("erase", "ann", says="good?", code=130, typed=CTRL_C, when="good?")
        see("erase", "ann", says="erased 0", typed="y\n", when="good?")
        see("copy", "--from", "sqlite:///insession.db", "--to", "sqlite:///copy.db", says="records")
        see("hardware-id", "--explain", says="environment")

    def test_keys(self, tmp_path: Path) -> None:
        (tmp_path / "insession.db").touch()
        insession("open", cwd=tmp_path, environ={"INSESSION_STORE": "sqlite:///insession.db", "INSESSION_KEYS": KEY})
        rewrapped = on_terminal("rewrap", cwd=tmp_path, environ={"INSESSION_KEYS": KEYS})
        assert (rewrapped.code, "sealed anew" in rewrapped.text) == (0, True), rewrapped.raw
        # On a terminal, and only there, it shows how far it is; that is gone when the work is done.
        assert "rewrapping" in rewrapped.text
        verified = on_terminal("verify", cwd=tmp_path, environ={"INSESSION_KEYS": KEYS})
        assert (verified.code, "current" in verified.text) == (0, True), verified.raw

    def test_ctrl_c(self, tmp_path: Path) -> None:
        served = on_terminal("serve", "--port", "0", cwd=tmp_path, when="insession serves", say=CTRL_C)
        assert served.code == 0, served.raw
        insession("open", "--store", "sqlite:///insession.db", cwd=tmp_path)
        followed = on_terminal("events", "--after", "0", cwd=tmp_path, when="opened", say=CTRL_C)
        assert (followed.code, "Traceback" in followed.text) == (130, False), followed.raw


def test_no_command_is_forgotten_here() -> None:
    names = {one.name for one in app.registered_commands}
    text = Path(__file__).read_text("utf-8")
    assert len(names) == 17
    assert [name for name in names if f'"{name}"' not in text] == []


def test_a_reader_that_leaves_early_is_no_error(folder: Path, service: Process) -> None:
    insession("open", "--url", service.url, cwd=folder)
    for arguments in (("ls", "--json", "--store", STORE), ("stats", "--url", service.url)):
        with subprocess.Popen(
            [*INSESSION, *arguments],
            cwd=folder,
            env=clean_environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.close()
            assert writer.wait(30) == 0
            assert writer.stderr is not None
            assert writer.stderr.read() == ""


def test_completion(tmp_path: Path) -> None:
    asked = {"_INSESSION_COMPLETE": "complete_bash", "COMP_WORDS": "insession in", "COMP_CWORD": "1"}
    assert insession(cwd=tmp_path, environ=asked).stdout.split() == ["interrupt"]
    script = insession(cwd=tmp_path, environ={"_INSESSION_COMPLETE": "source_bash"})
    assert (script.returncode, "complete -o default" in script.stdout) == (0, True)
