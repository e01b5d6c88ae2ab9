"""The gateway: bearers for client credentials, and refresh tokens that are good once."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .counters import Tally
from .sessions import Sessions
from .settings import DoubleSettings

DEAD: Final[dict[str, object]] = {
    "fieldSet": None,
    "paginate": None,
    "error": {"codigo": "GTW3403", "descricao": "Bearer Token inválido ou Expirado."},
}
"""What a call with a dead bearer gets."""


@dataclass(slots=True)
class Grant:
    """A bearer, what renews it, and the session behind it."""

    until: float
    session: str


class Gateway:
    """Gives out bearers."""

    def __init__(self, settings: DoubleSettings, tally: Tally, sessions: Sessions) -> None:
        self._settings = settings
        self._tally = tally
        self._sessions = sessions
        self._bearers: dict[str, Grant] = {}
        self._refreshes: dict[str, str] = {}
        """Refresh token to the session behind it."""
        self._used: set[str] = set()

    def authenticate(self, form: Mapping[str, str], headers: Mapping[str, str], host: str) -> tuple[int, bytes]:
        """``POST /authenticate``."""
        self._tally.add("authentications")
        settings = self._settings
        given = (form.get("client_id"), form.get("client_secret"), headers.get("X-Token"))
        right = (settings.client_id, settings.client_secret, settings.x_token)
        if given != right or form.get("grant_type") != "client_credentials":
            return _refused("invalid_client")
        return self._granted(headers, host)

    def login(self, headers: Mapping[str, str], host: str) -> tuple[int, bytes]:
        """``POST /login``, the older way."""
        self._tally.add("authentications")
        settings = self._settings
        given = tuple(headers.get(name) for name in ("token", "appkey", "username", "password"))
        if given != (settings.x_token, settings.appkey, settings.username, settings.password):
            return 401, json_bytes({"bearerToken": None, "error": {"descricao": "Usuário/Senha inválido"}})
        session = self._sessions.begin(headers.get("User-Agent", ""), host)
        return 200, json_bytes({"bearerToken": self._bearer(session.id if session else ""), "error": None})

    def refresh(self, form: Mapping[str, str], headers: Mapping[str, str], host: str) -> tuple[int, bytes]:
        """``POST /token/refresh``: the old refresh token is void from then on."""
        self._tally.add("refreshes")
        token = form.get("refresh_token", "")
        if token in self._used:
            self._tally.add("refresh_reuse")
        session = self._refreshes.pop(token, None)
        if session is None or headers.get("X-Token") != self._settings.x_token:
            return _refused("invalid_grant")
        self._used.add(token)
        return self._granted(headers, host, session)

    def session(self, authorization: str) -> str | None:
        """The session behind a bearer; None if the bearer is dead."""
        grant = self._bearers.get(authorization.removeprefix("Bearer ").strip())
        return grant.session if grant is not None and time.monotonic() < grant.until else None

    def expire(self) -> None:
        """Let every bearer die; the refresh tokens live on."""
        self._bearers.clear()

    def _granted(self, headers: Mapping[str, str], host: str, session: str = "") -> tuple[int, bytes]:
        if session not in self._sessions.live:
            begun = self._sessions.begin(headers.get("User-Agent", ""), host)
            session = begun.id if begun else ""
        said = {
            "access_token": self._bearer(session),
            "token_type": "Bearer",
            "expires_in": self._settings.token_ttl,
        }
        if self._settings.refresh_tokens:
            said["refresh_token"] = token = secrets.token_urlsafe(24)
            self._refreshes[token] = session
        return 200, json_bytes(said)

    def _bearer(self, session: str) -> str:
        bearer = secrets.token_urlsafe(24)
        self._bearers[bearer] = Grant(time.monotonic() + self._settings.token_ttl, session)
        return bearer


def _refused(error: str) -> tuple[int, bytes]:
    return 401, json_bytes({"error": error, "error_description": "Credenciais inválidas."})


def json_bytes(said: object) -> bytes:
    """What JSON is on the wire here."""
    return json.dumps(said, ensure_ascii=False).encode()
