"""The PostgreSQL store: one database, shared by the processes of many hosts.

A batch is one call of a function that lies beside the data and applies operation after operation.
"""

from .store import PostgresStore

__all__ = ["PostgresStore"]
