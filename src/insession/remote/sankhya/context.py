"""The context: sessions with one ERP for one user, async."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import anyio.to_thread

from insession.kernel.clock import Clock
from insession.kernel.contract import Store
from insession.kernel.urls import unknown
from insession.remote.contracts import Authenticator, Renewal, Transport, Verify
from insession.remote.logs import logger
from insession.remote.pool import SessionPool

from .dialect import DIALECTS
from .errors import SankhyaClosed, SankhyaInputError, SankhyaSettingsError, SankhyaUnknownToken
from .gateway import Gateway, GatewayAuthenticator, GatewayTransport
from .login import DirectAuthenticator
from .request import ServiceRequest, ServiceResponse
from .settings import SankhyaSettings
from .translating import translating
from .transport import direct
from .wire import Wire
from .wrapper import AsyncSankhyaWrapper, Body, call_of


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a context is told beside its settings.

    Args:
        store: Where sessions are registered, see `insession.connect`; None: ``INSESSION_STORE``, else an SQLite file
            in the state folder.
        namespace: The part of the store to use.
        keys: A ring of keys: what lies in the store is then encrypted, see `insession.connect`.
        timeout: Seconds for a whole request: waiting, renewal and every try; None: only each try has its own.
        on_renewal: Called with a `Renewal` after each one.
        clock: For tests.
    """

    store: str | Store | None = None
    namespace: str = "default"
    keys: object = None
    timeout: float | None = 300.0
    on_renewal: Callable[[Renewal], object] | None = None
    clock: Clock | None = None


