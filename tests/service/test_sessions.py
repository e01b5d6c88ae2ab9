"""The life of a session over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from insession import Interrupted, connect
from insession.kernel.kinds import Kind
from insession.kernel.limits import Limit

from .conftest import served


def opened(http: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    session: dict[str, Any] = answer.json()
    return session


def test_opened_and_read_again(http: httpx2.Client) -> None:
    answer = http.post(
        "/v1/sessions", json={"kind": "device", "owner": "ann", "idle": 60, "absolute": 120.5, "data": {"lang": "en"}}
    )
    session = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{session['id']}"
    assert session["kind"] == "device"
    assert session["owner"] == "ann"
    assert session["state"] == "active"
    assert session["reason"] is session["ended"] is session["stopped"] is None
    assert session["deadlines"]["idle"] == pytest.approx(session["opened"] + 60)
    assert session["deadlines"]["absolute"] == pytest.approx(session["opened"] + 120.5)
    assert session["data"] == {"lang": "en"}
    read = http.get(answer.headers["location"])
    assert read.json() == session
    assert read.headers["etag"] == f'"{session["version"]}"'


def test_without_a_body_everything_is_left_to_the_kind(http: httpx2.Client) -> None:
    session = http.post("/v1/sessions").json()
    assert session["kind"] == "session"
    assert session["deadlines"] == {"idle": None, "absolute": None}
    assert session["data"] == {}


def test_one_of_a_name_lives_at_a_time(http: httpx2.Client) -> None:
    first = opened(http, owner="bo", name="phone")
    again = http.post("/v1/sessions", json={"owner": "bo", "name": "phone"})
    assert (again.status_code, again.json()["type"]) == (409, "urn:insession:problem:conflict")
    http.post(f"/v1/sessions/{first['id']}/close")
    second = opened(http, owner="bo", name="phone")
    assert second["id"] == first["id"]
    assert second["version"] > first["version"]


def test_a_touch_moves_the_idle_deadline(http: httpx2.Client) -> None:
    session = opened(http, idle=60)
    touched = http.post(f"/v1/sessions/{session['id']}/touch").json()
    assert touched["touched"] > session["touched"]
    assert touched["deadlines"]["idle"] > session["deadlines"]["idle"]
    assert touched["version"] == session["version"]


def test_data_is_replaced_over_the_version_that_was_read(http: httpx2.Client) -> None:
    session = opened(http, data={"step": 1})
    path = f"/v1/sessions/{session['id']}/data"
    etag = {"If-Match": f'"{session["version"]}"'}
    answer = http.put(path, json={"step": 2}, headers=etag)
    assert answer.status_code == 200
    assert answer.json()["data"] == {"step": 2}
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"' != etag["If-Match"]
    late = http.put(path, json={"step": 3}, headers=etag)
    assert late.status_code == 412
    assert late.json()["version"] == answer.json()["version"]
    assert http.get(f"/v1/sessions/{session['id']}").json()["data"] == {"step": 2}


def test_data_is_replaced_whatever_it_is_without_a_version(http: httpx2.Client) -> None:
    path = f"/v1/sessions/{opened(http)['id']}/data"
    for data in ([1, 2.5, None], "text", None, {"ключ": "значение", "深": ["い"]}):
        body = json.dumps(data).encode()
        assert http.put(path, content=body, headers={"If-Match": "*"}).json()["data"] == data
        assert http.put(path, content=body).json()["data"] == data


def test_an_update_is_an_event_and_a_touch_only_if_asked(http: httpx2.Client) -> None:
    session = opened(http, idle=60)
    path = f"/v1/sessions/{session['id']}"
    assert http.put(f"{path}/data", json=1).json()["touched"] == session["touched"]
    assert http.put(f"{path}/data?touch=true&event=true", json=2).json()["touched"] > session["touched"]
    events = http.get(f"{path}/history").json()["events"]
    assert [event["type"] for event in events] == ["opened", "updated"]


@pytest.mark.parametrize(("verb", "state"), [("interrupt", "interrupted"), ("close", "closed")])
def test_the_first_reason_stays(http: httpx2.Client, verb: str, state: str) -> None:
    session = opened(http, data=7)
    path = f"/v1/sessions/{session['id']}"
    first = http.post(f"{path}/{verb}", json={"reason": "enough"})
    assert first.status_code == 200
    assert first.json()["won"] is True
    assert first.json()["session"]["state"] == state
    assert first.json()["session"]["ended"] >= session["opened"]
    second = http.post(f"{path}/interrupt", json={"reason": "late"}).json()
    assert second["won"] is False
    assert (second["session"]["state"], second["session"]["reason"]) == (state, "enough")
    for answer in (http.post(f"{path}/touch"), http.put(f"{path}/data", json=1, headers={"If-Match": '"1"'})):
        assert answer.status_code == 410
        assert answer.json()["reason"] == "enough"
    assert http.get(path).json()["data"] == 7


def test_the_default_reasons(http: httpx2.Client) -> None:
    assert http.post(f"/v1/sessions/{opened(http)['id']}/interrupt").json()["session"]["reason"] == "interrupted"
    assert http.post(f"/v1/sessions/{opened(http)['id']}/close").json()["session"]["reason"] == "completed"


def test_lists_come_in_pages_without_data(http: httpx2.Client) -> None:
    ids = [opened(http, kind="paged", owner="cy", data="x")["id"] for _ in range(5)]
    found: list[str] = []
    after: dict[str, str] = {}
    pages = 0
    while True:
        page = http.get("/v1/sessions", params={"kind": "paged", "limit": 2, **after}).json()
        assert all("data" not in session for session in page["sessions"])
        found += [session["id"] for session in page["sessions"]]
        pages += 1
        if page["cursor"] is None:
            break
        after = {"cursor": page["cursor"]}
    assert found == ids
    assert pages >= 3


def test_lists_by_owner_and_state(http: httpx2.Client) -> None:
    owner = "Дора/100 %"
    live, ended = opened(http, owner=owner), opened(http, owner=owner)
    http.post(f"/v1/sessions/{ended['id']}/close")

    def ids(state: str, **how: Any) -> list[str]:
        page = http.get("/v1/sessions", params={"state": state} | how.pop("params", {}), **how).json()
        return [session["id"] for session in page["sessions"]]

    header = {"headers": {"Insession-Owner": "%D0%94%D0%BE%D1%80%D0%B0/100%20%25"}}
    for how in ({"params": {"owner": owner}}, header):
        assert ids("active", **how) == [live["id"]]
        assert ids("closed", **how) == [ended["id"]]
        assert sorted(ids("any", **how)) == sorted([live["id"], ended["id"]])


def test_interrupts_all_of_a_kind_and_owner(http: httpx2.Client) -> None:
    mine = opened(http, kind="job", owner="eve")
    others = [opened(http, kind="job", owner="finn"), opened(http, kind="task", owner="eve")]
    answer = http.post("/v1/interrupt", json={"kind": "job", "owner": "eve", "reason": "sweep"})
    assert answer.json() == {"interrupted": 1}
    assert http.get(f"/v1/sessions/{mine['id']}").json()["reason"] == "sweep"
    for other in others:
        assert http.get(f"/v1/sessions/{other['id']}").json()["state"] == "active"
    assert http.post("/v1/interrupt", json={"kind": "job"}).json() == {"interrupted": 1}


def test_statistics_and_health(http: httpx2.Client) -> None:
    opened(http, kind="counted")
    http.post(f"/v1/sessions/{opened(http, kind='counted')['id']}/close")
    assert http.get("/v1/stats").json()["sessions"]["counted"] == {"active": 1, "closed": 1}
    assert http.get("/healthz").json()["status"] == "ok"


async def test_kinds_of_the_engine_hold_over_http() -> None:
    kind = Kind("device", idle=60.0, limits=(Limit(most=1),))
    async with connect("memory:", kinds=[kind]) as engine, served(engine) as http:
        first = await http.post("/v1/sessions", json={"kind": "device", "owner": "ann"})
        assert first.json()["deadlines"]["idle"] is not None
        second = await http.post("/v1/sessions", json={"kind": "device", "owner": "ann"})
        assert (second.status_code, second.json()["type"]) == (409, "urn:insession:problem:limit-reached")


async def test_an_interrupt_over_http_stops_work_and_waits_for_it() -> None:
    async with connect("memory:") as engine, served(engine) as http:
        session = await engine.open()
        working = asyncio.Event()

        async def work() -> None:
            async with session.running():
                working.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await working.wait()
        answer = await http.post(f"/v1/sessions/{session.id}/interrupt", json={"reason": "enough", "wait": 10})
        assert answer.json()["session"]["stopped"] == "cancelled"
        with pytest.raises(Interrupted, match="enough"):
            await task


async def test_an_engine_that_nobody_opened_is_opened_and_closed() -> None:
    engine = connect("memory:")
    async with served(engine) as http:
        assert (await http.get("/healthz")).status_code == 200
    async with served("memory:") as http:
        assert (await http.post("/v1/sessions")).status_code == 201


async def test_an_open_engine_stays_open() -> None:
    async with connect("memory:") as engine:
        async with served(engine) as http:
            session = (await http.post("/v1/sessions")).json()
        assert (await engine.get(session["id"])).state == "active"
