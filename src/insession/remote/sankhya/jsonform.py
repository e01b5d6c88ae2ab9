"""The JSON dialect: the same tree as in XML, by the service's own convention.

A child is a key; what occurs more than once is a list; an attribute is a plain string; text is under ``$``. A body that
a caller gives as a dict is read by the same rules, and an answer's body as a dict has this form in both dialects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import Element

import msgspec

from .envelope import Unreadable, check_name
from .errors import SankhyaInputError

_DEEPEST = 64


def to_dict(element: Element) -> dict[str, Any]:
    """An element's attributes, text and children."""
    found: dict[str, Any] = dict(element.attrib)
    text = element.text
    if text and (not len(element) or text.strip()):
        found["$"] = text
    for child in element:
        made = to_dict(child)
        before = found.get(child.tag)
        if before is None:
            found[child.tag] = made
        elif isinstance(before, list):
            before.append(made)
        else:
            found[child.tag] = [before, made]
    return found


def to_element(tag: str, values: Mapping[str, Any], depth: int = 0) -> Element:
    """The element of a tag that `to_dict` would make this of. Raises `SankhyaInputError`."""
    if depth > _DEEPEST:
        raise SankhyaInputError("request", f"is nested more than {_DEEPEST} deep")
    made = Element(check_name(tag))
    for name, value in values.items():
        _add(made, name, value, depth)
    return made


def _add(made: Element, name: str, value: Any, depth: int) -> None:
    if name == "$":
        made.text = None if value is None else _text(name, value)
    elif isinstance(value, Mapping):
        made.append(to_element(name, value, depth + 1))
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for one in value:
            _add(made, name, one if isinstance(one, Mapping) else {"$": one}, depth)
    elif value is not None:
        made.set(check_name(name), _text(name, value))


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float, Decimal)):
        return str(value)
    raise SankhyaInputError("request", f"{name!r} is a {type(value).__name__}; give text, numbers, dicts and lists")


def write(service: str, body: Element) -> bytes:
    """The request envelope."""
    return msgspec.json.encode({"serviceName": service, "requestBody": to_dict(body)})


def parse(content: bytes) -> Mapping[str, Any]:
    """The answer envelope as a dict. Raises `Unreadable`."""
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unreadable("no JSON object")
    return found
