"""Requests that find, save and remove rows, and reading rows from their answers (section 1.4 of the notes)."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar
from xml.etree.ElementTree import Element, SubElement

from .entities import Entity, as_text, key_of
from .envelope import element
from .errors import SankhyaInputError, ServiceRequestInvalidResponseException
from .request import ServiceRequest, ServiceResponse
from .services import LOAD, REMOVE, SAVE, SERVICES

E = TypeVar("E", bound=Entity)
_numbers: Final = itertools.count(1)


def load(entity: type[Entity], criteria: str, parameters: Sequence[object]) -> Element:
    """The ``requestBody`` of `loadRecords`: rows of an entity for which an expression holds."""
    body, data = _data_set(entity.entity)
    if criteria:
        _check_marks(criteria, parameters)
        asked = SubElement(data, "criteria")
        asked.append(element("expression", criteria))
        for place, value in enumerate(parameters):
            asked.append(_parameter(place, value))
    elif parameters:
        raise SankhyaInputError("parameters", "are bound to ? in criteria, of which there are none")
    for path, columns in _by_path(entity).items():
        joined = SubElement(data, "entity", {"path": path})
        SubElement(joined, "fieldset", {"list": ",".join(columns)})
    return body


def save(rows: Sequence[tuple[Entity, bool]]) -> ServiceRequest:
    """A `saveRecord` of rows of one entity, all or none; True: the row is there and is changed."""
    first = rows[0][0]
    body, data = _data_set(first.entity)
    for row, there in rows:
        if type(row) is not type(first):
            raise SankhyaInputError("entity", "rows of one request are of one entity")
        values = row.texts(key=False)
        if not there:
            values |= row.texts(key=True)
        if not values:
            raise SankhyaInputError("entity", "has nothing to save: give a column a value first")
        made = SubElement(data, "dataRow")
        made.append(_fields("localFields", values))
        if there:
            made.append(_fields("key", key_of(row)))
    listed = SubElement(data, "entity", {"path": ""})
    SubElement(listed, "fieldset", {"list": ",".join(_by_path(type(first))[""])})
    return ServiceRequest(SERVICES[SAVE], body)


def remove(row: Entity) -> ServiceRequest:
    """A `removeRecord` of one row, by its primary key."""
    body = Element("requestBody")
    asked = SubElement(body, "entity", {"rootEntity": row.entity, "datasetid": _data_set_id()})
    asked.append(_fields("id", key_of(row)))
    return ServiceRequest(SERVICES[REMOVE], body)


def typed(entity: type[E], response: ServiceResponse) -> list[E]:
    """The rows of an answer as entities."""
    entities = response.element.find("entities")
    if entities is None:
        return []
    names = [one.get("name", "") for one in entities.iterfind("metadata/fields/field")]
    # Without metadata the values have the columns' own names.
    places = {name: f"f{place}" for place, name in enumerate(names)}
    plan = entity.plan(places) if places else None
    found = []
    try:
        for row in entities.iterfind("entity"):
            cells = {cell.tag: cell.text for cell in row}
            found.append(entity.of_cells(cells, entity.plan({name: name for name in cells}) if plan is None else plan))
    except ValueError as error:
        raise ServiceRequestInvalidResponseException(
            f"a row cannot be read: {error}", service=response.service, status=response.status
        ) from None
    return found


def saved(row: E, response: ServiceResponse) -> E:
    """A row as it is after it was saved: what the answer says, else what was sent."""
    found = typed(type(row), response)
    return found[0] if found else row


def load_request(body: Element) -> ServiceRequest:
    """The request of a page."""
    return ServiceRequest(SERVICES[LOAD], body)


def _data_set(entity: str) -> tuple[Element, Element]:
    body = Element("requestBody")
    about = {
        "rootEntity": entity,
        "includePresentationFields": "N",
        "parallelLoader": "true",
        "datasetid": _data_set_id(),
    }
    return body, SubElement(body, "dataSet", about)


def _data_set_id() -> str:
    return f"{int(time.time())}_{next(_numbers)}"


def _fields(tag: str, values: Mapping[str, str | None]) -> Element:
    made = Element(tag)
    for name, value in values.items():
        made.append(element(name, value))
    return made


def _by_path(entity: type[Entity]) -> dict[str, list[str]]:
    """The columns to ask for, by the path of the joined entity; ``""`` is the entity itself."""
    found: dict[str, list[str]] = {"": []}
    for column in entity.columns.values():
        found.setdefault(column.path, []).append(column.column)
    if not found[""]:
        raise SankhyaInputError("entity", f"{entity.__name__} has no columns of its own")
    return found


def _check_marks(criteria: str, parameters: Sequence[object]) -> None:
    marks = sum(part.count("?") for part in criteria.split("'")[::2])
    if marks != len(parameters):
        raise SankhyaInputError("parameters", f"are {len(parameters)}, and criteria has {marks} marks (?)")


def _parameter(place: int, value: Any) -> Element:
    kind = _KINDS.get(type(value))
    if kind is None:
        raise SankhyaInputError(
            f"parameters[{place}]",
            f"a {type(value).__name__} cannot be bound; write IS NULL for None, and one ? for each element of a list",
        )
    return element("parameter", as_text(value), type=kind)


_KINDS: Final[Mapping[type, str]] = {
    int: "I",
    bool: "S",
    str: "S",
    Decimal: "S",
    dt.date: "D",
    dt.datetime: "D",
}
