"""The program beside the data: one Lua source, as functions where the server has them, as scripts elsewhere.

It is called in two ways that differ in one flag: what takes room of its own is refused by a server that has
reached ``maxmemory``, everything else goes on. Redis before 7 has no such flag: it refuses commands one by one, so
that a call which changes anything first proves that there is room.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, Literal

from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from .link import Line
from .wire import Argument

Calls = Literal["auto", "functions", "scripts", "plain scripts"]
_FILES: Final = ("records.lua", "changes.lua", "quick.lua", "leases.lua", "pages.lua")
_FLAGGED: Final = 7
"""Since this version a script has flags, and the server functions."""


def source() -> str:
    """The program, without the line that begins it and the one that ends it."""
    return "\n".join(Path(__file__).with_name(name).read_text("utf-8") for name in _FILES)


def _digest(text: str) -> str:
    # The server names a script by this digest; nothing is kept secret by it.
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


class Program:
    """How to call it on one server, and how to bring it there."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        body = source()
        name = f"insession_{_digest(body)[:16]}"
        ways = (("strict", "{}"), ("always", "{'allow-oom'}"))
        register = "\n".join(
            f"redis.register_function{{function_name='{name}_{way}', callback=S.apply, flags={flags}}}"
            for way, flags in ways
        )
        self._library: Final = f"#!lua name={name}\n{body}\n{register}\n"
        self._functions: Final = {True: f"{name}_strict", False: f"{name}_always"}
        plain = f"{body}\nreturn S.apply(KEYS, ARGV)\n"
        self._plain: Final = plain
        self._scripts: Final = {True: f"#!lua\n{plain}", False: f"#!lua flags=allow-oom\n{plain}"}
        self._digests: Final = {text: _digest(text) for text in (plain, *self._scripts.values())}

    def _way(self, line: Line) -> Calls:
        if self._calls != "auto":
            return self._calls
        if line.version < _FLAGGED:
            return "plain scripts"
        return "scripts" if line.without_functions else "functions"

    def proves_room(self, line: Line) -> bool:
        """Whether a call that changes anything has to prove itself that there is room."""
        return self._way(line) == "plain scripts"

    def command(self, line: Line, keys: Sequence[str], *, grows: bool) -> tuple[Argument, ...]:
        """The beginning of the command that calls it."""
        way = self._way(line)
        if way == "functions":
            return ("FCALL", self._functions[grows], len(keys), *keys)
        text = self._plain if way == "plain scripts" else self._scripts[grows]
        return ("EVALSHA", self._digests[text], len(keys), *keys)

    async def call(
        self,
        line: Line,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *,
        grows: bool,
        refused: ResponseError | None = None,
    ) -> Any:
        """Call it; brought to the server first where that has forgotten it, in which case nothing has run.

        ``refused``: it was called already, and that is the answer.
        """
        way = self._way(line)
        command = self.command(line, keys, grows=grows)
        try:
            if refused is not None:
                raise refused
            return await line.ask(*command, *arguments)
        except NoScriptError:
            await self._bring(line)
        except ResponseError as error:
            if way != "functions":
                raise
            if self._calls == "auto" and isinstance(error, NoPermissionError):
                # Who may not call functions may still run scripts.
                line.without_functions = True
            elif "unction not found" not in str(error):
                raise
            await self._bring(line)
        if self._way(line) != way:
            return await self.call(line, keys, arguments, grows=grows)
        return await line.ask(*command, *arguments)

    async def _bring(self, line: Line) -> None:
        way = self._way(line)
        if way == "functions":
            try:
                await line.ask("FUNCTION", "LOAD", "REPLACE", self._library)
            except NoPermissionError:
                if self._calls != "auto":
                    raise
                # Nor may everybody load them.
                line.without_functions = True
                way = "scripts"
        for text in (self._plain,) if way == "plain scripts" else self._scripts.values():
            if way != "functions":
                await line.ask("SCRIPT", "LOAD", text)
