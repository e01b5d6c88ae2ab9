"""Encryption at rest: a wrapper of any store, which keeps no clear data.

Sealed are the data of records and items, and the notes of those who wait for a lease. Envelopes, item keys, lease names
and events stay as they are, because stores read them; see ``docs/encryption.md`` for what that leaves in the open.

Needs the extra ``insession[sealed]``.
"""

from __future__ import annotations

from .keys import Keys
from .seals import Unreadable, open_record
from .store import SealedStore

__all__ = ["Keys", "SealedStore", "Unreadable", "open_record"]
