"""What the Sankhya face raises; a branch of `insession.errors`.

The tree (each name begins with ServiceRequest and ends with Exception where it is written with an asterisk)::

    SankhyaException
    ├── SankhyaSettingsError          also a ConfigurationError; names every setting that is wrong, at once
    ├── SankhyaInputError             also an InvalidInput; names the argument
    ├── SankhyaClosed                 after the end of the context
    ├── SankhyaUnknownToken           no session of this context
    ├── SankhyaHandoverRefused        a detached session cannot be attached here; ``why`` is one word
    ├── SankhyaStoreUnavailable       also a StoreUnavailable: a new session cannot be registered
    └── ServiceRequestException
        ├── *InvalidAuthorization     nothing to retry
        │   ├── *InvalidCredentials       user or password refused
        │   └── *ExpiredAuthentication    the user's account has run out
        ├── *SessionExpired           and not renewed; its text says "session expired"
        ├── *PermissionDenied         the session lives, and may not do this
        ├── *TooManySessions          also a LimitReached
        ├── *OutcomeUnknown           also an OutcomeUnknown: it may have run
        ├── *NotDone                  it has not run: a verify function has found out
        ├── *Inaccessible             not reached, or no answer of the service
        │   ├── *InvalidResponse          HTML, an empty or a cut answer, another protocol
        │   └── *ResponseTooLarge         more bytes than ``max_response_bytes``
        ├── *Busy                     the service could not run it now; it took no effect
        │   ├── *Competition              ``retry_after`` seconds
        │   ├── *Deadlock
        │   ├── *Timeout                  a query ran out of time
        │   ├── *CanceledQuery
        │   └── *Unavailable              its database or connection failed
        ├── *External                 an internal error of the service
        ├── *ServiceCanceled          status 4: it did not run to its end
        ├── *InvalidExpression, *UnbalancedDelimiter, *InvalidSubQuery
        ├── *FileNotFound
        ├── *SessionState             a pager or a file key was lost with its session
        │   └── *Pagination
        ├── *PropertyName             a field, column or relation that does not exist
        │   ├── *InvalidRelation
        │   └── *RequiredAttribute
        ├── *PropertyValue            a value that cannot be taken
        │   └── *PropertyWidth
        ├── *DuplicatedDocument, *ForeignKey, *BusinessRule, *FullTransactionLogs
        └── *Unexpected               refused with a text that is not known; the text is kept as it came

Every one has ``service``, ``status``, ``message`` and ``token``, as far as they are known. None holds a password, a
bearer or a session id; ``raw`` holds the first bytes of an answer that could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self
from uuid import UUID

from insession.errors import (
    ConfigurationError,
    InsessionError,
    InvalidInput,
    LimitReached,
    OutcomeUnknown,
    StoreUnavailable,
)

MOST_RAW: Final = 4_096
"""So many bytes of an unreadable answer an error carries."""


class SankhyaException(InsessionError):
    """Root of everything that this face raises on purpose."""

    def __init__(
        self,
        message: str = "",
        *,
        service: str | None = None,
        status: int | None = None,
        token: UUID | None = None,
    ) -> None:
        Exception.__init__(self, message)  # not that of the other parent, where there are two
        self.message: str = message
        self.service: str | None = service
        self.status: int | None = status
        self.token: UUID | None = token

    def __str__(self) -> str:
        return f"{self.service}: {self.message}" if self.service else self.message


class SankhyaSettingsError(SankhyaException, ConfigurationError):
    """Settings are missing or cannot work. ``settings`` names them all, ``message`` says what each wants."""

    def __init__(self, message: str = "", settings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.settings: tuple[str, ...] = settings


class SankhyaInputError(SankhyaException, InvalidInput):
    """An argument cannot be taken. ``field`` names it, ``problem`` says what is wrong."""

    def __init__(self, field: str = "", problem: str = "") -> None:
        SankhyaException.__init__(self, f"{field}: {problem}")
        self.field = field
        self.problem = problem


class SankhyaClosed(SankhyaException):
    """The context is closed, and sends nothing any more; make another."""


class SankhyaUnknownToken(SankhyaException, LookupError):
    """No session of this context: finalized, detached, or never acquired here."""


class SankhyaHandoverRefused(SankhyaException):
    """A detached session cannot be attached here. ``why`` is one word, see `insession.remote.HandoverRefused`."""

    why: str = ""


class SankhyaStoreUnavailable(SankhyaException, StoreUnavailable):
    """The store cannot be reached, and a new session has to be registered there first."""


class ServiceRequestException(SankhyaException):
    """A request failed."""


class ServiceRequestInvalidAuthorizationException(ServiceRequestException):
    """The service does not let this user in; trying again changes nothing."""


class ServiceRequestInvalidCredentialsException(ServiceRequestInvalidAuthorizationException):
    """User or password were refused."""


class ServiceRequestExpiredAuthenticationException(ServiceRequestInvalidAuthorizationException):
    """The user's account has run out."""


class ServiceRequestSessionExpiredException(ServiceRequestException):
    """The session is over at the service, and was not renewed."""


class ServiceRequestPermissionDeniedException(ServiceRequestException):
    """The user may not do this; the session lives."""


