"""Which connector a session gets: the one place to put another in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from insession.errors import ConfigurationError

from .session_connector_abstract import SessionConnectorAbstract
from .session_websocket_connector import SessionWebsocketConnector

if TYPE_CHECKING:
    from insession.exchange.session import Session

ConnectorClass = Callable[["Session"], SessionConnectorAbstract]


class SessionConnectorFactory:
    """Makes the connector of a session: the websocket connector, unless another class was named."""

    _class: ClassVar[ConnectorClass] = SessionWebsocketConnector

    @classmethod
    def use(cls, connector: ConnectorClass) -> AbstractContextManager[object]:
        """Make sessions' connectors by this class from now on; as a context manager, until its end.

        Sessions that have their connector keep it. Raises `ConfigurationError` for what is no connector.
        """
        if isinstance(connector, type) and not issubclass(connector, SessionConnectorAbstract):
            raise ConfigurationError(f"connector: {connector.__name__} is no subclass of SessionConnectorAbstract")
        if not callable(connector):
            raise ConfigurationError("connector: is a subclass of SessionConnectorAbstract")
        before = cls.__dict__["_class"]
        cls._class = staticmethod(connector)
        return _Restored(cls, before)

    @classmethod
    def get(cls, session: Session) -> SessionConnectorAbstract:
        """The connector of a session that has none yet."""
        return cls._class(session)


class _Restored:
    """Puts back what was there before."""

    def __init__(self, factory: type[SessionConnectorFactory], before: ConnectorClass) -> None:
        self._factory = factory
        self._before = before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._factory._class = self._before  # noqa: SLF001 - its own helper
