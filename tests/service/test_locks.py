"""Locks over HTTP: held by a ticket, from outside of any engine."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from insession import Engine, connect
from insession.kernel.tickets import Tickets

from .conftest import served
from .test_problems import check


def asked(http: httpx2.Client, what: str, **body: Any) -> httpx2.Response:
    return http.post(f"/v1/locks/{what}", json=body)


async def somebody_waits(engine: Engine, name: str) -> None:
    while (await Tickets(engine).find(name))[0][0].waiting == ():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


def test_one_holds_and_the_others_wait_for_their_turn(http: httpx2.Client) -> None:
    first = asked(http, "acquire", name="report").json()
    assert first["granted"] is True
    waits = asked(http, "acquire", name="report", ticket="mine", ttl=9.0)
    assert waits.status_code == 202
    assert waits.json() == {"ticket": "mine", "granted": False, "ahead": 0, "look_again": pytest.approx(3.0, abs=0.1)}
    last = asked(http, "acquire", name="report", ticket="last").json()
    assert last["ahead"] == 1
    shown = http.get("/v1/locks", params={"prefix": "repo"}).json()["locks"]
    assert shown == [{"name": "report", "holders": [first["ticket"]], "waiting": ["mine", "last"]}]
    asked(http, "release", name="report", ticket=first["ticket"], fencing_token=first["fencing_token"])
    # Who comes last does not overtake.
    assert asked(http, "acquire", name="report", ticket="last").status_code == 202
    granted = asked(http, "acquire", name="report", ticket="mine")
    assert granted.status_code == 200
    assert granted.json()["fencing_token"] > first["fencing_token"]
    asked(http, "release", name="report", ticket="mine")
    asked(http, "release", name="report", ticket="last")
    assert http.get("/v1/locks", params={"prefix": "repo"}).json() == {"locks": [], "cursor": None}


def test_asked_again_it_is_the_same_permit(http: httpx2.Client) -> None:
    first = asked(http, "acquire", name="again", ticket="me").json()
    again = asked(http, "acquire", name="again", ticket="me").json()
    assert (again["fencing_token"], again["granted"]) == (first["fencing_token"], True)
    assert again["expires"] >= first["expires"]


def test_renewed_and_given_back_by_its_fencing_token_only(http: httpx2.Client) -> None:
    held = asked(http, "acquire", name="fenced", ticket="me", ttl=30).json()
    mine = {"name": "fenced", "ticket": "me", "fencing_token": held["fencing_token"]}
    assert asked(http, "renew", **mine, ttl=60).json()["expires"] > held["expires"] + 20
    for what in ("renew", "release"):
        lost = check(asked(http, what, **mine | {"fencing_token": held["fencing_token"] + 1}), 409, "lease")
        assert lost["reason"] == "lost"
    assert asked(http, "release", **mine).json() == {"released": True}
    assert check(asked(http, "renew", **mine), 409, "lease")["reason"] == "lost"
    # What is not there has been given back.
    assert asked(http, "release", name="fenced", ticket="me").json() == {"released": True}


def test_permits_and_the_bound_of_the_queue(http: httpx2.Client) -> None:
    for ticket in ("a", "b"):
        assert asked(http, "acquire", name="pool", ticket=ticket, permits=2).status_code == 200
    assert check(asked(http, "acquire", name="pool", permits=2, queue=0), 409, "lease")["reason"] == "full"
    assert asked(http, "acquire", name="pool", ticket="c", permits=2, queue=1).status_code == 202
    assert check(asked(http, "acquire", name="pool", permits=2, queue=1), 409, "lease")["reason"] == "full"


def test_locks_come_in_pages(http: httpx2.Client) -> None:
    names = [f"page/{number}" for number in range(5)]
    for name in names:
        asked(http, "acquire", name=name, ticket="t")
    found: list[str] = []
    cursor: str | None = None
    while True:
        after = {} if cursor is None else {"cursor": cursor}
        page = http.get("/v1/locks", params={"prefix": "page/", "limit": "2", **after}).json()
        found += [lock["name"] for lock in page["locks"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == names


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("acquire", {}, "name"),
        ("acquire", {"name": ""}, "name"),
        ("acquire", {"name": "x", "ttl": 0}, "ttl"),
        ("acquire", {"name": "x", "permits": 0}, "permits"),
        ("acquire", {"name": "x", "queue": -1}, "queue"),
        ("acquire", {"name": "x", "ticket": "t" * 65}, "ticket"),
        ("acquire", {"name": "x", "note": "n" * (1 << 20) + "n"}, "note"),
        ("acquire", {"name": "x", "wiat": 1}, "wiat"),
        ("renew", {"name": "x", "ticket": "t"}, "fencing_token"),
        ("renew", {"name": "x", "ticket": "t", "fencing_token": 0}, "fencing_token"),
        ("release", {"name": "x"}, "ticket"),
    ],
)
def test_what_cannot_be_taken_names_its_field(http: httpx2.Client, what: str, body: dict[str, Any], field: str) -> None:
    check(asked(http, what, **body), 400, "invalid-input", field)


async def test_one_lock_for_those_outside_and_those_inside() -> None:
    async with connect("memory:") as engine, served(engine) as http:
        held = (await http.post("/v1/locks/acquire", json={"name": "both"})).json()
        entered = asyncio.Event()

        async def inside() -> None:
            async with engine.lock("both"):
                entered.set()

        task = asyncio.create_task(inside())
        async with asyncio.timeout(10.0):
            await somebody_waits(engine, "both")
            assert not entered.is_set()
            await http.post("/v1/locks/release", json={"name": "both", "ticket": held["ticket"]})
            await task
        assert entered.is_set()