class ServiceRequestTooManySessionsException(ServiceRequestException, LimitReached):
    """No more sessions may be held now: by ``max_sessions``, or by the service's own limit."""

    def __init__(
        self, message: str = "", *, service: str | None = None, status: int | None = None, token: UUID | None = None
    ) -> None:
        SankhyaException.__init__(self, message, service=service, status=status, token=token)
        self.kind = "remote"


class ServiceRequestOutcomeUnknownException(ServiceRequestException, OutcomeUnknown):
    """The request left and its answer was lost: it may have run, or not. It was sent once.

    ``request`` is what was sent, ``at`` the wall time of that (seconds since 1970). The request is in no text, and goes
    into no pickle.
    """

    def __init__(
        self, message: str = "", *, service: str | None = None, status: int | None = None, token: UUID | None = None
    ) -> None:
        super().__init__(message, service=service, status=status, token=token)
        self.request: object = None
        self.at: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**vars(self), "request": None}


class ServiceRequestNotDoneException(ServiceRequestException):
    """Its answer was lost, and the verify function found that it has not run; it was not sent again."""


class ServiceRequestInaccessibleException(ServiceRequestException):
    """The service was not reached, or what answered was not the service. ``raw``: the first bytes of that."""

    def __init__(
        self, message: str = "", *, service: str | None = None, status: int | None = None, token: UUID | None = None
    ) -> None:
        super().__init__(message, service=service, status=status, token=token)
        self.raw: bytes = b""

    def with_raw(self, raw: bytes) -> Self:
        """Itself, with the beginning of what was answered."""
        self.raw = raw[:MOST_RAW]
        return self


class ServiceRequestInvalidResponseException(ServiceRequestInaccessibleException):
    """The answer is HTML, empty, cut off, or otherwise none of the protocol."""


class ServiceRequestResponseTooLargeException(ServiceRequestInaccessibleException):
    """The answer has more bytes than ``max_response_bytes``; the rest was not read."""


class ServiceRequestBusyException(ServiceRequestException):
    """The service could not run it now, and it took no effect."""


class ServiceRequestCompetitionException(ServiceRequestBusyException):
    """Another request competed with it. ``retry_after``: seconds after which it may be tried again."""

    retry_after: float = 10.0


class ServiceRequestDeadlockException(ServiceRequestBusyException):
    """The database chose it as a deadlock's victim, and rolled it back."""


class ServiceRequestTimeoutException(ServiceRequestBusyException):
    """A query ran out of the time that the service gives it."""


class ServiceRequestCanceledQueryException(ServiceRequestBusyException):
    """The query was cancelled."""


class ServiceRequestUnavailableException(ServiceRequestBusyException):
    """The service's database or a connection of it failed."""


class ServiceRequestExternalException(ServiceRequestException):
    """An internal error of the service."""


class ServiceRequestServiceCanceledException(ServiceRequestException):
    """The service was cancelled, and did not run to its end."""


class ServiceRequestInvalidExpressionException(ServiceRequestException):
    """A criterion cannot be read."""


class ServiceRequestUnbalancedDelimiterException(ServiceRequestInvalidExpressionException):
    """A quote in a criterion is not closed; bind values with ``?``."""


class ServiceRequestInvalidSubQueryException(ServiceRequestInvalidExpressionException):
    """A subquery gave more than one value."""


class ServiceRequestFileNotFoundException(ServiceRequestException):
    """The service has no such file."""


class ServiceRequestSessionStateException(ServiceRequestException):
    """Something that lay in a session at the service (a pager, a file key) is gone with it; begin again."""


class ServiceRequestPaginationException(ServiceRequestSessionStateException):
    """The service does not know the pager any more; ask from the first page again."""


class ServiceRequestPropertyException(ServiceRequestException):
    """About a field. ``entity`` and ``property_name`` as far as the message names them."""

    def __init__(
        self, message: str = "", *, service: str | None = None, status: int | None = None, token: UUID | None = None
    ) -> None:
        super().__init__(message, service=service, status=status, token=token)
        self.entity: str | None = None
        self.property_name: str | None = None
        self.details: Mapping[str, str] = {}
        """Everything that the message names."""


class ServiceRequestPropertyNameException(ServiceRequestPropertyException):
    """A field or column does not exist."""


class ServiceRequestInvalidRelationException(ServiceRequestPropertyNameException):
    """A relation does not exist."""


class ServiceRequestRequiredAttributeException(ServiceRequestPropertyNameException):
    """A required field was not given."""


class ServiceRequestPropertyValueException(ServiceRequestPropertyException):
    """A value cannot be read or taken."""


class ServiceRequestPropertyWidthException(ServiceRequestPropertyValueException):
    """A value is too long."""


class ServiceRequestDuplicatedDocumentException(ServiceRequestPropertyException):
    """Another partner has this CNPJ or CPF."""


class ServiceRequestForeignKeyException(ServiceRequestPropertyException):
    """A row that this one refers to does not exist, or refers to this one."""


class ServiceRequestBusinessRuleException(ServiceRequestPropertyException):
    """A rule of the customer's did not allow it; ``property_name`` is the rule's name."""


class ServiceRequestFullTransactionLogsException(ServiceRequestPropertyException):
    """The database's transaction log is full."""


class ServiceRequestUnexpectedException(ServiceRequestException):
    """Refused with a text that we do not know; ``message`` is that text."""
