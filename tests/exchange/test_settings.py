"""Settings: from the environment, from .env, from an object."""

from __future__ import annotations

from pathlib import Path

import pytest

from insession.errors import ConfigurationError
from insession.exchange.settings import ROOT, ExchangeSettings, variable

TOKEN = "tok-5f2e81c0-secret"
HOST = "https://platform.example"


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ExchangeSettings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.chdir(tmp_path)


def env(folder: Path, *lines: str, token: str = TOKEN, host: str = HOST) -> Path:
    (folder / ".env").write_text("\n".join([f"TOKEN={token}", f"HOST={host}", *lines, ""]), "utf-8")
    return folder


def plain(**given: object) -> ExchangeSettings:
    return ExchangeSettings.model_validate({"token": TOKEN, "host": HOST} | given)


@pytest.mark.requirement("R4", "R40")
class TestWhereTheyComeFrom:
    def test_the_env_file_of_the_working_folder(self, tmp_path: Path) -> None:
        env(tmp_path)
        settings = ExchangeSettings.read()
        assert settings.token.get_secret_value() == TOKEN
        assert (settings.host, settings.root) == (HOST, tmp_path)
        assert (settings.files, settings.logs) == (tmp_path / "files", tmp_path / "logs")

    def test_the_root_that_a_variable_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        elsewhere = tmp_path / "project"
        elsewhere.mkdir()
        monkeypatch.setenv(ROOT, str(elsewhere))
        assert ExchangeSettings.read(token=TOKEN, host=HOST).root == elsewhere
        assert ExchangeSettings.read(env(elsewhere)).root == elsewhere
        assert ExchangeSettings.read(env(tmp_path)).root == tmp_path

    def test_what_is_given_counts_before_the_environment_and_that_before_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        env(tmp_path, "SESSION_CONCURRENCY=2", "SESSION_NAMESPACE=/file", "SESSION_DIALECT=2023")
        monkeypatch.setenv("SESSION_CONCURRENCY", "3")
        monkeypatch.setenv("SESSION_NAMESPACE", "/variable")
        settings = ExchangeSettings.read(concurrency=5)
        assert (settings.concurrency, settings.namespace, settings.dialect) == (5, "/variable", "2023")

    def test_entries_of_other_programs_are_none_of_ours(self, tmp_path: Path) -> None:
        assert ExchangeSettings.read(env(tmp_path, "DATABASE_URL=x", "# a comment", "PATH=/nowhere")).concurrency == 4

    def test_a_file_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(b"TOKEN=\xff\xfe\n")
        with pytest.raises(ConfigurationError, match="is not UTF-8"):
            ExchangeSettings.read()

    def test_reading_is_asked_for(self, tmp_path: Path) -> None:
        """W24: an import reads nothing, and an object is what it was given."""
        env(tmp_path, "DEBUG=1")
        other = ExchangeSettings(token="another", host="http://127.0.0.1:9")  # type: ignore[arg-type]
        assert other.token.get_secret_value() == "another"
        assert other.debug is False
        assert ExchangeSettings.read().debug is True


@pytest.mark.requirement("R4", "R39")
@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ("", "TOKEN.*account.*HOST"),
        (f"HOST={HOST}", "TOKEN.*account"),
        (f"TOKEN=\nHOST={HOST}", "TOKEN.*account"),
        (f"TOKEN='  '\nHOST={HOST}", "TOKEN.*account"),
        (f"TOKEN={TOKEN}", "HOST"),
        (f"TOKEN={TOKEN}\nHOST=", "HOST"),
    ],
)
def test_token_and_host_are_required(tmp_path: Path, content: str, missing: str) -> None:
    """W21: what is empty is not there."""
    (tmp_path / ".env").write_text(content)
    with pytest.raises(ConfigurationError, match=missing) as raised:
        ExchangeSettings.read()
    assert str(tmp_path / ".env") in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_an_object_is_checked_as_well() -> None:
    with pytest.raises(ConfigurationError, match=r"TOKEN.*account"):
        plain(token="")
    with pytest.raises(ConfigurationError, match="did you mean 'concurrency'"):
        plain(concurency=3)
    with pytest.raises(ConfigurationError, match="did you mean 'concurrency'"):
        ExchangeSettings.read(concurency=3)
    with pytest.raises(ConfigurationError, match=r"^concurrency: "):
        plain(concurrency=0)


