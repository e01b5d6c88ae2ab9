"""Every command, on a store and on a service."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from insession import connect
from tests.programs import INSESSION, Process, clean_environ, insession, started

from .conftest import STORE, Run, lines

pytestmark = pytest.mark.processes
Open = Callable[..., str]
NO_ONE = "00" * 16


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: Run) -> Path:
    """An empty folder, where commands of this process look."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def _sealed(store: str) -> str:
    """A store that is encrypted, with a session that has ended."""
    async with connect(store, keys=f"1:{base64.b64encode(bytes(32)).decode()}") as engine:
        session = await engine.open(data="secret")
        await session.close()
        return session.id


def test_data_that_cannot_be_read_are_shown_with_the_cause(inside: Run, empty: Path) -> None:
    session_id = asyncio.run(_sealed("sqlite:///insession.db"))
    done = inside("show", session_id)
    assert (done.returncode, "this engine has no keys" in done.stdout) == (0, True)
    (session,) = lines(inside("show", session_id, "--json"))
    assert (session["data"], "no keys" in session["unreadable"]) == (None, True)


def test_ls_is_a_table_for_people(cli: Run, opened: Open) -> None:
    session = opened(kind="listed", owner="[red]ann", idle=600)
    done = cli("ls", "--kind", "listed")
    assert (done.returncode, done.stderr) == (0, "")
    row = next(line for line in done.stdout.splitlines() if session in line)
    assert "listed" in row
    # Other people's text is text, not markup.
    assert "[red]ann" in row
    assert "in 6" in row or "in 5" in row


def test_ls_is_a_line_of_json_for_programs(cli: Run, opened: Open) -> None:
    owner = f"bo {os.urandom(4).hex()} Дора/%"
    ids = [opened(kind="listed", owner=owner, data="secret") for _ in range(3)]
    found = lines(cli("ls", "--owner", owner, "--json"))
    assert [session["id"] for session in found] == ids
    assert all("data" not in session for session in found)
    assert lines(cli("ls", "--owner", owner, "--state", "closed", "--json")) == []
    some = cli("ls", "--owner", owner, "--limit", "2", "--json")
    assert len(some.stdout.splitlines()) == 2
    assert "--limit 0" in some.stderr
    assert len(lines(cli("ls", "--owner", owner, "--limit", "0", "--json"))) == 3


def test_show(cli: Run, opened: Open) -> None:
    session = opened(owner="ann", data={"lang": "日本語"})
    (found,) = lines(cli("show", session, "--json"))
    assert (found["id"], found["data"]) == (session, {"lang": "日本語"})
    done = cli("show", session)
    assert done.returncode == 0
    assert '{"lang":"日本語"}' in done.stdout
    assert "opened" in done.stdout


def test_interrupt_some(cli: Run, opened: Open) -> None:
    first, second = opened(), opened()
    done = cli("interrupt", first, NO_ONE, second, "--reason", "enough")
    # One that is not there does not keep the others.
    assert done.returncode == 3
    assert NO_ONE in done.stderr
    assert done.stdout.splitlines() == [f"{one} interrupted: enough" for one in (first, second)]
    again = cli("interrupt", first, "--json")
    assert again.returncode == 4
    assert json.loads(again.stdout)["won"] is False
    assert json.loads(again.stdout)["session"]["reason"] == "enough"


def test_interrupt_all(cli: Run, opened: Open) -> None:
    kind = f"job{os.urandom(4).hex()}"
    for owner in ("ann", "ann", "bo"):
        opened(kind=kind, owner=owner)
    assert lines(cli("interrupt", "--all", "--kind", kind, "--owner", "ann", "--json")) == [{"interrupted": 2}]
    assert cli("interrupt", "--all", "--kind", kind).stdout == "interrupted 1\n"


def test_events_up_to_now(cli: Run, opened: Open) -> None:
    session = opened(owner="ann")
    found = [one for one in lines(cli("events", "--no-follow", "--json")) if one["id"] == session]
    assert [one["type"] for one in found] == ["opened"]
    later = opened()
    rest = lines(cli("events", "--no-follow", "--after", found[0]["cursor"], "--json", "--types", "opened,closed"))
    assert [one["id"] for one in rest] == [later]
    assert f"opened       {later}" in cli("events", "--no-follow").stdout


def test_events_as_they_happen(cli: Run, opened: Open, folder: Path, target: tuple[str, str]) -> None:
    opened()
    after = lines(cli("events", "--no-follow", "--json"))[-1]["cursor"]
    session = opened()
    command = (*INSESSION, "events", "--json", "--after", after, *target)
    with started(*command, cwd=folder) as reader:
        first = json.loads(reader.said)
        assert (first["type"], first["id"]) == ("opened", session)
        assert reader.popen.stdout is not None
        cli("interrupt", session)
        assert json.loads(reader.popen.stdout.readline())["type"] == "interrupted"
        assert reader.stop(2) == (130, "")


