"""Names of files, what is in them, and how they reach the disk."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from insession.errors import InvalidInput
from insession.exchange.dto import SessionFileDto, SessionFileSendDto
from insession.exchange.epicrisis import Epicrisis, EpicrisisFactory
from insession.exchange.errors import EmptyError, FileIsExistError, NotHasRequiredFieldError, ValidationError
from insession.exchange.files import File, FileFactory, SessionFiles, content_bytes
from insession.exchange.names import LONGEST, id_of_name, id_text, safe_name
from insession.exchange.saving import PART, Saver, clean, write_file

ANY_TEXT = st.text(st.characters(), max_size=200)
HOSTILE = ["../../../../evil", "..", ".", "", "/etc/passwd", "a\0b", "a/b", "a\\b", "~", "%2E", "\ud800", "x" * 10_000]


@pytest.mark.requirement("R37")
class TestNames:
    @given(ANY_TEXT)
    @example("../../../../evil")
    @example("")
    @example("%")
    @example("\ud800")
    def test_an_encoded_id_is_decoded_to_itself(self, given_id: str) -> None:
        name = safe_name(given_id)
        if "~" not in name:
            assert id_of_name(name) == given_id
        else:
            assert id_of_name(name) is None

    @given(ANY_TEXT, ANY_TEXT)
    def test_two_ids_never_have_one_name(self, one: str, other: str) -> None:
        assert (safe_name(one) == safe_name(other)) == (one == other)

    @given(ANY_TEXT, ANY_TEXT)
    @example("..", "..")
    @example("", "")
    def test_no_id_leaves_its_folder(self, session_id: str, file_id: str) -> None:
        root = Path("/root/of/all")
        files = SessionFiles(root, session_id)
        for path in (files.received(safe_name(file_id)), files.answer(safe_name(file_id))):
            assert os.path.normpath(path) == str(path)
            assert path.parent.parent.parent == root / "files" / "sessions"

    @given(st.integers())
    def test_a_number_is_named_like_its_digits(self, number: int) -> None:
        assert safe_name(number) == safe_name(str(number))
        assert id_text(number) == str(number)

    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_hostile_ids_are_names_of_one_file(self, hostile: str, tmp_path: Path) -> None:
        name = safe_name(hostile)
        assert 0 < len(name) <= LONGEST
        assert not name.startswith(".")
        write_file(tmp_path / "in" / f"{name}.xml", b"x")
        assert [path.name for path in (tmp_path / "in").iterdir()] == [f"{name}.xml"]

    def test_the_common_ones_stay_as_they_are(self) -> None:
        assert [safe_name(one) for one in ("file-1", "a.b_c", 42, "A1")] == ["file-1", "a.b_c", "42", "A1"]
        assert safe_name("../a b") == "%2E%2E%2Fa%20b"
        assert safe_name(".hidden") == "%2Ehidden"

    def test_long_ones_with_a_common_beginning_differ(self) -> None:
        one, other = safe_name("x" * 500), safe_name("x" * 501)
        assert one != other
        assert len(one) == len(other) == LONGEST

    @pytest.mark.parametrize("no_id", [None, 1.5, True, [], {}])
    def test_what_is_no_id_is_refused_by_its_field(self, no_id: object) -> None:
        with pytest.raises(InvalidInput, match="file_id"):
            safe_name(no_id)

    def test_a_number_of_more_digits_than_python_writes_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="digits"):
            safe_name(10**5000)

    @pytest.mark.parametrize("no_name", ["%2e", "%41", "a%", "%zz", ".a", "a~b", "%FF", "a b", "x" * 121])
    def test_a_name_that_no_id_has_is_not_decoded(self, no_name: str) -> None:
        assert id_of_name(no_name) is None


class TestContent:
    @pytest.mark.requirement("R36")
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_a_text_is_kept_as_its_utf8(self, text: str) -> None:
        assert content_bytes(text) == text.encode()

    @pytest.mark.requirement("R36")
    def test_an_object_is_kept_as_compact_json(self) -> None:
        content = {"meta": {"id": "x", "expert": "né"}, "text": "a\nb", "n": [1, None]}
        assert content_bytes(content) == json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
        assert json.loads(content_bytes(content)) == content

    def test_bytes_are_kept(self) -> None:
        assert content_bytes(b"\xff\x00") == b"\xff\x00"

    @pytest.mark.parametrize("broken", ["half \ud800", object(), {1j: 2}])
    def test_what_has_no_bytes_is_refused(self, broken: object) -> None:
        with pytest.raises(InvalidInput, match="content"):
            content_bytes(broken)


class TestSaving:
    @pytest.mark.requirement("R26")
    async def test_files_are_there_whole_and_nothing_else_is(self, tmp_path: Path) -> None:
        saver = Saver()
        contents = {tmp_path / "deep" / "er" / f"{n}.xml": os.urandom(n * 1000) for n in range(40)}
        await asyncio.gather(*(saver.save(path, content) for path, content in contents.items()))
        await saver.close()
        assert {path: path.read_bytes() for path in (tmp_path / "deep" / "er").iterdir()} == contents

    async def test_a_file_and_its_folder_are_on_the_disk_before_anybody_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        names: dict[str, Any] = {"fsync": os.fsync, "replace": os.replace}

        def noting(name: str) -> Any:
            def call(*arguments: Any) -> Any:
                what = name
                if name == "fsync":
                    what = "fsync folder" if stat.S_ISDIR(os.fstat(arguments[0]).st_mode) else "fsync file"
                calls.append(what)
                return names[name](*arguments)

            return call

        for name in names:
            monkeypatch.setattr(f"insession.exchange.saving.os.{name}", noting(name))
        saver = Saver()
        await saver.save(tmp_path / "a.xml", b"content")
        await saver.close()
        assert calls == ["fsync file", "replace", "fsync folder"]

    async def test_a_writer_that_failed_harms_no_neighbour_and_leaves_nothing(self, tmp_path: Path) -> None:
        saver = Saver()
        (tmp_path / "file").write_bytes(b"")
        good, bad = tmp_path / "good.xml", tmp_path / "file" / "bad.xml"
        results = await asyncio.gather(saver.save(good, b"1"), saver.save(bad, b"2"), return_exceptions=True)
        await saver.close()
        assert results[0] is None
        assert isinstance(results[1], OSError)
        assert names_in(tmp_path) == ["file", "good.xml"]

    async def test_the_loop_goes_on_while_a_disk_is_slow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        held, real = threading.Event(), os.fsync

        def slow(descriptor: int) -> None:
            held.wait(30)
            real(descriptor)

        monkeypatch.setattr("insession.exchange.saving.os.fsync", slow)
        saver = Saver()
        save = asyncio.create_task(saver.save(tmp_path / "a", b"x"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not save.done()
        held.set()
        await save
        await saver.close()

    async def test_what_a_dead_writer_left_is_cleaned_away(self, tmp_path: Path) -> None:
        (tmp_path / f".1-1{PART}").write_bytes(b"half")
        (tmp_path / "whole.xml").write_bytes(b"whole")
        clean(tmp_path)
        assert names_in(tmp_path) == ["whole.xml"]
        clean(tmp_path / "none")

    async def test_saving_the_same_file_again_replaces_it_whole(self, tmp_path: Path) -> None:
        write_file(tmp_path / "a", b"long content")
        write_file(tmp_path / "a", b"short")
        assert (tmp_path / "a").read_bytes() == b"short"


class TestFileFactory:
    async def test_files_are_read_and_written_below_files(self, tmp_path: Path) -> None:
        file = FileFactory(tmp_path).create("notes/1.json")
        await file.write_dict({"a": 1})
        assert (tmp_path / "files" / "notes" / "1.json").read_bytes() == b'{"a":1}'
        await file.write("ü")
        assert await file.read() == "ü".encode()

    async def test_the_root_is_that_of_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BASELINE_ROOT_DIR", str(tmp_path))
        assert FileFactory().create("a").path == tmp_path / "files" / "a"

    @pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "", "a\0b"])
    def test_a_path_that_leaves_files_is_refused(self, path: str, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="path"):
            FileFactory(tmp_path).create(path)


@pytest.mark.requirement("R24")
class TestEpicrisis:
    def test_of_an_event_of_the_first_generation(self, tmp_path: Path) -> None:
        event = {"sessionId": 5, "fileId": "f-1", "content": "<a/>", "unknown": 1}
        epicrisis = EpicrisisFactory.get_instance_from_dict(event, root=tmp_path)
        assert (epicrisis.id, epicrisis.file_id, epicrisis.session_id) == ("f-1", "f-1", 5)
        assert epicrisis.content == b"<a/>"
        assert epicrisis.text == "<a/>"
        assert epicrisis.path_to_xml == tmp_path / "files" / "sessions" / "5" / "input" / "f-1.xml"

    def test_of_an_event_of_the_second_generation(self, tmp_path: Path) -> None:
        event = {"sessionId": 5, "epicrisisId": 1, "versionId": 2, "teamId": 3, "taskId": 4, "sessionTypeCode": "t"}
        epicrisis = EpicrisisFactory.get_instance_from_json(json.dumps(event), root=tmp_path)
        assert (epicrisis.epicrisis_id, epicrisis.version_id, epicrisis.team_id, epicrisis.task_id) == (1, 2, 3, 4)
        assert epicrisis.session_type_code == "t"
        assert epicrisis.aws_link is None
        assert epicrisis.path_to_xml.name == "1_2_4.xml"

    def test_of_a_checked_event(self) -> None:
        dto = SessionFileDto(session_id="s", file_id="f", content={"a": 1})
        assert EpicrisisFactory.get_instance(dto).content == b'{"a":1}'

    @pytest.mark.parametrize(
        ("event", "error", "names"),
        [
            ({"sessionId": 1}, NotHasRequiredFieldError, "fileId"),
            ({"fileId": "f", "content": ""}, EmptyError, "content"),
            ({"fileId": 1.5}, ValidationError, "file_id"),
            ({"fileId": "f", "sessionId": True}, ValidationError, "session_id"),
            ([], ValidationError, "event"),
        ],
    )
    def test_a_malformed_event_is_refused_by_its_field(self, event: Any, error: type[Exception], names: str) -> None:
        with pytest.raises(error, match=names):
            EpicrisisFactory.get_instance_from_dict(event)

    def test_text_that_is_no_json_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="JSON"):
            EpicrisisFactory.get_instance_from_json(b"\xff{")

    def test_its_file_is_set_once(self, tmp_path: Path) -> None:
        epicrisis = Epicrisis(SessionFileDto(file_id="f", content="x"), root=tmp_path)
        assert epicrisis.copy().file is None
        epicrisis.file = File(tmp_path / "a")
        with pytest.raises(FileIsExistError):
            epicrisis.file = File(tmp_path / "b")
        assert repr(epicrisis.file) == "<File a>"
        assert epicrisis.copy().file is None

    @pytest.mark.requirement("R25", "R26")
    def test_it_saves_what_came_byte_for_byte(self, tmp_path: Path) -> None:
        content = '{"meta": {"id": "../../../../evil", "name": "n", "theme": "t", "expert": "e"}}'
        epicrisis = Epicrisis(SessionFileDto(session_id=1, file_id="f", content=content), root=tmp_path)
        epicrisis.save()
        assert epicrisis.path_to_xml.read_bytes() == content.encode()
        assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["f.xml"]
        epicrisis.save(tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == content.encode()
        with pytest.raises(EmptyError):
            Epicrisis(SessionFileDto(file_id="g"), root=tmp_path).save()

    def test_a_pickled_one_reads_its_saved_content(self, tmp_path: Path) -> None:
        epicrisis = Epicrisis(SessionFileDto(session_id=1, file_id="f"), root=tmp_path, content=b"abc", timeout=3.0)
        assert _unpickled(pickle.dumps(epicrisis)).content == b"abc"
        epicrisis.save()
        pickled = pickle.dumps(epicrisis)
        assert b"abc" not in pickled
        again = _unpickled(pickled)
        assert (again.content, again.file_id, again.timeout) == (b"abc", "f", 3.0)

    def test_neither_shows_content(self, tmp_path: Path) -> None:
        dto = SessionFileDto(session_id=1, file_id="f", content="secret", aws_link="https://secret")
        assert "secret" not in repr(dto) + repr(Epicrisis(dto, root=tmp_path))

    def test_a_verdict_of_either_generation_is_made_with_its_message(self) -> None:
        assert SessionFileSendDto(session_id=1, file_id="f", message="no").message == "no"
        assert SessionFileSendDto(session_id=1, task_id=2, epicrisis_id=3).task_id == 2
        with pytest.raises(ValidationError, match="file_id"):
            SessionFileSendDto(session_id=1, file_id=[])  # type: ignore[arg-type]


def _unpickled(pickled: bytes) -> Epicrisis:
    epicrisis = pickle.loads(pickled)  # noqa: S301 - its own
    assert isinstance(epicrisis, Epicrisis)
    return epicrisis


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
