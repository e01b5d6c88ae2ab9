"""What gives answers: functions in the loop, in threads, in processes, objects, commands, another program's folder."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from insession.errors import ConfigurationError
from insession.exchange.dto import SessionFileDto
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import SolutionFailed
from insession.exchange.solutions import Command, OutputFolder, SolutionAbstract, SolutionFactory, solver_of
from insession.exchange.solutions.solver import Solver

from . import solving

PATIENCE = 30.0


def saved(root: Path, file_id: str = "f", content: str = "<a/>") -> Epicrisis:
    epicrisis = Epicrisis(SessionFileDto(session_id=1, file_id=file_id, content=content), root=root)
    epicrisis.save()
    return epicrisis


async def gone(pid: int) -> None:
    """Wait until a process is no more (one that nobody has taken note of is a zombie, and as good as gone)."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                state = await asyncio.to_thread(Path(f"/proc/{pid}/stat").read_text)
            except (FileNotFoundError, ProcessLookupError):
                return
            if state.rpartition(")")[2].split()[0] == "Z":
                return
            await asyncio.sleep(0.01)


async def written(path: Path) -> str:
    async with asyncio.timeout(PATIENCE):
        while not (path.exists() and path.read_text()):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
        return path.read_text()  # noqa: ASYNC240


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class TestFunctions:
    @pytest.mark.requirement("R18", "R28")
    async def test_an_async_function_runs_in_the_loop(self, tmp_path: Path) -> None:
        solver = solver_of(solving.waits)
        assert await solver.solve(saved(tmp_path), None) == "async f"
        await solver.close()

    @pytest.mark.requirement("R28")
    async def test_a_plain_function_runs_in_a_thread_and_may_take_the_time(self, tmp_path: Path) -> None:
        found: Any = await solver_of(solving.where).solve(saved(tmp_path), 7.0)
        assert found["pid"] == os.getpid()
        assert found["thread"] != threading.current_thread().name
        assert (found["file"], found["size"], found["timeout"]) == ("f", 4, 7.0)

    async def test_a_partial_and_an_object_with_call_are_functions(self, tmp_path: Path) -> None:
        async def of(prefix: str, epicrisis: Epicrisis) -> str:
            return f"{prefix} {epicrisis.id}"

        class Callable:
            def __call__(self, epicrisis: Epicrisis) -> str:
                return f"object {epicrisis.id}"

        assert await solver_of(functools.partial(of, "partial")).solve(saved(tmp_path), None) == "partial f"
        assert await solver_of(Callable()).solve(saved(tmp_path), None) == "object f"

    async def test_what_a_thread_raises_is_raised_here(self, tmp_path: Path) -> None:
        def fails(epicrisis: Epicrisis) -> None:
            raise KeyError(epicrisis.id)

        def leaves(epicrisis: Epicrisis) -> None:
            raise SystemExit

        with pytest.raises(KeyError):
            await solver_of(fails).solve(saved(tmp_path), None)
        with pytest.raises(SolutionFailed, match="SystemExit"):
            await solver_of(leaves).solve(saved(tmp_path), None)

    async def test_a_thread_that_hangs_keeps_nobody(self, tmp_path: Path) -> None:
        task = asyncio.create_task(solver_of(solving.hangs).solve(saved(tmp_path), None))
        await asyncio.sleep(0)
        await cancelled(task)
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "insession-solution")

    async def test_many_that_hang_leave_room_for_one_that_works(self, tmp_path: Path) -> None:
        tasks = [asyncio.create_task(solver_of(solving.hangs).solve(saved(tmp_path), None)) for _ in range(50)]
        await asyncio.sleep(0)
        found: Any = await solver_of(solving.where).solve(saved(tmp_path), None)
        assert found["file"] == "f"
        for task in tasks:
            await cancelled(task)


@pytest.mark.processes
class TestProcesses:
    async def test_a_function_runs_in_another_process_which_is_used_again(self, tmp_path: Path) -> None:
        solver = solver_of("tests.exchange.solving:where", isolation="process")
        first: Any = await solver.solve(saved(tmp_path, content="x" * 100), 5.0)
        second: Any = await solver.solve(saved(tmp_path, "g"), None)
        assert first["pid"] == second["pid"] != os.getpid()
        assert (first["size"], first["timeout"], second["file"]) == (100, 5.0, "g")
        assert await solver_of(solving.waits, isolation="process").solve(saved(tmp_path), None) == "async f"

    async def test_one_that_blocks_a_processor_is_killed(self, tmp_path: Path) -> None:
        epicrisis = saved(tmp_path)
        task = asyncio.create_task(solver_of(solving.burns, isolation="process").solve(epicrisis, None))
        pid = int(await written(epicrisis.path_to_xml.with_suffix(".pid")))
        await cancelled(task)
        await gone(pid)

    async def test_one_that_dies_is_a_failure(self, tmp_path: Path) -> None:
        with pytest.raises(SolutionFailed, match="died"):
            await solver_of(solving.dies, isolation="process").solve(saved(tmp_path), None)

    def test_what_cannot_be_brought_there_is_refused_at_once(self) -> None:
        with pytest.raises(ConfigurationError, match="module:function"):
            solver_of(lambda epicrisis: "x", isolation="process")


