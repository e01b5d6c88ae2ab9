"""How the double behaves: who may log in, what it holds, how it says that a session is dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from insession.errors import ConfigurationError
from insession.kernel.urls import unknown

Expiry = Literal["http500", "status3", "status0", "http401"]
Row = Mapping[str, str | int | float | None]


class DoubleSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The configuration of a `SankhyaDouble`; each field is also a keyword of it, and of its `change`."""

    username: str = "SUP"
    password: str = "secret"  # noqa: S105 - a double's
    user_code: int = 0
    """What a login answers as ``idusu``."""
    expired_user: bool = False
    """Right credentials are refused with `Usuário expirou`."""
    admin: bool = True
    """Whether this user may list and kill sessions."""

    expiry: Expiry = "http500"
    """How a dead session is answered; the four forms that servers are known to use."""
    status_message: Literal["base64", "plain"] = "base64"
    message_encoding: Literal["utf-8", "iso-8859-1"] = "utf-8"
    """Of the text inside of base64."""
    xml_encoding: Literal["ISO-8859-1", "UTF-8"] = "ISO-8859-1"
    logout_unknown: Literal["ok", "expired"] = "ok"
    """The answer to the logout of a session that is dead already."""

    login_latency: float = 0.0
    latency: float = 0.0
    """Seconds before any other answer."""
    idle_timeout: float = 1800.0
    """Seconds after its last request at which a session dies."""
    session_max_requests: int | None = None
    """A session dies after so many requests."""
    max_sessions: int | None = None
    limit_policy: Literal["refuse", "evict_oldest"] = "refuse"
    limit_message: str = "Maximum sessions exceeded"
    """The real server's wording is not known."""
    overlap: Literal["count", "competition"] = "count"
    """What a second request at once on one session gets: an answer, or the error about competition."""

    seed: int = 0
    """Partners beside the three that are there."""
    rows: Mapping[str, Sequence[Row]] = {}
    """Further entities with their rows; the first column is the key."""
    first_page: int = 150
    next_page: int = 300
    answers: Mapping[str, str] = {}
    """Services of your own: name to the content of the response body, as XML."""
    files: Mapping[str, str] = msgspec.field(default_factory=lambda: {"Sistema/manual.txt": "Instruções"})
    """The repository: path to content."""

    client_id: str = "client"
    client_secret: str = "client-secret"  # noqa: S105 - a double's
    x_token: str = "x-token"  # noqa: S105 - a double's
    appkey: str = "app-key"
    token_ttl: float = 300.0
    """Seconds that a bearer of the gateway lives."""
    refresh_tokens: bool = True
    """Whether the gateway gives refresh tokens, which are good once."""
    dead_bearer_status: Literal[200, 401] = 200


def settings_of(options: Mapping[str, Any]) -> DoubleSettings:
    """Settings from keywords; `ConfigurationError` names what is unknown or wrong."""
    known = DoubleSettings.__struct_fields__
    for name in options:
        if name not in known:
            raise ConfigurationError(unknown("setting of the double", name, known))
    try:
        return msgspec.convert(options, DoubleSettings)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"settings of the double: {error}") from None


def change(settings: DoubleSettings, options: Mapping[str, Any]) -> None:
    """Change some; nothing is changed if one is wrong."""
    changed = settings_of(msgspec.structs.asdict(settings) | dict(options))
    for name in options:
        setattr(settings, name, getattr(changed, name))
