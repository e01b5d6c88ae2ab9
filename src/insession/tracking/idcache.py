"""The file that keeps a hardware id, and the salt that it was made with.

It is for this user alone (0600), whole at every moment, and says of itself whether it was damaged. Its format is
JSON: ``format``, ``checksum`` (SHA-256 of the bytes of ``kept``), ``kept``.

A symbolic link is refused, as is whatever else is no regular file: a replacement would put a file in the link's place,
so that what the link points to would be read today and silently forgotten tomorrow. Name the file itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from .machine import Source

FORMAT: Final = 1
SALT_BYTES: Final = 32
_MOST_BYTES: Final = 16_384
_LOCK_TIMEOUT: Final = 5.0
_LOCK_RETRY: Final = 0.01
_OPEN: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# A link is refused, and a pipe must not make us wait for its writer. Windows has neither flag.
_CAREFUL: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class DamagedCache(ValueError):
    """The file is not as it was written: nothing in it can be believed."""


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the cache keeps. ``settings`` is the digest of what the id was made with; the salt may be absent."""

    id: str
    source: Source
    settings: str
    salt: bytes | None = None

    def __repr__(self) -> str:
        """Say where the id is from, and neither the id nor its salt."""
        return f"Kept(source={self.source!r})"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    checksum: str
    kept: msgspec.Raw


class IDCache:
    """The cache file at ``path``. Every method does blocking I/O, and raises `OSError` where the file is unusable."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    def exists(self) -> bool:
        """Whether there is a regular file."""
        try:
            return stat.S_ISREG(self.path.lstat().st_mode)
        except (OSError, ValueError):
            return False

    def read(self) -> Kept | None:
        """What is kept; None where there is no file yet; `DamagedCache` for one that cannot be believed."""
        try:
            content = self._content()
        except FileNotFoundError:
            return None
        return _decoded(content)

    def create(self, kept: Kept) -> bool:
        """Keep it unless there is a file already: of two processes that start together, one gets True."""
        with self._written(kept) as written:
            try:
                os.link(written, self.path)
            except FileExistsError:
                return False
            except OSError:
                # A file system without hard links: `alone` is all that keeps two apart there.
                if self.path.exists():
                    return False
                written.replace(self.path)
        return True

    def replace(self, kept: Kept) -> None:
        """Keep it instead of what was kept; a reader sees the one or the other, whole."""
        with contextlib.suppress(FileNotFoundError):
            _only_regular(self.path.lstat())
        with self._written(kept) as written:
            written.replace(self.path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Read and write without another process in between, where the system can lock a folder.

        It leaves no file behind and ends with its process. Whoever cannot get it within 5 seconds goes on without: then
        the last of several replacements stays.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _folder_locked(self.path.parent):
            yield

    def _content(self) -> bytes:
        try:
            descriptor = os.open(self.path, _OPEN | _CAREFUL)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _not_regular() from None
            raise
        try:
            found = os.fstat(descriptor)
            _only_regular(found)
            _for_its_owner_alone(descriptor, found)
            return os.read(descriptor, _MOST_BYTES)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _written(self, kept: Kept) -> Iterator[Path]:
        """The new content under a name of its own beside the file, on the disk; gone afterwards."""
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
        written = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_encoded(kept))
                file.flush()
                os.fsync(descriptor)
            yield written
            _sync_folder(self.path.parent)
        finally:
            written.unlink(missing_ok=True)


def _encoded(kept: Kept) -> bytes:
    raw = msgspec.json.encode(kept)
    return msgspec.json.encode(_File(FORMAT, hashlib.sha256(raw).hexdigest(), msgspec.Raw(raw)))


def _decoded(content: bytes) -> Kept:
    try:
        file = msgspec.json.decode(content, type=_File)
        if file.format != FORMAT:
            raise DamagedCache(f"format {file.format} is not known here")
        if not hmac.compare_digest(hashlib.sha256(file.kept).hexdigest(), file.checksum):
            raise DamagedCache("its checksum does not match")
        kept = msgspec.json.decode(file.kept, type=Kept)
    except (msgspec.DecodeError, RecursionError, TypeError, UnicodeDecodeError):
        # The decoder's own words may quote what it found.
        raise DamagedCache("it is no hardware id cache") from None
    if kept.salt is not None and len(kept.salt) != SALT_BYTES:
        raise DamagedCache("its salt has another size")
    return kept


def _only_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _not_regular()


def _not_regular() -> OSError:
    return OSError(errno.EINVAL, "it is a link, a folder or a device; name a regular file")


def _for_its_owner_alone(descriptor: int, found: os.stat_result) -> None:
    """Tighten a file that was copied or restored with a wider mode."""
    if sys.platform != "win32" and stat.S_IMODE(found.st_mode) & 0o077:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o600)


if sys.platform == "win32":

    def _folder_locked(_: Path) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def _sync_folder(_: Path) -> None:
        """A folder cannot be synced there."""

else:

    @contextlib.contextmanager
    def _folder_locked(path: Path) -> Iterator[None]:
        folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _lock(folder)
            yield
        finally:
            os.close(folder)

    def _lock(folder: int) -> None:
        import fcntl

        until = time.monotonic() + _LOCK_TIMEOUT
        while time.monotonic() < until:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_RETRY)
            except OSError:
                return  # some network file systems lock no folder
            else:
                return

    def _sync_folder(path: Path) -> None:
        """Let the new name outlive a power cut, where folders can be synced."""
        with contextlib.suppress(OSError):
            folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
