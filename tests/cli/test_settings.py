"""Settings: flags before the environment before the file, and what is wrong by its name and place."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from insession.cli import settings, sources
from insession.cli.settings import Service, Settings, read
from insession.errors import ConfigurationError
from tests.programs import INSESSION, insession, started

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and nobody's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "config_folder", lambda: tmp_path / "config")
    for name in list(os.environ):
        if name.startswith("INSESSION_"):
            monkeypatch.delenv(name)


def write(text: str, *, name: str = "insession.toml", mode: int = 0o600) -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def problem(**given: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(None, given)
    return str(caught.value)


def test_without_any_they_are_the_defaults() -> None:
    assert read(None, {"store": None, "service": {}}) == Settings()
    assert read(None, {"store": "memory:", "service": {"port": 1}}) == Settings("memory:", service=Service(port=1))


def test_the_model_knows_the_same_names_as_the_value() -> None:
    assert list(sources.SettingsModel.model_fields) == [one.name for one in fields(Settings)]
    assert list(sources.ServiceModel.model_fields) == [one.name for one in fields(Service)]


def test_flags_go_before_the_environment_and_that_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('namespace = "file"\ntoken = "file"\nkeys = "file"\n[service]\nhost = "file"\nport = 1\nrate = 1.5\n')
    monkeypatch.setenv("INSESSION_NAMESPACE", "variable")
    monkeypatch.setenv("INSESSION_TOKEN", "variable")
    monkeypatch.setenv("INSESSION_SERVICE_PORT", "2")
    monkeypatch.setenv("INSESSION_SERVICE_HOST", "variable")
    monkeypatch.setenv("INSESSION_STORE", "")  # as if it were not set
    found = read(None, {"namespace": "flag", "service": {"host": "flag"}})
    assert found == Settings(
        namespace="flag", token="variable", keys="file", service=Service(host="flag", port=2, rate=1.5)
    )


def test_one_file_is_read_and_the_nearest(tmp_path: Path) -> None:
    write('namespace = "folder"\n', name="config/insession.toml")
    assert read(None, {}).namespace == "folder"
    write('store = "here"\n')
    assert read(None, {}) == Settings(store="here")
    assert read(write('store = "named"\n', name="other.toml"), {}) == Settings(store="named")


def test_a_flag_of_a_table_is_not_blamed_for_what_the_file_says_in_it() -> None:
    write("[service]\nprt = 1")
    told = "insession.toml: service.prt: unknown setting 'prt'; did you mean 'port'?"
    assert problem(service={"host": "flag"}) == told
    assert problem(service={}) == told


def test_a_layer_that_names_a_store_hides_the_service_of_those_below(monkeypatch: pytest.MonkeyPatch) -> None:
    write('url = "http://127.0.0.1:1"\n[service]\ntoken_file = "file"\n')
    monkeypatch.setenv("INSESSION_STORE", "variable")
    monkeypatch.setenv("INSESSION_SERVICE_TOKENS", SECRET)
    found = read(None, {})
    assert (found.store, found.url, found.service.tokens, found.service.token_file) == ("variable", None, SECRET, None)
    monkeypatch.setenv("INSESSION_URL", "http://127.0.0.1:2")
    assert read(None, {}).url == "http://127.0.0.1:2"
    assert read(None, {"store": "flag"}).url is None


def test_tokens_are_a_list_or_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[service]\ntokens = ["one", "read-only:two"]\n')
    assert read(None, {}).service.tokens == "one\nread-only:two"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('stoer = "x"', "insession.toml: stoer: unknown setting 'stoer'; did you mean 'store'?"),
        ("[service]\nprt = 1", "insession.toml: service.prt: unknown setting 'prt'; did you mean 'port'?"),
        ("[service]\nport = 99999", "insession.toml: service.port: "),
        ("service = 1", "insession.toml: service: is a table"),
        ("store = 1", "insession.toml: store: "),
        (f"[service]\ntokens = [[{SECRET!r}]]", "insession.toml: service.tokens: "),
        (f"token = [{SECRET!r}]", "insession.toml: token: "),
        (f"token = {SECRET}", "insession.toml: is not TOML: "),
    ],
)
def test_what_is_wrong_in_a_file(text: str, says: str) -> None:
    write(text)
    assert problem().startswith(says)
    assert SECRET not in problem()


def test_what_is_wrong_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSESSION_SERVICE_PORT", "many")
    assert problem().startswith("INSESSION_SERVICE_PORT: ")
    monkeypatch.delenv("INSESSION_SERVICE_PORT")
    monkeypatch.setenv("INSESSION_STOER", SECRET)
    assert problem() == "unknown variable 'INSESSION_STOER'; did you mean 'INSESSION_STORE'?"


def test_what_kubernetes_sets_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PORT", "tcp://10.0.0.7:80"), ("SERVICE_HOST", "10.0.0.7"), ("SERVICE_PORT", "80")):
        monkeypatch.setenv(f"INSESSION_{name}", value)
    monkeypatch.setenv("INSESSION_SERVICE_PORT_HTTP", "80")
    assert read(None, {}) == Settings()


@pytest.mark.skipif(os.name != "posix", reason="others' rights are a matter of POSIX")
def test_a_file_with_secrets_is_its_users_alone() -> None:
    write(f'token = "{SECRET}"', mode=0o644)
    assert problem() == "insession.toml: others than its user may read its token; chmod 600 it"
    write(f'store = "postgresql://ann:{SECRET}@db/sessions"', mode=0o644)
    assert problem() == "insession.toml: others than its user may read its store; chmod 600 it"
    write('store = "postgresql://ann@db/sessions"', mode=0o644)
    assert read(None, {}).store == "postgresql://ann@db/sessions"


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.toml: cannot be read"):
        read(Path("nothing.toml"), {})


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings(token=SECRET, keys=SECRET, store=f"redis://:{SECRET}@h", service=Service(tokens=SECRET)))
    assert SECRET not in shown


@pytest.mark.processes
def test_a_service_with_tokens_by_files(tmp_path: Path) -> None:
    """The service's file, and the client's, which names the service and holds a token."""
    other = "reader-reader-reader"
    served = write(f'store = "sqlite:///s.db"\n[service]\nport = 0\ntokens = ["{SECRET}", "read-only:{other}"]\n')
    with started(*INSESSION, "serve", cwd=tmp_path) as service:
        served.unlink()
        write(f'url = "{service.url}"\n')
        refused = insession("ls", cwd=tmp_path)
        assert (refused.returncode, refused.stdout) == (6, "")
        session = insession("open", cwd=tmp_path, environ={"INSESSION_TOKEN": SECRET}).stdout.strip()
        write(f'url = "{service.url}"\ntoken = "{other}"\n', name="reading.toml")
        assert session in insession("ls", "--config", "reading.toml", cwd=tmp_path).stdout
        refused = insession("close", session, cwd=tmp_path, environ={"INSESSION_CONFIG": "reading.toml"})
        assert (refused.returncode, refused.stdout, other in refused.stderr) == (6, "", False)
        assert service.stop() == (0, "")
