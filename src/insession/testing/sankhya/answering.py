"""What is answered to one HTTP request: by the services, the gateway, or a fault."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from .counters import Exchange, Tally
from .envelopes import CANCELED, DENIED, ERROR, NOT_STARTED, TIMEOUT, Answer, Request, Unreadable, read, write
from .faults import TEXTS, Fault, Faults
from .gateway import DEAD, Gateway, json_bytes
from .services import LOGIN, LOGOUT, MODULES, SAVES, Services
from .sessions import Live, Sessions
from .settings import DoubleSettings

_CALL: Final = re.compile(r".*?(?P<gateway>/gateway/v1)?/(?P<module>mge|mgecom|mgefin)/service\.sbr")
_IMAGE: Final = re.compile(r".*/(?P<entity>\w+)@IMAGEM@(?P<keys>.+)\.dbimage")
_GATEWAY: Final = {"/authenticate": "authenticate", "/token/refresh": "refresh", "/login": "login"}
_RESET: Final = struct.pack("ii", 1, 0)
"""Linger for no time: the connection ends by RST."""
_CHUNK: Final = b" " * 65_536
PAGE: Final = "<html><head><title>Sankhya</title></head><body>{}</body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that has not left."""

    body: bytes
    content_type: str = "text/html;charset=ISO-8859-1"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """As aiohttp sends it."""
        return web.Response(
            body=self.body, status=self.status, headers={"Content-Type": self.content_type, **self.headers}
        )


