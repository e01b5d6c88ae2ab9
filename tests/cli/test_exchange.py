"""``insession exchange``: each command as a process, against a platform on a real socket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from insession.exchange.outcomes import EXIT_CODES
from insession.exchange.settings import ExchangeSettings, variable
from insession.testing.platform import PlatformDouble, PlatformFaults, PlatformRules
from tests.programs import ROOT

from .conftest import Run
from .exchanging import TOKEN, Project, answered, ended, lines
from .terminal import CTRL_C, on_terminal

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
SOLVE = ("--solution", "model:solve")
Platform = Callable[..., PlatformDouble]


@pytest.fixture
def platform() -> Iterator[Platform]:
    """Makes platforms, with short sessions."""
    made: list[PlatformDouble] = []

    def make(*, faults: PlatformFaults | None = None, **rules: Any) -> PlatformDouble:
        usual: dict[str, Any] = {"count": 5, "interval": 0.05, "patience": 20.0, "tokens": (TOKEN,)}
        made.append(PlatformDouble(rules=PlatformRules(**usual | rules), faults=faults).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.requirement("R13", "R30", "R31")
def test_a_session_from_its_start_to_its_end(
    tmp_path: Path, platform: Platform, inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its status, and its replay: offline, because the platform is gone."""
    double = platform()
    project = Project(tmp_path, double.url)
    done = project.run("start", *SOLVE, "-fc", "20", "-ft", "15", "-ds", "test", "--record", "r.jsonl", "--report", "r")
    assert done.returncode == 0, done.stderr
    assert "5 files, 5 acknowledged" in done.stdout
    assert all(f"file {file.id} acknowledged" in done.stdout for file in double.counters().files)
    counters = double.counters()
    params = {"dsType": "test", "countFiles": 20, "lang": "rus", "time": 15}
    assert counters.starts == [{"type": "algorithmic", "params": params}]
    assert (counters.closed, counters.violations) == (["finish"], [])
    # By itself, and in good order.
    assert double.wait_until(lambda seen: seen.disconnections == seen.connections).connections == 1
    assert len(project.received()) == 5
    assert json.loads((tmp_path / "r").read_text())["outcome"] == "finish"

    status = lines(project.run("status", "--json").stdout)[0]
    assert (status["outcome"], status["served"], status["totals"]["files"]) == ("finish", False, 5)
    assert {file["state"] for file in status["files"]} == {"acknowledged"}
    monkeypatch.chdir(tmp_path)
    assert "finish" in inside("exchange", "status", "--files").stdout

    double.stop()
    replayed = project.run("replay", "r.jsonl", *SOLVE, "--answers", "a.jsonl", "--json")
    assert (replayed.returncode, lines(replayed.stdout)[0]["different"]) == (0, []), replayed.stderr
    assert len(lines((tmp_path / "a.jsonl").read_text())) == 5
    other = inside("exchange", "replay", "r.jsonl", "--solution", "false")
    assert other.returncode == 1
    assert "5 files, 5 failed" in other.stdout
    for text in (done.stdout, done.stderr, (tmp_path / "r.jsonl").read_text(), replayed.stdout):
        assert TOKEN not in text


@pytest.mark.requirement("R13", "R30")
def test_a_session_of_the_later_generation(tmp_path: Path, platform: Platform) -> None:
    double = platform(dialect="2023", count=3)
    project = Project(tmp_path, double.url)
    project.env(HOST=double.url, SESSION_DIALECT=2023, SESSION_NAMESPACE="/baseline", DOWNLOAD_HOST=double.download_url)
    parameters = ("-c", "doctor", "-stage", "final", "-st", "challenge", "-fc", "3", "-ft", "30", "--nosology", "1,2")
    done = project.run("start", "--solution", "model:listed", *parameters, "--record", "r.jsonl")
    assert done.returncode == 0, done.stderr
    counters = double.counters()
    params = {"countFiles": 3, "stage": "final", "time": 30, "sessionType": "challenge", "nosologyString": "1,2"}
    assert counters.starts == [{"contest": "doctor", "params": params}]
    assert (counters.answered, counters.closed, counters.violations) == (3, ["finish"], [])
    double.stop()
    # A recording of it has no contents: they are on disk.
    replayed = project.run("replay", "r.jsonl", "--solution", "model:listed", "--json")
    assert (replayed.returncode, lines(replayed.stdout)[0]["different"]) == (0, []), replayed.stderr


