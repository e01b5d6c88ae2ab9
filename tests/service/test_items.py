"""Items, nodes and erasing over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from insession import connect
from insession.kernel.kinds import Kind

from .conftest import served
from .test_problems import check


def put(http: httpx2.Client, key: str, data: Any, **options: Any) -> httpx2.Response:
    return http.put(f"/v1/items/{key}", content=json.dumps(data).encode(), **options)


def test_written_read_listed_and_deleted(http: httpx2.Client) -> None:
    written = put(http, "notes/ann", {"text": "hello"}, headers={"Insession-Owner": "ann"}, params={"expires_in": 60})
    version = written.json()["version"]
    assert written.json() == {"key": "notes/ann", "version": version}
    read = http.get("/v1/items/notes/ann")
    assert read.json() == {"text": "hello"}
    assert read.headers["etag"] == written.headers["etag"] == f'"{version}"'
    (shown,) = http.get("/v1/items", params={"prefix": "notes/a"}).json()["items"]
    assert shown.pop("expires") > 1e9
    assert shown == {"key": "notes/ann", "version": version, "owner": "ann", "size": 12}
    by_owner = http.get("/v1/items", headers={"Insession-Owner": "ann"}).json()["items"]
    assert [item["key"] for item in by_owner] == ["notes/ann"]
    assert http.get("/v1/items", params={"owner": "ann"}).json()["items"] == by_owner
    gone = http.delete("/v1/items/notes/ann")
    assert (gone.status_code, gone.content) == (204, b"")
    check(http.get("/v1/items/notes/ann"), 404, "item-not-found")
    assert http.delete("/v1/items/notes/ann").status_code == 204


def test_over_the_version_that_was_read(http: httpx2.Client) -> None:
    first = put(http, "cas/x", 1, headers={"If-None-Match": "*"})
    assert first.status_code == 200
    assert check(put(http, "cas/x", 2, headers={"If-None-Match": "*"}), 412, "precondition-failed")["version"]
    second = put(http, "cas/x", 2, headers={"If-Match": first.headers["etag"]})
    late = put(http, "cas/x", 3, headers={"If-Match": first.headers["etag"]})
    assert check(late, 412, "precondition-failed")["version"] == second.json()["version"]
    check(http.delete("/v1/items/cas/x", headers={"If-Match": first.headers["etag"]}), 412, "precondition-failed")
    check(put(http, "cas/x", 3, headers={"If-Match": '"1"', "If-None-Match": "*"}), 412, "precondition-failed")
    assert http.get("/v1/items/cas/x").json() == 2
    assert http.delete("/v1/items/cas/x", headers={"If-Match": second.headers["etag"]}).status_code == 204


@pytest.mark.parametrize("key", ["a//b", "a/b/", "/a", "a/%2F", "a%2Fb/c", "a/ü b?", "a/%25"])
def test_a_key_is_the_path_as_it_was_sent(http: httpx2.Client, key: str) -> None:
    sent = key.replace("?", "%3F").replace("ü", "%C3%BC").replace(" ", "%20")
    line = http.build_request("PUT", f"/v1/items/{sent}", content=b"7")
    answer = http.send(line)
    expected = key.replace("%2F", "/").replace("%25", "%")
    assert answer.json()["key"] == expected
    assert expected in [item["key"] for item in http.get("/v1/items").json()["items"]]
    assert http.delete(f"/v1/items/{sent}").status_code == 204
    assert expected not in [item["key"] for item in http.get("/v1/items").json()["items"]]


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "~index/owners", "key"),
        ("DELETE", "%7Eindex/owners", "key"),
        ("GET", "?prefix=~index", "prefix"),
        ("GET", "noslash", "key"),
        ("GET", "a/%00", "key"),
        ("GET", "a/%ff", "key"),
        ("GET", "?owner=a&prefix=b", "owner"),
        ("GET", "?limit=0", "limit"),
        ("PUT", "a/b?expires_in=-1", "expires"),
        ("PUT", "a/b?expires_in=soon", "expires_in"),
        ("PUT", "a/b", "body"),
    ],
)
def test_what_cannot_be_taken_names_its_field(http: httpx2.Client, method: str, path: str, field: str) -> None:
    content = b"{" if field == "body" else b"1"
    check(http.request(method, f"/v1/items/{path}", content=content), 400, "invalid-input", field)


async def test_what_is_the_engines_own_is_not_shown() -> None:
    kind = Kind("device", secret_owner=True)
    async with connect("memory:", kinds=[kind]) as engine, served(engine) as http:
        await engine.items.put("mine/x", 1)
        assert [entry.key for entry in (await engine.items.find())[0]] == ["mine/x"]
        assert [item["key"] for item in (await http.get("/v1/items")).json()["items"]] == ["mine/x"]


async def test_a_secret_owner_is_not_taken_from_a_url() -> None:
    kind = Kind("device", secret_owner=True)
    async with connect("memory:", kinds=[kind]) as engine, served(engine) as http:
        session = await engine.open(kind="device", owner="hardware-1")
        answer = await http.get("/v1/sessions", params={"kind": "device", "owner": "hardware-1"})
        assert "Insession-Owner" in check(answer, 400, "invalid-input", "owner")["detail"]
        assert "hardware-1" not in answer.text
        found = await http.get("/v1/sessions", params={"kind": "device"}, headers={"Insession-Owner": "hardware-1"})
        assert [one["id"] for one in found.json()["sessions"]] == [session.id]


async def test_nodes_and_their_sessions() -> None:
    async with connect("memory:", kinds=[Kind("job", recovery="keep")]) as engine, served(engine) as http:
        assert (await http.get("/v1/nodes")).json() == {"nodes": []}
        job = await engine.open(kind="job")
        (node,) = (await http.get("/v1/nodes")).json()["nodes"]
        assert node["kind"] == "~node"
        assert node["data"]["pid"] > 1
        found = (await http.get("/v1/sessions", params={"node": node["id"]})).json()["sessions"]
        assert [(one["id"], one["node"]) for one in found] == [(job.id, node["id"])]


def test_everything_of_an_owner_is_erased(http: httpx2.Client) -> None:
    session = http.post("/v1/sessions", json={"owner": "zoe"}).json()
    put(http, "erased/x", 1, headers={"Insession-Owner": "zoe"})
    # The session, its two events, and the item.
    assert http.post("/v1/erase", json={"owner": "zoe"}).json() == {"erased": 4}
    check(http.get(f"/v1/sessions/{session['id']}"), 404, "session-not-found")
    check(http.get("/v1/items/erased/x"), 404, "item-not-found")
    assert http.get("/v1/events?after=0&follow=false").text.count("zoe") == 0
    check(http.post("/v1/erase"), 400, "invalid-input", "body")
