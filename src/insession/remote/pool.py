"""A pool of authenticated sessions with a service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import anyio

from insession.errors import CalledAfterFork, ConfigurationError
from insession.folders import state_folder
from insession.kernel.clock import Clock
from insession.kernel.connecting import connect
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.ids import check_seconds, check_text
from insession.kernel.urls import unknown

from .contracts import Authenticator, Call, Transport, Verify
from .errors import PoolClosed, RemoteError, UnknownToken, own
from .handing import Handovers
from .held import SessionState, Watch
from .holding import Holding
from .options import Options
from .register import Register
from .renewing import Hook
from .sending import Sending

Q = TypeVar("Q")
A = TypeVar("A")
Translate = Callable[[RemoteError], Exception]
FILE: Final = "remote.db"
_PLACE: Final = 8


class SessionPool(Generic[Q, A]):
    """Sessions that one account holds with one service. ``async with`` opens it, and ends what it holds.

    A session has a name of ours, its token, which survives renewal. One call at a time is under way in a session.
    What is held is in a register in the store: should this process die, another pool of the same service and account
    ends it, or the next one to start. Every verb raises `PoolClosed` after the end, and `CalledAfterFork` in a child
    of a fork: sessions and connections stay with the parent.

    Args:
        authenticator: How sessions begin and end.
        transport: How calls are sent.
        store: A URL or a store; None: the environment's ``INSESSION_STORE``, else a file in the state folder.
        namespace: The part of the store to use.
        keys: A ring of keys: what the register keeps of sessions is encrypted with it.
        clock: For tests.
        translate: What callers get instead of an error of this face.
        on_renewal: Told of every renewal; it must not wait.
        on_state: Told of every transition of a session: token, before, after. It must not wait.
        options: ``max_sessions`` (at once, in all processes of the store; None: no limit) · ``max_shared`` (opened
            for those who borrow; as many as ``max_sessions``, else 1) · ``idle`` (seconds without a call after which a
            session is renewed before it is used; None or 0: never) · ``auto_renew`` (True) · ``max_retries`` (3) ·
            ``login_limit`` (logins at once: 2) · ``logout_timeout`` (5 s) · ``acquire_timeout`` (30 s, for a place and
            for logging in) · ``retry_within`` (60 s: no call is tried again later) · ``pause`` and ``longest_pause``
            (0.2 and 10 s: between tries, with full jitter) · ``spare_idle`` (10 s: what was opened to be borrowed and
            is not used for so long ends, but for the last) · ``max_renewals`` (20 a minute, of sessions that die as
            soon as they begin).
    """

    def __init__(
        self,
        authenticator: Authenticator,
        transport: Transport[Q, A],
        *,
        store: str | Store | None = None,
        namespace: str = "default",
        keys: object = None,
        clock: Clock | None = None,
        translate: Translate | None = None,
        on_renewal: Hook | None = None,
        on_state: Watch | None = None,
        **options: Any,
    ) -> None:
        for name in options:
            if name not in Options.__struct_fields__:
                raise ConfigurationError(unknown("option", name, Options.__struct_fields__))
        self.options: Options = Options(**options)
        self.service: str = check_text(authenticator.service, "service")
        check_text(authenticator.account, "account")
        self._folder: Path | None = None
        place = _place(authenticator)
        register = Register(authenticator, place, self.options.logout_timeout)
        named = self._chosen() if store is None else store
        kinds = (register.kind, register.detached)
        self._engine: Engine = connect(named, kinds=kinds, namespace=namespace, clock=clock, keys=keys)
        clock = clock or Clock()
        self._holding = Holding(
            authenticator,
            self._engine,
            register=register,
            place=place,
            options=self.options,
            clock=clock,
            on_renewal=on_renewal,
            on_state=on_state,
        )
        self._sending: Sending[Q, A] = Sending(transport, self._holding.renewing, self.options, clock, self.service)
        self._handovers = Handovers(authenticator, self._engine, register)
        self._translate = translate or own
        self._pid: int | None = None
        self._closed = False
        self._closing: asyncio.Future[None] | None = None
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<SessionPool {self.service} {len(self._holding.held)} sessions>"

    @property
    def engine(self) -> Engine:
        """In whose store the register lies, for an authenticator that keeps something there too."""
        return self._engine

    async def __aenter__(self) -> Self:
        if self._pid is not None:
            raise ConfigurationError("a pool is opened once; make another")
        if self._folder is not None:
            await anyio.Path(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._stack.enter_async_context(self._engine)
        self._pid = os.getpid()
        self._holding.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Log out every session and end. What is not logged out within ``logout_timeout`` is left to the next pool.

        Calls that are under way fail. A second call waits for the first.
        """
        if self._pid != os.getpid():
            return
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        hurry: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not self._closing.done():
                try:
                    await asyncio.shield(self._closing)
                except asyncio.CancelledError as cancelled:
                    # Without this its sessions would be left at the service; it is bounded anyway.
                    hurry = cancelled
        self._closing.result()
        if hurry is not None:
            raise hurry

    async def acquire(self, *, shared: bool = False) -> UUID:
        """Log in another session; its token. First come first served where ``max_sessions`` are taken.

        A ``shared`` one also serves `send` and `borrow`. Raises `SessionLimit` after ``acquire_timeout``,
        `CredentialsRefused`, whatever the login raised, and `StoreUnavailable` where there is a limit and the store is
        away. Cancelled, it leaves its place; a login that is under way is finished and logged out.
        """
        with self._told():
            self._check()
            return (await self._holding.acquire(shared=shared)).token

    async def finalize(self, token: UUID) -> None:
        """Log out this session, and hand its place on; a second call does nothing.

        It is over whatever the service says: what is not done within ``logout_timeout`` is tried again, also by other
        processes.
        """
        with self._told():
            self._check()
            if token not in self._holding.finalized:
                await self._holding.end(self._holding.find(token), "finalized")

    async def invoke(self, token: UUID, call: Call[Q], *, verify: Verify[A] | None = None) -> A:
        """Send a call in this session, when it is its turn; the answer.

        A session that is dead, or was idle for longer than ``idle``, is renewed once, and the call sent then. What
        did not leave this process is sent again, an idempotent call also where it took no effect or its outcome is
        unknown: with pauses, within ``max_retries``, ``retry_within`` and the call's own timeout. Another call whose
        outcome is unknown raises `OutcomeUnknown`, or ``verify`` finds out: it gives back the answer, `NOT_DONE`
        (raises `NotDone`) or `RESEND` (once).

        Raises `UnknownToken`, `SessionExpired`, `StateLost`, and what the transport raised. Cancelled, a call that
        was under way may have run.
        """
        with self._told():
            self._check()
            held = self._holding.find(token)
            return await self._sending.run(call, verify, lambda: nullcontext(held))

    async def send(self, call: Call[Q], *, verify: Verify[A] | None = None) -> A:
        """Send a call in any free session that may be borrowed, see `invoke` and `borrow`."""
        with self._told():
            self._check()
            return await self._sending.run(call, verify, self._holding.sharing.borrowed)

    def borrow(self) -> AbstractAsyncContextManager[UUID]:
        """A session for a block, which nobody else borrows meanwhile: its token.

        One that is free, else another one is opened, up to ``max_shared``; else the first that is given back. Raises
        `SessionLimit` after ``acquire_timeout``.
        """
        return self._borrowed()

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[UUID]:
        async with AsyncExitStack() as stack:
            with self._told():
                self._check()
                held = await stack.enter_async_context(self._holding.sharing.borrowed())
            yield held.token

    async def detach(self, token: UUID, *, lifetime: float = 600.0, key: str | bytes | None = None) -> str:
        """Let go of a session for another process to attach: a text that opens once, there.

        It is sealed with ``key``, or with what is derived from the credentials; the session's place under
        ``max_sessions`` goes along. Whoever has the same key, service, account and store attaches it within
        ``lifetime`` seconds, or it is logged out. Here the token is unknown from now on, also if this is cancelled
        when it is under way.
        """
        check_seconds(lifetime, "lifetime", least=0.001)
        with self._told():
            self._check()
            return await self._holding.detach(self._handovers, token, lifetime, key)

    async def attach(self, token: UUID, blob: str, *, key: str | bytes | None = None) -> None:
        """Go on with a session that another pool has detached. Raises `HandoverRefused`, `SessionLimit`.

        Cancelled when it is under way, it logs the session out.
        """
        with self._told():
            self._check()
            await self._holding.attach(self._handovers, token, blob, key)

    async def retry_credentials(self) -> None:
        """Ask the service again, although it refused these credentials: they are right by now, unchanged."""
        self._check()
        await self._holding.latch.reset()

    def state(self, token: UUID) -> SessionState:
        """Where a session stands. Raises `UnknownToken`."""
        with self._told():
            return SessionState.DISCONNECTED if token in self._holding.finalized else self._holding.find(token).state

    def generation(self, token: UUID) -> int:
        """How many logins a session has had: what the service kept in an earlier one is lost, see `Call.generation`."""
        with self._told():
            return self._holding.find(token).generation

    def stats(self) -> dict[str, int]:
        """Numbers of this pool, all of one moment.

        ``active_sessions`` = ``total_created`` - ``total_finalized`` - ``lost`` - ``detached`` + ``attached``.
        """
        return {**self._holding.stats(), "retries": self._sending.retries}

    async def _close(self) -> None:
        self._closed = True
        try:
            await self._holding.close()
        finally:
            await self._stack.aclose()

    def _check(self) -> None:
        if self._pid is None:
            raise ConfigurationError("this pool has not been opened; use it within `async with`")
        if self._pid != os.getpid():
            raise CalledAfterFork
        if self._closed:
            raise PoolClosed

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What callers get instead of an error of ours."""
        try:
            yield
        except RemoteError as error:
            told = self._translate(PoolClosed() if self._closed and isinstance(error, UnknownToken) else error)
            if told is error:
                raise
            raise told from error

    def _chosen(self) -> str:
        """The store that nobody named."""
        if named := os.environ.get("INSESSION_STORE"):
            return named
        self._folder = state_folder()
        return f"sqlite:///{quote(str(self._folder / FILE))}"


def _place(authenticator: Authenticator) -> str:
    """A short name of service and account, for kinds and keys: pools of another leave what is ours alone."""
    service, account = authenticator.service.encode(), authenticator.account.encode()
    return blake2b(len(service).to_bytes(4, "big") + service + account, digest_size=_PLACE).hexdigest()
