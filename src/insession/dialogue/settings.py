"""What a dialogue may be told, checked at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from insession.errors import ConfigurationError, InvalidInput
from insession.kernel.ids import check_count, check_seconds, check_text

from .messages import Message, Reply, check_said

OnBusy = Literal["queue", "reject", "replace", "merge"]
OnLost = Literal["cancel", "tell"]
Send = Callable[[Message, Sequence[Reply]], Awaitable[object]]
"""Sends the replies of a turn to the chat of its message."""
MOST_UNDO: Final = 20
MOST_QUEUE: Final = 10_000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a dialogue. Durations are seconds.

    Args:
        bot: The name of the bot: whom a message is for that does not say.
        expire: A session ends so long after its last turn; None: never.
        max_age: A session ends so long after its first turn, whatever happens; None: never.
        lease: A turn whose process dies blocks its chat for so long; it is renewed while the turn runs.
        on_busy: What becomes of a message while a turn of its chat runs: it waits its turn (``queue``), is refused
            (``reject``), takes the turn's place (``replace``), or is answered together with all others that wait
            (``merge``).
        max_wait: So long a message waits, then it is refused; None: for ever.
        max_queue: So many messages of a chat may wait; one more is refused.
        on_lost: A turn whose lease is lost is cancelled (``cancel``), or goes on and sees it in ``session.lost``
            (``tell``). It can save nothing in both cases.
        undo: So many turns can be taken back; 0: none.
        outbox: Replies are kept until they have been sent.
        retries: So often `Dialogue.handle` runs a turn again that another chat's change of a memory spoilt.
        debug: Texts such as ``#navigation.home#`` mean the intent of that name.
        missed: The reply where nobody handled the message; None: no reply.
        farewell: The reply where the session ends by `Session.quit`; None: no reply.
        apology: The reply where the session ends because its data is lost or it runs in circles; None: no reply.
    """

    bot: str = "bot"
    expire: float | None = 3600.0
    max_age: float | None = None
    lease: float = 10.0
    on_busy: OnBusy = "queue"
    max_wait: float | None = 30.0
    max_queue: int = 100
    on_lost: OnLost = "cancel"
    undo: int = 2
    outbox: bool = False
    retries: int = 100
    debug: bool = False
    missed: str | None = "I did not understand that."
    farewell: str | None = "Good-bye."
    apology: str | None = "Something went wrong; let us begin anew."


def settings_of(**options: Any) -> Settings:
    """The settings, if all of them can be taken; the error names the first that cannot."""
    settings = Settings(**options)
    try:
        for field in ("expire", "max_age", "max_wait"):
            if getattr(settings, field) is not None:
                check_seconds(getattr(settings, field), field, least=0.0 if field == "max_wait" else 0.001)
        check_seconds(settings.lease, "lease", least=0.001)
        check_count(settings.max_queue, "max_queue", MOST_QUEUE)
        _check_said(settings)
        for field, most in (("undo", MOST_UNDO), ("retries", 10_000)):
            if getattr(settings, field) != 0:
                check_count(getattr(settings, field), field, most)
    except InvalidInput as error:
        raise InvalidSetting(str(error)) from None
    for field, choices in (("on_busy", OnBusy), ("on_lost", OnLost)):
        if getattr(settings, field) not in get_args(choices):
            raise InvalidSetting(f"{field}: is one of {', '.join(get_args(choices))}")
    return settings


def _check_said(settings: Settings) -> None:
    """Texts and switches; `InvalidInput` names the first that is none."""
    check_text(settings.bot, "bot")
    for field in ("missed", "farewell", "apology"):
        if getattr(settings, field) is not None:
            check_said(getattr(settings, field), field)
    for field in ("outbox", "debug"):
        if not isinstance(getattr(settings, field), bool):
            raise InvalidInput(field, "is True or False")


class InvalidSetting(ConfigurationError, ValueError):
    """A setting has a value that cannot work; also a `ValueError`, as the document's users expect."""
