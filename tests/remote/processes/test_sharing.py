"""Several processes on one store: one cap, one bearer."""

from __future__ import annotations

import pytest

from insession.testing import SankhyaDouble

from .conftest import Run

pytestmark = pytest.mark.processes
CAPPED = """
ctx = SankhyaContext.from_settings()
say("ready")
sys.stdin.readline()
found = []

def work():
    for _ in range(6):
        token = ctx.acquire_session()
        found.append(len(ctx.wrapper.find(Partner, "CODPARC = 2")))
        ctx.finalize_session(token)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctx.dispose()
say(sum(found))
"""
BEARER = """
ctx = SankhyaContext.from_settings()
ctx.wrapper.find(Partner, "CODPARC = 2")
for _ in range(2):
    say("ready")
    sys.stdin.readline()
    threads = [threading.Thread(target=lambda: found.append(len(ctx.wrapper.find(Partner, "CODPARC = 2"))))
               for _ in range(8)]
    found = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say(sum(found))
ctx.dispose()
"""


@pytest.mark.requirement("S57", "S56")
def test_three_processes_under_one_cap(double: SankhyaDouble, start: Run) -> None:
    double.change(max_sessions=4)
    programs = [start(CAPPED, SANKHYA_MAX_SESSIONS="4") for _ in range(3)]
    assert {one.line() for one in programs} == {"ready"}
    for one in programs:
        one.say()
    assert [one.line() for one in programs] == ["24"] * 3
    assert [one.end()[0] for one in programs] == [0] * 3
    counters = double.counters
    assert (counters.logins_refused_limit, counters.live_sessions, counters.overlaps) == (0, 0, 0)
    assert counters.peak_live_sessions == 4
    assert counters.logouts == counters.logins_ok


@pytest.mark.requirement("S70")
def test_three_processes_renew_a_bearer_once(double: SankhyaDouble, start: Run) -> None:
    gateway = {
        "SANKHYA_AUTH_BASE_URL": double.url,
        "SANKHYA_CLIENT_ID": "client",
        "SANKHYA_CLIENT_SECRET": "client-secret",
        "SANKHYA_TOKEN": "x-token",
    }
    programs = [start(BEARER, **gateway) for _ in range(3)]
    assert {one.line() for one in programs} == {"ready"}
    before = double.counters
    double.change(login_latency=0.2)
    double.expire_bearers()
    for one in programs:
        one.say()
    assert [one.line() for one in programs] == ["8"] * 3
    counters = double.counters
    renewed = counters.refreshes + counters.authentications - before.refreshes - before.authentications
    assert (renewed, counters.refresh_reuse) == (1, 0)
    assert {one.line() for one in programs} == {"ready"}
    double.expire_bearers()
    for one in programs:
        one.say()
    assert [one.line() for one in programs] == ["8"] * 3
    assert double.counters.refresh_reuse == 0
    assert [one.end()[0] for one in programs] == [0] * 3
