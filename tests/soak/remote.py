"""Remote sessions: many threads on one context while its sessions die."""

from __future__ import annotations

from pathlib import Path

from insession.remote.sankhya import SankhyaContext
from insession.testing import SankhyaDoubleProcess
from tests.remote.crowd import SEEDED, check, crowd, settings_of
from tests.remote.processes.conftest import open_house
from tests.remote.processes.test_killing import die_among_the_living

from .part import Part

THREADS, CALLS, CAP = 32, 200, 32


def _crowd(folder: Path) -> str:
    with SankhyaDoubleProcess(seed=SEEDED, session_max_requests=25, login_latency=0.02) as double:
        settings = settings_of(double, max_sessions=CAP, acquire_timeout=300)
        with SankhyaContext(settings, store=f"sqlite:///{folder / 'sessions.db'}") as ctx:
            seen = crowd(ctx, THREADS, CALLS)
        return check(double, seen, THREADS * CALLS, CAP)


def _death(folder: Path) -> str:
    with open_house(folder) as house:
        die_among_the_living(house)
    return ""


def remote_parts(*, full: bool) -> list[Part]:
    """Two; in the long form the first four times."""
    name = f"remote: {THREADS} threads of {CALLS} mixed calls of a service whose sessions die"
    death = "remote: a process that dies beside one that lives on, with its real wait"
    return [*[Part(name, 30, _crowd)] * (4 if full else 1), Part(death, 30, _death)]
