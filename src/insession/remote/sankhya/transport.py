"""How a call goes to the ERP: the session id in the cookie and in ``mgeSession``, one request, one answer."""

from __future__ import annotations

import dataclasses
from typing import Any, Final
from urllib.parse import quote

from insession.remote.contracts import Call, Ticket

from .dialect import DIALECTS, Dialect, judged, lost
from .errors import ServiceRequestResponseTooLargeException
from .files import FileRequest, received
from .request import ServiceRequest
from .services import Service
from .settings import SankhyaSettings
from .wire import Answer, Wire

COOKIE: Final = "JSESSIONID"
Request = ServiceRequest | FileRequest


@dataclasses.dataclass(frozen=True, slots=True)
class DirectTransport:
    """`insession.remote.Transport` of an ERP that is logged in to."""

    wire: Wire
    dialect: Dialect

    async def send(self, call: Call[Request], ticket: Ticket) -> Any:
        """Send a `ServiceRequest` (a `ServiceResponse` comes back), or a `FileRequest` (a `File`, or None)."""
        request = call.request
        try:
            if isinstance(request, FileRequest):
                return received(request, await self._get(request, ticket))
            answer = await post(self.wire, self.dialect, request, ticket.ref)
        except ServiceRequestResponseTooLargeException as error:
            raise lost(error, idempotent=call.idempotent) from None
        service = request.service
        if service.idempotent is not call.idempotent:
            service = dataclasses.replace(service, idempotent=call.idempotent)
        return judged(self.dialect, service, answer)

    async def _get(self, request: FileRequest, ticket: Ticket) -> Answer:
        mark = "&" if "?" in request.path else "?"
        url = f"{self.wire.address}/mge/{request.path}{mark}mgeSession={quote(ticket.ref, safe='')}"
        headers = {"Cookie": f"{COOKIE}={ticket.ref}"}
        return await self.wire.send(request.service, "GET", url, headers=headers)


def direct(wire: Wire, settings: SankhyaSettings) -> DirectTransport:
    """The transport that settings mean."""
    return DirectTransport(wire, DIALECTS[settings.dialect])


async def post(
    wire: Wire,
    dialect: Dialect,
    request: ServiceRequest,
    session: str | None,
    agent: str | None = None,
) -> Answer:
    """Post a request to its module, in a session if there is one yet."""
    headers = {"Content-Type": dialect.content_type}
    if agent is not None:
        headers["User-Agent"] = agent
    url = address_of(wire.address, request.service, dialect)
    if session is not None:
        url = f"{url}&mgeSession={quote(session, safe='')}"
        headers["Cookie"] = f"{COOKIE}={session}"
    name = request.service.name
    content = dialect.write(name, request.body)
    return await wire.send(name, "POST", url, content=content, headers=headers)


def address_of(root: str, service: Service, dialect: Dialect) -> str:
    """The URL of a service; names of services and modules need no quoting."""
    return f"{root}/{service.module}/service.sbr?serviceName={service.name}{dialect.query}"
