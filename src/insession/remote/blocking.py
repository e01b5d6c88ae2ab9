"""The pool for threads and plain scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar
from uuid import UUID

import anyio.to_thread
from anyio.from_thread import BlockingPortal

from insession.blocking import Portal
from insession.errors import PortalClosed
from insession.kernel.clock import Clock
from insession.kernel.contract import Store

from .contracts import Authenticator, Call, Transport, Verdict, Verify
from .errors import OutcomeUnknown, PoolClosed, own
from .held import SessionState, Watch
from .options import Options
from .pool import SessionPool, Translate
from .renewing import Hook

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")
P = ParamSpec("P")
BlockingVerify = Callable[[OutcomeUnknown], A | Verdict]
"""`Verify` for threads: a plain function, called in a thread of its own, which may use the pool."""


class BlockingSessionPool(Generic[Q, A]):
    """`SessionPool` for threads: the same verbs, over one portal, see `insession.blocking.Portal`.

    Any number of threads may use it; all of them share one loop, so that what is done once for all tasks is done once
    for all threads. It opens at the first call or at the beginning of a ``with`` block. `close`, the end of the block
    and the interpreter's exit log its sessions out; for SIGTERM see `exit_on_sigterm`. In a child of a fork its verbs
    raise `CalledAfterFork`, and `close` does nothing.

    Args:
        authenticator: As in `SessionPool`, and so are the others. It is used on the portal's loop alone.
        transport: See there.
        store: See there.
        namespace: See there.
        keys: See there.
        clock: See there.
        translate: See there.
        on_renewal: See there; called on the loop's thread.
        on_state: See there; called on the loop's thread.
        portal: The portal of an application on whose loop the pool is to live; None: a loop of its own.
        options: See there.
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
        portal: BlockingPortal | None = None,
        **options: Any,
    ) -> None:
        self._pool: SessionPool[Q, A] = SessionPool(
            authenticator,
            transport,
            store=store,
            namespace=namespace,
            keys=keys,
            clock=clock,
            translate=translate,
            on_renewal=on_renewal,
            on_state=on_state,
            **options,
        )
        self.options: Options = self._pool.options
        self.service: str = self._pool.service
        self._translate: Translate = translate or own
        self._portal = Portal(self._life, bound=portal)

    def __repr__(self) -> str:
        return repr(self._pool).replace("SessionPool", "BlockingSessionPool", 1)

    def __enter__(self) -> Self:
        self._portal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """As `SessionPool.close`; calls that are under way in other threads raise `PortalClosed`."""
        self._portal.close()

    def acquire(self, *, shared: bool = False) -> UUID:
        """As `SessionPool.acquire`."""
        return self._call(self._pool.acquire, shared=shared)

    def finalize(self, token: UUID) -> None:
        """As `SessionPool.finalize`."""
        self._call(self._pool.finalize, token)

    def invoke(self, token: UUID, call: Call[Q], *, verify: BlockingVerify[A] | None = None) -> A:
        """As `SessionPool.invoke`."""
        return self._call(self._pool.invoke, token, call, verify=in_thread(verify))

    def send(self, call: Call[Q], *, verify: BlockingVerify[A] | None = None) -> A:
        """As `SessionPool.send`."""
        return self._call(self._pool.send, call, verify=in_thread(verify))

    def borrow(self) -> AbstractContextManager[UUID]:
        """As `SessionPool.borrow`."""
        return self._portal.hold(self._pool.borrow)

    def detach(self, token: UUID, *, lifetime: float = 600.0, key: str | bytes | None = None) -> str:
        """As `SessionPool.detach`."""
        return self._call(self._pool.detach, token, lifetime=lifetime, key=key)

    def attach(self, token: UUID, blob: str, *, key: str | bytes | None = None) -> None:
        """As `SessionPool.attach`."""
        self._call(self._pool.attach, token, blob, key=key)

    def retry_credentials(self) -> None:
        """As `SessionPool.retry_credentials`."""
        self._call(self._pool.retry_credentials)

    def state(self, token: UUID) -> SessionState:
        """As `SessionPool.state`."""
        return self._told(partial(self._pool.state, token))

    def generation(self, token: UUID) -> int:
        """As `SessionPool.generation`."""
        return self._told(partial(self._pool.generation, token))

    def stats(self) -> dict[str, int]:
        """As `SessionPool.stats`."""
        return self._told(self._pool.stats)

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[None]:
        async with self._pool:
            yield

    def _told(self, ask: Callable[[], T]) -> T:
        """What the pool says from memory, which only its loop may read."""

        async def asked() -> T:
            return ask()

        return self._call(asked)

    def _call(self, verb: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return self._portal.call(verb, *args, **kwargs)
        except PortalClosed as error:
            if error.during:
                raise
            raise self._translate(PoolClosed()) from None


def in_thread(verify: BlockingVerify[A] | None) -> Verify[A] | None:
    """A plain function on a thread of its own, where it may make blocking calls."""
    if verify is None:
        return None

    async def asked(unknown: OutcomeUnknown) -> A | Verdict:
        return await anyio.to_thread.run_sync(verify, unknown)

    return asked