class AsyncSankhyaContext:
    """Sessions with one ERP: ``async with AsyncSankhyaContext.from_settings() as context``.

    Its block logs in at the beginning, and at the end logs every session out, in at most 5 s. One context belongs to
    one event loop.

    Args:
        settings: None: those of the environment and ``.env``, read when the block begins.
        options: See `Options`, by keyword.
    """

    def __init__(self, settings: SankhyaSettings | None = None, **options: Any) -> None:
        known = Options.__dataclass_fields__
        for name in options:
            if name not in known:
                raise SankhyaSettingsError(unknown("option", name, known), (name,))
        self._settings = settings
        self._options = Options(**options)
        self._stack: AsyncExitStack | None = None
        self._pool: SessionPool[Any, Any] | None = None
        self._authenticator: DirectAuthenticator | GatewayAuthenticator | None = None
        self._main: UUID | None = None
        self._wrapper: AsyncSankhyaWrapper | None = None

    @classmethod
    def from_settings(cls, settings: SankhyaSettings | None = None, **options: Any) -> Self:
        """A context; no I/O happens here."""
        return cls(settings, **options)

    async def __aenter__(self) -> Self:
        if self._stack is not None:
            raise SankhyaClosed("a context is opened once; make another")
        async with AsyncExitStack() as stack:
            with translating():
                await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.dispose_async()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'open' if self.is_authenticated else 'closed'}>"

    async def dispose_async(self) -> None:
        """Log every session out that this context holds, and close the connections; a second call does nothing."""
        pool, self._pool = self._pool, None
        if pool is not None and self._stack is not None:
            await self._stack.aclose()

    @property
    def wrapper(self) -> AsyncSankhyaWrapper:
        """The verbs of the service."""
        if self._wrapper is None:
            raise SankhyaClosed("the context is not open; use it in async with")
        return self._wrapper

    @property
    def pool(self) -> SessionPool[Any, Any]:
        """The sessions."""
        if self._pool is None:
            raise SankhyaClosed("the context is not open, or closed by now; nothing is sent any more")
        return self._pool

    @property
    def session_token(self) -> UUID | None:
        """Our name of the main session, which is no secret; the service's own is in no attribute."""
        return self._main

    @property
    def user_code(self) -> int | None:
        """The service's number of the user."""
        return None if self._authenticator is None else self._authenticator.user_code

    @property
    def is_authenticated(self) -> bool:
        """Whether it is open, so that its sessions serve."""
        return self._pool is not None

    async def acquire_session_async(self) -> UUID:
        """Another session at the service, for whoever has this token."""
        with translating():
            return await self.pool.acquire()

    async def invoke_with_token_async(
        self,
        token: UUID | str,
        service: str,
        request: Body = None,
        *,
        idempotent: bool | None = None,
        verify: Verify[Any] | None = None,
        retry_busy: bool = False,
    ) -> ServiceResponse:
        """Ask a service in exactly this session, see `ServiceRequest.of` for what ``request`` may be."""
        token = checked(token)
        made = ServiceRequest.of(service, request, idempotent=idempotent)
        call = call_of(made, timeout=self._options.timeout, retry_busy=retry_busy)
        with translating(token):
            response: ServiceResponse = await self.pool.invoke(token, call, verify=verify)
        return response

    async def finalize_session_async(self, token: UUID | str) -> None:
        """Log this session out, and no other; again does nothing. The main session ends with the context only."""
        token = checked(token)
        if token == self._main:
            raise SankhyaInputError("token", "is of the main session, which ends with the context (dispose)")
        with translating(token):
            await self.pool.finalize(token)

    async def detach_session_async(
        self, token: UUID | str, *, lifetime: float = 600.0, key: str | bytes | None = None
    ) -> str:
        """A session sealed for another context of the same user, see `SessionPool.detach`; it is ours no more."""
        token = checked(token)
        if token == self._main:
            raise SankhyaInputError("token", "is of the main session, which cannot be given away")
        with translating(token):
            return await self.pool.detach(token, lifetime=lifetime, key=key)

    async def attach_session_async(self, token: UUID | str, data: str, *, key: str | bytes | None = None) -> None:
        """Take over a session that another context has detached. Raises `SankhyaHandoverRefused`."""
        token = checked(token)
        with translating(token):
            await self.pool.attach(token, data, key=key)

    def get_session_stats(self) -> dict[str, int]:
        """``active_sessions``, ``total_created``, ``total_finalized``, ``token_renewals`` and more, of one moment."""
        return dict(self.pool.stats())

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        if settings is None:
            # A .env file is read.
            settings = await anyio.to_thread.run_sync(SankhyaSettings)
        _noted(settings)
        wire = await stack.enter_async_context(Wire(settings))
        gateway = Gateway(wire, settings) if settings.by_gateway else None
        authenticator, transport = _ends(wire, settings, gateway)
        # A store resolves its path.
        pool = await anyio.to_thread.run_sync(self._made, settings, authenticator, transport)
        await stack.enter_async_context(pool)
        if gateway is not None:
            gateway.engine = pool.engine
        self._main = await pool.acquire(shared=True)
        self._authenticator, self._pool = authenticator, pool
        json = settings.by_gateway or settings.dialect == "json"
        self._wrapper = AsyncSankhyaWrapper(pool, json=json, timeout=self._options.timeout)

    def _made(
        self, settings: SankhyaSettings, authenticator: Authenticator, transport: Transport[Any, Any]
    ) -> SessionPool[Any, Any]:
        options = self._options
        return SessionPool(
            authenticator,
            transport,
            store=options.store,
            namespace=options.namespace,
            keys=options.keys,
            clock=options.clock,
            on_renewal=options.on_renewal,
            max_sessions=settings.max_sessions,
            idle=settings.session_timeout or None,
            auto_renew=settings.auto_renew_session,
            max_retries=settings.max_retries,
            acquire_timeout=settings.acquire_timeout,
        )


def checked(token: UUID | str) -> UUID:
    """A token as a UUID; `SankhyaUnknownToken` for what is none."""
    if isinstance(token, UUID):
        return token
    try:
        return UUID(token)
    except (ValueError, AttributeError, TypeError):
        raise SankhyaUnknownToken("that is no token of a session") from None


def _ends(
    wire: Wire, settings: SankhyaSettings, gateway: Gateway | None
) -> tuple[DirectAuthenticator | GatewayAuthenticator, Transport[Any, Any]]:
    if gateway is not None:
        return GatewayAuthenticator(gateway), GatewayTransport(gateway)
    return DirectAuthenticator(wire, DIALECTS[settings.dialect], settings), direct(wire, settings)


def _noted(settings: SankhyaSettings) -> None:
    """Say in the log what is to be known of the settings."""
    log = logger()
    if settings.log_level:
        log.setLevel(settings.log_level)
    if settings.plain_text:
        log.warning("%s is plain http: whoever is on the way reads the password; use https", settings.address)
    log.log(logging.DEBUG, "a context for %s (%s)", settings.address, settings.named_environment)
