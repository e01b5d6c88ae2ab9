"""Everything that goes wrong over HTTP has one shape, and names what was wrong."""

from __future__ import annotations

import socket
from typing import Any

import httpx2
import pytest

from insession import errors
from insession.service.problems import problem_of
from tests.programs import Process

NO_ONE = "00" * 16


def check(answer: httpx2.Response, status: int, name: str, field: str | None = None) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:insession:problem:{name}"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem.get("field") == field
    return problem


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ('{"ownr": "ann"}', "ownr", "'owner'"),
        ('{"zzz": 1}', "zzz", "known:"),
        ('{"idle": "60"}', "idle", "float"),
        ('{"idle": true}', "idle", "float"),
        ('{"idle": -1}', "idle", "seconds"),
        ('{"idle": 1e999}', "idle", "range"),
        ('{"absolute": 0}', "absolute", "seconds"),
        ('{"kind": "Big"}', "kind", "lower-case"),
        ('{"kind": null}', "kind", "str"),
        ('{"owner": ""}', "owner", "characters"),
        ('{"owner": "a\\u0000b"}', "owner", "control"),
        ('{"owner": "%s"}' % ("a" * 513), "owner", "513"),
        ('{"name": 7}', "name", "str"),
        ('{"data": 99999999999999999999999}', "data", "kept"),
        ('{"data": "%s"}' % ("a" * (1 << 20)), "data", "1048576"),
        ("[]", "body", "object"),
        ('{"idle": ', "body", "JSON"),
        ("\x00", "body", "JSON"),
        ('{"data": "\\ud800"}', "body", "JSON"),
        ('{"data": %s}' % ("[" * 50_000 + "]" * 50_000), "body", "JSON"),
    ],
)
def test_a_body_that_cannot_be_taken_names_its_field(http: httpx2.Client, body: str, field: str, says: str) -> None:
    before = http.get("/v1/stats").json()["sessions"]
    problem = check(http.post("/v1/sessions", content=body.encode()), 400, "invalid-input", field)
    assert says in problem["detail"]
    assert http.get("/v1/stats").json()["sessions"] == before


def test_bytes_that_are_no_text(http: httpx2.Client) -> None:
    check(http.post("/v1/sessions", content=b'{"owner": "\xff\xfe"}'), 400, "invalid-input", "body")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/sessions?limt=3", "limt"),
        ("/v1/sessions?limit=ten", "limit"),
        ("/v1/sessions?limit=0", "limit"),
        ("/v1/sessions?limit=1001", "limit"),
        ("/v1/sessions?state=done", "state"),
        ("/v1/sessions?cursor=%00", "cursor"),
        ("/v1/sessions?kind=Big", "kind"),
        ("/v1/sessions?owner=", "owner"),
        ("/v1/sessions/nonsense", "session_id"),
        (f"/v1/sessions/{NO_ONE.upper()}X", "session_id"),
        ("/v1/sessions/..%2f..%2fetc%2fpasswd", None),
        (f"/v1/sessions/{NO_ONE}?data=1", "data"),
        ("/v1/sessions/nonsense/history", "session_id"),
        ("/v1/events?after=yesterday", "cursor"),
        ("/v1/events?after=9:9:9", "cursor"),
        ("/v1/events?types=opend", "types"),
        ("/v1/events?follow=perhaps", "follow"),
    ],
)
def test_a_query_that_cannot_be_taken_names_its_field(http: httpx2.Client, path: str, field: str | None) -> None:
    answer = http.get(path)
    if field is None:
        check(answer, 404, "not-found")
    else:
        check(answer, 400, "invalid-input", field)


@pytest.mark.parametrize("path", ["", "/history"])
def test_reading_what_is_not_there(http: httpx2.Client, path: str) -> None:
    check(http.get(f"/v1/sessions/{NO_ONE}{path}"), 404, "session-not-found")


