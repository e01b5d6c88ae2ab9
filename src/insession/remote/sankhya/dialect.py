"""The two dialects, and what an answer in either means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final
from xml.etree.ElementTree import Element

from insession.remote.errors import OutcomeLost, SessionGone

from . import envelope, jsonform
from .envelope import Unreadable, decoded_text
from .errors import (
    ServiceRequestException,
    ServiceRequestServiceCanceledException,
    ServiceRequestSessionExpiredException,
    ServiceRequestUnexpectedException,
)
from .messages import NOT_STARTED, refusal
from .request import CANCELED, INFO, OK, SESSION_OVER, ServiceResponse, read_json, read_xml
from .services import Service
from .wire import Answer, refused_status, unreadable

HTTP_OK: Final = 200
UNAUTHORIZED: Final = 401
DEAD_BEARER: Final = b"GTW3403"
"""In the body of a gateway's answer, under whatever status."""
_LOOKED_AT: Final = 65_536


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """How envelopes are written and read."""

    name: str
    content_type: str
    query: str
    write: Callable[[str, Element], bytes]
    read: Callable[[bytes], ServiceResponse]


XML: Final = Dialect("xml", "text/xml;charset=UTF-8", "", envelope.write, read_xml)
JSON: Final = Dialect("json", "application/json", "&outputType=json", jsonform.write, read_json)
DIALECTS: Final = {one.name: one for one in (XML, JSON)}


def judged(dialect: Dialect, service: Service, answer: Answer) -> ServiceResponse:
    """The response in an answer, if the service has done what was asked: status 1, or 2 with a body.

    Raises what the pool acts on (`insession.remote.errors.Report`), or a `ServiceRequestException`.
    """
    name = service.name
    if answer.status != HTTP_OK:
        return _failed(dialect, service, answer)
    if answer.is_html:
        raise lost(unreadable(name, answer, "it is an HTML page"), idempotent=service.idempotent)
    try:
        response = dialect.read(answer.content)
    except Unreadable as error:
        if DEAD_BEARER in answer.content[:_LOOKED_AT]:
            raise gone(name, answer.status) from None
        failure = unreadable(name, answer, "it is empty" if not answer.content else str(error))
        raise OutcomeLost(str(failure), error=failure) from None
    return _taken(name, response)


def gone(service: str, status: int | None) -> SessionGone:
    """The report that the session is dead."""
    error = ServiceRequestSessionExpiredException("session expired at the service", service=service, status=status)
    return SessionGone(str(error), error=error)


def lost(error: ServiceRequestException, *, idempotent: bool) -> Exception:
    """What is raised for an answer that would be no better if it were asked for again: a read fails at once."""
    return error if idempotent else OutcomeLost(str(error), error=error)


def _taken(name: str, response: ServiceResponse) -> ServiceResponse:
    status = response.status
    if status == OK or (status == INFO and len(response.element)):
        return response
    if status == SESSION_OVER:
        raise gone(name, status)
    if status == CANCELED:
        text = response.message or "the service was cancelled"
        canceled = ServiceRequestServiceCanceledException(text, service=name, status=status)
        raise OutcomeLost(str(canceled), error=canceled)
    if status == 0:
        raise refusal(response.message, name, status)
    said = response.message or f"answered with status {status}, and nothing else"
    raise ServiceRequestUnexpectedException(said, service=name, status=status)


def _failed(dialect: Dialect, service: Service, answer: Answer) -> ServiceResponse:
    """Judge another HTTP status than 200."""
    head = answer.content[:_LOOKED_AT]
    dead = NOT_STARTED.casefold() in decoded_text(head).casefold()
    if dead or answer.status == UNAUTHORIZED or DEAD_BEARER in head:
        raise gone(service.name, answer.status)
    try:
        response = dialect.read(answer.content)
    except Unreadable:
        failure = refused_status(service.name, answer)
        raise OutcomeLost(str(failure), error=failure) from None
    return _taken(service.name, response)
