"""Remote sessions: many threads on one context while its sessions die."""

from __future__ import annotations

from pathlib import Path

from insession.remote.sankhya import SankhyaContext
from insession.testing import SankhyaDoubleProcess
from tests.remote.crowd import SEEDED, check, crowd, settings_of

from .part import Part

THREADS, CALLS, CAP = 32, 200, 32


def _crowd(folder: Path) -> str:
    with SankhyaDoubleProcess(seed=SEEDED, session_max_requests=25, login_latency=0.02) as double:
        settings = settings_of(double, max_sessions=CAP, acquire_timeout=300)
        with SankhyaContext(settings, store=f"sqlite:///{folder / 'sessions.db'}") as ctx:
            seen = crowd(ctx, THREADS, CALLS)
        return check(double, seen, THREADS * CALLS, CAP)


def remote_parts(*, full: bool) -> list[Part]:
    """One; in the long form four times."""
    name = f"{THREADS} threads of {CALLS} mixed calls of a service whose sessions die"
    return [Part(name, 60, _crowd)] * (4 if full else 1)
