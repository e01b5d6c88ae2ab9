"""Starting and stopping `serve`."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import httpx2
import pytest

from tests.programs import INSESSION, insession, started

pytestmark = pytest.mark.processes


def test_it_says_where_it_listens_and_what_it_serves(tmp_path: Path) -> None:
    with started(*INSESSION, "serve", "--port", "0", cwd=tmp_path) as service:
        assert re.fullmatch(
            rf"insession serves sqlite:///insession.db at http://127\.0\.0\.1:[1-9]\d+ \(pid {service.popen.pid}\)\n",
            service.said,
        )
        assert httpx2.get(f"{service.url}/healthz", trust_env=False).status_code == 200
        assert service.stop() == (0, "")
    assert (tmp_path / "insession.db").exists()


def test_what_was_opened_is_there_after_a_restart(tmp_path: Path) -> None:
    with started(*INSESSION, "serve", "--port", "0", cwd=tmp_path) as service:
        session = httpx2.post(f"{service.url}/v1/sessions", json={"owner": "ann", "data": [1]}, trust_env=False).json()
        service.popen.kill()
    with started(*INSESSION, "serve", "--port", "0", cwd=tmp_path) as service:
        again = httpx2.get(f"{service.url}/v1/sessions/{session['id']}", trust_env=False).json()
        assert again == session
        assert service.stop() == (0, "")


def test_namespaces_see_nothing_of_each_other(tmp_path: Path) -> None:
    with (
        started(*INSESSION, "serve", "--port", "0", "--namespace", "blue", cwd=tmp_path) as blue,
        started(*INSESSION, "serve", "--port", "0", "--namespace", "green", cwd=tmp_path) as green,
    ):
        session = httpx2.post(f"{blue.url}/v1/sessions", trust_env=False).json()
        assert httpx2.get(f"{blue.url}/v1/sessions/{session['id']}", trust_env=False).status_code == 200
        assert httpx2.get(f"{green.url}/v1/sessions/{session['id']}", trust_env=False).status_code == 404


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = insession("serve", "--store", "memory:", "--port", str(port), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"insession: cannot listen on 127.0.0.1 port {port}: Address already in use; try another --port\n"
    )


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("sqlit:///x.db", "did you mean 'sqlite:'"),
        ("sqlite:///x.db?synchronos=off", "did you mean 'synchronous'"),
        ("sqlite:///no/such/folder/x.db", "folder"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_sentence(tmp_path: Path, store: str, says: str) -> None:
    done = insession("serve", "--store", store, "--port", "0", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
