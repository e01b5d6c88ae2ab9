"""The ring of keys: its text, and the file that it is found in."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from insession.errors import ConfigurationError
from insession.stores.sealed import Keys
from insession.stores.sealed.seals import RECORD, Seals

pytestmark = pytest.mark.requirement("M93")

A: Final = base64.b64encode(bytes(range(32))).decode()
B: Final = base64.urlsafe_b64encode(b"\xff\xfe" * 16).decode()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INSESSION_KEYS", raising=False)
    monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path / "state"))


def opens(keys: Keys, others: Keys) -> bool:
    return Seals(keys).open(RECORD, "x", Seals(others).seal(RECORD, "x", b"data")) == b"data"


class TestText:
    def test_first_one_is_current(self) -> None:
        keys = Keys.parse(f" 7:{A} , 4294967295:{B}\n")
        assert (keys.current, keys.numbers, keys.source, keys.made) == (7, (7, 4294967295), "given", False)
        assert opens(Keys.parse(keys.text()), keys)
        assert opens(keys, Keys.from_bytes(b"\xff\xfe" * 16, number=4294967295))

    def test_new_ones_differ(self) -> None:
        one, two = Keys.generate(number=3), Keys.generate(number=3)
        assert one.numbers == (3,)
        assert one.text() != two.text()
        assert not opens(one, two)

    def test_repr_shows_numbers_only(self) -> None:
        keys = Keys.parse(f"7:{A},1:{B}")
        assert repr(keys) == str(keys) == "<Keys 7, 1 (given)>"

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "entry 1 is not"),
            (A, "entry 1 is not"),
            (f"1:{A},", "entry 2 is not"),
            (f"1:{A},x:{B}", "entry 2 is not"),
            (f"1:{A},2:{B[:-4]}", "entry 2 is not"),
            (f"1:{A},2:{B}=", "entry 2 is not"),
            (f"\u0661:{A}", "entry 1 is not"),
            (f"1:{A},2:{A},01:{B}", "entry 3 has a number that an entry before it has"),
            (f"0:{A}", "entry 1 has no number from 1"),
            (f"1:{A},4294967296:{B}", "entry 2 has no number from 1"),
        ],
    )
    def test_errors_name_the_position_and_never_the_key(self, text: str, problem: str) -> None:
        with pytest.raises(ConfigurationError, match=f"keys: {problem}") as error:
            Keys.parse(text)
        shown = f"{error.value!r} {error.value.__cause__!r}"
        assert not any(part and part in shown for one in (A, B) for part in (one[:8], one[-9:-1]))

    @pytest.mark.parametrize("key", [b"", bytes(16), bytes(33), bytearray(32), "x" * 32])
    def test_key_of_another_size(self, key: bytes) -> None:
        with pytest.raises(ConfigurationError, match="entry 1 is not a key of 32 bytes"):
            Keys.from_bytes(key)

    def test_empty_ring(self) -> None:
        with pytest.raises(ConfigurationError, match="the ring is empty"):
            Keys({})


class TestFound:
    def test_in_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("INSESSION_KEYS", f"2:{A},1:{B}")
        keys = Keys.found()
        assert (keys.numbers, keys.source, keys.path, keys.made) == ((2, 1), "environment", None, False)
        assert not (tmp_path / "state").exists()

    @pytest.mark.parametrize("text", ["", "  "])
    def test_environment_that_is_empty_makes_no_key(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
    ) -> None:
        monkeypatch.setenv("INSESSION_KEYS", text)
        with pytest.raises(ConfigurationError, match="INSESSION_KEYS is empty"):
            Keys.found()
        assert not (tmp_path / "state").exists()

    def test_mistake_in_the_environment_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INSESSION_KEYS", "1:short")
        with pytest.raises(ConfigurationError, match="INSESSION_KEYS: entry 1") as error:
            Keys.found()
        assert "short" not in str(error.value)

    def test_in_a_file_that_is_made_once(self, tmp_path: Path) -> None:
        first, second = Keys.found(), Keys.found()
        path = tmp_path / "state" / "keys"
        assert (first.source, first.path, first.made, second.made) == ("file", path, True, False)
        assert first.text() == second.text() == path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [file.name for file in path.parent.iterdir()] == ["keys"]

    def test_in_another_folder(self, tmp_path: Path) -> None:
        assert Keys.found(tmp_path / "mine").path == tmp_path / "mine" / "keys"
        assert not (tmp_path / "state").exists()

    def test_file_that_others_may_read(self, tmp_path: Path) -> None:
        path = Keys.found(tmp_path).path
        assert path is not None
        path.chmod(0o640)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            Keys.found(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"1:x\n", b"\xff\n"])
    def test_file_that_holds_no_ring(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "keys"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match=str(path)):
            Keys.found(tmp_path)
        assert path.read_bytes() == content

    def test_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigurationError, match="set INSESSION_KEYS"):
            Keys.found(tmp_path / "file" / "state")

    def test_names_without_a_second_one_for_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def link(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
        with pytest.raises(ConfigurationError, match="Operation not permitted"):
            Keys.found(tmp_path)
        assert list(tmp_path.iterdir()) == []


FINDING: Final = """
import sys
from pathlib import Path
from insession.stores.sealed import Keys

sys.stdin.readline()
keys = Keys.found(Path(sys.argv[1]))
print(keys.made, keys.text())
"""


@pytest.mark.processes
def test_processes_that_start_together_use_one_key(tmp_path: Path) -> None:
    for turn in range(3):
        folder = tmp_path / str(turn)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", FINDING, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=50)[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0] * 4
        assert sorted(made for made, _ in told) == ["False"] * 3 + ["True"]
        assert len({text for _, text in told}) == 1
        assert [file.name for file in folder.iterdir()] == ["keys"]