def test_a_service_that_stops_ends_the_stream(tmp_path: Path) -> None:
    with started(*INSESSION, "serve", "--port", "0", cwd=tmp_path) as service:
        httpx2.post(f"{service.url}/v1/sessions", json={}, trust_env=False)
        command = (*INSESSION, "events", "--json", "--after", "0", "--url", service.url)
        with started(*command, cwd=tmp_path) as reader:
            cursor = json.loads(reader.said)["cursor"]
            assert service.stop() == (0, "")
            rest, told = reader.popen.communicate(timeout=30)
            assert (reader.popen.returncode, rest) == (5, "")
            assert f"go on with --after {cursor}" in told


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", NO_ONE), 3, "no session"),
        (("show", "nonsense"), 2, "session_id"),
        (("show", "../../etc/passwd"), 2, "session_id"),
        (("interrupt", "nonsense"), 2, "session_id"),
        (("ls", "--state", "done"), 2, "state"),
        (("ls", "--kind", "Big"), 2, "kind"),
        (("events", "--after", "yesterday"), 2, "cursor"),
        (("events", "--types", "opend"), 2, "'opened'"),
        (("interrupt",), 2, "--all"),
        (("interrupt", "--all", NO_ONE), 2, "--all"),
        (("interrupt", NO_ONE, "--kind", "job"), 2, "--all"),
        (("interrupt", NO_ONE, "--reason", ""), 2, "reason"),
        (("ls", "--stat", "any"), 2, "--state"),
        (("lss",), 2, "ls"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    inside: Run, target: tuple[str, str], arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = inside(*arguments, *target)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("insession: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ls", "--store", "memory:"), 2, "inside of one process"),
        (("ls", "--store", "sqlite:///not-there.db"), 2, "no such file"),
        (("ls", "--store", "sqlit:///x.db"), 2, "'sqlite:'"),
        (("ls", "--url", "http://127.0.0.1:9"), 5, "no service"),
        (("ls", "--url", "ftp://127.0.0.1"), 2, "--url"),
        (("ls", "--url", "http://127.0.0.1:9", "--store", STORE), 2, "not both"),
        (("ls", "--url", "http://127.0.0.1:9", "--namespace", "x"), 2, "--namespace"),
        (("ls",), 2, "INSESSION_STORE"),
    ],
)
def test_a_target_that_cannot_be(inside: Run, empty: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = inside(*arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    # A slip in a name must not leave an empty store behind.
    assert list(empty.iterdir()) == []


def test_the_environment_names_the_target(service: Process, folder: Path, opened: Open) -> None:
    session = opened()
    for environ in (
        {"INSESSION_STORE": STORE},
        {"INSESSION_URL": service.url},
        {"INSESSION_URL": service.url, "INSESSION_STORE": "sqlite:///not-there.db"},
    ):
        assert lines(insession("show", session, "--json", cwd=folder, environ=environ))[0]["id"] == session


def test_the_file_of_make_run_is_found(tmp_path: Path) -> None:
    with started(*INSESSION, "serve", "--port", "0", cwd=tmp_path) as service:
        assert lines(insession("ls", "--json", cwd=tmp_path)) == []
        assert service.stop() == (0, "")


def test_the_version() -> None:
    import insession as package

    assert insession("--version", cwd=Path.cwd()).stdout == f"{package.__version__}\n"


def test_help_tells_the_exit_codes(tmp_path: Path) -> None:
    for arguments in (("--help",), ("ls", "--help"), ("interrupt", "--help")):
        done = insession(*arguments, cwd=tmp_path)
        assert done.returncode == 0
        assert "Exit codes" in done.stdout


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    for missing, extra in (("typer", "cli"), ("httpx2", "cli")):
        code = f"import sys; sys.modules[{missing!r}] = None; import insession.cli; insession.cli.main()"
        done = subprocess.run(
            [INSESSION[0], "-c", code, "ls", "--url", "http://127.0.0.1:9"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == f"insession: {missing} is not installed: pip install 'insession[{extra}]'\n"


def test_serving_without_its_extra(tmp_path: Path) -> None:
    code = "import sys; sys.modules['litestar'] = None; import insession.cli; insession.cli.main()"
    done = subprocess.run(
        [INSESSION[0], "-c", code, "serve"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert "pip install 'insession[service]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(cli: Run, opened: Open, folder: Path, target: tuple[str, str]) -> None:
    for _ in range(3):
        opened()
    with subprocess.Popen(
        [*INSESSION, "events", "--no-follow", *target],
        cwd=folder,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.close()
        assert reader.wait(30) == 0
        assert reader.stderr is not None
        assert reader.stderr.read() == ""


def test_a_terminal_gets_no_control_characters_of_others(opened: Open, folder: Path) -> None:
    session = opened(data="\u009b31m \u202e reversed")
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*INSESSION, "show", session, "--store", STORE],
        cwd=folder,
        env=clean_environ({"COLUMNS": "200", "TERM": "xterm"}),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\\u009b31m \\u202e reversed" in shown
    assert "\u009b" not in shown
