"""What goes wrong between the service and us: typed, told apart, and never sent twice by mistake."""

from __future__ import annotations

import copy
import pickle
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from insession.errors import OutcomeUnknown
from insession.remote import NOT_DONE, RESEND
from insession.remote.sankhya import (
    AsyncSankhyaContext,
    Partner,
    SankhyaContext,
    SankhyaException,
    SankhyaInputError,
    SankhyaSettingsError,
    ServiceRequestBusyException,
    ServiceRequestCanceledQueryException,
    ServiceRequestCompetitionException,
    ServiceRequestDeadlockException,
    ServiceRequestExpiredAuthenticationException,
    ServiceRequestInaccessibleException,
    ServiceRequestInvalidAuthorizationException,
    ServiceRequestInvalidCredentialsException,
    ServiceRequestInvalidResponseException,
    ServiceRequestNotDoneException,
    ServiceRequestOutcomeUnknownException,
    ServiceRequestResponseTooLargeException,
    ServiceRequestTimeoutException,
    ServiceRequestUnavailableException,
    ServiceRequestUnexpectedException,
)
from insession.remote.sankhya import errors as tree
from insession.testing import SankhyaDouble

from .conftest import Opened, gateway_settings, settings_for

LOST = ["reset_after", "close_after", "truncate", "http500_after", "reset_before", "html", "empty"]
BUSY: list[tuple[str, type[ServiceRequestBusyException]]] = [
    ("deadlock", ServiceRequestDeadlockException),
    ("query_timeout", ServiceRequestTimeoutException),
    ("competition", ServiceRequestCompetitionException),
    ("canceled", ServiceRequestCanceledQueryException),
    ("unavailable", ServiceRequestUnavailableException),
]


