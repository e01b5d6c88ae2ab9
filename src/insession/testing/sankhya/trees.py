"""One tree for both dialects: XML elements, and the JSON form in which text is ``{"$": text}``.

A request becomes an `Element` in either dialect; a response body is written in the JSON form and becomes XML from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

Tree = dict[str, Any]
"""Scalars are attributes, ``$`` is the text, a dict is a child, a list is children of one name."""


def element(name: str, value: Any) -> Element:
    """The element that a JSON value stands for."""
    made = Element(name)
    if not isinstance(value, Mapping):
        made.text = _text(value)
        return made
    for key, one in value.items():
        if key == "$":
            made.text = _text(one)
        elif isinstance(one, Mapping):
            made.append(element(key, one))
        elif isinstance(one, list):
            made.extend(element(key, each) for each in one)
        else:
            made.set(key, _text(one))
    return made


def xml(name: str, tree: Tree) -> str:
    """A tree as XML."""
    attributes, inside = [], []
    for key, one in tree.items():
        if key == "$":
            inside.append(escape(one))
        elif isinstance(one, dict):
            # Most are values of columns: answers are the most of what the double computes.
            if not one:
                inside.append(f"<{key}/>")
            elif "$" in one and len(one) == 1:
                inside.append(f"<{key}>{escape(one['$'])}</{key}>")
            else:
                inside.append(xml(key, one))
        elif isinstance(one, list):
            inside += [xml(key, each) for each in one]
        else:
            attributes.append(f" {key}={quoteattr(one)}")
    head = name + "".join(attributes)
    return f"<{head}>{''.join(inside)}</{name}>" if inside else f"<{head}/>"


def collapsed(tree: Tree) -> Tree:
    """A tree as the server writes it as JSON: a list of one is that one, an empty text is an empty object."""
    return {key: _collapsed(one) for key, one in tree.items()}


def _collapsed(value: Any) -> Any:
    if isinstance(value, dict):
        return collapsed(value)
    if isinstance(value, list):
        made = [_collapsed(one) for one in value]
        return made[0] if len(made) == 1 else made
    return value


def _text(value: Any) -> str:
    return "" if value is None else str(value)
