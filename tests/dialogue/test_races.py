from __future__ import annotations

import random

from insession.dialogue.races import FIRST, MOST, pause


def test_who_loses_once_tries_again_at_once() -> None:
    assert pause(1) == 0.0


def test_who_goes_on_losing_waits_for_a_random_time_that_grows_up_to_a_bound() -> None:
    random.seed(7)
    longest = {lost: max(pause(lost) for _ in range(1_000)) for lost in range(2, 120)}
    assert 0.9 * 4 * FIRST < longest[2] <= 4 * FIRST
    assert all(0.9 * MOST < longest[lost] <= MOST for lost in range(6, 120))
    assert len({pause(9) for _ in range(100)}) == 100
