"""Whom the service lets in: tokens, read-only ones, and how often."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from insession import ConfigurationError, connect
from insession.service import serve
from insession.service.rates import MOST_CALLERS, Rates
from insession.service.tokens import VARIABLE, Tokens

from .conftest import TOKENS, bearer, served
from .test_problems import check

READS = bearer("reading-token-of-the-tests")


async def test_a_request_shows_a_token_that_the_service_knows() -> None:
    async with connect("memory:") as engine, served(engine, tokens=TOKENS) as http:
        missing = await http.get("/v1/stats")
        check(missing, 401, "unauthorized")
        assert missing.headers["www-authenticate"] == 'Bearer realm="insession"'
        for shown in (bearer("full-token-of-the-test"), "Bearer", "Basic Zm9vOmJhcg==", bearer("ü" * 20)):
            refused = await http.get("/v1/stats", headers=[(b"authorization", shown.encode("latin-1"))])
            check(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"] == 'Bearer realm="insession", error="invalid_token"'
            assert "full-token" not in refused.text
        for scheme in ("Bearer", "bearer"):
            shown = f"{scheme} full-token-of-the-tests"
            assert (await http.get("/v1/stats", headers={"Authorization": shown})).status_code == 200
        schema = await http.get("/v1/openapi.json", headers={"Authorization": bearer()})
        assert schema.json()["paths"]["/v1/stats"]["get"]["security"] == [{"bearer": []}]
        assert "security" not in schema.json()["paths"]["/healthz"]["get"]
        # Whoever watches over the process has none.
        assert (await http.get("/healthz")).status_code == (await http.get("/readyz")).status_code == 200


async def test_a_read_only_token_changes_nothing() -> None:
    async with connect("memory:") as engine, served(engine, tokens=TOKENS) as http:
        session = await engine.open()
        path = f"/v1/sessions/{session.id}"
        head = {"Authorization": READS}
        for what in ("/v1/sessions", "/v1/locks", "/v1/items", path, f"{path}/history", "/v1/events?follow=false"):
            assert (await http.get(what, headers=head)).status_code == 200
        writes = [
            ("POST", "/v1/sessions"),
            ("POST", f"{path}/touch"),
            ("PUT", f"{path}/data"),
            ("POST", f"{path}/interrupt"),
            ("POST", f"{path}/close"),
            ("POST", "/v1/interrupt"),
            ("POST", "/v1/erase"),
            ("POST", "/v1/locks/acquire"),
            ("POST", "/v1/locks/renew"),
            ("POST", "/v1/locks/release"),
            ("PUT", "/v1/items/a/b"),
            ("DELETE", "/v1/items/a/b"),
        ]
        for method, what in writes:
            refused = await http.request(method, what, headers=head, content=b"{}")
            check(refused, 403, "read-only")
            assert "insufficient_scope" in refused.headers["www-authenticate"]
        assert (await engine.get(session.id)).version == session.version
        assert (await engine.items.find())[0] == []


async def test_a_caller_asks_so_often_and_no_more() -> None:
    async with connect("memory:") as engine, served(engine, tokens=TOKENS, rate=10) as http:
        full, reads = {"Authorization": bearer()}, {"Authorization": READS}
        answers = [await http.get("/healthz", headers=full) for _ in range(40)]
        over = [answer for answer in answers if answer.status_code == 429]
        # At once two seconds of them, and those for which there was time meanwhile.
        assert 1 <= len(over) <= 20
        check(over[0], 429, "too-many-requests")
        assert over[0].headers["retry-after"] == "1"
        # Somebody else has a measure of his own, and so have those who have no token.
        assert (await http.get("/healthz", headers=reads)).status_code == 200
        assert (await http.get("/healthz")).status_code == 200
        guesses = [await http.get("/v1/stats", headers={"Authorization": f"Bearer guess-{n:020}"}) for n in range(40)]
        assert {answer.status_code for answer in guesses} == {401, 429}


async def test_without_tokens_there_is_no_limit_unless_set() -> None:
    async with connect("memory:") as engine:
        async with served(engine, rate=1) as http:
            answers = [(await http.get("/healthz")).status_code for _ in range(4)]
            assert 429 in answers
        async with served(engine) as http:
            await asyncio.gather(*(http.get("/healthz") for _ in range(50)))


def test_a_bucket_fills_up_again_and_callers_are_bounded() -> None:
    rates = Rates(10.0)
    assert [rates.take("a", 100.0) for _ in range(20)] == [0.0] * 20
    assert rates.take("a", 100.0) == pytest.approx(0.1)
    assert rates.take("b", 100.0) == 0.0
    assert rates.take("a", 100.1) == 0.0
    assert rates.take("a", 100.1) > 0.0
    assert [rates.take("a", 103.0) for _ in range(20)] == [0.0] * 20
    for number in range(3 * MOST_CALLERS):
        assert rates.take(number, 103.0) == 0.0
    assert len(rates._full) <= MOST_CALLERS
    # One in ten seconds, and still one at a time passes.
    slow = Rates(0.1)
    assert slow.take("a", 5.0) == 0.0
    assert slow.take("a", 5.0) == pytest.approx(10.0)
    with pytest.raises(ConfigurationError, match="rate"):
        Rates(0.0)


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# of the backend\nfull-token-of-the-file\nread-only:reading-token-of-the-file # of the board\n")
    tokens = Tokens.found(file, {VARIABLE: "another-token-somewhere"})
    assert tokens is not None
    assert tokens.of("Bearer full-token-of-the-file") == (0, False)
    assert tokens.of("Bearer reading-token-of-the-file") == (1, True)
    assert tokens.of("Bearer another-token-somewhere") is None
    assert repr(tokens) == "<Tokens: 2>"
    environ = Tokens.found(None, {VARIABLE: "another-token-somewhere"})
    assert environ is not None
    assert environ.of("Bearer another-token-somewhere") == (0, False)
    assert Tokens.found(None, {}) is None


@pytest.mark.parametrize("text", ["", "# none", "short", "a token of words", "read-only:", "read-only:short", "ü" * 20])
def test_tokens_that_cannot_be_say_how_and_not_which(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"--token-file.*INSESSION_SERVICE_TOKENS") as refused:
        Tokens.found(file)
    assert text == "" or text not in str(refused.value)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        Tokens.found(tmp_path / "none")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])  # noqa: S104 - refused
def test_beyond_loopback_there_is_no_service_without_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"token.*--token-file.*INSESSION_SERVICE_TOKENS"):
        serve("memory:", host=host, port=0)


def test_with_a_token_it_may_listen_anywhere_and_answers_to_every_name() -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve("memory:", host="0.0.0.0", port=0, tokens=TOKENS, say=say)  # noqa: S104
    assert "http://0.0.0.0:" in said[0]


async def test_every_name_is_answered_where_callers_have_tokens() -> None:
    async with connect("memory:") as engine, served(engine, hosts=None, tokens=TOKENS) as http:
        named = {"Host": "sessions.example.org", "Authorization": bearer()}
        assert (await http.get("/v1/stats", headers=named)).status_code == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/sessions", "GET, OPTIONS, POST"),
        ("/v1/items/a/b", "DELETE, GET, OPTIONS, PUT"),
        ("/healthz", "GET, OPTIONS"),
    ],
)
def test_options_tell_the_methods_of_a_path(http: httpx2.Client, path: str, methods: str) -> None:
    answer = http.options(path)
    assert (answer.status_code, answer.headers["allow"]) == (204, methods)
