"""Addresses of clients as programs and gRPC name them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insession.errors import InvalidInput
from insession.tracking.addresses import parse_address

from .conftest import Managers

KNOWN = {
    "1.2.3.4": "1.2.3.4",
    "1.2.3.4:567": "1.2.3.4",
    "ipv4:127.0.0.1:45344": "127.0.0.1",
    "ipv4:127.0.0.1": "127.0.0.1",
    "ipv6:%5B::1%5D:33982": "::1",
    "ipv6:[::1]:33982": "::1",
    "ipv6:%5B2001%3Adb8%3A%3A7%5D:1": "2001:db8::7",
    "[2001:DB8:0:0::7]:443": "2001:db8::7",
    "[::1]": "::1",
    "::1": "::1",
    "fe80::1%eth0": "fe80::1%eth0",
    "unix:": "unix",
    "unix:/run/service.sock": "unix",
    "unix-abstract:name": "unix",
    "unix": "unix",
}
WRONG = [
    "",
    "host",
    "localhost:80",
    "1.2.3",
    "1.2.3.4.5",
    "ipv4:",
    "ipv6:%5B::1",
    "[::1",
    "1.2.3.4:x",
    "1.2.3.4:123456",
]


@pytest.mark.requirement("M89")
@pytest.mark.parametrize("text", KNOWN)
async def test_it_is_kept_without_its_port(text: str, managers: Managers) -> None:
    manager = await managers({"track_ip_addresses": True})
    live = await manager.create_session(ip_address=text)
    status = await manager.get_session_status(live["session_id"])
    assert status is not None
    assert status["ip_address"] == live["ip_address"] == parse_address(text) == KNOWN[text]


@pytest.mark.parametrize("text", KNOWN)
def test_what_is_kept_can_be_given_again(text: str) -> None:
    assert parse_address(KNOWN[text]) == KNOWN[text]


@pytest.mark.parametrize("text", [*WRONG, 5, None, b"1.2.3.4", ["1.2.3.4"]])
def test_anything_else_is_refused_without_its_value(text: Any) -> None:
    with pytest.raises(InvalidInput, match="peer: is") as caught:
        parse_address(text, "peer")
    assert caught.value.field == "peer"
    assert "secret" not in str(caught.value)


@given(text=st.text() | st.sampled_from(sorted(KNOWN)).flatmap(lambda one: st.text(max_size=3).map(one.__add__)))
def test_nothing_but_an_address_comes_out(text: str) -> None:
    try:
        found = parse_address(text)
    except InvalidInput:
        return
    assert parse_address(found) == found
