"""The pool's errors as those of this face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final
from uuid import UUID

from insession.errors import ConfigurationError, InvalidInput, StoreError
from insession.remote import errors as pool
from insession.remote.errors import RemoteError

from . import errors as ours
from .errors import SankhyaException


class translating:  # noqa: N801 - reads like a function in a with statement
    """A block whose errors are those of this face: ``with translating(token): ...``."""

    __slots__ = ("_token",)

    def __init__(self, token: UUID | None = None) -> None:
        self._token = token

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, SankhyaException):
            error.token = error.token or self._token
        elif isinstance(error, RemoteError | StoreError | ConfigurationError | InvalidInput):
            raise translated(error, self._token) from error.__cause__


def translated(error: BaseException, token: UUID | None = None) -> Exception:
    """What a caller gets for what the pool raised: an exception of this face, with the token that it was about."""
    found = _found(error)
    if isinstance(found, ours.SankhyaException) and found.token is None:
        found.token = token
    return found


def _found(error: BaseException) -> Exception:
    if isinstance(error, pool.RemoteError):
        make = next((_MAKE[kind] for kind in type(error).__mro__ if kind in _MAKE), None)
        if make is not None:
            return make(error)
        if error.error is not None:
            return error.error
        return ours.ServiceRequestException(str(error))
    if isinstance(error, StoreError) and not isinstance(error, ours.SankhyaException):
        return ours.SankhyaStoreUnavailable(f"the store cannot be used, and a new session has to be noted: {error}")
    if isinstance(error, InvalidInput) and not isinstance(error, SankhyaException):
        return ours.SankhyaInputError(error.field, error.problem)
    if isinstance(error, ConfigurationError) and not isinstance(error, SankhyaException):
        return ours.SankhyaSettingsError(str(error))
    assert isinstance(error, Exception)  # noqa: S101 - nobody translates an end of the program
    return error


def _refused(error: Any) -> Exception:
    if error.error is not None:
        found: Exception = error.error
        return found
    return ours.ServiceRequestInvalidCredentialsException(str(error))


def _unknown(error: Any) -> Exception:
    made = ours.ServiceRequestOutcomeUnknownException(str(error), service=error.call, token=error.token)
    made.request, made.at = error.request, error.at
    return made


def _handover(error: Any) -> Exception:
    made = ours.SankhyaHandoverRefused(str(error))
    made.why = error.why
    return made


_MAKE: Final[Mapping[type, Callable[[Any], Exception]]] = {
    pool.PoolClosed: lambda error: ours.SankhyaClosed(str(error)),
    pool.UnknownToken: lambda error: ours.SankhyaUnknownToken(str(error), token=error.token),
    pool.SessionExpired: lambda error: ours.ServiceRequestSessionExpiredException(str(error)),
    pool.SessionLimit: lambda error: ours.ServiceRequestTooManySessionsException(str(error)),
    pool.OutcomeUnknown: _unknown,
    pool.NotDone: lambda error: ours.ServiceRequestNotDoneException(str(error), service=error.call),
    pool.StateLost: lambda error: ours.ServiceRequestSessionStateException(str(error), service=error.call),
    pool.HandoverRefused: _handover,
    pool.CredentialsRefused: _refused,
}
