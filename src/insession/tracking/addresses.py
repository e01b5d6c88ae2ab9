"""Addresses of clients, as programs and gRPC name them."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import unquote

from insession.errors import InvalidInput

UNIX: Final = "unix"
"""What stands for a client on this machine's own socket."""
_EXAMPLES: Final = "1.2.3.4, ::1, [::1]:567, ipv4:1.2.3.4:567, ipv6:%5B::1%5D:567 and unix:"
_PORT: Final = re.compile(r":\d{1,5}")


def parse_address(text: object, field: str = "ip_address") -> str:
    """An address without its port, in its shortest form.

    Takes plain addresses, ``1.2.3.4:567`` and ``[::1]:567``, and gRPC's names of peers (gRPC naming: ``ipv4:…``,
    ``ipv6:…`` with percent-encoded brackets, ``unix:…``). `InvalidInput` names the field, never the value.
    """
    if not isinstance(text, str):
        raise InvalidInput(field, f"is a text, not {type(text).__name__}")
    scheme, colon, rest = text.partition(":")
    if text == UNIX or (colon and scheme in {"unix", "unix-abstract"}):
        return UNIX
    plain = unquote(rest) if colon and scheme in {"ipv4", "ipv6"} else text
    try:
        return ipaddress.ip_address(_without_port(plain)).compressed
    except ValueError:
        raise InvalidInput(field, f"is no IP address, as {_EXAMPLES} are") from None


def _without_port(text: str) -> str:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        return host if bracket and (not port or _PORT.fullmatch(port)) else text
    host, colon, _ = text.partition(":")
    return host if colon and _PORT.fullmatch(text[len(host) :]) else text
