"""Noticing what other processes write, without asking all the time.

They write to the write-ahead log, and its changes are told. The write comes before its commit by an
fsync, so after each we look again and again until nothing has moved for a while; a slow look is the net.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from typing import Final

from insession.kernel.events import EventType

from .changes import Changes, changes_of
from .file import File
from .forking import turn
from .statements import Statements

SLOW: Final = 1.0
"""Without any sign we look so often, in seconds."""
_AGAIN: Final = 0.0003
"""After a sign we look again after so many seconds,"""
_SLOWER: Final = 1.8
"""then after so many times longer,"""
_ENOUGH: Final = 0.05
"""until it is so long."""
_MOVING: Final = 0.002
"""After something has moved we rest so long: a busy neighbour shall not keep us busy."""
_OWN: Final = 0.005
"""The same while we write ourselves: each of our transactions looks as well."""


_FEW: Final = 1000
"""Of more events than this nobody reads the types: every waker is set."""


class Sight:
    """How far this process has come in noticing what became visible."""

    def __init__(
        self,
        sql: Statements,
        tell: Callable[[Collection[EventType], bool], None],
        position: int,
        handed: int,
    ) -> None:
        self._sql = sql
        self._tell = tell
        self._lock = threading.Lock()
        self._position = position
        self._handed = handed
        self._written = 0.0

    def own(self, position: int, handed: int) -> None:
        """We have come so far ourselves, from what was noticed last."""
        self._written = time.monotonic()
        with self._lock:
            self._position = max(position, self._position)
            self._handed = max(handed, self._handed)

    def writing(self) -> bool:
        """Whether this process has just written, so that its next transaction looks as well."""
        return time.monotonic() - self._written < _OWN

    def notice(self, cursor: sqlite3.Cursor, position: int, handed: int) -> None:
        """Somebody has come so far: tell what is new."""
        with self._lock:
            before, handed_before = self._position, self._handed
            if position <= before and handed <= handed_before:
                return
            self._position, self._handed = max(position, before), max(handed, handed_before)
        types: Collection[EventType] = list(EventType)
        if position - before <= _FEW:
            rows = cursor.execute(self._sql.types, (before, position)).fetchall()
            types = {EventType(row[0]) for row in rows}
        self._tell(types, handed > handed_before)


class Watch:
    """A thread that looks while somebody waits."""

    def __init__(self, file: File, sql: Statements, sight: Sight, wanted: Callable[[], bool]) -> None:
        self._file = file
        self._sql = sql
        self._sight = sight
        self._wanted = wanted
        self._lock = threading.Lock()
        self._running: tuple[threading.Thread, Changes] | None = None
        self._version: int | None = None
        self._using = turn()

    def start(self) -> None:
        """Look from now on, until nobody waits any more, or `stop`."""
        with self._lock:
            if self._running is None:
                changes = changes_of(self._file.log)
                thread = threading.Thread(target=self._run, args=(changes,), name="insession-sqlite-watch", daemon=True)
                self._running = thread, changes
                thread.start()

    def stop(self) -> None:
        """End it."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            thread, changes = running
            changes.stop()
            thread.join()
            changes.close()

    def _run(self, changes: Changes) -> None:
        while not changes.stopped.is_set():
            # What cannot be looked at now can be later; whoever waits has his own deadline.
            with suppress(sqlite3.Error), closing(self._connected()) as connection:
                if self._looked(connection.cursor(), changes):
                    changes.close()
                    return
            changes.stopped.wait(SLOW)

    def _connected(self) -> sqlite3.Connection:
        with self._using:
            return self._file.connect(reading=True)

    def _looked(self, cursor: sqlite3.Cursor, changes: Changes) -> bool:
        """Look until we are stopped, or (True) nobody waits any more."""
        self._version = None
        while not changes.stopped.is_set():
            changes.arm()
            self._look(cursor)
            if changes.wait(SLOW):
                self._look_on(cursor, changes)
            elif self._over():
                return True
        return False

    def _over(self) -> bool:
        """Whether nobody waits; then the next who does starts another thread."""
        with self._lock:
            if self._running is None or self._wanted():
                return False
            self._running = None
            return True

    def _look_on(self, cursor: sqlite3.Cursor, changes: Changes) -> None:
        """Look until nothing has changed or become visible for a while."""
        pause = _AGAIN
        while pause < _ENOUGH and not changes.stopped.is_set():
            changes.drain()
            if self._look(cursor):
                changes.stopped.wait(_OWN if self._sight.writing() else _MOVING)
                pause = _AGAIN
            elif changes.wait(pause):
                changes.stopped.wait(_AGAIN)
                pause = _AGAIN
            else:
                pause *= _SLOWER

    def _look(self, cursor: sqlite3.Cursor) -> bool:
        """Whether something has become visible since the last look."""
        with self._using:
            version = cursor.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return False
            self._sight.notice(cursor, *cursor.execute(self._sql.sight).fetchone())
            self._version = version
            return True
