"""A fork while a file is open.

SQLite notes in the memory of a process which locks this process holds on a file. A child has that memory, and none of
the locks: its own connections to the file would trust locks that it does not hold, and wait for transactions of threads
that it does not have. So a fork waits until no connection is in use, and the child first closes those that it
inherited, by which SQLite forgets them. That writes nothing and ends nothing of the parent's, which has its locks.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from typing import Any, Final

PATIENCE: Final = 2.0
"""A fork waits so many seconds at most. Then the child closes nothing, and its connections find the file locked."""

_guard: Final = threading.Lock()
"""Held while one of the sets changes, and during a fork."""
_turns: weakref.WeakSet[threading.Lock] = weakref.WeakSet()
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()
_taken: Final[list[threading.Lock]] = []
_missed: Final[list[bool]] = [False]


class Connection(sqlite3.Connection):
    """A connection that a child of a fork knows of."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        with _guard:
            _connections.add(self)


def turn() -> threading.Lock:
    """A lock to be held while a connection is used, and never two by one thread."""
    made = threading.Lock()
    with _guard:
        _turns.add(made)
    return made


def _before() -> None:
    until = time.monotonic() + PATIENCE
    _missed[0] = False
    _guard.acquire()
    for one in list(_turns):
        if one.acquire(timeout=max(0.0, until - time.monotonic())):
            _taken.append(one)
        else:
            _missed[0] = True


def _in_parent() -> None:
    while _taken:
        _taken.pop().release()
    _guard.release()


def _in_child() -> None:
    try:
        if not _missed[0]:
            for connection in list(_connections):
                connection.close()
    finally:
        _in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
