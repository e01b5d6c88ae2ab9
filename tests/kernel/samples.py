"""Kinds and data as users declare them."""

from __future__ import annotations

import dataclasses
from typing import Final

import msgspec

from insession import Kind, Limit

INDEX_KEY: Final = b"a secret of these tests"
NOWHERE: Final = "0123456789abcdef" * 2
"""A session id that nobody has."""


class Draft(msgspec.Struct):
    """Data of the kind ``draft``."""

    title: str
    pages: int = 0


@dataclasses.dataclass
class Basket:
    """Data of the kind ``basket``."""

    items: list[str]
    paid: bool = False


KINDS: Final = (
    Kind("device", idle=60.0, limits=(Limit(most=3, then="oldest"),)),
    Kind("seat", limits=(Limit(most=2),)),
    Kind("secret", secret_owner=True),
    Kind("draft", data=Draft),
    Kind("basket", data=Basket),
    Kind("short", keep=10.0, keep_count=2),
)
