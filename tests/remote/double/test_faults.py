"""Faults, expiry, limits, and what is counted."""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from insession.testing import SankhyaDouble, SankhyaDoubleProcess

from .plain import Plain, load, message, save

FIND, SAVE, LOGOUT = "CRUDServiceProvider.loadRecords", "CRUDServiceProvider.saveRecord", "MobileLoginSP.logout"
ROW = load("CODPARC = 1")


@pytest.fixture
def double() -> Iterator[SankhyaDouble]:
    with SankhyaDouble() as double:
        yield double


@pytest.fixture
def client(double: SankhyaDouble) -> Iterator[Plain]:
    with Plain(double.url) as client:
        client.login()
        yield client


@pytest.mark.parametrize("kind", ["reset", "close", "truncate"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_ends(double: SankhyaDouble, client: Plain, kind: str, when: str) -> None:
    double.inject(f"{kind}_{when}", service="saveRecord", nth=2)
    client.ask(SAVE, save("Um"))
    with pytest.raises(httpx2.TransportError):
        client.post(SAVE, save("Dois"))
    client.ask(SAVE, save("Três"))
    counters = double.counters
    assert (counters.saves_received, counters.saves_executed) == (3, 3 if when == "after" else 2)
    assert double.count() == (6 if when == "after" else 5)


@pytest.mark.parametrize(("kind", "status", "length"), [("http500", 500, 73), ("html", 200, 73), ("empty", 200, 0)])
def test_pages_instead_of_answers(double: SankhyaDouble, client: Plain, kind: str, status: int, length: int) -> None:
    for when, executed in (("before", 0), ("after", 1)):
        double.inject(kind, when=when, service=SAVE)
        answer = client.post(SAVE, save(kind))
        assert (answer.status_code, len(answer.content)) == (status, length)
        assert double.counters.saves_executed == executed


def test_a_huge_answer(double: SankhyaDouble, client: Plain) -> None:
    double.inject("huge")
    assert len(client.post(FIND, ROW).content) >= 50_000_000


def test_an_answer_that_is_late_or_held(double: SankhyaDouble, client: Plain) -> None:
    double.inject("slow", seconds=30)
    double.inject("hold", service=LOGOUT)
    client.http.timeout = 1.0
    with pytest.raises(httpx2.ReadTimeout):
        client.post(SAVE, save("Tarde"))
    assert double.counters.saves_executed == 1
    with pytest.raises(httpx2.ReadTimeout):
        client.ask(LOGOUT)
    assert double.counters.logouts == 0
    client.http.timeout = 30
    double.release()
    assert client.ask(LOGOUT).get("status") == "1"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("not_authorized", "Não autorizado"),
        ("deadlock", "deadlock"),
        ("query_timeout", "tempo limite da consulta"),
        ("competition", "situação de concorrência"),
        ("canceled", "A consulta foi cancelada"),
        ("unavailable", "the connection object is closed"),
    ],
)
def test_errors_of_the_service(double: SankhyaDouble, client: Plain, kind: str, text: str) -> None:
    double.inject(kind, times=2)
    for _ in range(2):
        answer = client.ask(SAVE, save("Um"))
        assert answer.get("status") == "0"
        assert text.lower() in message(answer).lower()
    assert client.ask(SAVE, save("Um")).get("status") == "1"
    assert double.counters.saves_executed == 1


def test_any_text_and_the_status_of_a_cancelled_service(double: SankhyaDouble, client: Plain) -> None:
    double.inject("message", text="Delimitador ''' desbalanceado")
    double.inject("service_canceled", nth=2)
    assert message(client.ask(FIND, ROW)) == "Delimitador ''' desbalanceado"
    assert client.ask(FIND, ROW).get("status") == "4"
    double.inject("deadlock", times=None)
    double.clear_faults()
    assert client.ask(FIND, ROW).get("status") == "1"


@pytest.mark.parametrize(
    ("expiry", "plain", "encoding"),
    [*itertools.product(["http500", "status3", "status0", "http401"], [True, False], ["utf-8", "iso-8859-1"])],
)
def test_a_dead_session(double: SankhyaDouble, client: Plain, expiry: str, plain: bool, encoding: str) -> None:
    told: dict[str, Any] = {"status_message": "plain" if plain else "base64", "message_encoding": encoding}
    double.change(expiry=expiry, **told)
    double.inject("expired")
    answer = client.post(FIND, ROW)
    status = {"http500": 500, "http401": 401}.get(expiry, 200)
    assert answer.status_code == status
    if expiry == "http500":
        assert "Gerenciador de sessão não foi iniciado" in answer.text
    if status == 200:
        said = "Não autorizado." if plain else base64.b64encode("Não autorizado.".encode(encoding)).decode()
        assert f'status="{expiry[-1]}"' in answer.text
        assert said in answer.text
    assert (double.counters.expirations, double.counters.live_sessions) == (1, 0)


