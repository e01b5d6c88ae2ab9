"""What tells one machine from another, and ids derived from it.

A machine id is confidential (machine-id(5)): it never leaves this module but through a keyed digest with the
application's name, so that ids of two applications on one machine cannot be linked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

VARIABLE: Final = "INSESSION_HARDWARE_ID"
MACHINE_ID_FILES: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))

Source = Literal["setting", "environment", "machine-id", "mac", "windows", "random"]

_MACHINE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
_PLATFORM_UUID: Final = re.compile(r'"IOPlatformUUID"\s*=\s*"([^"]+)"')
_NOBODY: Final = bytes(16)
_IOREG_TIMEOUT: Final = 5.0
_WORD: Final = 4


@dataclass(frozen=True, slots=True)
class Fact:
    """What this machine is told from others by: 16 bytes, confidential, and where they are from."""

    source: Source
    machine: bytes = field(repr=False)


RANDOM: Final = Fact("random", _NOBODY)
"""No fact at all: an id then lives by its random salt alone. All zero is no machine's id."""


def find_fact(files: Sequence[Path] = MACHINE_ID_FILES, environ: Mapping[str, str] | None = None) -> Fact | None:
    """The first of: the environment's text, a machine id file, what macOS or Windows know; None without any.

    Containers of one image may share a machine id that was baked into it: give such a container a text of its own,
    for instance the UID of its pod.
    """
    text = environment_text(environ)
    if text is not None:
        return Fact("environment", hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16])
    for file in files:
        machine = _machine_id(file)
        if machine is not None:
            return Fact("machine-id", machine)
    return _from_system()


def environment_text(environ: Mapping[str, str] | None = None) -> str | None:
    """What ``INSESSION_HARDWARE_ID`` says, without blanks around it; None where it says nothing."""
    return (os.environ if environ is None else environ).get(VARIABLE, "").strip() or None


def app_specific(machine_id: bytes, app_id: bytes) -> uuid.UUID:
    """What this machine is called by one application only.

    The value of systemd's ``sd_id128_get_machine_app_specific``: the first 16 bytes of
    HMAC-SHA256(key = 16 bytes of machine id, message = 16 bytes of application id), marked as a UUID of version 4.
    """
    return uuid.UUID(bytes=hmac.digest(machine_id, app_id, hashlib.sha256)[:16], version=4)


def derive(fact: Fact, *, app: str, salt: bytes | None, length: int, charset: str) -> str:
    """An id of ``length`` characters of ``charset``; the same for the same arguments, in every process."""
    name = app.encode("utf-8", "surrogatepass")
    app_id = hashlib.sha256(len(name).to_bytes(8, "big") + name + (salt or b"")).digest()[:16]
    return expand(app_specific(fact.machine, app_id).bytes, length=length, charset=charset)


def expand(key: bytes, *, length: int, charset: str) -> str:
    """``length`` characters out of a key, each character of ``charset`` equally likely.

    32 bit numbers are taken from HMAC-SHA256(key, what is asked for and a counter). One that lies beyond the last
    whole multiple of the number of characters is thrown away: its remainder would prefer the first characters.
    """
    size = len(charset)
    bound = (1 << 8 * _WORD) // size * size
    fair = (charset[number % size] for number in _numbers(key, f"{length}:{charset}:".encode()) if number < bound)
    return "".join(next(fair) for _ in range(length))


def platform_uuid(printed: str) -> bytes | None:
    """The ``IOPlatformUUID`` in what macOS' ``ioreg`` printed."""
    found = _PLATFORM_UUID.search(printed)
    return None if found is None else _uuid_bytes(found[1])


def _numbers(key: bytes, label: bytes) -> Iterator[int]:
    counter = 0
    while True:
        block = hmac.digest(key, label + counter.to_bytes(8, "big"), hashlib.sha256)
        for start in range(0, len(block), _WORD):
            yield int.from_bytes(block[start : start + _WORD], "big")
        counter += 1


def _machine_id(file: Path) -> bytes | None:
    """The 16 bytes of a machine id file; None for one that is absent, empty, "uninitialized", or all zero."""
    try:
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return _told(bytes.fromhex(text)) if _MACHINE_ID.fullmatch(text) else None


def _fact(source: Source, machine: bytes | None) -> Fact | None:
    return None if machine is None else Fact(source, machine)


if sys.platform == "darwin":

    def _from_system() -> Fact | None:
        command = ("/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=_IOREG_TIMEOUT, check=True)  # noqa: S603 - constant
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
        return _fact("mac", platform_uuid(run.stdout))

elif sys.platform == "win32":

    def _from_system() -> Fact | None:
        import winreg

        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography", 0, access) as key:
                guid, _ = winreg.QueryValueEx(key, "MachineGuid")
        except OSError:
            return None
        return _fact("windows", _uuid_bytes(str(guid)))

else:

    def _from_system() -> Fact | None:
        return None


def _uuid_bytes(text: str) -> bytes | None:
    try:
        return _told(uuid.UUID(text).bytes)
    except ValueError:
        return None


def _told(machine: bytes) -> bytes | None:
    return None if machine == _NOBODY else machine
