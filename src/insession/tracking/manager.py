"""The manager: sessions of users and devices, this machine's hardware id, and interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from insession.errors import ConfigurationError, InsessionError, InvalidInput
from insession.kernel.clock import Clock
from insession.kernel.contract import Store

from .config import PERFORMANCE, SECURITY, TRACKING, SessionManagementConfig
from .errors import HardwareIDFailed, NotInitialized, UnknownSession
from .hardware import HardwareIDProvider
from .live import LiveSession
from .logs import logger
from .provider import Provider
from .tracker import SessionTracker

_ABSENT = {"is_available": False, "status": "not_initialized"}


class SessionManager:
    """Creates, tracks and interrupts sessions, each owned by a hardware id.

    Args:
        config: A dict, or a `SessionManagementConfig`; copied. What is changed later (`update_config`, `config`) takes
            effect at the next `initialize`.
        store: A store's URL, or a store; None: the environment's ``INSESSION_STORE``, else memory. Managers on one
            store and one namespace count, limit and interrupt each other's sessions; on memory each has its own.
        namespace: The part of the store to use.
        keys: Key ring for ``encrypt_session_data``; None: the environment's ``INSESSION_KEYS``, else one made once.
        durable: Sessions outlive this process: neither `cleanup` nor a crash ends them.
        clock: For tests.

    ``async with SessionManager(...)`` initializes and cleans up; it raises `ConfigurationError` where `initialize`
    answers False. Calls on a manager that does not run say so in the log and answer nothing, but for those that have
    nothing to answer: they raise `NotInitialized`.
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
    ) -> None:
        self._config = SessionManagementConfig(config)
        self.hardware_id_provider: HardwareIDProvider | None = None
        self.session_tracker: SessionTracker | None = None
        self.is_initialized: bool = False
        self._running_config = SessionManagementConfig(config)
        self._store = store
        self._namespace = namespace
        self._keys = keys
        self._durable = durable
        self._clock = clock
        self._changing = asyncio.Lock()

    @property
    def config(self) -> SessionManagementConfig:
        """What the next `initialize` takes; may be changed, and replaced by a dict."""
        return self._config

    @config.setter
    def config(self, values: object) -> None:
        self._config = SessionManagementConfig(values)

    async def __aenter__(self) -> Self:
        if not await self.initialize():
            raise cannot_start(self.config)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cleanup()

    def __repr__(self) -> str:
        return f"<SessionManager {'initialized' if self.is_initialized else 'not initialized'}>"

    async def initialize(self) -> bool:
        """Start; False, with every reason in the log, where sessions could never be created.

        A second call does nothing.
        """
        async with self._changing:
            if self.is_initialized:
                return True
            config = SessionManagementConfig(self.config)
            if not config.validate():
                return False
            provider, tracker = self._providers(config)
            if self.session_tracker is not None and self.hardware_id_provider is not None:
                # Whoever watches the numbers sees them go on over a restart.
                tracker.tally, tracker.counts = self.session_tracker.tally, self.session_tracker.counts
                provider.counts = self.hardware_id_provider.counts
            if not await provider.initialize():
                return False
            if not await tracker.initialize():
                await provider.cleanup()
                return False
            if provider.hardware_id is not None:
                tracker.know_own(provider.hardware_id)
            self.hardware_id_provider, self.session_tracker = provider, tracker
            self._running_config = config
            self.is_initialized = True
            return True

    def _providers(self, config: SessionManagementConfig) -> tuple[HardwareIDProvider, SessionTracker]:
        named = config.given("hardware_id_cache_file")
        provider = HardwareIDProvider(
            {
                "cache_file": config["hardware_id_cache_file"] if named else None,
                "length": config["hardware_id_length"],
                "charset": config["hardware_id_charset"],
                "require_hardware_id": config["require_hardware_id"],
            }
        )
        tracker = SessionTracker(
            config, self._store, self._namespace, keys=self._keys, durable=self._durable, clock=self._clock
        )
        return provider, tracker

    async def cleanup(self) -> bool:
        """Stop: what still runs is flagged and, unless ``durable``, ended. A second call does nothing."""
        async with self._changing:
            if self.is_initialized and self.session_tracker and self.hardware_id_provider:
                self.is_initialized = False
                try:
                    await self.session_tracker.cleanup()
                finally:
                    await self.hardware_id_provider.cleanup()
            return True

    def update_config(self, values: Mapping[str, Any]) -> None:
        """Change some values; they take effect at the next `initialize`."""
        if not isinstance(values, Mapping):
            raise InvalidInput("values", f"is a dict, not {type(values).__name__}")
        self.config.update(values)

    async def create_session(
        self,
        user_agent: str | None = None,
        ip_address: str | None = None,
        context: Mapping[str, Any] | None = None,
        *,
        hardware_id: str | None = None,
    ) -> LiveSession:
        """Begin a session of its own, of a client's ``hardware_id``, else of this machine's.

        Raises `NotInitialized`, `TooManySessions`, `InvalidInput` (names the argument).
        """
        tracker = self._tracker()
        if hardware_id is None and self.hardware_id_provider is not None:
            hardware_id = self.hardware_id_provider.hardware_id
        return await tracker.create(
            hardware_id=hardware_id, user_agent=user_agent, ip_address=ip_address, context=context
        )

    async def get_session_status(self, session_id: str, hardware_id: str | None = None) -> dict[str, Any] | None:
        """What a session says now, see `LiveSession`; None, said in the log, for one that is unknown.

        ``hardware_id`` is the caller's: asking about the own session is activity; another's raises `ForeignSession`
        under ``validate_session_ownership``. A call without one is the server's own.
        """
        try:
            return await self._tracker().status(session_id, hardware_id)
        except (NotInitialized, UnknownSession) as error:
            _said(error)
            return None

    async def touch_session(self, session_id: str, hardware_id: str | None = None) -> bool:
        """The session's other party was active; False if it has ended, or is unknown (which the log says)."""
        try:
            return await self._tracker().touch(session_id, hardware_id)
        except (NotInitialized, UnknownSession) as error:
            _said(error)
            return False

    async def interrupt_session(
        self, session_id: str, reason: str = "user_request", hardware_id: str | None = None
    ) -> bool:
        """End a session and stop the work for it, anywhere; whether this call did. The first reason stays.

        The reason ``completed`` ends it as completed. Waits at most ``interrupt_timeout`` seconds for work under
        `running` to stop. False, said in the log, where the session is unknown.
        """
        try:
            return await self._tracker().interrupt(session_id, reason, hardware_id)
        except (NotInitialized, UnknownSession) as error:
            _said(error)
            return False

    async def interrupt_all_sessions(self, reason: str = "global_interrupt") -> int:
        """End every session on the store that began before now; how many this call ended.

        Does nothing where ``global_interrupt_enabled`` is off. If the store fails this raises, and the flags of this
        process's sessions stand.
        """
        try:
            return await self._tracker().interrupt_all(reason)
        except NotInitialized as error:
            _said(error)
            return 0

    def running(self, session: LiveSession | str) -> AbstractAsyncContextManager[LiveSession]:
        """A block of work for a session, cancelled when it ends, see `SessionTracker.running`."""
        return self._tracker().running(session)

    async def wait_ended(self, session: LiveSession | str, timeout: float | None = None) -> bool:
        """Wait until a session has ended; False if ``timeout`` seconds passed before."""
        return await self._tracker().wait_ended(session, timeout)

    async def get_hardware_id(self) -> str:
        """This machine's hardware id; raises `NotInitialized`, `HardwareIDFailed`."""
        self._tracker()
        assert self.hardware_id_provider is not None  # noqa: S101 - what runs has both
        async for hardware_id in self.hardware_id_provider.process(None):
            if hardware_id is not None:
                return hardware_id
        raise HardwareIDFailed("there is none, and none is required")

    async def statistics(self) -> dict[str, int]:
        """How many tracked sessions the store holds, of all processes, by status."""
        return await self._tracker().store_statistics()

    async def sessions(self) -> list[dict[str, Any]]:
        """Every live session on the store, of all processes."""
        return [session async for session in self._tracker().store_sessions()]

    def get_status(self) -> dict[str, Any]:
        """Whether it runs, its parts, and its configuration with what waits for the next `initialize`."""
        self._say_whether_it_runs()
        pending = [key for key in self.config if self.config[key] != self._running_config.get(key)]
        return {
            "is_initialized": self.is_initialized,
            "hardware_id_provider": _status(self.hardware_id_provider),
            "session_tracker": _status(self.session_tracker),
            "config_status": {
                "is_valid": not self.config.problems(),
                "problems": self.config.problems(),
                "pending": pending,
                "values": dict(self.config),
            },
        }

    def get_session_statistics(self) -> dict[str, Any]:
        """Numbers of this process's sessions, from memory."""
        return self._shown_tracker().get_statistics()

    def get_metrics(self) -> dict[str, Any]:
        """What was asked of both parts; a ``success_rate`` is a ratio from 0 to 1."""
        tracker = self._shown_tracker()
        provider = self.hardware_id_provider or HardwareIDProvider()
        return {"hardware_id_provider": provider.get_metrics(), "session_tracker": tracker.get_metrics()}

    def reset_metrics(self) -> None:
        """Zero the counters of both parts; touches no session."""
        self._shown_tracker().reset_metrics()
        if self.hardware_id_provider is not None:
            self.hardware_id_provider.reset_metrics()

    def get_security_settings(self) -> dict[str, Any]:
        """What protects users, as configured."""
        self._say_whether_it_runs()
        return self._running_config.only(SECURITY)

    def get_performance_settings(self) -> dict[str, Any]:
        """Limits and periods, as configured."""
        self._say_whether_it_runs()
        return self._running_config.only(PERFORMANCE)

    def get_tracking_settings(self) -> dict[str, Any]:
        """What is kept and logged, as configured."""
        self._say_whether_it_runs()
        return self._running_config.only(TRACKING)

    def get_summary(self) -> dict[str, Any]:
        """The whole in short."""
        return {
            "is_initialized": self.is_initialized,
            "hardware_id_available": _status(self.hardware_id_provider)["is_available"],
            "session_tracker_available": _status(self.session_tracker)["is_available"],
            "config_valid": not self.config.problems(),
            "session_statistics": self._shown_tracker().get_statistics(),
            "security_settings": self._running_config.only(SECURITY),
        }

    def _tracker(self) -> SessionTracker:
        if not self.is_initialized or self.session_tracker is None:
            raise NotInitialized
        return self.session_tracker

    def _say_whether_it_runs(self) -> None:
        if not self.is_initialized:
            _said(NotInitialized())

    def _shown_tracker(self) -> SessionTracker:
        """The tracker, for what it says from memory; where none runs the log says so, and the numbers are its last."""
        self._say_whether_it_runs()
        return self.session_tracker or SessionTracker(self._running_config)


def cannot_start(config: SessionManagementConfig) -> ConfigurationError:
    """The error of a manager that answers False to `initialize`."""
    return ConfigurationError("the manager cannot start: " + "; ".join(config.problems() or ["see the log"]))


def _said(error: InsessionError) -> None:
    logger().warning("%s", error)


def _status(provider: Provider | None) -> dict[str, Any]:
    return dict(_ABSENT) if provider is None else provider.get_status()
