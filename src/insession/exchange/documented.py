"""The names of the platform's exchange module, `baseline`, and what they are here."""

from __future__ import annotations

from typing import Final

from insession.kernel.documented import Documented

_HERE: Final = "insession.exchange"


def _of(module: str, *names: str) -> dict[str, str]:
    return {name: f"{_HERE}.{module}:{name}" for name in names}


_SESSION: Final = _of("session", "Session")
_OPTIONS: Final = _of("options", "SessionStarterOptions")
_NOT_EXIST: Final = _of("errors", "SessionNotExistError")
_ABSTRACT: Final = _of("connector.session_connector_abstract", "SessionConnectorAbstract")
_WEBSOCKET: Final = _of("connector.session_websocket_connector", "SessionWebsocketConnector")
_FACTORY: Final = _of("connector", "SessionConnectorFactory")
_OF_CONNECTOR: Final = _of("errors", "NotConnectedError", "StartSessionError", "SessionEssayNotCorrectError")
_ABSTRACT_LINE: Final = _of("connection.connection", "ConnectionAbstract")
_CONNECTION: Final = _ABSTRACT_LINE | {"Connect": _ABSTRACT_LINE["ConnectionAbstract"]}
_LINE: Final = _of("connection.websocket", "Websocket")
_EPICRISIS: Final = _of("epicrisis", "Epicrisis", "EpicrisisFactory")
_OF_EPICRISIS: Final = _of("errors", "EmptyError", "NotHasRequiredFieldError", "FileIsExistError", "ValidationError")
_FILES: Final = _of("files", "File", "FileFactory")
_DTOS: Final = _of("dto", "MessageDto", "SessionStartSuccessDto", "SessionFileDto", "SessionFileSendDto")
_MARKER: Final = _of("marking", "Marker")
_DEMO: Final = _of("marking", "SolutionDemo")
_SOLUTION: Final = _of("solutions", "SolutionFactory", "SolutionAbstract")
_MARKUP: Final = {
    "MarkupFactory": _SOLUTION["SolutionFactory"],
    "MarkupAbstract": _SOLUTION["SolutionAbstract"],
    "MarkupDemo": _DEMO["SolutionDemo"],
}

DOCUMENTED: Final = Documented(
    root="baseline",
    modules={
        "session": _SESSION | _OPTIONS | _NOT_EXIST,
        "session.session": _SESSION,
        "session.options": _OPTIONS,
        "session.exception": _NOT_EXIST,
        "session.dto": _DTOS,
        "session.connector": _ABSTRACT | _WEBSOCKET | _FACTORY,
        "session.connector.session_connector_abstract": _ABSTRACT,
        "session.connector.session_websocket_connector": _WEBSOCKET,
        "session.connector.exceptions": _OF_CONNECTOR,
        "session.connection": _CONNECTION | _LINE,
        "session.connection.connection": _CONNECTION,
        "session.connection.websocket": _LINE,
        "epicrisis": _EPICRISIS | _OF_EPICRISIS,
        "file": _FILES,
        "markup": _MARKER | _MARKUP,
        "solution": _MARKER | _SOLUTION | _DEMO,
    },
)
