"""What is kept of a user, as the configuration allows, and how a session is told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from insession.errors import DataUnreadable, InvalidInput
from insession.kernel.codec import decode
from insession.kernel.record import Record, State

from .addresses import parse_address

COMPLETED: Final = "completed"
LONGEST_AGENT: Final = 8_192


def status_word(state: State) -> str:
    """A state in this face's words: what was closed is ``completed``."""
    return COMPLETED if state is State.CLOSED else state.value


def _decoded(record: Record) -> Any:
    return decode(record.data, None, record.id)


class Keeping:
    """The rules of privacy: what is not to be tracked is not even looked at."""

    __slots__ = ("_addresses", "_agents", "_read", "_timestamps", "_users", "own", "own_digest")

    def __init__(self, config: Mapping[str, Any], read: Callable[[Record], Any] = _decoded) -> None:
        self._read = read
        self._users: bool = config["tracking_enabled"]
        self._agents: bool = self._users and config["track_user_agents"]
        self._addresses: bool = self._users and config["track_ip_addresses"]
        self._timestamps: bool = self._users and config["track_timestamps"]
        self.own: str | None = None
        """This machine's hardware id, which is nobody's secret here, and what records name it by."""
        self.own_digest: str | None = None

    def data(self, hardware_id: str | None, user_agent: object, ip_address: object, context: object) -> dict[str, Any]:
        """The data of a session that begins. `InvalidInput` names what cannot be taken."""
        if user_agent is not None and not isinstance(user_agent, str):
            raise InvalidInput("user_agent", f"is a text, not {type(user_agent).__name__}")
        if context is not None and not isinstance(context, Mapping):
            raise InvalidInput("context", f"is a dict, not {type(context).__name__}")
        if not self._users:
            return {}
        data: dict[str, Any] = {} if hardware_id is None else {"hardware_id": hardware_id}
        if self._agents and user_agent is not None:
            data["user_agent"] = _checked_agent(user_agent)
        if self._addresses and ip_address is not None:
            data["ip_address"] = parse_address(ip_address)
        if context:
            data["context"] = dict(context)
        return data

    def described(self, record: Record, state: State, reason: str | None, seen: float) -> dict[str, Any]:
        """What a session says, see `LiveSession`."""
        data = self._data(record)
        known = data.get("hardware_id")
        return {
            "session_id": record.id,
            "hardware_id": self.own if known is None and record.owner == self.own_digest else known,
            "interrupt_flag": state is not State.ACTIVE,
            "status": status_word(state),
            "created_at": record.opened if self._timestamps else None,
            "last_activity": seen if self._timestamps else None,
            "context": data.get("context", {}),
            "user_agent": data.get("user_agent"),
            "ip_address": data.get("ip_address"),
            "interrupt_reason": reason,
            "outcome": record.stopped,
            "version": record.version,
        }

    def _data(self, record: Record) -> Any:
        """What is kept of a session. One that was set aside tells of its end, and of nothing that was broken."""
        try:
            return self._read(record)
        except DataUnreadable:
            if record.live:
                raise
            return {}


def _checked_agent(user_agent: str) -> str:
    if len(user_agent) > LONGEST_AGENT:
        raise InvalidInput("user_agent", f"has at most {LONGEST_AGENT} characters, not {len(user_agent)}")
    try:
        user_agent.encode()
    except UnicodeEncodeError:
        raise InvalidInput("user_agent", "holds half a character") from None
    return user_agent
