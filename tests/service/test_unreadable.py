"""Data that cannot be read: said once with its cause, then the session has ended; never an endless error."""

from __future__ import annotations

import pytest

from insession import Data, Engine, Kind
from insession.kernel.codec import encode
from insession.stores.memory import MemoryStore
from insession.testing.clock import settle
from tests.damage import overwrite
from tests.kernel.samples import Draft

from .conftest import served


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_a_broken_session_ends_and_its_name_is_opened_again(store: MemoryStore) -> None:
    async with Engine(store) as engine, served(engine) as http:
        body = {"name": "x", "data": {"n": 1}}
        path = f"/v1/sessions/{(await http.post('/v1/sessions', json=body)).json()['id']}"
        await overwrite(store, path.rpartition("/")[2], b"\xdc\xff")
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:insession:problem:data-unreadable")
        await settle()
        session = (await http.get(path)).json()
        assert (session["state"], session["reason"], session["data"]) == ("interrupted", "data_unreadable", None)
        assert session["unreadable"] in answer.json()["detail"]
        assert (await http.put(f"{path}/data", json={"n": 2})).status_code == 410
        assert (await http.post(f"{path}/touch")).status_code == 410
        assert (await http.post("/v1/sessions", json=body)).json()["data"] == {"n": 1}


async def test_what_a_newer_program_wrote_stays(store: MemoryStore) -> None:
    kinds = [Kind("draft", data=Data(Draft, version=2, upgrades={1: dict}))]
    async with Engine(store, kinds=kinds) as engine, served(engine) as http:
        session = await engine.open(kind="draft", data=Draft("plan"))
        await overwrite(store, session.id, encode({"name": "plan"}, version=3))
        for _ in range(2):
            answer = await http.get(f"/v1/sessions/{session.id}")
            assert (answer.status_code, "newer version" in answer.json()["detail"]) == (409, True)
            await settle()
        touched = await http.post(f"/v1/sessions/{session.id}/touch")
        assert (touched.status_code, touched.json()["data"]) == (200, None)
        assert "newer version" in touched.json()["unreadable"]
        assert (await http.put(f"/v1/sessions/{session.id}/data", json={"title": "x"})).status_code in {400, 409}
        assert (await engine.get(session.id)).state == "active"
        closed = (await http.post(f"/v1/sessions/{session.id}/close")).json()
        assert (closed["won"], closed["session"]["data"]) == (True, None)


async def test_a_node_that_cannot_be_read_is_listed_all_the_same(store: MemoryStore) -> None:
    async with Engine(store, kinds=[Kind("call", recovery="end")]) as engine, served(engine) as http:
        await engine.open(kind="call")
        (node,) = await engine.nodes()
        # As a program without the ring sees it.
        await overwrite(store, node.id, b"\xc1sealed")
        (found,) = (await http.get("/v1/nodes")).json()["nodes"]
        assert (found["id"], found["data"], "encrypted" in found["unreadable"]) == (node.id, None, True)


async def test_an_item_that_cannot_be_read_hides_no_other(store: MemoryStore) -> None:
    async with Engine(store) as engine, served(engine) as http:
        for key in ("a/1", "a/2"):
            await http.put(f"/v1/items/{key}", json={"n": 1})
        await overwrite(store, "a/1", b"\xdc\xff")
        assert (await http.get("/v1/items/a/1")).status_code == 409
        items = (await http.get("/v1/items")).json()["items"]
        assert [(item["key"], item["size"]) for item in items] == [("a/1", 2), ("a/2", 4)]
