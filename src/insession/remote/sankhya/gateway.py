"""The OAuth gateway: one bearer for all sessions of all processes that share a store.

A refresh token is good once. So whoever needs a new bearer takes a lock in the store, looks whether somebody else has
left one there, takes the refresh token out before it is used, and leaves what it was given: nobody ever shows one
twice, not even after a crash. What lies in the store is sealed (AES-GCM) with a key derived from the client's secret.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from insession.errors import StoreError
from insession.kernel.engine import Engine
from insession.remote.alone import alone
from insession.remote.contracts import Call, Ticket
from insession.remote.errors import CredentialsRefused, OutcomeLost, Report, SessionGone
from insession.remote.logs import logger

from .dialect import HTTP_OK, JSON, UNAUTHORIZED, gone, judged
from .errors import (
    SankhyaException,
    SankhyaInputError,
    ServiceRequestInvalidCredentialsException,
)
from .login import digest
from .request import ServiceRequest, ServiceResponse
from .settings import SankhyaSettings
from .transport import Request, address_of
from .wire import Answer, Wire, refused_status, unreadable

LEEWAY: Final = 60.0
LEEWAY_PART: Final = 0.2
"""A bearer is replaced so many seconds before its end, at most that part of its life."""
LIFE: Final = 300.0
"""Seconds that a bearer lives if the gateway does not say."""
_LOCK_TTL: Final = 30.0
_NONCE: Final = 12
_FORM: Final = "application/x-www-form-urlencoded"


class Grant(msgspec.Struct, frozen=True):
    """A bearer, until when it is used, and what renews it. No repr shows them."""

    access: str
    until: float
    refresh: str | None = None

    def __repr__(self) -> str:
        return "<Grant>"


class _Said(msgspec.Struct):
    """What the gateway answers."""

    access_token: str
    expires_in: float = LIFE
    refresh_token: str | None = None


class Gateway:
    """Has the bearer, and gets another where it is over. ``engine`` is set before the first login."""

    def __init__(self, wire: Wire, settings: SankhyaSettings) -> None:
        self.wire: Wire = wire
        self.engine: Engine | None = None
        self._client = settings.client_id.get_secret_value()
        self._secret = settings.client_secret.get_secret_value()
        self._token = settings.token.get_secret_value()
        self._key = f"sankhya.gateway/{digest(wire.address, self._client).hex()[:32]}"
        self._cipher = AESGCM(HKDF(SHA256(), 32, None, self._key.encode()).derive(self._secret.encode()))
        self._here = asyncio.Lock()
        self._grant: Grant | None = None

    @property
    def account(self) -> str:
        """Whose bearers these are."""
        return self._client

    def credentials_digest(self) -> bytes:
        """See `insession.remote.Authenticator`."""
        return digest(self.wire.address, self._client, self._secret, self._token)

    def current(self) -> str | None:
        """The bearer; None: a new one is needed."""
        return self._usable(self._grant)

    def spoil(self, bearer: str) -> None:
        """The gateway does not take this bearer any more."""
        if self._grant is not None and self._grant.access == bearer:
            self._grant = msgspec.structs.replace(self._grant, until=0.0)

    async def renewed(self) -> str:
        """A bearer that may be used: the current one, what another process has left, or a new one."""
        assert self.engine is not None  # noqa: S101
        async with self._here:
            bearer = self.current()
            if bearer is not None:
                return bearer
            async with alone(self.engine, self._key, ttl=_LOCK_TTL, wait=_LOCK_TTL):
                self._grant = left = await self._found()
            return left.access

    async def _found(self) -> Grant:
        """What another process has left, else a new one."""
        left = await self._left()
        spoilt = None if self._grant is None else self._grant.access
        if left is None or left.access == spoilt or self._usable(left) is None:
            left = await self._new(left)
        return left

    def _usable(self, grant: Grant | None) -> str | None:
        return grant.access if grant is not None and self._now() < grant.until else None

    def _now(self) -> float:
        assert self.engine is not None  # noqa: S101 - set by the context that opened it
        return self.engine.clock.now()

    async def _new(self, before: Grant | None) -> Grant:
        if before is not None and before.refresh is not None and await self._leave(_taken_from(before)):
            try:
                return await self._asked("refresh", "/token/refresh", {"refresh_token": before.refresh})
            except (Report, SankhyaException):
                logger().info("the gateway did not refresh a bearer; authenticating again")
        about = {"client_id": self._client, "client_secret": self._secret, "grant_type": "client_credentials"}
        return await self._asked("authenticate", "/authenticate", about)

    async def _asked(self, name: str, path: str, form: dict[str, str]) -> Grant:
        headers = {"Content-Type": _FORM, "X-Token": self._token}
        content = urlencode(form).encode()
        asked = self._now()
        answer = await self.wire.send(name, "POST", f"{self.wire.address}{path}", content=content, headers=headers)
        said = _said(name, answer)
        until = asked + said.expires_in - min(LEEWAY, said.expires_in * LEEWAY_PART)
        grant = Grant(said.access_token, until, said.refresh_token)
        await self._leave(grant)
        return grant

    async def _left(self) -> Grant | None:
        """What lies in the store; None: nothing that we can read."""
        assert self.engine is not None  # noqa: S101
        try:
            entry = await self.engine.items.get(self._key)
            data: Any = None if entry is None else entry.data
            sealed = data["sealed"]
            clear = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._key.encode())
            return msgspec.json.decode(clear, type=Grant)
        except (StoreError, InvalidTag, KeyError, TypeError, ValueError):
            return None

    async def _leave(self, grant: Grant) -> bool:
        """Let the other processes find it. Whether the store took it."""
        assert self.engine is not None  # noqa: S101
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(grant), self._key.encode())
        try:
            await self.engine.items.put(self._key, {"sealed": sealed})
        except StoreError as error:
            logger().warning("a bearer could not be shared with other processes: %s", error)
            return False
        return True


class GatewayAuthenticator:
    """`insession.remote.Authenticator` over a gateway: all sessions share its bearer, so that a logout ends nothing."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway: Gateway = gateway
        self.user_code: int | None = None

    @property
    def service(self) -> str:
        """See `Authenticator`."""
        return self.gateway.wire.address

    @property
    def account(self) -> str:
        """See `Authenticator`."""
        return self.gateway.account

    def credentials_digest(self) -> bytes:
        """See `Authenticator`."""
        return self.gateway.credentials_digest()

    async def login(self, tag: str) -> Ticket:  # noqa: ARG002 - the gateway has no place for it
        """See `Authenticator`. The ticket does not hold the bearer, which changes under it."""
        await self.gateway.renewed()
        return Ticket(ref=uuid4().hex)

    async def logout(self, ticket: Ticket) -> None:
        """See `Authenticator`: nothing at the gateway belongs to one session."""


