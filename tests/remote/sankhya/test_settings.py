"""Settings: keywords, environment, files, and what is said of those that cannot work."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest

from insession.errors import ConfigurationError
from insession.remote.sankhya import SankhyaSettings
from insession.remote.sankhya.errors import SankhyaException, SankhyaSettingsError

LOGIN = {"base_url": "https://erp.example.com:8180/base/", "username": "ann", "password": "s3cret"}
BY_GATEWAY = {"client_id": "some-id", "client_secret": "some-secret", "token": "some-token"}


@pytest.mark.requirement("S69")
def test_the_keywords_of_the_document() -> None:
    settings = SankhyaSettings(
        base_url="https://api.sankhya.com.br",
        username="usuario",
        password="senha",
        session_timeout=300,
        auto_renew_session=True,
    )
    assert settings.session_timeout == 300
    assert settings.auto_renew_session
    assert settings.address == "https://api.sankhya.com.br"


@pytest.mark.requirement("S69")
@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://h:8180/base/", "https://h:8180/base"),
        ("http://10.0.0.1:8280", "http://10.0.0.1:8280"),
        ("https://[::1]:8180/a/b", "https://[::1]:8180/a/b"),
        ("https://h", "https://h"),
    ],
)
def test_the_address_keeps_scheme_port_and_path(given: str, address: str) -> None:
    assert SankhyaSettings(**{**LOGIN, "base_url": given}).address == address


@pytest.mark.requirement("S69", "S72")
def test_the_environment_of_both_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "BASE_URL": "https://h:8280",
        "USERNAME": "ann",
        "PASSWORD": "s3cret",
        "ENVIRONMENT": "homolog",
        "TIMEOUT": "7",
        "MAX_RETRIES": "5",
        "LOG_LEVEL": "debug",
    }.items():
        monkeypatch.setenv(f"SANKHYA_{name}", value)
    settings = SankhyaSettings()
    assert (settings.address, settings.username, settings.password.get_secret_value()) == (
        "https://h:8280",
        "ann",
        "s3cret",
    )
    assert (settings.named_environment, settings.timeout, settings.max_retries, settings.log_level) == (
        "homolog",
        7.0,
        5,
        "DEBUG",
    )


@pytest.mark.requirement("S69", "S72")
def test_a_host_and_a_port_are_an_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANKHYA_URL", "https://erp")
    settings = SankhyaSettings(username="ann", password="x")
    assert settings.address == "https://erp:8180"
    assert settings.named_environment == "production"
    monkeypatch.setenv("SANKHYA_PORT", "8280")
    assert SankhyaSettings(username="ann", password="x").address == "https://erp:8280"
    monkeypatch.setenv("SANKHYA_URL", "https://erp:9000")
    assert SankhyaSettings(username="ann", password="x").address == "https://erp:9000"


@pytest.mark.requirement("S72")
def test_the_defaults() -> None:
    settings = SankhyaSettings(**LOGIN)
    assert (settings.timeout, settings.max_retries, settings.session_timeout) == (30.0, 3, 300.0)


@pytest.mark.requirement("S72")
def test_the_gateway_has_names_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in BY_GATEWAY.items():
        monkeypatch.setenv(f"SANKHYA_{name.upper()}", value)
    assert SankhyaSettings().by_gateway
    assert SankhyaSettings().address == "https://api.sankhya.com.br"
    monkeypatch.setenv("SANKHYA_AUTH_BASE_URL", "https://gateway.example.com")
    assert SankhyaSettings().address == "https://gateway.example.com"


@pytest.mark.requirement("S72")
def test_an_env_file(tmp_path: Path) -> None:
    lines = ["SANKHYA_BASE_URL=https://erp", "SANKHYA_USERNAME=ann", "SANKHYA_PASSWORD=s3cret", "OTHER=1"]
    (tmp_path / ".env").write_text("\n".join(lines), "utf-8")  # the tests' working folder
    settings = SankhyaSettings()
    assert (settings.address, settings.username) == ("https://erp", "ann")


@pytest.mark.requirement("S72")
def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(SankhyaSettingsError) as caught:
        SankhyaSettings()
    assert caught.value.settings == ("base_url", "username", "password")
    assert "SANKHYA_BASE_URL" in str(caught.value)
    assert "SANKHYA_PASSWORD" in str(caught.value)
    with pytest.raises(SankhyaSettingsError) as caught:
        SankhyaSettings(client_id="some-id")
    assert caught.value.settings == ("client_secret", "token")


def test_a_login_that_is_complete_needs_nothing_of_a_gateway() -> None:
    assert not SankhyaSettings(**LOGIN, token="left over").by_gateway


@pytest.mark.requirement("S66")
def test_what_is_wrong_is_named_and_no_value_is_shown() -> None:
    wrong = {"base_url": "ftp://ann:pw@h", "username": "a\0b", "password": "s3c\0ret", "port": 0, "timeout": -1}
    with pytest.raises(SankhyaSettingsError) as caught:
        SankhyaSettings(**wrong)
    assert set(caught.value.settings) == {"base_url", "username", "password", "port", "timeout"}
    assert isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value, SankhyaException)
    for text in (str(caught.value), repr(caught.value)):
        assert "s3c" not in text
        assert "pw@" not in text


@pytest.mark.parametrize("url", ["erp.example.com", "https://", "https://h:99999", "https://u:p@h", "https://h/?a=b"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(SankhyaSettingsError, match="base_url"):
        SankhyaSettings(**{**LOGIN, "base_url": url})


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(SankhyaSettingsError, match="did you mean 'session_timeout'"):
        SankhyaSettings(**LOGIN, session_timout=3)


@pytest.mark.requirement("S66")
def test_no_secret_in_a_repr_or_a_pickle() -> None:
    settings = SankhyaSettings(**LOGIN, **BY_GATEWAY)
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        for secret in ("s3cret", "some-id", "some-secret", "some-token"):
            assert secret not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(settings)


@pytest.mark.requirement("S67")
@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://10.0.0.1:8180", True),
        ("http://erp.example.com", True),
        ("https://erp.example.com", False),
        ("http://localhost:8180", False),
        ("http://127.0.0.9:8180", False),
        ("http://[::1]:8180", False),
    ],
)
def test_credentials_in_clear_are_noticed(url: str, plain: bool, caplog: pytest.LogCaptureFixture) -> None:
    from insession.remote.sankhya.context import _noted

    settings = SankhyaSettings(**{**LOGIN, "base_url": url})
    assert settings.plain_text is plain
    with caplog.at_level(logging.WARNING):
        _noted(settings)
    assert ("use https" in caplog.text) is plain
