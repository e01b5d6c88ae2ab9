"""What a dialogue is told wrongly, it says at once, by the name of the option."""

from __future__ import annotations

from typing import Any

import pytest

from insession import ConfigurationError
from insession.dialogue import Dialogue, Message, NavigationPipe

from .samples import REGISTRY, Order


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("pipes", value) for value in ([3], "navigation", 3, [NavigationPipe])),
        *(("session_class", value) for value in (int, "Session")),
        *(("memories", value) for value in ("UserInfo", [Order])),
        *((option, 3) for option in ("send", "understand", "registry", "bot_config", "scenes")),
        *(("bot", value) for value in ("", 3, "a\nb")),
        *((option, 3) for option in ("missed", "farewell", "apology", "outbox", "debug")),
        *(("lease", value) for value in (0, float("nan"), "long")),
        *((option, "sometimes") for option in ("on_busy", "on_lost", "max_wait", "max_age", "retries", "undo")),
        ("max_queue", 0),
    ],
)
def test_an_option_that_cannot_be(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        Dialogue("memory:", **{"registry": REGISTRY, option: value})


def test_an_option_that_nobody_knows() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'on_busy'"):
        Dialogue("memory:", on_bussy="queue")


async def test_a_pipe_that_is_not_async() -> None:
    def plain(session: Any, _: Any) -> Any:
        return session

    async with Dialogue("memory:", registry=REGISTRY, pipes=[plain]) as dialogue:
        with pytest.raises(ConfigurationError, match="pipe plain is no async function"):
            await dialogue.handle(Message(user_id="ann"))
