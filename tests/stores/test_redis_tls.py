"""Over TLS: the certificate is verified, and a connection that was handed over goes on encrypted."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import insession
from insession import StoreUnavailable
from tests.servers import valkey


def certified(folder: Path) -> Path:
    """A certificate for the loopback, with its key in the same file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    file = folder / "both.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@asynccontextmanager
async def terminated(port: int, file: Path) -> AsyncIterator[int]:
    """The port of somebody who speaks TLS for a server that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, other_writer), pipe(other_reader, writer))

    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_everything_goes_over_tls(tmp_path: Path) -> None:
    server, file = valkey.shared(), certified(tmp_path)
    async with terminated(server.port, file) as port:
        url = f"rediss://:{server.password}@127.0.0.1:{port}/0?ca={file}"
        namespace = valkey.namespace_of(tmp_path)
        async with (
            insession.connect(url, namespace=namespace) as engine,
            insession.connect(url, namespace=namespace) as other,
        ):
            # Larger than a TLS record.
            session = await engine.open(owner="ann", data="x" * 100_000)
            there = await other.get(session.id)
            assert there.data == session.data
            assert not there.interrupted
            await session.interrupt("stop")
            assert await there.wait_interrupted(20)
            assert there.reason == "stop"


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    server, file = valkey.shared(), certified(tmp_path)
    async with terminated(server.port, file) as port:
        engine = insession.connect(f"rediss://:{server.password}@127.0.0.1:{port}/0")
        with pytest.raises(StoreUnavailable, match="certificate"):
            async with engine:
                raise AssertionError("it was opened")