class GatewayTransport:
    """`insession.remote.Transport` over a gateway, always in JSON."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway: Gateway = gateway

    async def send(self, call: Call[Request], ticket: Ticket) -> ServiceResponse:  # noqa: ARG002 - the bearer counts
        """See `Transport`."""
        request = call.request
        if not isinstance(request, ServiceRequest):
            raise SankhyaInputError("request", "files and images are not to be had over the gateway")
        name = request.service.name
        bearer = self.gateway.current()
        if bearer is None:
            raise gone(name, None)
        try:
            return judged(JSON, request.service, await self._post(request, bearer))
        except SessionGone:
            self.gateway.spoil(bearer)
            raise

    async def _post(self, request: ServiceRequest, bearer: str) -> Answer:
        wire, service = self.gateway.wire, request.service
        headers = {"Content-Type": JSON.content_type, "Authorization": f"Bearer {bearer}"}
        url = address_of(f"{wire.address}/gateway/v1", service, JSON)
        content = JSON.write(service.name, request.body)
        return await wire.send(service.name, "POST", url, content=content, headers=headers)


def _taken_from(grant: Grant) -> Grant:
    return msgspec.structs.replace(grant, refresh=None, until=0.0)


def _said(name: str, answer: Answer) -> _Said:
    if answer.status == UNAUTHORIZED:
        refused = ServiceRequestInvalidCredentialsException(
            "the gateway refuses client_id, client_secret or token", service=name, status=answer.status
        )
        raise CredentialsRefused(str(refused), error=refused)
    if answer.status != HTTP_OK:
        failure = refused_status(name, answer)
        raise OutcomeLost(str(failure), error=failure)
    try:
        said = msgspec.json.decode(answer.content, type=_Said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        unread = unreadable(name, answer, "it is no grant of a token")
        raise OutcomeLost(str(unread), error=unread) from None
    if not said.access_token.isascii() or not said.access_token.isprintable() or said.expires_in <= 0:
        unread = unreadable(name, answer, "it is no grant of a token")
        raise OutcomeLost(str(unread), error=unread)
    return said
