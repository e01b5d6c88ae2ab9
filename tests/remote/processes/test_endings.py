"""Programs that end without disposing of their context."""

from __future__ import annotations

import signal

import pytest

from insession.testing import SankhyaDouble

from .conftest import Run

pytestmark = pytest.mark.processes
HOLD = """
ctx = SankhyaContext.from_settings()
ctx.acquire_session()
ctx.wrapper.find(Partner, "CODPARC = 1")
"""


@pytest.mark.requirement("S43")
@pytest.mark.parametrize(
    ("how", "code"),
    [("pass", 0), ("sys.exit(3)", 3), ("raise ValueError", 1), ("ctx.wrapper.find(Partner, 'NADA = 1')", 1)],
    ids=["its end", "sys.exit", "an exception", "an error of the service"],
)
def test_it_logs_out(double: SankhyaDouble, start: Run, how: str, code: int) -> None:
    exited, errors = start(f"{HOLD}\n{how}").end()
    assert exited == code, errors
    counters = double.counters
    assert (counters.live_sessions, counters.logouts, counters.logouts_unknown) == (0, 2, 0)


@pytest.mark.requirement("S43")
def test_sigterm_with_the_handler_that_one_asks_for(double: SankhyaDouble, start: Run) -> None:
    program = start(
        f"from insession.remote import exit_on_sigterm\nexit_on_sigterm()\n{HOLD}\nsay('holds')\ntime.sleep(60)"
    )
    assert program.line() == "holds"
    program.signal(signal.SIGTERM)
    assert program.end() == (143, "")
    assert (double.counters.live_sessions, double.counters.logouts) == (0, 2)


@pytest.mark.requirement("S2")
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_a_ctrl_c_in_the_block(double: SankhyaDouble, start: Run, number: signal.Signals) -> None:
    program = start(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with SankhyaContext.from_settings() as ctx:
                ctx.acquire_session()
                say("holds")
                time.sleep(60)
        except KeyboardInterrupt:
            say("interrupted")
        """
    )
    assert program.line() == "holds"
    program.signal(number)
    assert program.line() == "interrupted"
    code, errors = program.end()
    assert (code, errors) == (0, "")
    assert (double.counters.live_sessions, double.counters.logouts) == (0, 2)
