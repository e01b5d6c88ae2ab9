"""Threads with mixed calls on one context while sessions die; the long form is a part of the soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from insession.remote.sankhya import SankhyaContext
from insession.testing import SankhyaDouble

from .crowd import SEEDED, check, crowd, settings_of


@pytest.mark.requirement("S18", "S30")
def test_mixed_calls_of_many_threads(tmp_path: Path) -> None:
    with SankhyaDouble(seed=SEEDED, session_max_requests=25, login_latency=0.02) as double:
        settings = settings_of(double, max_sessions=12, acquire_timeout=40)
        store = f"sqlite:///{tmp_path / 'sessions.db'}?synchronous=normal"
        with SankhyaContext(settings, store=store) as ctx:
            seen = crowd(ctx, threads=16, calls=30)
            stats = ctx.get_session_stats()
        check(double, seen, calls=16 * 30, cap=12)
        counters = double.counters
        # One login for each session that was made, and one for each death that somebody met.
        assert counters.logins_ok <= stats["total_created"] + counters.expirations
        assert stats["token_renewals"] == counters.logins_ok - stats["total_created"]
