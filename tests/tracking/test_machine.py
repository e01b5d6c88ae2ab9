"""What tells one machine from another, and what is derived from it."""

from __future__ import annotations

import random
import shutil
import string
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from insession.tracking import machine
from insession.tracking.machine import RANDOM, Fact, app_specific, derive, expand, find_fact, platform_uuid

MACHINE_ID = "3f1c0a9b5e7d4c2a8b6f1e0d9c8b7a65"
LETTERS = string.ascii_letters + string.digits


def _file(folder: Path, text: str | bytes, name: str = "machine-id") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_the_environment_goes_before_the_machine_id(tmp_path: Path) -> None:
    file = _file(tmp_path, MACHINE_ID)
    fact = find_fact([file], {"INSESSION_HARDWARE_ID": " a-pod's uid \n"})
    assert fact is not None
    assert (fact.source, len(fact.machine)) == ("environment", 16)
    assert fact == find_fact([], {"INSESSION_HARDWARE_ID": "a-pod's uid"})
    assert fact != find_fact([], {"INSESSION_HARDWARE_ID": "another pod's uid"})


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    fact = find_fact([_file(tmp_path, MACHINE_ID)], {"INSESSION_HARDWARE_ID": "  "})
    assert fact == Fact("machine-id", bytes.fromhex(MACHINE_ID))


def test_the_first_machine_id_file_that_says_something(tmp_path: Path) -> None:
    second = _file(tmp_path, MACHINE_ID.upper() + "\n", "second")
    fact = find_fact([tmp_path / "absent", tmp_path, second, _file(tmp_path, "1" * 32, "third")], {})
    assert fact == Fact("machine-id", bytes.fromhex(MACHINE_ID))


@pytest.mark.parametrize(
    "text",
    ["", "\n", "uninitialized\n", "0" * 32, MACHINE_ID[:-1], MACHINE_ID + "0", "g" * 32, b"\xff\xfe" * 16],
)
def test_a_machine_id_that_is_none_counts_as_absent(tmp_path: Path, text: str | bytes) -> None:
    assert find_fact([_file(tmp_path, text)], {}) is None


def test_a_fact_does_not_show_the_machine_id() -> None:
    assert "machine=" not in repr(Fact("machine-id", bytes.fromhex(MACHINE_ID)))


def test_app_specific_is_what_systemd_says(tmp_path: Path) -> None:
    tool, file = shutil.which("systemd-id128"), Path("/etc/machine-id")
    fact = find_fact([file], {})
    if tool is None or fact is None:
        pytest.skip("needs systemd-id128 and a machine id")
    generator = random.Random(57)
    for _ in range(10):
        app_id = generator.randbytes(16)
        command = [tool, "machine-id", f"--app-specific={app_id.hex()}"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        assert said.returncode == 0, said.stderr
        assert app_specific(fact.machine, app_id).hex == said.stdout.strip()


def test_app_specific_is_a_uuid_of_version_4() -> None:
    # Computed once with `openssl dgst -sha256 -mac HMAC`, then marked as RFC 9562 says.
    made = app_specific(bytes.fromhex(MACHINE_ID), bytes.fromhex("00112233445566778899aabbccddeeff"))
    assert (made.version, made.variant) == (4, "specified in RFC 4122")
    assert str(made) == "6f33a205-707d-4304-bcb3-4432ba60f5e0"


@pytest.mark.requirement("M52")
@pytest.mark.parametrize("length", [8, 32, 64])
@pytest.mark.parametrize(
    "charset", [LETTERS, "0123456789", "абвгдежзийклм", "".join(map(chr, range(0x4E00, 0x4E00 + 300)))]
)
def test_length_and_alphabet(length: int, charset: str) -> None:
    made = expand(bytes(range(16)), length=length, charset=charset)
    assert len(made) == length
    assert set(made) <= set(charset)


@pytest.mark.parametrize("word", [4, 1])
@pytest.mark.parametrize("charset", [LETTERS, LETTERS[:10], LETTERS[:33]])
def test_each_character_is_equally_likely(monkeypatch: pytest.MonkeyPatch, charset: str, word: int) -> None:
    """Pearson's chi squared over 128,000 characters of 2,000 keys: at most 4.5 standard deviations beyond its mean.

    With numbers of one byte a remainder that is not rejected would show; with four it would hide.
    """
    monkeypatch.setattr(machine, "_WORD", word)
    generator = random.Random(53)
    seen = Counter("".join(expand(generator.randbytes(16), length=64, charset=charset) for _ in range(2000)))
    expected = seen.total() / len(charset)
    distance = sum((seen[one] - expected) ** 2 / expected for one in charset)
    free = len(charset) - 1
    assert distance < free + 4.5 * (2 * free) ** 0.5


def test_each_character_is_equally_likely_at_each_place() -> None:
    generator = random.Random(54)
    made = [expand(generator.randbytes(16), length=8, charset=LETTERS[:10]) for _ in range(5000)]
    for place in range(8):
        seen = Counter(one[place] for one in made)
        assert sum((seen[one] - 500) ** 2 / 500 for one in LETTERS[:10]) < 9 + 4.5 * 18**0.5


def test_ids_do_not_collide() -> None:
    """Upstream's 32 characters had 32 bits: 20 collisions in 400,000 machines."""
    generator = random.Random(55)
    made = {
        derive(Fact("machine-id", generator.randbytes(16)), app="a", salt=None, length=32, charset=LETTERS)
        for _ in range(20_000)
    }
    assert len(made) == 20_000


def test_what_an_id_depends_on() -> None:
    fact = Fact("machine-id", bytes.fromhex(MACHINE_ID))

    def made(fact: Fact = fact, app: str = "app", salt: bytes | None = None, length: int = 32) -> str:
        return derive(fact, app=app, salt=salt, length=length, charset=LETTERS)

    different = {
        made(),
        made(Fact("machine-id", bytes(15) + b"1")),
        made(app="other"),
        made(salt=bytes(32)),
        made(app="a", salt=b"pp" + bytes(30)),
        made(RANDOM, salt=bytes(32)),
    }
    assert len(different) == 6
    assert made() == made()
    assert made(length=16) != made()[:16]


def test_what_ioreg_prints() -> None:
    printed = '+-o J314sAP  <class IOPlatformExpertDevice>\n    {\n      "IOPlatformUUID" = "%s"\n    }\n'
    assert platform_uuid(printed % "3F1C0A9B-5E7D-4C2A-8B6F-1E0D9C8B7A65") == bytes.fromhex(MACHINE_ID)
    assert platform_uuid(printed % "not one") is None
    assert platform_uuid("") is None