class TestNames:
    @pytest.mark.requirement("R43")
    async def test_a_solution_is_named(self, tmp_path: Path) -> None:
        assert await solver_of("tests.exchange.solving:waits").solve(saved(tmp_path), None) == "async f"

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("solving", "module:function"),
            (":f", "module:function"),
            ("no_such_module_here:f", "no module"),
            ("tests.exchange.solving:nothing", "has no"),
        ],
    )
    def test_a_wrong_name_says_what_is_wrong(self, name: str, says: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            solver_of(name)

    def test_a_module_that_itself_needs_a_missing_one_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "needy_solution.py").write_text("import no_such_module_here\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
            solver_of("needy_solution:f")

    @pytest.mark.parametrize("nothing", [None, 5, object(), int])
    def test_what_is_no_solution_is_refused(self, nothing: object) -> None:
        with pytest.raises(ConfigurationError, match="solution"):
            solver_of(nothing)

    def test_a_wrong_place_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(ConfigurationError, match="thread"):
            solver_of(solving.where, isolation="threads")  # type: ignore[arg-type]


class TestDocumented:
    async def test_a_class_is_made_for_each_file(self, tmp_path: Path) -> None:
        solver = solver_of(solving.Documented)
        answers = await asyncio.gather(*(solver.solve(saved(tmp_path, f"f{n}"), float(n)) for n in range(5)))
        assert answers == [[{"code": f"f{n}", "timeout": float(n)}] for n in range(5)]

    async def test_one_with_execute_alone_runs_in_a_thread(self, tmp_path: Path) -> None:
        assert await solver_of(solving.Blocking).solve(saved(tmp_path), None) == "f in insession-solution"

    @pytest.mark.requirement("R43")
    async def test_an_object_is_copied_for_each_file(self, tmp_path: Path) -> None:
        class Shared:
            epicrisis: Epicrisis

            async def execute_async(self, timeout: float | None) -> str:
                await asyncio.sleep(0)
                return f"{self.epicrisis.id} {timeout}"

        solver = solver_of(Shared())
        answers = await asyncio.gather(*(solver.solve(saved(tmp_path, f"f{n}"), None) for n in range(5)))
        assert answers == [f"f{n} None" for n in range(5)]

    async def test_an_object_whose_method_takes_the_file_is_given_it(self, tmp_path: Path) -> None:
        class Markup:
            async def execute_async(self, essay: Epicrisis) -> str:
                return str(essay.id)

        class Both:
            async def execute_async(self, essay: Epicrisis, timeout: float | None) -> str:
                return f"{essay.id} {timeout}"

        assert await solver_of(Markup()).solve(saved(tmp_path), None) == "f"
        assert await solver_of(Both()).solve(saved(tmp_path), 2.0) == "f 2.0"

    async def test_one_with_neither_method_says_so(self, tmp_path: Path) -> None:
        class Nothing(SolutionAbstract):
            pass

        with pytest.raises(NotImplementedError, match="neither"):
            await solver_of(Nothing).solve(saved(tmp_path), None)

    @pytest.mark.requirement("R28", "R43")
    async def test_the_factory_says_which_is_used(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="none is set"):
            SolutionFactory.get()
        with SolutionFactory.set(solving.waits):
            assert SolutionFactory(saved(tmp_path)).get() is solving.waits
            with SolutionFactory(saved(tmp_path)).set(solving.Documented):
                assert SolutionFactory.get() is solving.Documented
            assert SolutionFactory.get() is solving.waits
        with pytest.raises(ConfigurationError):
            SolutionFactory.set(5)
        with pytest.raises(ConfigurationError, match="none is set"):
            SolutionFactory.get()


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


@pytest.mark.processes
class TestCommands:
    @pytest.mark.requirement("R43")
    async def test_a_file_is_its_standard_input(self, tmp_path: Path) -> None:
        solver = Command(python("import sys; sys.stdout.write(sys.stdin.read().upper())"))
        assert isinstance(solver, Solver)
        assert solver_of(solver) is solver
        assert await solver.solve(saved(tmp_path, content="<ä/>\n"), None) == "<Ä/>"

    async def test_or_its_path_is_an_argument_and_no_shell_reads_it(self, tmp_path: Path) -> None:
        code = "import sys, os; print(open(sys.argv[1]).read(), sys.argv[1] == os.environ['INSESSION_FILE'])"
        epicrisis = saved(tmp_path / "a b;$(touch evil)")
        assert await Command([*python(code), "{path}"]).solve(epicrisis, None) == "<a/> True"

    async def test_a_text_is_split_into_arguments(self, tmp_path: Path) -> None:
        assert await Command("cat '{path}'").solve(saved(tmp_path), None) == "<a/>"

    async def test_it_knows_the_ids_and_the_time(self, tmp_path: Path) -> None:
        code = "import os, json; print(json.dumps({k: v for k, v in os.environ.items() if k[:9] == 'INSESSION'}))"
        command = Command(python(code), environment={"INSESSION_X": "1"})
        answer = await command.solve(saved(tmp_path, "../\0é"), 1.5)
        assert isinstance(answer, str)
        found = json.loads(answer)
        assert found["INSESSION_FILE_ID"] == "%2E%2E%2F%00%C3%A9"
        assert (found["INSESSION_SESSION_ID"], found["INSESSION_TIMEOUT"], found["INSESSION_X"]) == ("1", "1.500", "1")

    async def test_an_exit_code_means_that_there_is_no_answer(self, tmp_path: Path) -> None:
        with pytest.raises(SolutionFailed, match="exit code 3"):
            await Command(python("print('half'); raise SystemExit(3)")).solve(saved(tmp_path), None)
        with pytest.raises(SolutionFailed, match="signal 9"):
            await Command(python("import os; os.kill(os.getpid(), 9)")).solve(saved(tmp_path), None)

    async def test_no_such_command_and_no_text_are_failures(self, tmp_path: Path) -> None:
        with pytest.raises(SolutionFailed, match="cannot be started"):
            await Command("no-such-command-here").solve(saved(tmp_path), None)
        with pytest.raises(SolutionFailed, match="UTF-8"):
            await Command(python("import sys; sys.stdout.buffer.write(bytes([255]))")).solve(saved(tmp_path), None)
        with pytest.raises(ConfigurationError, match="command"):
            Command([])

    async def test_a_program_that_ends_at_once_takes_it_along(self, tmp_path: Path) -> None:
        command = Command([sys.executable, "-c", "import time; time.sleep(600)", "{path}"])
        task = asyncio.create_task(command.solve(saved(tmp_path), None))
        async with asyncio.timeout(PATIENCE):
            while not command._running:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            command.kill()
            with pytest.raises(SolutionFailed, match="signal 9"):
                await task
        assert not command._running

    async def test_output_without_end_is_a_failure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("insession.exchange.solutions.command.LARGEST", 1 << 20)
        with pytest.raises(SolutionFailed, match="larger"):
            await Command("yes").solve(saved(tmp_path), None)

    async def test_at_its_end_it_is_killed_with_what_it_started(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        code = (
            "import os, subprocess, sys, time\n"
            f"child = subprocess.Popen(['sleep', '1000'])\n"
            f"open({str(pids)!r} + '.part', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
            f"os.rename({str(pids)!r} + '.part', {str(pids)!r})\n"
            "time.sleep(1000)"
        )
        task = asyncio.create_task(Command(python(code)).solve(saved(tmp_path), None))
        found = [int(pid) for pid in (await written(pids)).split()]
        await cancelled(task)
        for pid in found:
            await gone(pid)


class TestOutputFolder:
    @pytest.mark.requirement("R43")
    async def test_answers_are_taken_when_they_are_whole(self, tmp_path: Path) -> None:
        folder = OutputFolder(interval=0.01, settled=0.05)
        one, other = saved(tmp_path, "one"), saved(tmp_path, "../other")
        tasks = [asyncio.create_task(folder.solve(epicrisis, None)) for epicrisis in (one, other)]
        output = tmp_path / "files" / "sessions" / "1" / "output"
        async with asyncio.timeout(PATIENCE):
            while not output.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (output / "unasked.json").write_text("{}")
        (output / "one.json").write_text('[{"code": ')
        (output / f"{other.path_to_xml.stem}.json").write_text(' {"a": 1}\n')
        async with asyncio.timeout(PATIENCE):
            assert await tasks[1] == '{"a": 1}'
            assert not tasks[0].done()
            (output / "one.json").write_text('[{"code": 1}]')
            assert await tasks[0] == '[{"code": 1}]'
        await folder.close()

    async def test_the_answer_of_an_earlier_session_of_that_name_is_not_taken(self, tmp_path: Path) -> None:
        folder = OutputFolder(interval=0.01, settled=0.01)
        answer = tmp_path / "files" / "sessions" / "1" / "output" / "one.json"
        answer.parent.mkdir(parents=True)
        answer.write_text('"of yesterday"')
        os.utime(answer, (1.0, 1.0))
        task = asyncio.create_task(folder.solve(saved(tmp_path, "one"), None))
        async with asyncio.timeout(PATIENCE):
            while not folder._waits or next(iter(folder._waits.values())).future.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            done, _ = await asyncio.wait({task}, timeout=0.1)
            assert not done
            answer.write_text('"of today"')
            assert await task == '"of today"'
        await folder.close()

    async def test_one_that_is_not_waited_for_any_more_is_not_looked_at(self, tmp_path: Path) -> None:
        folder = OutputFolder(interval=0.01, settled=0.01)
        task = asyncio.create_task(folder.solve(saved(tmp_path), None))
        await asyncio.sleep(0)
        await cancelled(task)
        assert folder.unlimited
        await folder.close()
