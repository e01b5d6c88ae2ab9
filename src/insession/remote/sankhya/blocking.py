"""The context for threads and plain scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

from anyio.from_thread import BlockingPortal

from insession.blocking import Portal
from insession.errors import PortalClosed
from insession.remote.blocking import BlockingVerify, in_thread

from .context import AsyncSankhyaContext
from .entities import Entity
from .errors import SankhyaClosed
from .files import File, FileKey
from .request import ServiceResponse
from .settings import SankhyaSettings
from .wrapper import AsyncSankhyaWrapper, Body

T = TypeVar("T")
E = TypeVar("E", bound=Entity)


class SankhyaContext:
    """`AsyncSankhyaContext` for threads: the same verbs, over one portal, see `insession.blocking.Portal`.

    It logs in when it is made, and logs every session out by `dispose`, at the end of a ``with`` block, else when the
    interpreter exits. Any number of threads may use it. After a fork it is the parent's: in the child its verbs raise
    `CalledAfterFork`, and nothing that happens there ends a session.

    Args:
        settings: None: those of the environment and ``.env``.
        portal: The portal of an application on whose loop the context is to live; None: a loop of its own.
        options: As `AsyncSankhyaContext` has them.
    """

    def __init__(
        self, settings: SankhyaSettings | None = None, *, portal: BlockingPortal | None = None, **options: Any
    ) -> None:
        self._context = AsyncSankhyaContext(settings, **options)
        self._portal = Portal(self._life, bound=portal)
        self._wrapper: SankhyaWrapper | None = None
        self._portal.start()

    @classmethod
    def from_settings(cls, settings: SankhyaSettings | None = None, **options: Any) -> Self:
        """A context that is logged in. Raises what its settings and its login raise."""
        return cls(settings, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    def __repr__(self) -> str:
        return f"<SankhyaContext {'closed' if self._portal.closed else 'open'}>"

    def dispose(self) -> None:
        """Log out every session that this context holds, and no other; a second call does nothing. At most 5 s each.

        Calls under way in other threads raise `SankhyaClosed`.
        """
        self._portal.close()

    @property
    def wrapper(self) -> SankhyaWrapper:
        """The verbs of the service."""
        if self._wrapper is None:
            self._wrapper = SankhyaWrapper(self)
        return self._wrapper

    @property
    def session_token(self) -> UUID | None:
        """As `AsyncSankhyaContext.session_token`."""
        return self._context.session_token

    @property
    def user_code(self) -> int | None:
        """As `AsyncSankhyaContext.user_code`."""
        return self._context.user_code

    @property
    def is_authenticated(self) -> bool:
        """As `AsyncSankhyaContext.is_authenticated`."""
        return not self._portal.closed and self._context.is_authenticated

    def acquire_session(self) -> UUID:
        """As `AsyncSankhyaContext.acquire_session_async`."""
        return self.call(self._context.acquire_session_async)

    def invoke_with_token(
        self,
        token: UUID | str,
        service: str,
        request: Body = None,
        *,
        idempotent: bool | None = None,
        verify: BlockingVerify[Any] | None = None,
        retry_busy: bool = False,
    ) -> ServiceResponse:
        """As `AsyncSankhyaContext.invoke_with_token_async`; ``verify`` is a plain function."""
        return self.call(
            lambda: self._context.invoke_with_token_async(
                token, service, request, idempotent=idempotent, verify=in_thread(verify), retry_busy=retry_busy
            )
        )

    def finalize_session(self, token: UUID | str) -> None:
        """As `AsyncSankhyaContext.finalize_session_async`."""
        self.call(lambda: self._context.finalize_session_async(token))

    def detach_session(self, token: UUID | str, *, lifetime: float = 600.0, key: str | bytes | None = None) -> str:
        """As `AsyncSankhyaContext.detach_session_async`."""
        return self.call(lambda: self._context.detach_session_async(token, lifetime=lifetime, key=key))

    def attach_session(self, token: UUID | str, data: str, *, key: str | bytes | None = None) -> None:
        """As `AsyncSankhyaContext.attach_session_async`."""
        self.call(lambda: self._context.attach_session_async(token, data, key=key))

    def get_session_stats(self) -> dict[str, int]:
        """As `AsyncSankhyaContext.get_session_stats`."""

        async def told() -> dict[str, int]:
            return self._context.get_session_stats()

        return self.call(told)

    def call(self, verb: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a verb of the async context on its loop, and wait for it."""
        try:
            return self._portal.call(verb)
        except PortalClosed:
            raise SankhyaClosed("the context is closed; nothing is sent any more") from None

    @property
    def verbs(self) -> AsyncSankhyaWrapper:
        """The async wrapper, for the context's loop."""
        return self._context.wrapper

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[None]:
        async with self._context:
            yield


