"""A session handed to another process."""

from __future__ import annotations

import pytest

from insession.testing import SankhyaDouble

from .conftest import Run
from .running import wait_until

pytestmark = pytest.mark.processes
FIND = "CRUDServiceProvider.loadRecords"
GIVER = """
import json
ctx = SankhyaContext.from_settings()
token = ctx.acquire_session()
say(json.dumps([str(token), ctx.detach_session(token)]))
sys.stdin.readline()
ctx.dispose()
"""
TAKER = """
import json, uuid
ctx = SankhyaContext.from_settings()
say("ready")
token, blob = json.loads(sys.stdin.readline())
token = uuid.UUID(token)
ctx.attach_session(token, blob)
request = {"dataSet": {"rootEntity": "Parceiro", "criteria": {"expression": {"$": "CODPARC = 3"}},
                       "entity": {"fieldset": {"list": "NOMEPARC"}}}}
say(ctx.invoke_with_token(token, "CRUDServiceProvider.loadRecords", request).status)
try:
    SankhyaContext.from_settings().attach_session(token, blob)
except Exception as error:
    say(type(error).__name__, error)
sys.stdin.readline()
ctx.dispose()
"""


@pytest.mark.requirement("S52", "S53")
def test_another_process_goes_on_in_the_same_session(double: SankhyaDouble, start: Run) -> None:
    giver, taker = start(GIVER), start(TAKER)
    blob = giver.line()
    assert taker.line() == "ready"
    before = double.sessions()
    logins = double.counters.logins_ok
    taker.say(blob)
    assert taker.line() == "1"
    used = double.requests("loadRecords")[-1].session
    assert used in before
    assert double.counters.logins_ok == logins == 3
    giver.say()
    assert giver.end()[0] == 0
    # What the giver held, but for what it gave away.
    assert used in double.sessions()
    assert "Refused" in taker.line()
    taker.say()
    assert taker.end()[0] == 0
    wait_until(lambda: double.counters.live_sessions == 0, "the taker logs out what it attached")
    assert double.counters.logouts == double.counters.logins_ok


@pytest.mark.requirement("S54")
def test_a_blob_that_nobody_attaches_is_logged_out(double: SankhyaDouble, start: Run) -> None:
    giver = start(GIVER.replace("detach_session(token)", "detach_session(token, lifetime=0.5)"))
    giver.line()
    giver.kill()
    after = start("ctx = SankhyaContext.from_settings()\nsay('ready')\nsys.stdin.readline()\nctx.dispose()")
    assert after.line() == "ready"
    wait_until(lambda: double.counters.live_sessions == 1, "the detached session is logged out")
    assert (double.counters.logouts, double.counters.logouts_unknown) == (2, 0)