@pytest.mark.requirement("R6")
class TestSwitches:
    @pytest.mark.parametrize("off", ["false", "False", "0", "no", "off", "n", "f", "None", "null", "disabled", "", " "])
    def test_false_like_values_are_off(self, tmp_path: Path, off: str) -> None:
        """W21: bool('false') is not what anybody means."""
        assert ExchangeSettings.read(env(tmp_path, f"DEBUG={off}")).debug is False

    @pytest.mark.parametrize("on", ["true", "True", "1", "yes", "on"])
    def test_true_like_values_are_on(self, tmp_path: Path, on: str) -> None:
        assert ExchangeSettings.read(env(tmp_path, f"DEBUG={on}")).debug is True

    def test_the_default_is_off(self, tmp_path: Path) -> None:
        assert ExchangeSettings.read(env(tmp_path)).debug is False

    def test_what_is_neither_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"^DEBUG: ") as raised:
            ExchangeSettings.read(env(tmp_path, "DEBUG=perhaps"))
        assert "perhaps" not in str(raised.value)


def test_the_variables_of_the_document(tmp_path: Path) -> None:
    settings = ExchangeSettings.read(
        env(
            tmp_path,
            "SESSION_IS_ONLY_SAVE_FILES=1",
            "SESSION_WS_PROTOCOL_VERSION=3",
            "DOWNLOAD_HOST=http://files.example",
            "CHECK_DIRECTORY_ANSWER=on",
            "CHECK_DIRECTORY_ANSWER_DELAY=0.5",
            "AUTOMATIC_ANSWER_FILE_GENERATE=yes",
            "DEBUG_CONTENT=1",
        )
    )
    assert (settings.only_save, settings.protocol_version, settings.download_host) == (True, 3, "http://files.example")
    assert (settings.check_directory_answer, settings.check_directory_answer_delay) == (True, 0.5)
    assert (settings.automatic_answer, settings.debug_content) == (True, True)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("host", "platform.example", "https://"),
        ("host", "ftp://platform.example", "https://"),
        ("host", f"https://platform.example?token={TOKEN}", "TOKEN"),
        ("host", f"https://me:{TOKEN}@platform.example", "TOKEN"),
        ("namespace", "pku", "/pku"),
        ("dialect", "2022", "2021"),
        ("retry_longest", 3000, "5"),
        ("connect_timeout", -1, "greater"),
        ("connect_timeout", float("nan"), ""),
        ("fallback", "{", "JSON"),
        ("resend", "sometimes", "never"),
        ("abort_spelling", "abort", "cliend"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: object, says: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}: ") as raised:
        plain(**{name: value})
    assert says in str(raised.value)
    assert TOKEN not in str(raised.value)


@pytest.mark.requirement("R32", "R39")
def test_defaults_are_the_document_s() -> None:
    settings = plain()
    assert (settings.namespace, settings.abort_spelling, settings.dialect) == ("/pku", "cliend", "2021")
    assert (settings.protocol_version, settings.tls_verify) == (2, True)


def test_the_token_is_never_shown() -> None:
    settings = plain(store="postgresql://me:hidden@db/x")
    for text in (repr(settings), str(settings), repr(settings.model_dump())):
        assert TOKEN not in text
    assert "hidden" not in repr(settings)


def test_the_same_but_for_some() -> None:
    settings = plain(concurrency=3)
    other = settings.but(debug=True, dialect=None)
    assert (other.concurrency, other.debug, other.dialect, settings.debug) == (3, True, "2021", False)
    with pytest.raises(ConfigurationError, match="did you mean 'debug'"):
        settings.but(debugg=True)


def test_deadlines_and_fallback() -> None:
    settings = plain(connect_timeout=7, fallback='{"labels": []}')
    assert settings.deadlines.connect == 7
    assert settings.deadlines.session is None
    assert settings.fallback_answer == {"labels": []}
