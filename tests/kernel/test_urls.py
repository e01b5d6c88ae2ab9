"""Which store a URL means, and what is said of one that means none."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import insession
from insession import ConfigurationError
from insession.kernel import urls
from insession.kernel.urls import parse_url, store_from
from insession.stores.memory import MemoryStore


def test_connect_opens_nothing() -> None:
    engine = insession.connect("memory:")
    assert isinstance(engine.store, MemoryStore)


def test_the_environment_names_the_default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INSESSION_STORE", raising=False)
    assert isinstance(insession.connect().store, MemoryStore)
    monkeypatch.setenv("INSESSION_STORE", "")
    assert isinstance(insession.connect().store, MemoryStore)
    monkeypatch.setenv("INSESSION_STORE", "nowhere:")
    with pytest.raises(ConfigurationError, match="nowhere"):
        insession.connect()
    assert isinstance(insession.connect("memory:").store, MemoryStore)


def test_a_store_of_ones_own_is_taken() -> None:
    store = MemoryStore()
    assert insession.connect(store).store is store


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memry:", "did you mean 'memory:'"),
        ("sqllite:///a.db", "did you mean 'sqlite:'"),
        ("zzz://host", "known: memory:, "),
        ("", "unknown store"),
        ("sessions.db", "unknown store"),
        ("redis://[::1", "cannot be read"),
        ("memory:?sync=1", "unknown option 'sync'"),
    ],
)
def test_a_url_that_means_no_store(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said.replace("?", r"\?")):
        store_from(url, namespace="default")


@pytest.mark.parametrize(
    "url",
    [
        "secret://ann:hunter2@host/0",
        "memory://ann:hunter2@host/0?sync=1",
        "memory://:hunter2@host/0?sync=1",
        "memory://host/0?password=hunter2",
        "redis://ann:hunter2@[::1",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        store_from(url, namespace="default")
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_the_parts_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = parse_url("sqlite:///a%20b.db?synchronous=NORMAL&empty=")
    assert (parsed.scheme, parsed.path) == ("sqlite", "/a b.db")
    assert parsed.choice("synchronous", {"normal", "full"}, "full") == "normal"
    assert parsed.choice("other", {"normal", "full"}, "full") == "full"
    with pytest.raises(ConfigurationError, match="one of full, off"):
        parsed.choice("synchronous", {"full", "off"}, "full")
    with pytest.raises(ConfigurationError, match="did you mean 'synchronous'"):
        parse_url("sqlite:///a.db?synchronus=full").only({"synchronous"})


def test_the_parts_of_a_servers_url() -> None:
    parsed = parse_url("valkeys://ann:a%40b:c@example.org:6380,[::1]/2?timeout=2.5")
    assert (parsed.user, parsed.password, parsed.path) == ("ann", "a@b:c", "/2")
    assert parsed.hosts == (("example.org", 6380), ("::1", None))
    assert parsed.seconds("timeout", 5.0) == 2.5
    assert parsed.seconds("other", 5.0) == 5.0
    assert parsed.shown == "valkeys://ann:***@example.org:6380,[::1]/2"
    assert "a%40b" not in repr(parsed)
    assert "a@b" not in repr(parsed)
    assert parse_url("redis://:secret@host").shown == "redis://:***@host"
    assert parse_url("redis://host").password is None
    for wrong in ("redis://host:99999", "redis://a,:1", "redis://host:no"):
        with pytest.raises(ConfigurationError, match="no host with a port"):
            parse_url(wrong)
    for wrong in ("0", "-1", "soon", "inf", "nan"):
        with pytest.raises(ConfigurationError, match="timeout is a number of seconds"):
            parse_url(f"redis://host?timeout={wrong}").seconds("timeout", 5.0)


@pytest.mark.parametrize("namespace", ["", "Default", "1st", "a-b", "a" * 33, "a\n", "ä"])
def test_a_wrong_namespace(namespace: str) -> None:
    with pytest.raises(ConfigurationError, match="namespace"):
        insession.connect("memory:", namespace=namespace)


@pytest.mark.parametrize(
    ("option", "value"),
    [("index_key", b""), ("index_key", b"x" * 65), ("index_key", "text"), ("most_data", 0), ("most_data", -1)],
)
def test_wrong_options_of_connect(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        insession.connect("memory:", **{option: value})


def test_import_insession_imports_no_store() -> None:
    code = "import insession, sys; print([name for name in sys.modules if 'insession.stores' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_every_scheme_names_a_store() -> None:
    for scheme in urls.SCHEMES:
        url = {"memory": "memory:", "sqlite": "sqlite:///never-opened.db"}.get(scheme, f"{scheme}://localhost/0")
        assert hasattr(store_from(url, namespace="default"), "apply")
