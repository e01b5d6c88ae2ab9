"""A PgBouncer of our own, in transaction mode, before a server of ours."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from .postgres import PATIENCE, SERVED_BY, PostgresServer

_SETTINGS = """
[databases]
* = host={server} user=insession
[pgbouncer]
unix_socket_dir = {folder}
listen_port = 5432
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


class PgBouncer:
    """A few connections to a server, handed to another client with each transaction."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._server = server

    def url(self, schema: str, **options: object) -> str:
        """Of a schema in the server's database, by this way."""
        asked = urlencode({"host": self._folder, "schema": schema, "pgbouncer": 1} | options)
        return f"postgresql://insession@/postgres?{asked}"

    def answers(self) -> bool:
        """Whether it takes connections."""
        with socket.socket(socket.AF_UNIX) as one:
            return one.connect_ex(str(self._folder / ".s.PGSQL.5432")) == 0


@contextmanager
def running_pgbouncer(server: PostgresServer) -> Iterator[PgBouncer]:
    """One for as long as the block; it comes from a system's package, so without it the test is skipped."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="insession-pgb-"))
    settings = folder / "pgbouncer.ini"
    settings.write_text(_SETTINGS.format(server=server.folder, folder=folder))
    owner = SERVED_BY if os.geteuid() == 0 else None
    if owner is not None:
        os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
        settings.chmod(0o644)
    process = subprocess.Popen([program, "--quiet", settings], user=owner, cwd=folder)
    bouncer = PgBouncer(folder, server)
    try:
        until = time.monotonic() + PATIENCE
        while not bouncer.answers():
            assert process.poll() is None, "pgbouncer ended"
            assert time.monotonic() < until, "pgbouncer does not answer"
            time.sleep(0.02)
        yield bouncer
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
