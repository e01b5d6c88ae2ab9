"""Logging in and out: the `Authenticator` of an ERP."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element

from insession.remote.contracts import Ticket
from insession.remote.errors import Denied, OutcomeLost, SessionGone

from .dialect import Dialect, judged
from .envelope import element
from .errors import ServiceRequestResponseTooLargeException
from .request import ServiceRequest, ServiceResponse
from .services import LOGIN, LOGOUT, SERVICES, SESSIONS
from .settings import SankhyaSettings
from .transport import post
from .wire import USER_AGENT, Answer, Wire, unreadable

_SESSION_ID: Final = re.compile(r"[A-Za-z0-9._~!*+/=-]{1,512}")
"""What may stand in a cookie and nothing else."""


class DirectAuthenticator:
    """`insession.remote.Authenticator` by `MobileLoginSP`: the credentials travel in the body, never in a URL.

    The tag of a login is in its User-Agent, which the service shows in its list of sessions.
    """

    def __init__(self, wire: Wire, dialect: Dialect, settings: SankhyaSettings) -> None:
        self.wire: Wire = wire
        self.dialect: Dialect = dialect
        self.settings: SankhyaSettings = settings
        self.user_code: int | None = None
        """What the service calls the user, since the first login."""

    @property
    def service(self) -> str:
        """See `Authenticator`."""
        return self.wire.address

    @property
    def account(self) -> str:
        """See `Authenticator`."""
        return self.settings.username

    def credentials_digest(self) -> bytes:
        """See `Authenticator`."""
        return digest(self.service, self.account, self.settings.password.get_secret_value())

    async def login(self, tag: str) -> Ticket:
        """See `Authenticator`."""
        return await self._login(f"{USER_AGENT} ({tag})")

    async def logout(self, ticket: Ticket) -> None:
        """See `Authenticator`; what says that the session is dead is an answer, too."""
        request = ServiceRequest(SERVICES[LOGOUT])
        answer = await post(self.wire, self.dialect, request, ticket.ref)
        try:
            judged(self.dialect, request.service, answer)
        except (SessionGone, Denied):
            return

    async def find_lost(self, tag: str) -> Sequence[Ticket]:
        """See `insession.remote.FindsLost`: by a session of its own, if the settings allow the search."""
        if not self.settings.find_lost_sessions:
            return ()
        own = await self._login(USER_AGENT)
        try:
            request = ServiceRequest(SERVICES[SESSIONS])
            answer = await post(self.wire, self.dialect, request, own.ref)
            listed = judged(self.dialect, request.service, answer)
        finally:
            await self.logout(own)
        return [Ticket(ref=one) for one in _sessions_of(tag, listed) if one != own.ref]

    async def _login(self, agent: str) -> Ticket:
        body = Element("requestBody")
        body.append(element("NOMUSU", self.settings.username))
        body.append(element("INTERNO", self.settings.password.get_secret_value()))
        request = ServiceRequest(SERVICES[LOGIN], body)
        try:
            answer = await post(self.wire, self.dialect, request, None, agent)
            response = judged(self.dialect, request.service, answer)
        except ServiceRequestResponseTooLargeException as error:
            raise OutcomeLost(str(error), error=error) from None
        except (SessionGone, Denied) as report:
            # Of a session, they would mean something; before there is one this is just a refusal.
            raise report.error or report from None
        ticket = _ticket(answer, response)
        self.user_code = None if ticket.user is None else int(ticket.user)
        return ticket


def digest(*parts: str) -> bytes:
    """A digest of texts, none of which may run over into the next."""
    return hashlib.sha256(b"".join(len(one.encode()).to_bytes(8) + one.encode() for one in parts)).digest()


def _ticket(answer: Answer, response: ServiceResponse) -> Ticket:
    ref = (response.element.findtext("jsessionid") or "").strip()
    if not _SESSION_ID.fullmatch(ref):
        failure = unreadable(LOGIN, answer, "it names no session")
        raise OutcomeLost(str(failure), error=failure)
    return Ticket(ref=ref, user=_user(response.element.findtext("idusu") or ""))


def _user(text: str) -> str | None:
    """The user's code: base64 of its digits."""
    try:
        code = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return code if code.isdigit() else None


def _sessions_of(tag: str, listed: ServiceResponse) -> list[str]:
    return [
        one.get("ID", "")
        for one in listed.element.iter("SESSION")
        if tag and tag in one.get("USERAGENT", "") and _SESSION_ID.fullmatch(one.get("ID", ""))
    ]
