"""Where a turn happens: fifteen dimensions, and the ids of memories that are kept by some of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from insession.errors import ConfigurationError, InvalidInput
from insession.kernel.urls import unknown

from .messages import Message, digest


class Scope(msgspec.Struct, frozen=True):
    """The dimensions of a turn, all of them texts. The calendar is that of the message's time, in its own zone.

    ``week`` and ``week_day`` are those of ISO 8601: weeks begin on Monday, which is day 1.
    """

    session_id: str
    user_id: str
    platform: str
    bot: str
    chat_id: str
    turn_id: str
    message_id: str
    date: str
    year: str
    month: str
    day: str
    week: str
    week_day: str
    hour: str
    minute: str

    def as_dict(self) -> dict[str, str]:
        """Every dimension by its name."""
        return {name: getattr(self, name) for name in DIMENSIONS}

    def as_json(self) -> str:
        """The same as JSON."""
        return msgspec.json.encode(self).decode()


DIMENSIONS: Final = Scope.__struct_fields__
_CALENDAR: Final = ("%Y-%m-%d", "%Y", "%m", "%d", "%V", "%u", "%H", "%M")


def check_dimensions(names: Iterable[str], of: str) -> tuple[str, ...]:
    """Dimensions in the order of their names; `ConfigurationError` names one that nobody knows."""
    if isinstance(names, str):
        raise ConfigurationError(f"{of}: scope is several names, as in scope=({names!r},)")
    chosen = tuple(sorted(set(names)))
    for name in chosen:
        if name not in DIMENSIONS:
            raise ConfigurationError(f"{of}: {unknown('dimension', str(name), DIMENSIONS)}")
    return chosen


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
        raise InvalidInput("zone", f"{name!r} is no time zone, as in Europe/Berlin") from None


def calendar(at: float, zone: str) -> tuple[str, ...]:
    """Date, year, month, day, week, day of the week, hour and minute of a time."""
    where = UTC if zone == "UTC" else _zone(zone)
    try:
        when = datetime.fromtimestamp(at, where)
    except (ValueError, OverflowError, OSError, TypeError):
        raise InvalidInput("at", "is a time in seconds since the epoch") from None
    return _shown(when.replace(second=0, microsecond=0))


@lru_cache(maxsize=64)
def _shown(minute: datetime) -> tuple[str, ...]:
    return tuple(minute.strftime(form) for form in _CALENDAR)


def scope_of(message: Message, ids: tuple[str, str, str, str], now: float) -> Scope:
    """The scope of a turn; ``ids`` are those of its session, chat, bot and turn."""
    session_id, chat_id, bot, turn_id = ids
    at = now if message.at is None else message.at
    return Scope(
        session_id,
        message.user_id or "",
        message.platform,
        bot,
        chat_id,
        turn_id,
        message.message_id or "",
        *calendar(at, message.zone),
    )


def memory_id(tag: str, dimensions: tuple[str, ...], scope: Scope) -> str:
    """The id of a memory: the same in every process, whatever the order in which its dimensions were declared."""
    return digest("memory", tag, *(part for name in dimensions for part in (name, getattr(scope, name))))