class SankhyaWrapper:
    """`AsyncSankhyaWrapper` for threads: the same verbs, without ``_async``."""

    def __init__(self, context: SankhyaContext) -> None:
        self._context = context

    @property
    def user_code(self) -> int | None:
        """As `SankhyaContext.user_code`."""
        return self._context.user_code

    @property
    def session_token(self) -> UUID | None:
        """As `SankhyaContext.session_token`."""
        return self._context.session_token

    @property
    def is_authenticated(self) -> bool:
        """As `SankhyaContext.is_authenticated`."""
        return self._context.is_authenticated

    def login(self) -> None:
        """Nothing: its context logs in when it is made. `SankhyaClosed` if that has ended since, and stays ended."""
        self._context.get_session_stats()

    def logout(self) -> None:
        """As `SankhyaContext.dispose`: a wrapper lives as long as its context."""
        self._context.dispose()

    def find(
        self, entity: type[E], criteria: str = "", parameters: Sequence[object] = (), *, max_results: int = 0
    ) -> list[E]:
        """As `AsyncSankhyaWrapper.find_async`."""
        return self._call(lambda verbs: verbs.find_async(entity, criteria, parameters, max_results=max_results))

    def insert(self, row: E, *, verify: BlockingVerify[Any] | None = None, retry_busy: bool = False) -> E:
        """As `AsyncSankhyaWrapper.insert_async`."""
        return self._call(lambda verbs: verbs.insert_async(row, verify=in_thread(verify), retry_busy=retry_busy))

    def insert_all(self, rows: Sequence[E], *, verify: BlockingVerify[Any] | None = None) -> list[E]:
        """As `AsyncSankhyaWrapper.insert_all_async`."""
        return self._call(lambda verbs: verbs.insert_all_async(rows, verify=in_thread(verify)))

    def update(self, row: E, *, verify: BlockingVerify[Any] | None = None, retry_busy: bool = False) -> E:
        """As `AsyncSankhyaWrapper.update_async`."""
        return self._call(lambda verbs: verbs.update_async(row, verify=in_thread(verify), retry_busy=retry_busy))

    def remove(self, row: Entity, *, verify: BlockingVerify[Any] | None = None, retry_busy: bool = False) -> None:
        """As `AsyncSankhyaWrapper.remove_async`."""
        self._call(lambda verbs: verbs.remove_async(row, verify=in_thread(verify), retry_busy=retry_busy))

    def invoke_service(
        self,
        service: str,
        request: Body = None,
        *,
        idempotent: bool | None = None,
        verify: BlockingVerify[Any] | None = None,
        retry_busy: bool = False,
    ) -> ServiceResponse:
        """As `AsyncSankhyaWrapper.invoke_service_async`."""
        return self._call(
            lambda verbs: verbs.invoke_service_async(
                service, request, idempotent=idempotent, verify=in_thread(verify), retry_busy=retry_busy
            )
        )

    def open_file(self, path: str) -> FileKey:
        """As `AsyncSankhyaWrapper.open_file_async`."""
        return self._call(lambda verbs: verbs.open_file_async(path))

    def get_file(self, key: FileKey | str, *, to: Path | str | None = None) -> File:
        """As `AsyncSankhyaWrapper.get_file_async`."""
        return self._call(lambda verbs: verbs.get_file_async(key, to=to))

    def get_image(self, entity: str, **keys: object) -> File | None:
        """As `AsyncSankhyaWrapper.get_image_async`."""
        return self._call(lambda verbs: verbs.get_image_async(entity, **keys))

    def delete_files(self, *paths: str) -> None:
        """As `AsyncSankhyaWrapper.delete_files_async`."""
        self._call(lambda verbs: verbs.delete_files_async(*paths))

    def _call(self, verb: Callable[[AsyncSankhyaWrapper], Coroutine[Any, Any, T]]) -> T:
        context = self._context
        return context.call(lambda: verb(context.verbs))