Run = Callable[[], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Call:
    """A request, read."""

    http: web.BaseRequest
    exchange: Exchange
    raw: bytes
    json: bool
    session: str
    gateway: bool = False

    @property
    def service(self) -> str:
        """What is asked."""
        return self.exchange.service


class Answering:
    """The handler of an aiohttp server."""

    def __init__(self, settings: DoubleSettings) -> None:
        self.settings = settings
        self.tally: Tally = Tally()
        self.faults: Faults = Faults()
        self.sessions: Sessions = Sessions(settings, self.tally)
        self.services: Services = Services(settings, self.tally, self.sessions)
        self.gateway: Gateway = Gateway(settings, self.tally, self.sessions)
        self.released: asyncio.Event = asyncio.Event()

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        self._check_url(http)
        path = http.path
        if found := _CALL.fullmatch(path):
            return await self._service(http, found["module"], gateway=bool(found["gateway"]))
        if path in _GATEWAY:
            call = await self._call(http, _GATEWAY[path])
            return await self._answered(call, lambda: self._grant(call))
        if path.endswith("/visualizadorArquivos.mge"):
            call = await self._call(http, "file")
            return await self._answered(call, lambda: self._file(call))
        if image := _IMAGE.fullmatch(path):
            call = await self._call(http, "image")
            keys = dict(one.partition("=")[::2] for one in image["keys"].split("@"))
            return await self._answered(call, lambda: self._image(call, image["entity"], keys))
        if path.endswith("/mge/"):
            return Reply(PAGE.format('<script>SYSVERSION = "4.22b101"</script>').encode()).response()
        if "/dwr/" in path:
            self.tally.violate("a DWR call, which carries the password in clear")
        return Reply(PAGE.format("404").encode(), status=404).response()

    def _check_url(self, http: web.BaseRequest) -> None:
        settings = self.settings
        for secret in (settings.password, settings.client_secret, settings.x_token):
            if secret in http.path_qs:
                self.tally.violate("credentials in a URL")
        if not http.headers.get("User-Agent"):
            self.tally.violate("a request without a User-Agent")

    async def _service(self, http: web.BaseRequest, module: str, *, gateway: bool) -> web.StreamResponse:
        query = http.rel_url.query
        name = query.get("serviceName", "")
        call = await self._call(http, name, json=query.get("outputType") == "json" or gateway, gateway=gateway)
        tally = self.tally
        if MODULES.get(name, "mge") != module and name not in self.settings.answers:
            tally.violate(f"{name} was asked of the module {module}")
        if name in SAVES:
            tally.add("saves_received")
        try:
            request = read(call.raw, name, json_form=call.json)
        except Unreadable:
            tally.violate(f"the body of {name} cannot be read")
            return Reply(PAGE.format("400").encode(), status=400).response()
        if request.service != name:
            tally.violate(f"the URL says {name}, the envelope {request.service}")
        if name == LOGIN:
            return await self._answered(call, lambda: self._login(call, request))
        if gateway and self.gateway.session(http.headers.get("Authorization", "")) is None:
            call.exchange.outcome = "bearer"
            return Reply(json_bytes(DEAD), "application/json", self.settings.dead_bearer_status).response()
        if not gateway:
            self._check_session(http, name)
        if name == LOGOUT:
            return await self._answered(call, lambda: self._logout(call))
        return await self._answered(call, lambda: self._run(call, request))

    async def _call(self, http: web.BaseRequest, service: str, *, json: bool = False, gateway: bool = False) -> Call:
        raw = await http.read()
        if gateway:
            session = self.gateway.session(http.headers.get("Authorization", ""))
        else:
            session = http.cookies.get("JSESSIONID") or http.rel_url.query.get("mgeSession")
        exchange = self.tally.arrived(
            service,
            method=http.method,
            path=http.path,
            session=session or "",
            user_agent=http.headers.get("User-Agent", ""),
            body=raw,
        )
        return Call(http, exchange, raw, json, exchange.session, gateway)

    def _check_session(self, http: web.BaseRequest, service: str) -> None:
        cookie, query = http.cookies.get("JSESSIONID", ""), http.rel_url.query.get("mgeSession", "")
        if not cookie:
            self.tally.violate(f"{service} without the cookie JSESSIONID")
        if not query:
            self.tally.violate(f"{service} without mgeSession in the URL")
        if cookie and query and cookie != query:
            self.tally.violate(f"{service} with a cookie and an mgeSession that disagree")

    async def _answered(self, call: Call, run: Run) -> web.StreamResponse:
        """Run it, with the fault that meets it; what it holds is given back whatever happens."""
        with self.tally.concurrent("peak_concurrent_requests"), self._occupied(call):
            fault = self.faults.strike(call.service)
            if fault is None:
                return (await run()).response()
            call.exchange.outcome = fault.kind
            if fault.when == "before":
                struck = await self._strike(fault, call, None)
                return (await run()).response() if struck is None else struck
            reply = await run()
            struck = await self._strike(fault, call, reply)
            return reply.response() if struck is None else struck

    @contextmanager
    def _occupied(self, call: Call) -> Iterator[None]:
        session = self.sessions.live.get(call.session)
        if session is None or call.service in {LOGIN, LOGOUT}:
            yield
            return
        if call.http.transport is not None:
            session.connections.add(call.http.transport)
        self.tally.add("overlaps", session.under_way > 0)
        session.under_way += 1
        try:
            yield
        finally:
            session.under_way -= 1

    async def _strike(self, fault: Fault, call: Call, reply: Reply | None) -> web.StreamResponse | None:
        """What is answered instead; None if it goes on."""
        if fault.kind in {"slow", "hold"}:
            await (asyncio.sleep(fault.seconds) if fault.kind == "slow" else self.released.wait())
            return None
        if fault.kind == "expired":
            self.sessions.expire(call.session or None)
            return None
        if fault.kind in {"reset", "close", "truncate"}:
            return await self._cut(fault, call, reply)
        if fault.kind == "huge":
            return await self._huge(call, fault.size)
        return self._instead(fault, call).response()

    def _instead(self, fault: Fault, call: Call) -> Reply:
        if fault.kind == "service_canceled":
            return self._enveloped(call, Answer(status=CANCELED, message=fault.text))
        if fault.kind in TEXTS:
            return self._enveloped(call, Answer(status=ERROR, message=fault.text or TEXTS[fault.kind]))
        if fault.kind == "empty":
            return Reply(b"")
        status = {"http500": 500, "http401": 401}.get(fault.kind, 200)
        return Reply(PAGE.format(fault.text or "Erro interno").encode("iso-8859-1", "replace"), status=status)

    async def _cut(self, fault: Fault, call: Call, reply: Reply | None) -> web.StreamResponse:
        transport = call.http.transport
        response = web.StreamResponse()
        if fault.kind == "truncate":
            body = (reply or Reply(PAGE.format("").encode())).body
            response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "text/xml"})
            await response.prepare(call.http)
            await response.write(body[: len(body) // 2])
        if transport is not None and fault.kind == "reset":
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        elif transport is not None:
            transport.close()
        return response

    async def _huge(self, call: Call, size: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/xml;charset=ISO-8859-1"})
        await response.prepare(call.http)
        try:
            for _ in range(0, size, len(_CHUNK)):
                await response.write(_CHUNK)
            await response.write_eof()
        except ConnectionError:
            pass  # the client has seen enough
        return response

    async def _login(self, call: Call, request: Request) -> Reply:
        tally, settings = self.tally, self.settings
        tally.add("logins_attempted")
        with tally.concurrent("peak_concurrent_logins"):
            try:
                await asyncio.sleep(settings.login_latency)
            finally:
                # The server goes on also when the client has left.
                answer, session = self._logged_in(request, call)
        reply = self._enveloped(call, answer)
        if session is not None:
            reply.headers["Set-Cookie"] = f"JSESSIONID={session.id}; Path=/mge"
        return reply

    def _logged_in(self, request: Request, call: Call) -> tuple[Answer, Live | None]:
        settings, tally = self.settings, self.tally
        given = (request.body.findtext("NOMUSU"), request.body.findtext("INTERNO"))
        call.exchange.outcome = call.exchange.outcome or "refused"
        if given != (settings.username, settings.password) or settings.expired_user:
            tally.add("logins_refused")
            known = given == (settings.username, settings.password)
            return Answer(status=ERROR, message="Usuário expirou." if known else "Usuário/Senha inválido."), None
        session = self.sessions.begin(call.exchange.user_agent, call.http.remote or "")
        if session is None:
            tally.add("logins_refused_limit")
            return Answer(status=ERROR, message=settings.limit_message), None
        if call.http.transport is not None:
            session.connections.add(call.http.transport)
        tally.add("logins_ok")
        self._ran(call)
        code = base64.b64encode(str(settings.user_code).encode()).decode() + "\n"
        body = {"callID": {"$": "6F"}, "jsessionid": {"$": session.id}, "idusu": {"$": code}}
        return Answer(body), session

    async def _logout(self, call: Call) -> Reply:
        try:
            await asyncio.sleep(self.settings.latency)
        finally:
            ended = self.sessions.end(call.session, "logouts")
            self._ran(call)
        if ended:
            return self._enveloped(call, Answer())
        self.tally.add("logouts_unknown")
        return self._enveloped(call, Answer()) if self.settings.logout_unknown == "ok" else self._expired(call)

    async def _run(self, call: Call, request: Request) -> Reply:
        session = self.sessions.use(call.session)
        if session is None:
            return self._expired(call)
        if session.under_way > 1 and self.settings.overlap == "competition":
            return self._enveloped(call, Answer(status=ERROR, message=TEXTS["competition"]))
        try:
            if self.settings.latency:
                await asyncio.sleep(self.settings.latency)
        finally:
            answer = self.services.run(request, session)
            self._ran(call)
        return self._enveloped(call, answer)

    def _ran(self, call: Call) -> None:
        call.exchange.executed = True
        call.exchange.outcome = call.exchange.outcome if call.exchange.outcome not in {"", "refused"} else "ok"

    def _expired(self, call: Call) -> Reply:
        """A dead session, in the form that the settings name; through the gateway always the envelope's."""
        call.exchange.outcome = "expired"
        form = "status3" if call.gateway else self.settings.expiry
        if form == "status3":
            return self._enveloped(call, Answer(status=TIMEOUT, message=DENIED))
        if form == "status0":
            return self._enveloped(call, Answer(status=ERROR, message=DENIED))
        text = NOT_STARTED if form == "http500" else "Unauthorized"
        return Reply(PAGE.format(text).encode("iso-8859-1"), status=500 if form == "http500" else 401)

    def _enveloped(self, call: Call, answer: Answer) -> Reply:
        if answer.status == ERROR and call.exchange.outcome == "ok":
            call.exchange.outcome = "refused"
        return Reply(*write(answer, call.service, self.settings, json_form=call.json))

    async def _grant(self, call: Call) -> Reply:
        await asyncio.sleep(self.settings.login_latency)
        host, headers = call.http.remote or "", call.http.headers
        form = dict(parse_qsl(call.raw.decode()))
        if call.service == "login":
            status, body = self.gateway.login(headers, host)
        elif call.service == "authenticate":
            status, body = self.gateway.authenticate(form, headers, host)
        else:
            status, body = self.gateway.refresh(form, headers, host)
        call.exchange.outcome = "ok" if status == 200 else "refused"
        return Reply(body, "application/json;charset=UTF-8", status)

    async def _file(self, call: Call) -> Reply:
        await asyncio.sleep(self.settings.latency)
        session = self.sessions.use(call.session)
        path = session.file_keys.get(call.http.rel_url.query.get("chaveArquivo", "")) if session else None
        if path is None:
            missing = PAGE.format("O arquivo solicitado não existe no servidor")
            return Reply(missing.encode("iso-8859-1"))
        self._ran(call)
        name = path.rpartition("/")[2]
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Reply(self.settings.files[path].encode(), "application/octet-stream", headers=headers)

    async def _image(self, call: Call, entity: str, keys: dict[str, str]) -> Reply:
        await asyncio.sleep(self.settings.latency)
        if self.sessions.use(call.session) is None:
            return self._expired(call)
        image = self.services.image(entity, keys)
        self._ran(call)
        return Reply(PAGE.format("404").encode(), status=404) if image is None else Reply(image, "image/gif")
