"""A request to the service and its answer, as callers see them, in either dialect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from . import jsonform
from .envelope import Unreadable, message_of, parse
from .errors import SankhyaInputError
from .services import Service, service_of

OK = 1
INFO = 2
SESSION_OVER = 3
CANCELED = 4


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceRequest:
    """A request: a service, and the ``requestBody``. Neither is in its repr."""

    service: Service
    body: Element = dataclasses.field(default_factory=lambda: Element("requestBody"), repr=False)

    @classmethod
    def of(
        cls,
        service: str | Service,
        request: ServiceRequest | Element | Mapping[str, Any] | str | bytes | None = None,
        *,
        idempotent: bool | None = None,
    ) -> ServiceRequest:
        """A request of what a caller has.

        Args:
            service: A name like ``"CACSP.incluirNota"``, with its module in front where that is not known:
                ``"mgecom:Own.service"``.
            request: The whole envelope, its ``requestBody``, or what is in that: an XML element, XML as text, a dict
                in the form of the JSON dialect, or another request, whose body is taken. None: an empty body.
            idempotent: Whether it may be sent twice; None: as the table of services says, which knows no stranger.

        Raises `SankhyaInputError`.
        """
        named = service if isinstance(service, Service) else service_of(service, idempotent=idempotent)
        return cls(named, _body(request))


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceResponse:
    """An answer of the service. ``element`` is its ``responseBody``; `body` the same as a dict."""

    service: str
    status: int
    message: str = ""
    element: Element = dataclasses.field(default_factory=lambda: Element("responseBody"), repr=False)
    transaction_id: str | None = None
    error_code: str | None = None
    error_level: str | None = None
    pending_printing: bool = False

    @property
    def body(self) -> dict[str, Any]:
        """The ``responseBody`` in the form of the JSON dialect: text under ``$``, values as they came."""
        return jsonform.to_dict(self.element)

    def find(self, path: str) -> Element | None:
        """The first element at a path below the ``responseBody``, see `xml.etree.ElementTree.Element.find`."""
        return self.element.find(path)


def read_xml(content: bytes) -> ServiceResponse:
    """An answer in XML. Raises `Unreadable`."""
    root = parse(content)
    if root.tag != "serviceResponse":
        raise Unreadable(f"its root is {root.tag!r}, not a serviceResponse")
    body = root.find("responseBody")
    message = message_of(root.find("statusMessage"))
    return _response(root.attrib, message, Element("responseBody") if body is None else body)


def read_json(content: bytes) -> ServiceResponse:
    """An answer in JSON. Raises `Unreadable`."""
    envelope = jsonform.parse(content)
    if "status" not in envelope:
        raise Unreadable("it has no status")
    body = envelope.get("responseBody")
    message = envelope.get("statusMessage")
    try:
        tree = jsonform.to_element("responseBody", body if isinstance(body, Mapping) else {})
    except SankhyaInputError as error:
        raise Unreadable(error.problem) from None
    return _response(envelope, message.strip() if isinstance(message, str) else "", tree)


def _response(attributes: Mapping[str, Any], message: str, body: Element) -> ServiceResponse:
    try:
        status = int(str(attributes.get("status", "")))
    except ValueError:
        raise Unreadable("its status is no number") from None
    return ServiceResponse(
        service=str(attributes.get("serviceName", "")),
        status=status,
        message=message,
        element=body,
        transaction_id=_optional(attributes.get("transactionId")),
        error_code=_optional(attributes.get("errorCode")),
        error_level=_optional(attributes.get("errorLevel")),
        pending_printing=str(attributes.get("pendingPrinting", "")).lower() == "true",
    )


def _optional(value: object) -> str | None:
    return None if value is None else str(value)


def _body(request: object) -> Element:
    if request is None:
        return Element("requestBody")
    if isinstance(request, ServiceRequest):
        return request.body
    if isinstance(request, Mapping):
        inner = request.get("requestBody", request)
        if not isinstance(inner, Mapping):
            raise SankhyaInputError("request", "has a requestBody that is no dict")
        return jsonform.to_element("requestBody", inner)
    if isinstance(request, (str, bytes)):
        return _of_text(request)
    if isinstance(request, Element):
        return _within(request)
    raise SankhyaInputError(
        "request", f"is a dict, an XML element or text, or a ServiceRequest, not {type(request).__name__}"
    )


def _of_text(text: str | bytes) -> Element:
    encoded = text.encode() if isinstance(text, str) else text
    try:
        return _within(parse(encoded))
    except Unreadable as alone:
        # Several elements side by side are fine as what is in a body.
        try:
            body = parse(b"<requestBody>" + encoded + b"</requestBody>")
        except Unreadable:
            body = Element("requestBody")
        if not len(body):
            raise SankhyaInputError("request", f"is no XML: {alone}") from None
        return body


def _within(element: Element) -> Element:
    if element.tag == "requestBody":
        return element
    if element.tag == "serviceRequest":
        body = element.find("requestBody")
        return Element("requestBody") if body is None else body
    made = Element("requestBody")
    made.append(element)
    return made
