"""`kill -9`: whoever comes next, or lives on, logs out what the dead held; nobody else's."""

from __future__ import annotations

import pytest

from insession.testing import SankhyaDouble

from .conftest import House, Run
from .running import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
HOLDER = """
ctx = SankhyaContext.from_settings()
tokens = [ctx.acquire_session() for _ in range(2)]
say("holds")
while sys.stdin.readline():
    say(len(ctx.wrapper.find(Partner, "CODPARC = 3")), *sorted(ctx.get_session_stats().items()))
ctx.dispose()
"""
FINALIZER = """
from insession.kernel import recovery
recovery.FINISH_TTL = 1.0
ctx = SankhyaContext.from_settings()
token = ctx.acquire_session()
say("holds")
sys.stdin.readline()
ctx.finalize_session(token)
say("finalized")
"""


@pytest.mark.requirement("S44")
def test_the_next_process_ends_what_a_dead_one_held_and_nothing_of_a_living_one(
    double: SankhyaDouble, start: Run
) -> None:
    dead, living = start(HOLDER), start(HOLDER)
    assert dead.line() == living.line() == "holds"
    assert double.counters.live_sessions == 6
    of_the_living = {one.session for one in double.log[-6:]}
    dead.kill()
    after = start(HOLDER)
    assert after.line() == "holds"
    wait_until(lambda: double.counters.live_sessions == 6, "the dead one's sessions are logged out")
    counters = double.counters
    assert (counters.logouts, counters.logouts_unknown, counters.kills) == (3, 0, 0)
    logins = counters.logins_ok
    living.say()
    assert living.line().startswith("1 ")
    assert double.counters.logins_ok == logins
    assert of_the_living
    for one in (living, after):
        assert one.end() == (0, "")
    counters = double.counters
    assert (counters.live_sessions, counters.orphans, counters.logouts) == (0, 0, counters.logins_ok)
    assert counters.violations == ()


@pytest.mark.requirement("S48")
def test_two_recoveries_at_once_end_each_session_once(double: SankhyaDouble, start: Run) -> None:
    dead = start(HOLDER)
    assert dead.line() == "holds"
    dead.kill()
    double.change(latency=0.1)
    after = [start(HOLDER) for _ in range(2)]
    assert {one.line() for one in after} == {"holds"}
    wait_until(lambda: double.counters.live_sessions == 6, "the dead one's sessions are logged out")
    assert (double.counters.logouts, double.counters.logouts_unknown) == (3, 0)


@pytest.mark.requirement("S44")
def test_a_death_between_the_ending_and_the_log_out(double: SankhyaDouble, start: Run) -> None:
    """Its lease for the work after an ending has to run out: a second here, else 30."""
    double.inject("hold", service="logout")
    dead = start(FINALIZER)
    assert dead.line() == "holds"
    dead.say()
    wait_until(lambda: double.requests("logout"), "the logout is under way")
    dead.kill()
    assert double.counters.live_sessions == 2
    after = start(HOLDER)
    assert after.line() == "holds"
    wait_until(lambda: double.counters.live_sessions == 3, "both are logged out")
    assert double.counters.logouts == 2


@pytest.mark.requirement("S45", "S46")
def test_a_death_within_a_login(double: SankhyaDouble, start: Run) -> None:
    """The service has given a session, and the only one who could have known of it is dead."""
    environ = {"SANKHYA_FIND_LOST_SESSIONS": "true"}
    double.inject("hold", service="login", when="after")
    dead = start("SankhyaContext.from_settings()", **environ)
    wait_until(lambda: double.counters.logins_ok == 1, "the service has a session that nobody knows")
    dead.kill()
    after = start(HOLDER, **environ)
    assert after.line() == "holds"
    wait_until(lambda: double.counters.live_sessions == 3, "the lost session is found and ended")


def die_among_the_living(house: House) -> None:
    """Somebody lives on, and nobody starts: a node counts as dead after 15 s. A part of the soak."""
    living, dead = house.start(HOLDER), house.start(HOLDER)
    assert dead.line() == living.line() == "holds"
    dead.kill()
    wait_until(lambda: house.double.counters.live_sessions == 3, "the dead one's sessions are logged out")
    assert (house.double.counters.logouts, house.double.counters.logouts_unknown) == (3, 0)
    living.say()
    assert living.line().startswith("1 ")