@pytest.mark.parametrize("path", ["touch", "close", "interrupt"])
def test_changing_what_is_not_there(http: httpx2.Client, path: str) -> None:
    check(http.post(f"/v1/sessions/{NO_ONE}/{path}"), 404, "session-not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "r" * 201}, "reason"),
        ({"wait": -1}, "wait"),
        ({"wait": 61}, "wait"),
        ({"because": "so"}, "because"),
    ],
)
def test_an_interrupt_that_cannot_be_taken(http: httpx2.Client, body: dict[str, Any], field: str) -> None:
    session = http.post("/v1/sessions").json()
    check(http.post(f"/v1/sessions/{session['id']}/interrupt", json=body), 400, "invalid-input", field)
    assert http.get(f"/v1/sessions/{session['id']}").json()["state"] == "active"


def test_interrupting_all_takes_a_body(http: httpx2.Client) -> None:
    session = http.post("/v1/sessions").json()
    check(http.post("/v1/interrupt"), 400, "invalid-input", "body")
    assert http.get(f"/v1/sessions/{session['id']}").json()["state"] == "active"


def test_data_that_cannot_be_taken(http: httpx2.Client) -> None:
    session = http.post("/v1/sessions", json={"data": 1}).json()
    path = f"/v1/sessions/{session['id']}/data"
    check(http.put(path), 400, "invalid-input", "data")
    check(http.put(path, content=b"{]"), 400, "invalid-input", "body")
    check(http.put(path, content=b"[" * 50_000 + b"]" * 50_000), 400, "invalid-input", "body")
    check(http.put(path, json=2, headers={"If-Match": "1"}), 400, "invalid-input", "If-Match")
    check(http.put(path, json=2, headers={"If-Match": 'W/"1"'}), 400, "invalid-input", "If-Match")
    assert http.get(f"/v1/sessions/{session['id']}").json()["data"] == 1


def test_an_owner_is_given_once(http: httpx2.Client) -> None:
    answer = http.get("/v1/sessions?owner=ann", headers={"Insession-Owner": "ann"})
    check(answer, 400, "invalid-input", "owner")
    check(http.get("/v1/sessions", headers={"Insession-Owner": "%ff"}), 400, "invalid-input", "Insession-Owner")


def test_paths_and_methods_that_are_not_there(http: httpx2.Client) -> None:
    check(http.get("/"), 404, "not-found")
    check(http.get("/v1/nothing"), 404, "not-found")
    answer = http.delete("/v1/sessions")
    check(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]


def test_a_body_over_the_limit(http: httpx2.Client) -> None:
    check(http.post("/v1/sessions", content=b" " * 5_000_000), 413, "body-too-large")


def test_other_names_and_web_pages_are_not_served(http: httpx2.Client, service: Process) -> None:
    check(http.get("/v1/stats", headers={"Host": "rebound.example:80"}), 403, "not-served")
    check(http.post("/v1/interrupt", json={}, headers={"Origin": "http://page.example"}), 403, "not-served")
    assert http.get("/v1/stats", headers={"Origin": service.url}).status_code == 200
    assert http.get("/v1/stats", headers={"Host": "localhost"}).status_code == 200


def test_what_is_no_http_breaks_nothing(http: httpx2.Client, service: Process) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"400" in line.recv(1000)
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (errors.StoreUnavailable("gone"), 503, "store-unavailable"),
        (errors.Overloaded("full"), 503, "overloaded"),
        (errors.OutcomeUnknown("lost"), 504, "outcome-unknown"),
        (errors.DataUnreadable("id", "bits"), 409, "data-unreadable"),
        (errors.CursorTrimmed("e:1"), 410, "cursor-trimmed"),
        (errors.Expired("id", "idle"), 410, "session-ended"),
        (errors.LockTimeout("report"), 409, "lease"),
        (errors.ConfigurationError("no"), 500, "configuration"),
        (errors.InsessionError("no"), 500, "internal"),
    ],
)
def test_errors_that_no_request_can_bring_about_here(error: errors.InsessionError, status: int, name: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.name) == (status, name)
