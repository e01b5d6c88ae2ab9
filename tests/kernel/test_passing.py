"""How far a follower passes what answers have told."""

from __future__ import annotations

from insession.kernel.passing import Passed

EPOCH = "0123abcd"


def test_a_cursor_goes_on_behind_what_answers_told() -> None:
    passed = Passed()
    assert passed.onward(f"{EPOCH}:3") == f"{EPOCH}:3"
    passed.note(EPOCH, 3, 5)
    passed.note(EPOCH, 5, 6)
    assert passed.onward(f"{EPOCH}:3") == passed.onward(f"{EPOCH}:4") == f"{EPOCH}:6"
    # Who has not read what was there before reads it.
    assert passed.onward(f"{EPOCH}:2") == f"{EPOCH}:2"
    assert passed.onward(f"{EPOCH}:9") == f"{EPOCH}:9"
    # What somebody else wrote between is read.
    passed.note(EPOCH, 8, 9)
    assert passed.onward(f"{EPOCH}:6") == f"{EPOCH}:6"
    assert passed.onward(f"{EPOCH}:8") == f"{EPOCH}:9"


def test_another_epoch_passes_nothing() -> None:
    passed = Passed()
    passed.note(EPOCH, 0, 7)
    assert passed.onward("ffffffff:0") == "ffffffff:0"
    passed.note("ffffffff", 0, 1)
    assert passed.onward(f"{EPOCH}:0") == f"{EPOCH}:0"
    assert passed.onward("ffffffff:0") == "ffffffff:1"


def test_a_later_answer_that_comes_first_takes_nothing_back() -> None:
    passed = Passed()
    passed.note(EPOCH, 5, 6)
    passed.note(EPOCH, 4, 5)
    assert passed.onward(f"{EPOCH}:5") == f"{EPOCH}:6"
    assert passed.onward(f"{EPOCH}:4") == f"{EPOCH}:4"
