"""Exchange sessions: a platform sends files over socket.io, and each is answered before its deadline."""

from __future__ import annotations
