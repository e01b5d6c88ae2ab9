"""A real mtpylon application and its client, run in mtpylon's own environment by `test_mtpylon`.

``serve STORE`` says where it listens, and each event of its sessions as a line. ``call URL CALLS`` plays a client over
the wire (obfuscated intermediate transport, MTProto 2.0) and says each answer. The handshake is left out: both sides
are given the key, as a store of auth keys would give it.
"""

# No postponed annotations: mtpylon reads what a call takes from them as they stand.
import asyncio
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import mtpylon
from aiohttp import web
from mtpylon.acknowledgement_store import InmemoryAcknowledgementStore
from mtpylon.configuration import configure_app
from mtpylon.crypto import AuthKey, AuthKeyManager, generate_key_iv
from mtpylon.salts import Salt, ServerSaltManager
from mtpylon.serialization.int128 import load as load_int128
from mtpylon.serialization.schema import CallableFunc
from mtpylon.serialization.schema import dump as dump_by_schema
from mtpylon.service_schema import load as load_by_service_schema
from mtpylon.service_schema import service_schema
from mtpylon.transports.obfuscation import Obfuscator, parse_header
from tgcrypto import ige256_decrypt, ige256_encrypt

from insession.integrations.mtpylon import install, new_session_created, schema_with_sessions
from insession.protocol import SessionEvent

KEY = AuthKey(random.Random(1).getrandbits(2048) | 1 << 2047)
SALT = 12_345
TAG = 0xEEEEEEEE


@dataclass
class Number:
    value: mtpylon.long

    class Meta:
        name = "number"
        order = ("value",)


async def double(request: web.Request, value: mtpylon.long) -> Number:
    return Number(value=mtpylon.long(2 * value))


class Keys(AuthKeyManager):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._manager_map[KEY.id] = KEY


class Salts(ServerSaltManager):  # type: ignore[misc]
    async def has_salt(self, auth_key: AuthKey, salt: int) -> bool:
        return salt == SALT

    async def get_future_salts(self, auth_key: AuthKey, count: int = 1) -> list[Salt]:
        return [Salt(salt=SALT)]


class NotKept(InmemoryAcknowledgementStore):  # type: ignore[misc]
    """Answers are not sent again: mtpylon writes a length of 0 into containers, which nobody can read."""

    async def set_message(self, *_: Any) -> None:
        pass

    async def get_message_list(self, *_: Any) -> list[Any]:
        return []


class Saying:
    """An observer, beside one that fails: the client's message is answered all the same."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    async def update(self, event: SessionEvent) -> None:
        say("event", event.type, event.session_id, event.auth_key_id, event.auth_key is not None)
        record = await self._app["session_subject"].session_storage.record(
            event.auth_key or event.auth_key_id, event.session_id
        )
        if record is not None and event.auth_key is not None:
            told = new_session_created(record, SALT)
            say("new", told.first_msg_id, told.unique_id == record.unique_id)


class Failing:
    async def update(self, event: SessionEvent) -> None:
        raise RuntimeError("as the test wants it")


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def schema() -> Any:
    return schema_with_sessions(mtpylon.Schema(constructors=[Number], functions=[double]))


async def serve(store: str) -> None:
    app = web.Application()
    here = "tests.integrations.mtpylon_app."
    config = {
        "rsa_manager": {"params": {"rsa_keys": []}},
        "auth_key_manager": {"manager": f"{here}Keys"},
        "server_salt_manager": {"manager": f"{here}Salts"},
        "acknowledgement_storage": {"storage": f"{here}NotKept"},
        "session_storage": {
            "storage": "insession.integrations.mtpylon.SessionStorage",
            "params": {"store": store, "node": "the test"},
        },
    }
    configure_app(app, schema(), config)
    subject = install(app)
    subject.subscribe(Saying(app))
    subject.subscribe(Failing())
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    say("serving", f"http://127.0.0.1:{runner.addresses[0][1]}/ws")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


def header() -> bytes:
    """The first 64 bytes of a connection: random, but for the tag of the transport where they are decrypted."""
    sent = bytearray(os.urandom(64))
    _, wire = parse_header(bytes(sent))
    stream = Obfuscator(wire.client_key, wire.client_iv, wire.server_key, wire.server_iv).decrypt(bytes(64))
    sent[56:60] = bytes(one ^ other for one, other in zip(TAG.to_bytes(4, "big"), stream[56:60], strict=True))
    return bytes(sent)


def packed(session_id: int, message_id: int, body: bytes) -> bytes:
    plain = b"".join(
        (
            SALT.to_bytes(8, "little", signed=True),
            session_id.to_bytes(8, "little", signed=True),
            message_id.to_bytes(8, "little", signed=True),
            (1).to_bytes(4, "little"),
            len(body).to_bytes(4, "little"),
            body,
        )
    )
    plain += os.urandom(12 + -(len(plain) + 12) % 16)
    msg_key = os.urandom(16)
    pair = generate_key_iv(KEY, load_int128(msg_key).value, key_type="client")
    sealed: bytes = KEY.id.to_bytes(8, "big") + msg_key + ige256_encrypt(plain, pair.key, pair.iv)
    return len(sealed).to_bytes(4, "little") + sealed


def opened(message: bytes, common: Any) -> tuple[int, Any]:
    """The session id and the body of an answer."""
    sealed = message[4:]
    pair = generate_key_iv(KEY, load_int128(sealed[8:24]).value)
    plain = ige256_decrypt(sealed[24:], pair.key, pair.iv)
    return int.from_bytes(plain[8:16], "little", signed=True), load_by_service_schema(plain[32:], schema=common).value


def body_of(call: str, value: int, common: Any) -> bytes:
    functions = {one.__name__: one for one in common.functions}
    name = "session_id" if call == "destroy_session" else "value"
    return dump_by_schema(CallableFunc(functions[call], {name: value}), common)  # type: ignore[no-any-return]


async def call(url: str, *calls: str) -> None:
    """Each call is ``session:function:argument``."""
    common = schema() | service_schema
    async with aiohttp.ClientSession() as http:
        for place, one in enumerate(calls):
            session_id, function, value = one.split(":")
            first = header()
            _, wire = parse_header(first)
            async with http.ws_connect(url) as ws:
                await ws.send_bytes(first)
                message_id = (int(time.time()) << 32) + 4 * place
                await ws.send_bytes(
                    wire.decrypt(packed(int(session_id), message_id, body_of(function, int(value), common)))
                )
                async with asyncio.timeout(20):
                    answer = await ws.receive_bytes()
                in_session, result = opened(wire.encrypt(answer), common)
                said = getattr(result, "result", result)
                say("answer", in_session, message_id, type(said).__name__, *vars(said).values())


if __name__ == "__main__":
    roles: dict[str, Any] = {"serve": serve, "call": call}
    asyncio.run(roles[sys.argv[1]](*sys.argv[2:]))
