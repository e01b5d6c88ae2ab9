"""The store on Redis (6.2 or newer) or Valkey, shared by processes and machines.

One Lua program beside the data interprets a batch in one call. Its state is packed strings, sorted sets and a
stream, every key of a partition in one slot. One server has one partition, a cluster several.
"""

from .cluster import ClusterStore
from .store import RedisStore

__all__ = ["ClusterStore", "RedisStore"]
