"""The cache file: for its owner alone, whole at every moment, and not believed where it is damaged."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from insession.tracking.idcache import DamagedCache, IDCache, Kept

KEPT = Kept(id="a" * 32, source="machine-id", settings="5e77", salt=bytes(range(32)))
OTHER = Kept(id="b" * 64, source="random", settings="0" * 64)
FULL = """
import resource, sys
from pathlib import Path
from insession.tracking.idcache import IDCache, Kept
resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))
try:
    IDCache(Path(sys.argv[1])).replace(Kept(id="c" * 32, source="random", settings="1"))
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture
def cache(tmp_path: Path) -> IDCache:
    return IDCache(tmp_path / "hardware_id.cache")


def test_what_is_kept_is_read(cache: IDCache) -> None:
    assert cache.read() is None
    assert not cache.exists()
    assert cache.create(KEPT)
    assert cache.read() == KEPT
    assert cache.exists()
    cache.replace(OTHER)
    assert cache.read() == OTHER


def test_the_first_to_create_wins(cache: IDCache) -> None:
    assert cache.create(KEPT)
    assert not cache.create(OTHER)
    assert cache.read() == KEPT


@pytest.mark.requirement("M73")
def test_it_is_for_its_owner_alone(cache: IDCache) -> None:
    old = os.umask(0)
    try:
        cache.create(KEPT)
        created = cache.path.stat()
        cache.replace(OTHER)
    finally:
        os.umask(old)
    replaced = cache.path.stat()
    assert stat.S_IMODE(created.st_mode) == stat.S_IMODE(replaced.st_mode) == 0o600


@pytest.mark.requirement("M73")
def test_a_wider_mode_is_tightened(cache: IDCache) -> None:
    cache.create(KEPT)
    cache.path.chmod(0o644)
    assert cache.read() == KEPT
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600


@pytest.mark.requirement("M73")
def test_a_reader_sees_the_old_or_the_new_one_whole(cache: IDCache) -> None:
    cache.create(KEPT)
    done = threading.Event()

    def write() -> None:
        for turn in range(200):
            cache.replace(OTHER if turn % 2 else KEPT)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        assert cache.read() in {KEPT, OTHER}
        reads += 1
    writer.join()
    assert reads
    assert [one.name for one in cache.path.parent.iterdir()] == [cache.path.name]


@pytest.mark.requirement("M73")
@pytest.mark.processes
def test_a_write_that_fails_leaves_what_was_kept(cache: IDCache) -> None:
    """The process may write files of 8 bytes only: the write fails halfway, as on a full disk."""
    cache.create(KEPT)
    command = [sys.executable, "-c", FULL, str(cache.path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert run.stdout.strip() == "File too large", run.stderr
    assert cache.read() == KEPT
    assert [one.name for one in cache.path.parent.iterdir()] == [cache.path.name]


@pytest.mark.requirement("M55")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"!" * 32,
        b"a" * 32,
        b"\xff\x00" * 20,
        b"[]",
        b"{}",
        b"null",
        b'{"format":2,"checksum":"","kept":{}}',
        b'{"format":1,"checksum":"","kept":{}}',
        b'{"format":1,"checksum":"\xc3\xa9","kept":{}}',
        b"[" * 16_000,
        b'{"format":1,"checksum":"","kept":' + b"[" * 16_000,
    ],
)
def test_what_is_no_cache_is_not_believed(cache: IDCache, content: bytes) -> None:
    cache.path.write_bytes(content)
    with pytest.raises(DamagedCache) as raised:
        cache.read()
    assert raised.value.__cause__ is None


@pytest.mark.requirement("M55")
def test_no_changed_byte_is_believed(cache: IDCache) -> None:
    cache.create(KEPT)
    content = cache.path.read_bytes()
    for place in range(len(content)):
        cache.path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DamagedCache):
            cache.read()
    for length in range(len(content)):
        cache.path.write_bytes(content[:length])
        with pytest.raises(DamagedCache):
            cache.read()


@pytest.mark.requirement("M55")
def test_a_file_without_end_is_not_read_to_its_end(cache: IDCache) -> None:
    with cache.path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(DamagedCache):
        cache.read()


def test_a_salt_of_another_size_is_not_believed(cache: IDCache) -> None:
    cache.create(Kept(id="a" * 32, source="random", settings="", salt=b"short"))
    with pytest.raises(DamagedCache, match="salt"):
        cache.read()


def test_neither_id_nor_salt_is_shown(cache: IDCache) -> None:
    assert repr(KEPT) == "Kept(source='machine-id')"
    cache.path.write_bytes(b'{"format":1,"checksum":"0","kept":{"id":"' + b"a" * 32 + b'"}}')
    with pytest.raises(DamagedCache) as raised:
        cache.read()
    assert "aaa" not in str(raised.value)


def test_a_link_is_neither_read_nor_replaced(cache: IDCache, tmp_path: Path) -> None:
    target = IDCache(tmp_path / "target")
    target.create(KEPT)
    cache.path.symlink_to(target.path)
    with pytest.raises(OSError, match="regular file"):
        cache.read()
    with pytest.raises(OSError, match="regular file"):
        cache.replace(OTHER)
    assert not cache.create(OTHER)
    assert cache.path.is_symlink()
    assert target.read() == KEPT
    assert not cache.exists()


def test_a_link_to_nothing_is_neither_read_nor_followed(cache: IDCache, tmp_path: Path) -> None:
    cache.path.symlink_to(tmp_path / "nothing")
    with pytest.raises(OSError, match="regular file"):
        cache.read()
    assert not cache.create(OTHER)
    assert not (tmp_path / "nothing").exists()


def test_a_folder_and_a_pipe_are_no_cache(cache: IDCache, tmp_path: Path) -> None:
    cache.path.mkdir()
    pipe = IDCache(tmp_path / "pipe")
    os.mkfifo(pipe.path)
    for one in (cache, pipe):
        with pytest.raises(OSError, match="regular file"):
            one.read()
        with pytest.raises(OSError, match="regular file"):
            one.replace(KEPT)
    assert cache.path.is_dir()


def test_a_file_system_without_hard_links(cache: IDCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert cache.create(KEPT)
    assert not cache.create(OTHER)
    assert cache.read() == KEPT


def test_one_at_a_time(cache: IDCache) -> None:
    """Ten threads that read, add one and write lose nothing; a missing folder is made for this user alone."""
    cache = IDCache(cache.path.parent / "new" / "folder" / "cache")
    with cache.alone():
        cache.create(Kept(id="0", source="random", settings=""))

    def add() -> None:
        for _ in range(5):
            with cache.alone():
                kept = cache.read()
                assert kept is not None
                cache.replace(Kept(id=str(int(kept.id) + 1), source="random", settings=""))

    threads = [threading.Thread(target=add) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = cache.read()
    assert found is not None
    assert found.id == "50"
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700
