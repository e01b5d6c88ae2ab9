"""A client of the service that does nothing but what it is told: for tests of the double itself."""

from __future__ import annotations

import base64
import re
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree as ET

import httpx2

ALL = '<entity path=""><fieldset list="CODPARC,NOMEPARC,CEP"/></entity>'


def load(expression: str, *, page: str = "", parameters: str = "", fields: str = ALL) -> str:
    """The body of a loadRecords."""
    criteria = f"<criteria><expression>{expression}</expression>{parameters}</criteria>"
    return f'<dataSet rootEntity="Parceiro" {page}>{criteria}{fields}</dataSet>'


def save(name: str, key: str = "") -> str:
    """The body of a saveRecord."""
    row = f"<dataRow><localFields><NOMEPARC>{name}</NOMEPARC></localFields>{key}</dataRow>"
    return (
        f'<dataSet rootEntity="Parceiro" datasetid="1_1">{row}<entity path=""><fieldset list="*"/></entity></dataSet>'
    )


class Plain:
    """Sends what it is given; knows no errors."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.Client(timeout=30, headers={"User-Agent": "Plain/1"})
        self.session = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.close()

    def post(self, service: str, body: str = "", *, session: str | None = None, module: str = "mge") -> httpx2.Response:
        """Ask a service, in XML."""
        session = self.session if session is None else session
        query = {"serviceName": service} | ({"mgeSession": session} if session else {})
        headers = {"Cookie": f"JSESSIONID={session}"} if session else {}
        envelope = f'<serviceRequest serviceName="{service}"><requestBody>{body}</requestBody></serviceRequest>'
        url = f"{self.url}/{module}/service.sbr"
        # The client must not add a cookie of its own.
        self.http.cookies.clear()
        return self.http.post(url, params=query, content=envelope.encode(), headers=headers)

    def ask(self, service: str, body: str = "", **options: Any) -> ET.Element:
        """The answer's envelope."""
        return ET.fromstring(self.post(service, body, **options).content)  # noqa: S314 - the double's own

    def json(self, service: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask in JSON."""
        query = {"serviceName": service, "outputType": "json", "mgeSession": self.session}
        headers = {"Cookie": f"JSESSIONID={self.session}"} if self.session else {}
        self.http.cookies.clear()
        said = {"serviceName": service, "requestBody": body}
        answer = self.http.post(f"{self.url}/mge/service.sbr", params=query, json=said, headers=headers)
        found: dict[str, Any] = answer.json()
        return found

    def login(self, user: str = "SUP", password: str = "secret") -> ET.Element:
        """Log in; keeps the session's id."""
        answer = self.ask("MobileLoginSP.login", f"<NOMUSU>{user}</NOMUSU><INTERNO>{password}</INTERNO>", session="")
        self.session = (answer.findtext("responseBody/jsessionid") or "").strip()
        return answer


def message(answer: ET.Element) -> str:
    """The decoded message."""
    return base64.b64decode(answer.findtext("statusMessage") or "").decode()


def names(answer: ET.Element) -> list[str]:
    """The second column."""
    return [one.findtext("f1") or "" for one in answer.findall("responseBody/entities/entity")]


def attribute(answer: httpx2.Response, name: str) -> str:
    """An attribute's value, wherever it stands."""
    found = re.search(f'{name}="([^"]*)"', answer.text)
    return found[1] if found else ""