def test_sessions_die_of_requests_and_of_idling(double: SankhyaDouble, client: Plain) -> None:
    double.change(session_max_requests=2)
    assert [client.post(FIND, ROW).status_code for _ in range(3)] == [200, 200, 500]
    double.change(session_max_requests=None, idle_timeout=0.0)
    client.login()
    assert client.post(FIND, ROW).status_code == 500
    assert client.ask(LOGOUT).get("status") == "1"
    double.change(logout_unknown="expired")
    assert client.post(LOGOUT).status_code == 500
    assert (double.counters.expirations, double.counters.logouts_unknown) == (2, 2)


def test_credentials_and_limits(double: SankhyaDouble, client: Plain) -> None:
    assert "Usuário/Senha inválido" in message(client.login(password="x"))
    double.change(expired_user=True)
    assert "Usuário expirou" in message(client.login())
    double.change(expired_user=False, max_sessions=1)
    assert "Maximum sessions" in message(client.login())
    double.change(limit_policy="evict_oldest")
    assert client.login().get("status") == "1"
    counters = double.counters
    assert (counters.logins_refused, counters.logins_refused_limit, counters.evictions) == (2, 1, 1)
    assert (counters.live_sessions, counters.peak_live_sessions) == (1, 1)


def test_overlaps_are_counted_and_may_be_refused(double: SankhyaDouble, client: Plain) -> None:
    double.change(latency=0.3, overlap="competition")
    answers: list[str] = []

    def find() -> None:
        with Plain(double.url) as other:
            answers.append(str(other.ask(FIND, ROW, session=client.session).get("status")))

    threads = [threading.Thread(target=find) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["0", "1"]
    assert (double.counters.overlaps, double.counters.peak_concurrent_requests) == (1, 2)


def test_what_a_client_must_not_do(double: SankhyaDouble, client: Plain) -> None:
    call = f"{double.url}/mge/service.sbr?serviceName={FIND}"
    client.http.post(call, headers={"Cookie": "JSESSIONID=a"})
    client.http.post(f"{call}&mgeSession=b", headers={"Cookie": "JSESSIONID=a"})
    client.http.post(f"{call}&mgeSession=b&senha=secret", headers={"User-Agent": ""})
    client.http.post(f"{double.url}/mge/dwr/exec/DWRController.execute.dwr")
    client.post(FIND, ROW, module="mgecom")
    client.post("crud.find", "").status_code  # noqa: B018 - what matters is what is counted
    client.http.post(call, content=b"<other/>")
    said = "\n".join(double.counters.violations)
    for part in (
        "without mgeSession",
        "disagree",
        "User-Agent",
        "credentials in a URL",
        "DWR",
        "module",
        "cannot be read",
    ):
        assert part in said


def test_orphans_are_sessions_that_nobody_can_end_any_more(double: SankhyaDouble, client: Plain) -> None:
    assert double.counters.orphans == 0
    with Plain(double.url) as other:
        other.login()
    deadline = threading.Event()
    for _ in range(100):
        if double.counters.orphans == 1:
            break
        deadline.wait(0.05)
    assert (double.counters.orphans, double.counters.live_sessions) == (1, 2)


def test_in_a_process_of_its_own() -> None:
    with SankhyaDoubleProcess(seed=7) as double, Plain(double.url) as client:
        client.login()
        double.inject("reset_after", service="saveRecord")
        with pytest.raises(httpx2.TransportError):
            client.post(SAVE, save("Um"))
        counters = double.counters
        assert (counters.saves_executed, counters.live_sessions, double.count()) == (1, 1, 11)
        assert [one.outcome for one in double.requests("saveRecord")] == ["reset"]
        assert double.sessions() == [client.session]
        double.change(password="other")
        assert "inválido" in message(client.login())
        assert double.expire() == 1
        double.reset_counters()
        assert double.counters.logins_attempted == 0
        with pytest.raises(ValueError, match="unknown fault"):
            double.inject("nothing")


async def test_async_with() -> None:
    async with SankhyaDouble() as double, httpx2.AsyncClient() as client:
        answer = await client.get(f"{double.url}/mge/")
        assert "SYSVERSION" in answer.text
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(double.url)
