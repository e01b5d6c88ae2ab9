"""What the exchange face raises; a branch of `insession.errors`.

The tree::

    ExchangeError
    ├── NotConnectedError             there is no line to the platform now
    │   └── ConnectFailed             it could not be made; says why
    │       └── UnsupportedServer     the server speaks socket.io 1 or 2
    ├── PlatformRefused               the platform said no; ``message`` is its own
    │   ├── AuthRefused               to the token
    │   ├── StartSessionError         to the start
    │   ├── SessionNotExistError      to joining: there is no active session
    │   └── AbortRefused              to an abort
    ├── StepTimedOut                  also a TimeoutError: a step had no answer in time
    │   ├── ConnectTimedOut
    │   ├── JoinTimedOut
    │   ├── StartTimedOut
    │   ├── AbortTimedOut
    │   ├── ResultTimedOut
    │   ├── DownloadTimedOut
    │   └── SessionTimedOut           the session itself did not end in time
    ├── SessionServed                 another task or process serves the session
    ├── SessionNotStarted             there is no session yet to do this in
    ├── ProtocolError                 what the platform sent cannot be taken; ``field`` names what
    │   └── ForeignSession            it belongs to another session
    ├── DownloadFailed                a file could not be fetched; ``status`` and ``retryable`` say more
    ├── AnswerTooLarge                the answer is above what the server takes
    └── FileError                     of one file and its answer
        ├── EmptyError                it has no content
        ├── NotHasRequiredFieldError  a field is missing
        ├── ValidationError           a field is not what it should be
        ├── FileIsExistError          it is there already, with other content
        ├── SessionEssayNotCorrectError  what is to be sent is no file of this session
        └── SolutionFailed            its solution gave no answer that can be sent

No message carries a token or the content of a file.
"""

from __future__ import annotations

from insession.errors import InsessionError


class ExchangeError(InsessionError):
    """Root of what the exchange face raises."""


class NotConnectedError(ExchangeError):
    """There is no line to the platform now. What was to be sent was not sent, and is kept where there is a journal."""

    def __init__(self, problem: str = "there is no connection to the platform now; it is being made again") -> None:
        super().__init__(problem)


class ConnectFailed(NotConnectedError):
    """The line could not be made."""


class UnsupportedServer(ConnectFailed):
    """The server speaks socket.io 1 or 2 (Engine.IO 3), which this client does not."""

    def __init__(self) -> None:
        super().__init__(
            "the platform's server speaks socket.io 2 (Engine.IO 3), and this client speaks 3 and 4 (Engine.IO 4); "
            "ask the platform for a server of version 3 or later, or for one with allowEIO3 switched on"
        )


class PlatformRefused(ExchangeError):
    """The platform said no. ``message`` is what it said."""

    saying = "the platform refused"

    def __init__(self, message: str = "") -> None:
        super().__init__(f"{self.saying}: {message or 'it does not say why'}")
        self.message: str = message


class AuthRefused(PlatformRefused):
    """The token is not taken. Trying again will not help: get a new one from the participant's account."""

    saying = "the platform refused the token"


class StartSessionError(PlatformRefused):
    """The session is not started."""

    saying = "the platform refused to start the session"


class SessionNotExistError(PlatformRefused):
    """There is no active session to join."""

    saying = "there is no active session to join"


class AbortRefused(PlatformRefused):
    """The session is not aborted, and goes on."""

    saying = "the platform refused to abort the session"


class StepTimedOut(ExchangeError, TimeoutError):
    """A step had no answer in time. ``seconds`` is how long it was waited for, ``last`` what was seen last."""

    step = "an answer"

    def __init__(self, seconds: float, last: str | None = None) -> None:
        super().__init__(f"{self.step} did not come within {seconds:g} s{f' ({last})' if last else ''}")
        self.seconds: float = seconds
        self.last: str | None = last


class ConnectTimedOut(StepTimedOut):
    """No line could be made in time."""

    step = "a connection to the platform"


class JoinTimedOut(StepTimedOut):
    """The platform did not say whether the session is joined."""

    step = "the platform's answer to joining the session"


class StartTimedOut(StepTimedOut):
    """The platform did not answer the start. It may have started: `reconnect` joins it then."""

    step = "the platform's answer to the start"


class AbortTimedOut(StepTimedOut):
    """The platform did not answer the abort."""

    step = "the platform's answer to the abort"


class ResultTimedOut(StepTimedOut):
    """The platform did not answer a result."""

    step = "the platform's answer to a result"


class DownloadTimedOut(StepTimedOut):
    """A file could not be fetched in time."""

    step = "the download of a file"


class SessionTimedOut(StepTimedOut):
    """The platform did not end the session in the time that it can last."""

    step = "the end of the session"


class SessionServed(ExchangeError):
    """Another task or process serves the session: only one may at a time."""

    def __init__(self) -> None:
        super().__init__("another task or process serves this session; stop that one first, or let it go on")


class SessionNotStarted(ExchangeError):
    """There is no session yet."""

    def __init__(self) -> None:
        super().__init__("no session is under way; start one, or reconnect to the active one, first")


class ProtocolError(ExchangeError):
    """What the platform sent cannot be taken. ``field`` names the part, ``problem`` says what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field: str = field
        self.problem: str = problem


class ForeignSession(ProtocolError):
    """A file of another session than the one that is served; it is not taken."""

    def __init__(self) -> None:
        super().__init__("sessionId", "names another session than the one that is served; the file is not taken")


class DownloadFailed(ExchangeError):
    """A file could not be fetched. ``status`` is HTTP's, where there is one; ``retryable``: trying again may help."""

    def __init__(self, problem: str, *, status: int | None = None, retryable: bool = False) -> None:
        super().__init__(f"the file could not be fetched: {problem}")
        self.status: int | None = status
        self.retryable: bool = retryable


class AnswerTooLarge(ExchangeError):
    """The answer is above what the server takes in one message, and would cut the line each time it is sent."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"the answer makes a message of {size} bytes and the server takes {most}; it is not sent")
        self.size: int = size
        self.most: int = most


class FileError(ExchangeError):
    """Root of what is wrong with one file or its answer."""


class EmptyError(FileError, ValueError):
    """The file has no content."""


class NotHasRequiredFieldError(FileError, KeyError):
    """A field is missing."""

    def __str__(self) -> str:
        # A KeyError shows what it has in quotes.
        return Exception.__str__(self)


class ValidationError(FileError, ValueError):
    """A field is not what it should be."""


class FileIsExistError(FileError, FileExistsError):
    """The file is there already, with other content."""


class SessionEssayNotCorrectError(FileError, ValueError):
    """What is to be sent is no file of this session."""


class SolutionFailed(FileError):
    """A solution gave no answer, or none that can be sent. The message says nothing of what the file holds."""
