"""The ring of keys, as text, and where it comes from.

A ring's text is ``number:key`` for each key, with commas between: the number from 1 to 4294967295, the key 32 bytes
in base64 (RFC 4648, either alphabet). The first one seals, all of them open. A number means one key for ever: of
a store that has seen it, values sealed by it may lie in any backup.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from insession.errors import ConfigurationError
from insession.folders import state_folder

from .keyfile import Stamp, make_once, stamp_of, text_in

VARIABLE: Final = "INSESSION_KEYS"
FILE_VARIABLE: Final = "INSESSION_KEYS_FILE"
KEY_BYTES: Final = 32
LARGEST_NUMBER: Final = (1 << 32) - 1
_ENTRY: Final = re.compile(r"([0-9]{1,10}):([A-Za-z0-9+/_-]{43}=)")
_STANDARD: Final = str.maketrans("-_", "+/")
Source = Literal["given", "environment", "file"]


class Keys:
    """A ring of 256-bit keys by their numbers, the current one first. Its repr shows numbers only.

    ``source`` says where it came from, ``path`` which file that was, and ``made`` whether it was made just now:
    other processes need the same ring, so a file is right for the processes of one host only.
    Raises `ConfigurationError`.
    """

    __slots__ = ("_ring", "_seen", "made", "path", "source")

    def __init__(
        self, ring: Mapping[int, bytes], *, source: Source = "given", path: Path | None = None, made: bool = False
    ) -> None:
        if not ring:
            raise ConfigurationError("keys: the ring is empty; it needs a key to seal with")
        for position, (number, key) in enumerate(ring.items(), 1):
            if type(number) is not int or not 1 <= number <= LARGEST_NUMBER:
                raise ConfigurationError(f"keys: entry {position} has no number from 1 to {LARGEST_NUMBER}")
            if type(key) is not bytes or len(key) != KEY_BYTES:
                raise ConfigurationError(f"keys: entry {position} is not a key of {KEY_BYTES} bytes")
        self._ring: dict[int, bytes] = dict(ring)
        self.source: Source = source
        self.path: Path | None = path
        self.made: bool = made
        self._seen: str | Stamp | None = None

    def __repr__(self) -> str:
        return f"<Keys {', '.join(map(str, self._ring))} ({self.source})>"

    @property
    def current(self) -> int:
        """The number of the key that seals."""
        return next(iter(self._ring))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of all keys, that of the current one first."""
        return tuple(self._ring)

    @classmethod
    def parse(cls, text: str) -> Keys:
        """A ring from its text: ``1:base64,2:base64``."""
        return cls(_parsed(text, "keys"))

    @classmethod
    def from_bytes(cls, key: bytes, *, number: int = 1) -> Keys:
        """A ring of one key."""
        return cls({number: key})

    @classmethod
    def generate(cls, *, number: int = 1) -> Keys:
        """A ring of one new key."""
        return cls({number: os.urandom(KEY_BYTES)})

    @classmethod
    def from_file(cls, path: Path, *, made: bool = False) -> Keys:
        """The ring whose text a file holds. It is read again when it changes; replace it whole (write, then rename)."""
        text, stamp = text_in(path)
        keys = cls(_parsed(text, str(path)), source="file", path=path, made=made)
        keys._seen = stamp
        return keys

    @classmethod
    def found(cls, state: Path | None = None) -> Keys:
        """The ring of ``INSESSION_KEYS``, else of the file that ``INSESSION_KEYS_FILE`` names, else of our own file.

        That is ``keys`` in the state folder, made if it is missing; ``state`` stands for that folder. Of processes
        that make it at the same time one wins, and all use its key. Reads and writes files: call it in a thread where
        a loop runs.
        """
        text = os.environ.get(VARIABLE)
        if text is not None:
            if not text.strip():
                raise ConfigurationError(
                    f"{VARIABLE} is empty; give it a ring, as in 1:<base64 of 32 bytes>, or unset it"
                )
            keys = cls(_parsed(text, VARIABLE), source="environment")
            keys._seen = text
            return keys
        if named := os.environ.get(FILE_VARIABLE):
            return cls.from_file(Path(named))
        path = (state or state_folder()) / "keys"
        return cls.from_file(path, made=make_once(path, cls.generate().text()))

    def again(self) -> Keys | None:
        """The ring as it stands now where it was found; None where nothing has changed, or it was given.

        Raises `ConfigurationError`. Where nothing has changed this costs the status of a file.
        """
        if self.source == "environment":
            return None if os.environ.get(VARIABLE) in {None, self._seen} else Keys.found()
        if self.path is None:
            return None
        return None if stamp_of(self.path) in {None, self._seen} else Keys.from_file(self.path)

    def text(self) -> str:
        """The ring as text, for ``INSESSION_KEYS`` or a file. It holds the keys: keep it as secret as they are."""
        return ",".join(f"{number}:{base64.b64encode(key).decode()}" for number, key in self._ring.items())


def _parsed(text: str, where: str) -> dict[int, bytes]:
    """Keys by number; an error names the place and the position, and never the text."""
    ring: dict[int, bytes] = {}
    for position, entry in enumerate(text.split(","), 1):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None:
            raise ConfigurationError(f"{where}: entry {position} is not <number>:<base64 of {KEY_BYTES} bytes>")
        number = int(match[1])
        if number in ring:
            raise ConfigurationError(f"{where}: entry {position} has a number that an entry before it has")
        try:
            ring[number] = base64.b64decode(match[2].translate(_STANDARD), validate=True)
        except binascii.Error:  # pragma: no cover - the expression lets nothing else through
            raise ConfigurationError(f"{where}: entry {position} is not base64") from None
    return ring