@pytest.mark.requirement("S33", "S40", "S42")
@pytest.mark.parametrize("kind", [*LOST, "service_canceled"])
async def test_a_save_whose_answer_is_lost_is_sent_once(kind: str, double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    double.inject(kind, service="saveRecord", times=None)
    with pytest.raises(ServiceRequestOutcomeUnknownException) as caught:
        await context.wrapper.insert_async(Partner(name="s3cret"))
    error = caught.value
    assert isinstance(error, OutcomeUnknown)
    assert (error.service, error.token is not None, error.at is not None) == (
        "CRUDServiceProvider.saveRecord",
        True,
        True,
    )
    assert error.request is not None
    assert double.counters.saves_received == 1
    assert "s3cret" not in f"{error}{error!r}"
    assert b"s3cret" not in pickle.dumps(error)


@pytest.mark.requirement("S33")
async def test_a_save_that_is_too_slow_is_sent_once(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened(timeout=1.0)
    double.inject("slow", service="saveRecord", seconds=10.0)
    with pytest.raises(ServiceRequestOutcomeUnknownException):
        await context.wrapper.insert_async(Partner(name="Novo"))
    assert double.counters.saves_received == 1


@pytest.mark.requirement("S36")
@pytest.mark.parametrize("kind", ["reset_after", "close_after", "truncate", "http500_after", "reset_before", "empty"])
async def test_a_find_survives_the_same(kind: str, double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    double.inject(kind, service="loadRecords", times=2)
    assert len(await context.wrapper.find_async(Partner)) == 3
    assert double.counters.received["CRUDServiceProvider.loadRecords"] == 3


@pytest.mark.requirement("S40")
@pytest.mark.parametrize("dialect", ["xml", "json"])
async def test_a_page_for_people_is_no_answer(dialect: str, double: SankhyaDouble, opened: Opened) -> None:
    context = await opened(dialect=dialect)
    double.inject("html", service="loadRecords", times=None)
    with pytest.raises(ServiceRequestInvalidResponseException) as caught:
        await context.wrapper.find_async(Partner)
    assert caught.value.raw.lower().startswith((b"<html", b"<!doctype"))
    assert double.counters.received["CRUDServiceProvider.loadRecords"] == 1


@pytest.mark.requirement("S40")
async def test_an_answer_of_50_megabytes_is_not_read(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened(max_response_bytes=100_000)
    double.inject("huge", service="loadRecords", times=None)
    double.inject("huge", service="saveRecord", times=None)
    with pytest.raises(ServiceRequestResponseTooLargeException, match="max_response_bytes"):
        await context.wrapper.find_async(Partner)
    with pytest.raises(ServiceRequestOutcomeUnknownException):
        await context.wrapper.insert_async(Partner(name="Novo"))
    received = double.counters.received
    assert (received["CRUDServiceProvider.loadRecords"], received["CRUDServiceProvider.saveRecord"]) == (1, 1)


@pytest.mark.requirement("S37")
@pytest.mark.parametrize(("kind", "error"), BUSY)
async def test_what_is_busy_is_tried_again_for_reads_only(
    kind: str, error: type[Exception], double: SankhyaDouble, opened: Opened
) -> None:
    context = await opened()
    double.inject(kind, service="loadRecords", times=1)
    double.inject(kind, service="saveRecord", times=2)
    assert len(await context.wrapper.find_async(Partner)) == 3
    with pytest.raises(error):
        await context.wrapper.insert_async(Partner(name="Novo"))
    assert double.counters.saves_received == 1
    assert (await context.wrapper.insert_async(Partner(name="Novo"), retry_busy=True)).code == 4
    assert (double.counters.saves_received, double.counters.saves_executed) == (3, 1)


@pytest.mark.requirement("S37")
def test_competition_says_when_to_try_again() -> None:
    assert ServiceRequestCompetitionException("x").retry_after > 0


@pytest.mark.requirement("S38")
async def test_services_that_are_not_known_are_not_sent_twice(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    for service in ("Own.service", "CACSP.confirmarNota", "CRUDServiceProvider.removeRecord"):
        double.inject("reset_after", service=service, times=1)
        with pytest.raises(ServiceRequestOutcomeUnknownException):
            await context.wrapper.invoke_service_async(service, "<entity rootEntity='Parceiro'/>")
        assert double.counters.received[service] == 1
    double.inject("reset_after", service="Own.service", times=1)
    assert (await context.wrapper.invoke_service_async("Own.service", idempotent=True)).status == 1
    assert double.counters.received["Own.service"] == 3


@pytest.mark.requirement("S35")
async def test_a_verify_function_decides(double: SankhyaDouble, opened: Opened) -> None:
    wrapper = (await opened()).wrapper

    async def there(unknown: Any) -> Any:
        found = await wrapper.find_async(Partner, "NOMEPARC = ?", ["Novo"])
        return found[0] if found else RESEND

    double.inject("reset_after", service="saveRecord")
    assert (await wrapper.insert_async(Partner(name="Novo"), verify=there)).code == 4
    assert double.counters.saves_received == 1
    await wrapper.remove_async(Partner(code=4))
    double.inject("reset_before", service="saveRecord")
    assert (await wrapper.insert_async(Partner(name="Novo"), verify=there)).name == "Novo"
    assert (double.counters.saves_received, double.counters.saves_executed) == (3, 2)

    async def not_there(unknown: Any) -> Any:
        return NOT_DONE

    double.inject("reset_before", service="saveRecord")
    with pytest.raises(ServiceRequestNotDoneException):
        await wrapper.insert_async(Partner(name="Other"), verify=not_there)


@pytest.mark.requirement("S35")
def test_a_plain_verify_function_of_threads(double: SankhyaDouble) -> None:
    with SankhyaContext(settings_for(double)) as context:
        double.inject("reset_after", service="saveRecord")
        row = context.wrapper.insert(
            Partner(name="Novo"), verify=lambda unknown: context.wrapper.find(Partner, "NOMEPARC = ?", ["Novo"])[0]
        )
        assert row.code == 4


@pytest.mark.requirement("S34", "S75")
async def test_a_service_that_is_not_there(unused: int, tmp_path: Path) -> None:
    from insession.remote.sankhya import SankhyaSettings

    settings = SankhyaSettings(base_url=f"http://127.0.0.1:{unused}", username="ann", password="s3cret", max_retries=2)
    with pytest.raises(ServiceRequestInaccessibleException, match=f"127.0.0.1:{unused}") as caught:
        async with AsyncSankhyaContext(settings):
            pass
    assert "s3cret" not in repr(caught.value)
    assert caught.value.service == "MobileLoginSP.login"


@pytest.mark.requirement("S75")
async def test_a_login_that_fails_for_a_moment_is_tried_again(double: SankhyaDouble) -> None:
    double.inject("unavailable", service="login", times=2)
    async with AsyncSankhyaContext(settings_for(double)) as context:
        assert context.is_authenticated
    assert (double.counters.received["MobileLoginSP.login"], double.counters.logins_ok) == (3, 1)


@pytest.mark.requirement("S32")
@pytest.mark.parametrize("way", ["xml", "json", "gateway"])
async def test_wrong_credentials_are_tried_once(way: str, double: SankhyaDouble) -> None:
    if way == "gateway":
        settings = gateway_settings(double, client_secret="wrong")
    else:
        settings = settings_for(double, dialect=way, password="wrong")
    context = AsyncSankhyaContext(settings)
    with pytest.raises(ServiceRequestInvalidCredentialsException) as caught:
        async with context:
            pass
    assert isinstance(caught.value, ServiceRequestInvalidAuthorizationException)
    assert double.counters.logins_attempted + double.counters.authentications == 1


@pytest.mark.requirement("S32", "S77")
async def test_an_account_that_has_run_out(double: SankhyaDouble) -> None:
    double.change(expired_user=True)
    with pytest.raises(ServiceRequestExpiredAuthenticationException) as caught:
        async with AsyncSankhyaContext(settings_for(double)):
            pass
    assert isinstance(caught.value, ServiceRequestInvalidAuthorizationException)
    assert double.counters.logins_attempted == 1


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody trusts, and a server's context with it."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return public, context


@pytest.mark.requirement("S67")
async def test_a_certificate_that_nobody_trusts_is_refused_at_once(certificate: tuple[Path, ssl.SSLContext]) -> None:
    public, server = certificate
    with SankhyaDouble(tls=server) as double:
        with pytest.raises(ServiceRequestInaccessibleException, match="CERTIFICATE_VERIFY_FAILED"):
            async with AsyncSankhyaContext(settings_for(double)):
                pass
        assert double.log == []
        async with AsyncSankhyaContext(settings_for(double, ca_file=public)) as context:
            assert len(await context.wrapper.find_async(Partner)) == 3


async def test_certificates_that_cannot_be_read_name_their_setting(double: SankhyaDouble, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing", "utf-8")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(SankhyaSettingsError, match="ca_file"):
            async with AsyncSankhyaContext(settings_for(double, ca_file=tmp_path / name)):
                pass


@pytest.mark.requirement("S42")
def test_every_exception_is_one_of_this_face() -> None:
    classes = [one for one in vars(tree).values() if isinstance(one, type) and issubclass(one, Exception)]
    ours = [one for one in classes if one.__module__ == tree.__name__]
    assert len(ours) > 40
    for one in ours:
        assert issubclass(one, SankhyaException)
        error = one("said")
        assert (error.service, error.status, error.token) == (None, None, None)
        assert "said" in str(error)
        assert "said" in str(pickle.loads(pickle.dumps(error)))  # noqa: S301 - our own
        assert "said" in str(copy.copy(error))


@pytest.mark.requirement("S41", "S42")
async def test_a_text_of_the_service_is_kept(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    token = await context.acquire_session_async()
    double.inject("message", service="Own.service", text="Algo inesperado: código 17")
    with pytest.raises(ServiceRequestUnexpectedException) as caught:
        await context.invoke_with_token_async(token, "Own.service")
    error = caught.value
    assert (error.service, error.status, error.message, error.token) == (
        "Own.service",
        0,
        "Algo inesperado: código 17",
        token,
    )


async def test_arguments_that_cannot_be_are_refused_before_anything_is_sent(
    double: SankhyaDouble, opened: Opened
) -> None:
    context = await opened()
    before = len(double.log)
    with pytest.raises(SankhyaInputError):
        await context.wrapper.invoke_service_async("not a service")
    with pytest.raises(SankhyaInputError):
        await context.wrapper.insert_async(Partner())
    with pytest.raises(SankhyaInputError):
        await context.wrapper.update_async(Partner(name="x"))
    with pytest.raises(SankhyaInputError):
        await context.wrapper.get_image_async("Parceiro")
    assert len(double.log) == before


@pytest.fixture
def unused() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        yield listening.getsockname()[1]
