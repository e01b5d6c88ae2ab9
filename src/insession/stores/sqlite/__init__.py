"""The SQLite store: one file on this host, shared by its processes.

One thread of each process writes: what waits for it travels in one transaction. What other
processes write is noticed by watching the write-ahead log. Reads run where they are asked for.
"""

from .store import SQLiteStore

__all__ = ["SQLiteStore"]
