"""The file that keeps a ring of keys: for its user alone, written once, whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from insession.errors import ConfigurationError

_PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_OF_OTHERS: Final = 0o077
_LARGEST: Final = 1 << 16


Stamp = tuple[int, int, int]
"""What changes when a file is written or replaced: its time of change, size and number."""


def make_once(path: Path, text: str) -> bool:
    """Whether this call made the file, of this text. `ConfigurationError` where that cannot be."""
    try:
        return not path.exists() and _made(path, text)
    except OSError as error:
        why = _why(error)
        raise ConfigurationError(f"{path}: the keys cannot be kept there ({why}); set INSESSION_KEYS") from error


def text_in(path: Path) -> tuple[str, Stamp]:
    """What the file holds, and its stamp. `ConfigurationError` where it cannot be read, or others may read it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and stat.S_IMODE(status.st_mode) & _OF_OTHERS:
                raise ConfigurationError(f"{path}: others than its user may read the keys; chmod 600 it")
            return file.read(_LARGEST).decode().strip(), _stamp(status)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: the keys cannot be read ({_why(error)})") from error


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of the file now; None while there is none."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not text" if isinstance(error, UnicodeDecodeError) else error.strerror or type(error).__name__


def _made(path: Path, text: str) -> bool:
    """Make the file, unless another process is first."""
    path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    # Under the final name it is whole from the beginning: a reader, or a crash, never meets half a key.
    draft = path.with_name(f".keys-{secrets.token_hex(8)}")
    try:
        _write(draft, f"{text}\n".encode())
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        _flush_folder(path.parent)
        return True
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the new name outlive a power cut: data that was sealed under a lost key is lost."""
    with suppress(PermissionError):  # where folders cannot be opened, as on Windows
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