@pytest.mark.requirement("R6", "R7", "R8", "R44")
def test_for_programs_every_event_is_a_line(tmp_path: Path, platform: Platform) -> None:
    """W22: debug records go to standard error then, and neither shows the token or a document."""
    project = Project(tmp_path, platform(count=3, content="xml").url)
    done = project.run("start", *SOLVE, "--json", DEBUG="1")
    events = lines(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [one["what"] for one in events[:2]] == ["connected", "started"]
    assert events[-1]["what"] == "report"
    assert (events[-1]["outcome"], events[-1]["exit_code"]) == ("finish", 0)
    assert sum(one["what"] == "acknowledged" for one in events) == 3
    (log,) = (tmp_path / "logs").iterdir()
    records = lines(log.read_text("utf-8"))
    assert lines(done.stderr) == records
    came = [one for one in records if one.get("event") == "session-file-avaiable"]
    assert len(came) == 3
    document = next(iter(project.received().values())).decode()
    for text in (done.stdout, log.read_text("utf-8")):
        assert TOKEN not in text
        assert document[:60] not in text


@pytest.mark.requirement("R6", "R8")
def test_debug_that_is_false_is_off(tmp_path: Path, platform: Platform) -> None:
    """W21."""
    project = Project(tmp_path, platform(count=1).url)
    assert project.run("start", *SOLVE, DEBUG="false").returncode == 0
    assert not (tmp_path / "logs").exists()


@pytest.mark.requirement("R14", "R31")
@pytest.mark.parametrize(
    ("rules", "faults", "says"),
    [
        ({"tokens": ("another",)}, PlatformFaults(), "the platform refused the token"),
        ({}, PlatformFaults(refuse_start="the contest is over"), "the contest is over"),
    ],
)
def test_what_the_platform_refuses(
    tmp_path: Path, platform: Platform, rules: dict[str, Any], faults: PlatformFaults, says: str
) -> None:
    double = platform(faults=faults, **rules)
    done = Project(tmp_path, double.url).run("start", *SOLVE)
    assert done.returncode == EXIT_CODES_BY_NAME["refused"]
    assert says in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    counters = double.wait_until(lambda seen: seen.disconnections == seen.connections)
    assert counters.connections == 1


@pytest.mark.requirement("R31")
class TestOutcomes:
    """W2, W19: every end ends the session, with a code of its own."""

    def test_the_platform_s_time_is_over(self, tmp_path: Path, platform: Platform) -> None:
        double = platform(count=2, patience=0.3)
        done = Project(tmp_path, double.url).run("start", "--solution", "model:hangs")
        assert done.returncode == EXIT_CODES_BY_NAME["timeout-close"], done.stderr

    def test_the_platform_aborts(self, tmp_path: Path, platform: Platform) -> None:
        double = platform(count=500)
        project = Project(tmp_path, double.url)
        with project.serving("start", *SOLVE) as process:
            answered(double, 2)
            double.abort("the hall is closed")
            done = ended(process)
        assert done.returncode == EXIT_CODES_BY_NAME["session-abort"], done.stderr

    def test_a_file_without_an_answer(self, tmp_path: Path, platform: Platform) -> None:
        """W11: a finish that leaves files is no success."""
        double = platform(count=2, ending="time", patience=4.0)
        done = Project(tmp_path, double.url).run("start", "--solution", "model:raises", "--json")
        report = lines(done.stdout)[-1]
        assert (done.returncode, report["outcome"]) == (15, "finish"), done.stderr
        assert {file["state"] for file in report["files"]} == {"failed"}
        assert "ValueError" in report["files"][0]["message"]
        # Where it failed is what its writer needs.
        assert "model.py" in done.stderr


@pytest.mark.requirement("R15", "R31")
def test_abort_from_another_terminal(tmp_path: Path, platform: Platform) -> None:
    double = platform(count=500)
    project = Project(tmp_path, double.url)
    with project.serving("start", *SOLVE) as process:
        answered(double, 2)
        status = project.run("status")
        assert "served now" in status.stdout
        aborted = project.run("abort", "--message", "enough of it")
        done = ended(process)
    assert (aborted.returncode, "aborted" in aborted.stdout) == (0, True), aborted.stderr
    assert done.returncode == EXIT_CODES_BY_NAME["client-abort"], done.stderr
    counters = double.counters()
    assert (counters.aborts, counters.closed) == (["enough of it"], ["client-abort"])
    again = project.run("abort")
    assert again.returncode != 0
    assert "refused" in again.stderr


@pytest.mark.requirement("R15")
def test_an_abort_that_the_platform_refuses(tmp_path: Path, platform: Platform) -> None:
    double = platform(count=500, interval=0.02, faults=PlatformFaults(refuse_abort="not before noon"))
    project = Project(tmp_path, double.url)
    with project.serving("start", *SOLVE) as process:
        answered(double, 2)
        aborted = project.run("abort")
        assert (aborted.returncode, "not before noon" in aborted.stderr) == (6, True), aborted.stderr
        # It goes on.
        answered(double, double.counters().answered + 5)
        assert process.poll() is None


def test_abort_where_nobody_serves(tmp_path: Path, platform: Platform) -> None:
    double = platform(count=500)
    project = Project(tmp_path, double.url)
    with project.serving("start", *SOLVE) as process:
        answered(double, 2)
        process.kill()
        ended(process)
    # It seems to be served until its lease has run out: that is seen, and not waited for longer.
    aborted = project.run("abort", "--json")
    assert aborted.returncode == 0, aborted.stderr
    assert lines(aborted.stdout)[0]["totals"]["files"] >= 2
    assert double.wait_closed().closed == ["client-abort"]
    (seen,) = lines(project.run("status", "--json").stdout)
    assert (seen["live"], seen["outcome"]) == (False, "client-abort")


@pytest.mark.requirement("R16", "R31")
def test_ctrl_c_says_how_to_go_on_and_reconnect_does(tmp_path: Path, platform: Platform) -> None:
    """W19: the first asks for a good end; nothing is lost, and nothing is answered twice."""
    double = platform(count=40)
    project = Project(tmp_path, double.url)
    shown = on_terminal("exchange", "start", *SOLVE, cwd=tmp_path, when="000003 acknowledged", say=CTRL_C)
    assert shown.code == EXIT_CODES_BY_NAME["stopped"], shown.text
    last = shown.text.strip().splitlines()[-1]
    assert "lives on" in shown.text
    # The display moved meanwhile.
    assert "· connected ·" in shown.text
    assert shown.text.rstrip().endswith("insession exchange reconnect --solution model:solve"), last
    assert "finishing what is in hand, at most 10 s" in shown.text
    done = project.run("reconnect", *SOLVE)
    assert done.returncode == 0, done.stderr
    counters = double.counters()
    assert (counters.sent, counters.answered, counters.closed) == (40, 40, ["finish"])
    assert all(file.answers == 1 for file in counters.files)


def test_sigterm_finishes_what_is_in_hand(tmp_path: Path, platform: Platform) -> None:
    """W19: within the time that is stated, and what is not begun stays journaled."""
    double = platform(count=100, interval=0.02)
    project = Project(tmp_path, double.url)
    project.env(HOST=double.url, SESSION_CONCURRENCY=2, SESSION_DRAIN_TIMEOUT=2)
    with project.serving("start", "--solution", "model:slow") as process:
        answered(double, 1)
        process.send_signal(signal.SIGTERM)
        done = ended(process)
    assert done.returncode == EXIT_CODES_BY_NAME["stopped"], done.stderr
    assert "SIGTERM: finishing what is in hand, at most 2 s" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("reconnect --solution model:slow")
    states = [file["state"] for file in lines(project.run("status", "--json").stdout)[0]["files"]]
    assert set(states) <= {"saved", "solved", "acknowledged"}
    # All of them would have taken it 20 s.
    assert {"saved", "acknowledged"} <= set(states)


def test_a_second_signal_stops_at_once(tmp_path: Path, platform: Platform) -> None:
    double = platform(count=2)
    project = Project(tmp_path, double.url)
    project.env(HOST=double.url, SESSION_DRAIN_TIMEOUT=60)
    with project.serving("start", "--solution", "model:hangs", "--json") as process:
        until(lambda: len(project.received()) == 2)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "finishing what is in hand" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.returncode == EXIT_CODES_BY_NAME["stopped"], done.stderr
    assert "reconnect" in lines(done.stdout)[-1]["resume"]


def test_a_signal_before_the_session_began(tmp_path: Path, platform: Platform) -> None:
    double = platform(faults=PlatformFaults(silent_start=True))
    project = Project(tmp_path, double.url)
    with project.serving("start", *SOLVE) as process:
        double.wait_until(lambda seen: len(seen.starts) == 1)
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.returncode == EXIT_CODES_BY_NAME["stopped"], done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_does_not_end_the_session(tmp_path: Path, platform: Platform) -> None:
    double = platform(count=10)
    project = Project(tmp_path, double.url)
    with project.serving("start", *SOLVE, "--report", "r") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        process.stdout.close()
        assert process.wait(40) == 0
    assert (double.counters().answered, double.counters().closed) == (10, ["finish"])
    assert json.loads((tmp_path / "r").read_text())["outcome"] == "finish"


def test_the_way_to_go_on_has_what_was_given() -> None:
    from insession.cli.exchange.options import SERVING, resuming

    flags = dict.fromkeys(SERVING) | {"solution": "a b {path}", "only_save": False, "debug": True, "resend": "never"}
    assert resuming(flags) == ["--solution", "a b {path}", "--resend", "never"]
    assert resuming(flags | {"store": "postgresql://me:secret@db/x", "only_save": True}) == [
        "--solution",
        "a b {path}",
        "--only-save",
        "--resend",
        "never",
    ]


def test_only_save(tmp_path: Path, platform: Platform) -> None:
    double = platform(count=2, ending="time", patience=1.5)
    project = Project(tmp_path, double.url)
    done = project.run("start", "--only-save")
    assert done.returncode == 0, done.stderr
    assert (len(project.received()), double.counters().results) == (2, 0)


def test_a_command_for_each_file(tmp_path: Path, platform: Platform) -> None:
    double = platform(count=2)
    done = Project(tmp_path, double.url).run("start", "--solution", "wc -c")
    assert done.returncode == 0, done.stderr
    assert double.counters().answered == 2


class TestCheck:
    def test_all_is_well(self, tmp_path: Path, platform: Platform) -> None:
        double = platform()
        project = Project(tmp_path, double.url)
        done = project.run("check", *SOLVE, "--sample", "model.py", "--json", "--min-free", "1")
        found = {one["what"]: one["verdict"] for one in lines(done.stdout)}
        assert (done.returncode, found) == (0, dict.fromkeys(found, "ok")), done.stdout
        assert "Engine.IO 4), takes messages of at most 1000000 bytes" in done.stdout
        assert set(found) == {"settings", "disk", "store", "platform", "solution"}
        # The clock has not started.
        assert double.counters().starts == []

    def test_a_token_that_is_refused_and_a_solution_that_fails(self, tmp_path: Path, platform: Platform) -> None:
        project = Project(tmp_path, platform(tokens=("another",)).url)
        done = project.run("check", "--solution", "model:raises", "--sample", "model.py")
        assert done.returncode == 1
        assert "wrong platform: the platform refused the token" in done.stdout
        assert "wrong solution: on model.py: ValueError: no model" in done.stdout
        assert TOKEN not in done.stdout + done.stderr

    def test_nobody_is_there(self, tmp_path: Path) -> None:
        project = Project(tmp_path, "http://127.0.0.1:9")
        project.env(HOST="http://127.0.0.1:9", SESSION_CONNECT_TIMEOUT=0.5)
        done = project.run("check", "--only-save", "--min-free", "1000000000")
        assert done.returncode == 1
        assert "wrong platform: " in done.stdout
        assert "wrong disk: " in done.stdout


@pytest.mark.requirement("R4", "R39")
@pytest.mark.parametrize("command", ["check", "start", "reconnect", "abort", "status"])
def test_without_token_or_host(tmp_path: Path, inside: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TOKEN=\nHOST=\n")
    done = inside("exchange", command)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "TOKEN, the participant's token from your account on the platform" in done.stderr
    assert "HOST" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("start",), "--solution"),
        (("start", *SOLVE, "-fc", "5"), "--file-count: is a whole number from 10 to 1000"),
        (("start", *SOLVE, "--contest", "finder"), "--contest is no parameter of the dialect of 2021"),
        (("start", *SOLVE, "--dialect", "2023", "--dataset", "train"), "--dataset is no parameter of the dialect"),
        (("start", *SOLVE, "--dialect", "2022"), "dialect: "),
        (("start", "--solution", "nosuch:solve"), "no module 'nosuch'"),
        (("start", *SOLVE, "--resend", "twice"), "resend: "),
        (("replay", "none.jsonl", *SOLVE), "cannot be read"),
        (("strat",), "start"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, inside: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(Project(tmp_path, "http://127.0.0.1:9").folder)
    monkeypatch.syspath_prepend(tmp_path)
    done = inside("exchange", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr


def test_status_of_nothing(tmp_path: Path, inside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Project(tmp_path, "http://127.0.0.1:9").folder)
    done = inside("exchange", "status")
    assert (done.returncode, "knows of no such session" in done.stderr) == (3, True)


def test_without_its_extra_the_other_commands_work(tmp_path: Path) -> None:
    code = "import sys; sys.modules['socketio'] = None; import insession.cli; insession.cli.main()"
    for arguments, expected, says in (
        (("exchange", "status"), 1, "pip install 'insession[exchange]'"),
        (("ls", "--store", "sqlite:///none.db"), 2, "no such file"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, says in done.stderr) == (expected, True), done.stderr


def test_the_page_tells_every_code_and_every_setting() -> None:
    from insession.cli.exchange.codes import MEANINGS

    page = (ROOT / "docs" / "exchange.md").read_text("utf-8")
    table = page.partition("### Exit codes")[2].partition("##")[0]
    assert [int(row.split("|")[1]) for row in table.splitlines() if row[:3].strip("| ").isdigit()] == sorted(MEANINGS)
    assert {*EXIT_CODES.values()} <= {*MEANINGS}
    assert [name for name in ExchangeSettings.model_fields if f"`{variable(name)}`" not in page] == []


EXIT_CODES_BY_NAME = {outcome.value: code for outcome, code in EXIT_CODES.items()}


def until(holds: Callable[[], bool], patience: float = 30.0) -> None:
    """Wait for it."""
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
