"""Where the files of exchange sessions lie, and what is in them.

``files/sessions/<session id>/input/<file id>.xml`` holds a file's bytes as they were received, and
``.../output/<file id>.json`` an answer that is large, or that another program gave. Ids become names by
`insession.exchange.names`.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path, PurePath
from typing import Any, Final

from insession.errors import InvalidInput

from .names import safe_name
from .saving import write_file

FILES: Final = "files"
INPUT: Final = "input"
OUTPUT: Final = "output"


def content_bytes(content: object) -> bytes:
    """A file's content as it is kept: text as its UTF-8, unchanged, and an object as compact UTF-8 JSON.

    Raises `InvalidInput` for a text with half a character in it, which has no UTF-8, and for what is no JSON.
    """
    if isinstance(content, bytes):
        return content
    try:
        # As the standard library reads numbers, so it writes them: of any size.
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput("content", f"is no text or JSON value that can be kept: {type(error).__name__}") from None


class SessionFiles:
    """The folders of one session below a root folder, which holds ``files/``."""

    __slots__ = ("input", "output")

    def __init__(self, root: Path, session_id: int | str) -> None:
        folder = Path(root) / FILES / "sessions" / safe_name(session_id, "session_id")
        self.input: Path = folder / INPUT
        self.output: Path = folder / OUTPUT

    def received(self, name: str) -> Path:
        """Where a file is kept whose id has this safe name."""
        return self.input / f"{name}.xml"

    def answer(self, name: str) -> Path:
        """Where another program puts its answer, see `OutputFolder`."""
        return self.output / f"{name}.json"

    def kept_answer(self, name: str) -> Path:
        """Where its answer is kept if the journal takes none so large. No other file's answer has such a name."""
        return self.output / f"{name}~answer.json"


class File:
    """A file below ``files/``. Written whole or not at all; every call is made in a thread."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    async def read(self) -> bytes:
        """Its bytes. Raises `FileNotFoundError`."""
        return await asyncio.to_thread(self.path.read_bytes)

    async def write(self, content: bytes | str) -> None:
        """Write it; it is on the disk when this returns. Folders are made."""
        await asyncio.to_thread(write_file, self.path, content_bytes(content))

    async def write_dict(self, content: dict[str, Any]) -> None:
        """Write an object as compact UTF-8 JSON."""
        await asyncio.to_thread(write_file, self.path, content_bytes(content))

    def __repr__(self) -> str:
        return f"<File {self.path.name}>"


class FileFactory:
    """Makes `File` objects below ``files/`` of a root folder: ``FileFactory().create("notes/1.json")``.

    ``root`` None is ``BASELINE_ROOT_DIR``, else the working directory.
    """

    __slots__ = ("_folder",)

    def __init__(self, root: Path | None = None) -> None:
        self._folder = (root_folder() if root is None else Path(root)) / FILES

    def create(self, path: str | PurePath) -> File:
        """A file at a path relative to ``files/``; `InvalidInput` for one that would leave it."""
        relative = PurePath(path)
        if not relative.parts or relative.is_absolute() or relative.drive or ".." in relative.parts:
            raise InvalidInput("path", "is one below files/, without '..'")
        if "\0" in str(path):
            raise InvalidInput("path", "holds a NUL")
        return File(self._folder / relative)


def root_folder() -> Path:
    """The folder of ``files/``, ``logs/`` and ``.env``: ``BASELINE_ROOT_DIR``, else the working directory."""
    return Path(os.environ.get("BASELINE_ROOT_DIR") or Path.cwd())
