"""The XML envelope: what a request looks like on the wire, and reading an answer safely, from its bytes.

An answer is read by expat with a handler that refuses any document type declaration: without one there are no entities
to expand or to fetch (CWE-776, CWE-611). Values stay strings.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from .errors import SankhyaInputError

_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL: Final = re.compile('[&<>"\r\n\t]')
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
_NAME: Final = re.compile(r"[A-Za-z_][\w.\-]*")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Unreadable(ValueError):
    """Bytes are no XML that we read; the text says why."""


def parse(content: bytes) -> Element:
    """The root element of a document. Raises `Unreadable`: not well-formed, cut off, or with a document type."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    # Methods of the C class, so that no Python code runs for an element.
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(content, True)
        root = builder.close()
    except expat.ExpatError as error:
        raise Unreadable(f"not well-formed: {error}") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("in an encoding that is not known") from None
    assert isinstance(root, Element)  # noqa: S101 - for the type checker: it has been started by the parser
    return root


def _refuse(*_: object) -> None:
    raise Unreadable("it has a document type declaration, which this protocol never has")


def write(service: str, body: Element) -> bytes:
    """The request envelope of a service around its ``requestBody``. Raises `SankhyaInputError`."""
    parts = ['<serviceRequest serviceName="', _escaped(service), '">']
    _write(body, parts.append)
    parts.append("</serviceRequest>")
    return "".join(parts).encode()


def _write(element: Element, put: Callable[[str], None]) -> None:
    tag = element.tag
    put(f"<{tag}")
    for name, value in element.items():
        put(f' {name}="{_escaped(value)}"')
    if not len(element) and not element.text:
        put("/>")
        return
    put(">")
    if element.text:
        put(_escaped(element.text))
    for child in element:
        _write(child, put)
        if child.tail:
            put(_escaped(child.tail))
    put(f"</{tag}>")


def _escaped(text: str) -> str:
    if text.isalnum():
        return text
    if _FORBIDDEN.search(text):
        raise SankhyaInputError("request", "holds a control character, which XML cannot carry")
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def element(tag: str, text: str | None = None, /, **attributes: str) -> Element:
    """An element with a text and attributes."""
    made = Element(check_name(tag), attributes)
    made.text = text
    return made


def check_name(name: str) -> str:
    """A name of an element or attribute; `SankhyaInputError` for what could be more than a name."""
    if not _NAME.fullmatch(name):
        raise SankhyaInputError("request", f"{name!r} is no name of a field or an element")
    return name


def message_of(element: Element | None) -> str:
    """The text of a ``statusMessage``: base64 of UTF-8 or ISO-8859-1; as it came, where it is neither."""
    text = "" if element is None else "".join(element.itertext()).strip()
    return _decoded("".join(text.split())) or text


def decoded_text(raw: bytes) -> str:
    """Text of which nobody said the encoding: UTF-8, else ISO-8859-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("iso-8859-1")


def _decoded(text: str) -> str | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    found = decoded_text(raw)
    # A word of four or eight letters may be base64 of something, but hardly of words.
    plain = sum(one.isascii() for one in found)
    return None if _CONTROL.search(found) or 2 * plain < len(found) else found.strip()
