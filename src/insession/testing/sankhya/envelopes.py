"""The envelopes of requests and answers, in XML and JSON."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from .settings import DoubleSettings
from .trees import Tree, collapsed, element, xml

ERROR, OK, INFO, TIMEOUT, CANCELED = "0", "1", "2", "3", "4"
DENIED: Final = "Não autorizado."
NOT_STARTED: Final = "Gerenciador de sessão não foi iniciado"
"""Part of the page that a dead session gets with HTTP 500."""
LOST: Final = "O sistema não pode encontrar o arquivo especificado"
"""A pager or a file that is not there."""


class Unreadable(Exception):
    """A body that is no request."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a service."""

    service: str
    body: ET.Element
    json: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answers."""

    body: Tree = field(default_factory=dict)
    status: str = OK
    message: str = ""
    raw_body: str = ""
    """XML that stands in the body as it is, of services that a user gave."""


class Refused(Exception):
    """A service's own error: status 0 with a message."""


def read(raw: bytes, service: str, *, json_form: bool) -> Request:
    """A request from its bytes; of some services the body may be empty."""
    if not raw.strip():
        return Request(service, ET.Element("requestBody"), json_form)
    try:
        if json_form:
            said = json.loads(raw)
            return Request(str(said["serviceName"]), element("requestBody", said.get("requestBody") or {}), json=True)
        root = ET.fromstring(raw)  # noqa: S314 - on the loopback, from the program under test
    except (ValueError, KeyError, TypeError, AttributeError, ET.ParseError):
        raise Unreadable from None
    body = root.find("requestBody")
    if root.tag != "serviceRequest":
        raise Unreadable
    return Request(root.get("serviceName", ""), ET.Element("requestBody") if body is None else body, json=False)


def write(answer: Answer, service: str, settings: DoubleSettings, *, json_form: bool) -> tuple[bytes, str]:
    """An answer's bytes and content type."""
    transaction = secrets.token_hex(16).upper()
    if json_form:
        said = {
            "serviceName": service,
            "status": answer.status,
            "pendingPrinting": "false",
            "transactionId": transaction,
            **({"statusMessage": answer.message} if answer.message else {}),
            **({"responseBody": collapsed(answer.body)} if answer.status in {OK, INFO} else {}),
        }
        return json.dumps(said, ensure_ascii=False).encode(), "application/json;charset=UTF-8"
    encoding = settings.xml_encoding
    head = f'serviceName={quoteattr(service)} status="{answer.status}" pendingPrinting="false"'
    body = f"<responseBody>{answer.raw_body}</responseBody>" if answer.raw_body else xml("responseBody", answer.body)
    if answer.status not in {OK, INFO}:
        body = ""
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n'
        f'<serviceResponse {head} transactionId="{transaction}">'
        f"{_message(answer.message, settings)}{body}</serviceResponse>"
    )
    return text.encode(encoding, "xmlcharrefreplace"), f"text/xml;charset={encoding}"


def _message(text: str, settings: DoubleSettings) -> str:
    if not text:
        return ""
    if settings.status_message == "base64":
        text = base64.b64encode(text.encode(settings.message_encoding, "replace")).decode()
    return f"<statusMessage><![CDATA[{text}]]></statusMessage>"
