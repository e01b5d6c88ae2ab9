"""A cluster of our own: three masters on the loopback, each with a third of the slots; stopped by pid."""

from __future__ import annotations

import atexit
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .valkey import STARTS_WITHIN, Valkey, free_port

SLOTS: Final = 16384
MASTERS: Final = 3
TIMEOUT: Final = 1500
"""After so many milliseconds of silence a server is held for dead."""


def _server(folder: Path, *options: str) -> Valkey:
    folder.mkdir(parents=True)
    bus = str(free_port())
    cluster = ("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", str(TIMEOUT))
    server = Valkey(folder, *cluster, "--repl-diskless-sync-delay", "0", *options)
    server.bus = bus
    return server


class Cluster:
    """Its servers share a password that nobody else knows."""

    def __init__(self, folder: Path, *options: str, replicas: int = 0) -> None:
        self.servers: list[Valkey] = [
            _server(folder / f"node-{place}", *options) for place in range(MASTERS + replicas)
        ]
        self.masters: list[Valkey] = self.servers[:MASTERS]
        for server in self.servers:
            server.password = self.servers[0].password
            server.options += ("--masterauth", server.password)

    @property
    def url(self) -> str:
        """Where a store finds it: two of its servers."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:2])
        return f"valkey+cluster://:{self.servers[0].password}@{hosts}"

    def start(self) -> None:
        """Start it, and wait until every server says that the cluster is whole."""
        for server in self.servers:
            server.start()
        for place, server in enumerate(self.masters):
            first, last = place * SLOTS // MASTERS, (place + 1) * SLOTS // MASTERS - 1
            said(server, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            said(server, "CLUSTER", "SET-CONFIG-EPOCH", str(place + 1))
        for server in self.servers[1:]:
            said(self.servers[0], "CLUSTER", "MEET", "127.0.0.1", str(server.port), server.bus)
        self.settle()

    def replicate(self, replica: Valkey, master: Valkey) -> None:
        """Make a server the replica of a master, and wait until it follows."""
        said(replica, "CLUSTER", "REPLICATE", name_of(master))
        until(lambda: b"state=online" in master.ask("INFO", "replication"))

    def level(self, master: Valkey) -> None:
        """Wait until the replica of a master has what that has."""
        until(lambda: _level(master.ask("INFO", "replication").decode().splitlines()))

    def settle(self) -> None:
        """Wait until every server sees the whole cluster."""
        known = f"cluster_known_nodes:{len(self.servers)}\r\n".encode()
        for server in self.servers:
            until(lambda server=server: _whole(server, known))

    def stop(self) -> None:
        """Stop it, by its processes."""
        for server in self.servers:
            server.stop()


def _level(lines: list[str]) -> bool:
    offset = next(line.partition(":")[2] for line in lines if line.startswith("master_repl_offset:"))
    return any("state=online" in line and f"offset={offset}," in line for line in lines)


def _whole(server: Valkey, known: bytes) -> bool:
    info = server.ask("CLUSTER", "INFO")
    return b"cluster_state:ok" in info and known in info and b"cluster_slots_ok:16384" in info


def said(server: Valkey, *words: str) -> bytes:
    """The answer to a command, which is no refusal."""
    reply = server.ask(*words)
    assert not reply.startswith(b"-"), reply
    return reply


def name_of(server: Valkey) -> str:
    """The name that a server has in its cluster."""
    return said(server, "CLUSTER", "MYID").split(b"\r\n")[1].decode()


def until(happened: object, seconds: float = STARTS_WITHIN) -> None:
    """Wait for something that servers tell one another."""
    assert callable(happened)
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "the servers of the cluster do not agree"
        time.sleep(0.02)


def keep_whole(servers: Sequence[Valkey]) -> None:
    """Wait until each of these says that the cluster is whole."""
    for server in servers:
        until(lambda server=server: b"cluster_state:ok" in server.ask("CLUSTER", "INFO"))


_shared: dict[int, Cluster] = {}


def shared() -> Cluster:
    """One cluster for all tests of this process, which keep apart by namespaces; stopped when the process ends."""
    cluster = _shared.get(os.getpid())
    if cluster is None:
        folder = tempfile.TemporaryDirectory(prefix="insession-cluster-")
        cluster = Cluster(Path(folder.name))
        cluster.start()
        _shared[os.getpid()] = cluster
        atexit.register(_end, cluster, folder)
    return cluster


def _end(cluster: Cluster, folder: tempfile.TemporaryDirectory[str]) -> None:
    cluster.stop()
    folder.cleanup()
