"""Settings: from keywords, else the environment, else a ``.env`` file."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Never
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from insession.kernel.urls import unknown

from .errors import SankhyaSettingsError

PREFIX: Final = "SANKHYA_"
GATEWAY: Final = "https://api.sankhya.com.br"
ENVIRONMENTS: Final = {8180: "production", 8280: "sandbox", 8380: "training"}
"""Which port is usually which."""
_NEEDED: Final = ("base_url", "username", "password")
_NEEDED_OF_A_GATEWAY: Final = ("client_id", "client_secret", "token")


class SankhyaSettings(BaseSettings):
    """What a context needs to know. Each is a keyword, and ``SANKHYA_`` with its name in capitals in the environment.

    Raises `SankhyaSettingsError`, which names everything that is missing or wrong at once, and shows no value.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    base_url: str = ""
    """Scheme, host, port and path of the ERP, as in ``https://erp.example.com:8180``; or, in its place:"""
    url: str = Field(default="", repr=False)
    """scheme and host, with the port in `port`."""
    port: int = Field(default=8180, ge=1, le=65_535)
    username: str = Field(default="", repr=False)
    password: SecretStr = SecretStr("")
    session_timeout: float = Field(default=300.0, ge=0)
    """A session that was idle for so many seconds is renewed before it is used; 0: never before the service says so."""
    auto_renew_session: bool = True
    environment: str = ""
    """A name, for logs; empty: the port's usual one."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds for the connection, and for each silence of an answer."""
    max_retries: int = Field(default=3, ge=0, le=20)
    """So often a request that may be sent again is, and a login that failed."""
    log_level: str = ""
    """A level for the face's logger; empty: it stays as it is."""
    dialect: Literal["xml", "json"] = "xml"
    max_sessions: int | None = Field(default=None, ge=1)
    """So many sessions at most, of all processes that share the store; None: no limit of ours."""
    acquire_timeout: float = Field(default=30.0, gt=0)
    """Seconds to wait for a free session."""
    max_response_bytes: int = Field(default=32 * 2**20, ge=1_024)
    ca_file: Path | None = None
    """Certificates to trust, for a service with a private authority; None: the system's."""
    find_lost_sessions: bool = False
    """Look for sessions whose login was never answered, by `SessionManagerSP`: this user needs the right to it."""
    client_id: SecretStr = SecretStr("")
    client_secret: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    """The X-Token of the gateway."""
    auth_base_url: str = GATEWAY
    """Where the gateway is: with `client_id`, `client_secret` and `token` it is used instead of a login."""

    def __init__(self, **values: Any) -> None:
        known = set(type(self).model_fields)
        for name in values:
            if name not in known and not name.startswith("_"):
                raise SankhyaSettingsError(unknown("setting", name, known), (name,))
        try:
            super().__init__(**values)
        except ValidationError as error:
            # Not chained: what pydantic raises knows the values.
            wrong = {str(one["loc"][0]): str(one["msg"]).removeprefix("Value error, ") for one in error.errors()}
        else:
            wrong = self._problems()
        if wrong:
            text = "; ".join(f"{name} ({_variable(name)}): {problem}" for name, problem in wrong.items())
            raise SankhyaSettingsError(text, tuple(wrong)) from None

    @property
    def address(self) -> str:
        """Where calls go, without a slash at its end: scheme, host, port and path."""
        if self.by_gateway:
            return _clean(self.auth_base_url)
        return _clean(self.base_url) if self.base_url else _clean(self.url, self.port)

    @property
    def by_gateway(self) -> bool:
        """Whether calls go over the gateway: all that it needs is there."""
        return all(self._has(name) for name in _NEEDED_OF_A_GATEWAY)

    @property
    def plain_text(self) -> bool:
        """Whether credentials travel over a network in clear."""
        return _is_plain(self.address)

    @property
    def named_environment(self) -> str:
        """`environment`, or what the port usually is."""
        return self.environment or ENVIRONMENTS.get(urlsplit(self.address).port or 0, "unknown")

    @field_validator("base_url", "url", "auth_base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            parts = urlsplit(value)
            try:
                port = parts.port
            except ValueError:
                port = 0
            if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
                raise ValueError("is like https://erp.example.com:8180")
            if parts.username or parts.password or parts.query or parts.fragment:
                raise ValueError("has no user, no password, no query and no fragment")
        return value

    @field_validator("username", "password")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if "\0" in text:
            raise ValueError("has a NUL in it")
        return value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        level = value.upper()
        if level not in {"", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
            raise ValueError("is one of DEBUG, INFO, WARNING, ERROR, CRITICAL")
        return level

    def _problems(self) -> dict[str, str]:
        """What is missing of the way that was begun, unless the other one is complete."""
        missing = [name for name in _NEEDED if not self._has(name)]
        if not missing or self.by_gateway:
            return {}
        if any(self._has(name) for name in _NEEDED_OF_A_GATEWAY):
            missing = [name for name in _NEEDED_OF_A_GATEWAY if not self._has(name)]
        return dict.fromkeys(missing, "is missing")

    def __reduce__(self) -> Never:
        raise TypeError("settings hold a password, and are not pickled; make them in each process")

    def _has(self, name: str) -> bool:
        value = getattr(self, name)
        if isinstance(value, SecretStr):
            return bool(value.get_secret_value())
        return bool(value) or (name == "base_url" and bool(self.url))


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _clean(address: str, port: int | None = None) -> str:
    parts = urlsplit(address)
    netloc = parts.netloc
    if port is not None and parts.port is None:
        netloc = f"{netloc}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))


def _is_plain(address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
