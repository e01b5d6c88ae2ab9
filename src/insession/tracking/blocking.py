"""The manager for threads and plain scripts."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Self, TypeVar

from anyio.from_thread import BlockingPortal

from insession.blocking import Portal, Running
from insession.errors import SessionEnded
from insession.kernel.clock import Clock
from insession.kernel.contract import Store
from insession.kernel.record import State
from insession.kernel.session import ended_as

from .config import SessionManagementConfig
from .errors import NotInitialized
from .hardware import HardwareIDProvider
from .live import LiveSession
from .manager import SessionManager, cannot_start
from .tracker import SessionTracker

T = TypeVar("T")


class BlockingSessionManager:
    """`SessionManager` for threads: the same verbs, over one portal, see `insession.blocking.Portal`.

    Any number of threads may use it. A `LiveSession` may be read in any thread: its flag is local, and turns true
    wherever the session ends. `initialize` starts the portal, `cleanup` ends it; the interpreter's exit does, too, but
    then ends no session. A manager that was initialized before a fork is the parent's: in the child its verbs raise
    `CalledAfterFork`, and what its sessions say is out of date.

    Args:
        config: As in `SessionManager`, and so are the others.
        store: See there.
        namespace: See there.
        keys: See there.
        durable: See there.
        clock: See there.
        portal: The portal of an application on whose loop the manager is to live; None: a loop of its own.
    """

    def __init__(
        self,
        config: object = None,
        store: str | Store | None = None,
        namespace: str = "default",
        *,
        keys: object = None,
        durable: bool = False,
        clock: Clock | None = None,
        portal: BlockingPortal | None = None,
    ) -> None:
        self._manager = SessionManager(config, store, namespace, keys=keys, durable=durable, clock=clock)
        self._bound = portal
        self._portal: Portal | None = None
        self._changing = threading.Lock()

    @property
    def config(self) -> SessionManagementConfig:
        """As `SessionManager.config`."""
        return self._manager.config

    @config.setter
    def config(self, values: object) -> None:
        self._manager.config = values

    @property
    def is_initialized(self) -> bool:
        """Whether it runs."""
        return self._manager.is_initialized

    @property
    def hardware_id_provider(self) -> HardwareIDProvider | None:
        """The provider of this machine's id; what is async of it belongs to the manager's loop."""
        return self._manager.hardware_id_provider

    @property
    def session_tracker(self) -> SessionTracker | None:
        """The tracker. Any thread may read ``active_sessions`` and its flag; what is async belongs to the loop."""
        return self._manager.session_tracker

    def __enter__(self) -> Self:
        if not self.initialize():
            raise cannot_start(self.config)
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def __repr__(self) -> str:
        return f"<BlockingSessionManager {'initialized' if self.is_initialized else 'not initialized'}>"

    def initialize(self) -> bool:
        """As `SessionManager.initialize`."""
        self._check()
        with self._changing:
            if self._portal is None or self._portal.closed:
                self._portal = Portal(self._life, bound=self._bound)
            self._portal.start()
            if not self._manager.is_initialized:
                self._end()
            return self._manager.is_initialized

    def cleanup(self) -> bool:
        """As `SessionManager.cleanup`; calls under way in other threads raise `PortalClosed`."""
        self._check()
        with self._changing:
            if self._portal is not None and not self._portal.closed:
                # While blocks of work are held, so that they hear why they end.
                self._portal.call(self._manager.cleanup)
            self._end()
            return True

    def update_config(self, values: Mapping[str, Any]) -> None:
        """As `SessionManager.update_config`."""
        self._manager.update_config(values)

    def create_session(
        self,
        user_agent: str | None = None,
        ip_address: str | None = None,
        context: Mapping[str, Any] | None = None,
        *,
        hardware_id: str | None = None,
    ) -> LiveSession:
        """As `SessionManager.create_session`."""
        return self._call(
            lambda: self._manager.create_session(user_agent, ip_address, context, hardware_id=hardware_id)
        )

    def get_session_status(self, session_id: str, hardware_id: str | None = None) -> dict[str, Any] | None:
        """As `SessionManager.get_session_status`."""
        return self._call(lambda: self._manager.get_session_status(session_id, hardware_id))

    def touch_session(self, session_id: str, hardware_id: str | None = None) -> bool:
        """As `SessionManager.touch_session`."""
        return self._call(lambda: self._manager.touch_session(session_id, hardware_id))

    def interrupt_session(self, session_id: str, reason: str = "user_request", hardware_id: str | None = None) -> bool:
        """As `SessionManager.interrupt_session`; it does not wait for a block of this very thread."""
        return self._call(lambda: self._manager.interrupt_session(session_id, reason, hardware_id))

    def interrupt_all_sessions(self, reason: str = "global_interrupt") -> int:
        """As `SessionManager.interrupt_all_sessions`."""
        return self._call(lambda: self._manager.interrupt_all_sessions(reason))

    def running(self, session: LiveSession | str) -> AbstractContextManager[LiveSession]:
        """A block of work for a session. A thread cannot be cancelled: it looks at ``session["interrupt_flag"]``.

        At its end the block raises `Interrupted`, `Expired` or `Closed` if the session ended meanwhile, unless it
        raised something else, or ended the session itself. See `BlockingSession.running`.
        """
        portal = self._portal
        if portal is None or not self._manager.is_initialized:
            raise NotInitialized
        return Running(portal, lambda: self._manager.running(session), lambda live: live, _ended)

    def wait_ended(self, session: LiveSession | str, timeout: float | None = None) -> bool:
        """As `SessionManager.wait_ended`."""
        return self._call(lambda: self._manager.wait_ended(session, timeout))

    def get_hardware_id(self) -> str:
        """As `SessionManager.get_hardware_id`."""
        return self._call(self._manager.get_hardware_id)

    def statistics(self) -> dict[str, int]:
        """As `SessionManager.statistics`."""
        return self._call(self._manager.statistics)

    def sessions(self) -> list[dict[str, Any]]:
        """As `SessionManager.sessions`."""
        return self._call(self._manager.sessions)

    def get_status(self) -> dict[str, Any]:
        """As `SessionManager.get_status`."""
        return self._told(self._manager.get_status)

    def get_session_statistics(self) -> dict[str, Any]:
        """As `SessionManager.get_session_statistics`."""
        return self._told(self._manager.get_session_statistics)

    def get_metrics(self) -> dict[str, Any]:
        """As `SessionManager.get_metrics`."""
        return self._told(self._manager.get_metrics)

    def reset_metrics(self) -> None:
        """As `SessionManager.reset_metrics`."""
        self._told(self._manager.reset_metrics)

    def get_security_settings(self) -> dict[str, Any]:
        """As `SessionManager.get_security_settings`."""
        return self._manager.get_security_settings()

    def get_performance_settings(self) -> dict[str, Any]:
        """As `SessionManager.get_performance_settings`."""
        return self._manager.get_performance_settings()

    def get_tracking_settings(self) -> dict[str, Any]:
        """As `SessionManager.get_tracking_settings`."""
        return self._manager.get_tracking_settings()

    def get_summary(self) -> dict[str, Any]:
        """As `SessionManager.get_summary`."""
        return self._told(self._manager.get_summary)

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[None]:
        """What lives as long as the portal: the manager, where it can start."""
        await self._manager.initialize()
        try:
            yield
        finally:
            await self._manager.cleanup()

    def _check(self) -> None:
        """Before any lock: in a child of a fork nobody is there who would open it."""
        if self._portal is not None and not self._portal.closed:
            self._portal.check()

    def _end(self) -> None:
        if self._portal is not None:
            self._portal.close()
            self._portal = None

    def _call(self, verb: Callable[[], Coroutine[Any, Any, T]]) -> T:
        portal = self._portal
        if portal is not None:
            return portal.call(verb)
        # It does not run, and says so: all that there is for a loop to do.
        with Portal(bound=self._bound) as passing:
            return passing.call(verb)

    def _told(self, ask: Callable[[], T]) -> T:
        """What the manager says from memory, which only its loop may read while it runs."""

        async def asked() -> T:
            return ask()

        return ask() if self._portal is None else self._portal.call(asked)


def _ended(live: LiveSession) -> SessionEnded | None:
    """How a session ended; None: it has not, as far as this process has heard."""
    if live.state is State.ACTIVE:
        return None
    return ended_as(live.record.id, live.state, live["interrupt_reason"])
