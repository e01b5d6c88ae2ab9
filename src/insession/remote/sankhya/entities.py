"""Typed entities: a class for what a row of an entity is.

    class City(Entity, entity="Cidade"):
        code = Column(int, "CODCID", key=True)
        name = Column(str, "NOMECID")

    city = City(name="Recife")
    city.code is None

A row remembers which columns were given: those are sent, no others, so that None clears a column and a column that
was never named stays as it is. What has digits and is no number (a postal code, a CNPJ) is a ``str``: its zeros stay.
"""

from __future__ import annotations

import builtins
import datetime as dt
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, overload

from insession.kernel.urls import unknown

from .envelope import check_name
from .errors import SankhyaInputError

T = TypeVar("T")
_DATE: Final = "%d/%m/%Y"
_MOMENT: Final = "%d/%m/%Y %H:%M:%S"
_READ_MOMENT: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: (\d{1,2}):(\d{1,2}):(\d{1,2}))?", re.ASCII)
_YES, _NO = "S", "N"
Plan = list[tuple[str, str, Callable[[str | None], Any] | None]]
"""Of each column: its place in a row, its attribute, and what reads it if it is no text."""


def _flag(text: str) -> bool:
    if text not in {_YES, _NO}:
        raise ValueError
    return text == _YES


@functools.lru_cache(maxsize=1_024)
def _moment(text: str) -> dt.datetime:
    # By hand, and kept for other rows: strptime takes as long as all else of a row. The time zone is the service's.
    found = _READ_MOMENT.fullmatch(text)
    if found is None:
        raise ValueError
    day, month, year, hour, minute, second = (int(one or 0) for one in found.groups())
    return dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001


def _written_date(value: dt.date) -> str:
    return value.strftime(_DATE)


def _written_moment(value: dt.datetime) -> str:
    return value.strftime(_MOMENT)


def _written_number(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError
    return f"{value:f}"


_READ: Final[Mapping[type, Callable[[str], Any]]] = {
    str: str,
    int: int,
    Decimal: Decimal,
    bool: _flag,
    dt.date: lambda text: _moment(text).date(),
    dt.datetime: _moment,
}
_WRITE: Final[Mapping[type, Callable[[Any], str]]] = {
    str: str,
    int: str,
    Decimal: _written_number,
    bool: lambda value: _YES if value else _NO,
    dt.date: _written_date,
    dt.datetime: _written_moment,
}


def as_text(value: object) -> str:
    """A value as the service reads it: ``S`` or ``N``, days before months, decimals with a point."""
    write = _WRITE.get(type(value))
    if write is None:
        raise SankhyaInputError("value", f"a {type(value).__name__} is nothing that the service knows")
    return write(value)


class Column(Generic[T]):
    """One column of an entity, as an attribute of its class; the attribute is None where there is no value.

    Args:
        type: ``str``, ``int``, ``Decimal``, ``bool`` (``S`` and ``N``), ``date`` or ``datetime`` (in the service's own
            time).
        name: What the service calls it; ``"Cidade.NOMECID"`` is a column of a joined entity, and is only read.
        key: It is of the primary key.
    """

    def __init__(self, type: type[T], name: str, *, key: bool = False) -> None:
        if type not in _READ:
            known = ", ".join(one.__name__ for one in _READ)
            raise SankhyaInputError(name, f"the type of a column is one of {known}")
        self.kind: builtins.type[T] = type
        path, _, column = name.rpartition(".")
        self.path: str = path
        self.column: str = column
        check_name(self.column)
        if self.path:
            check_name(self.path)
        self.name: str = name
        self.key: bool = key
        self.attribute: str = name
        self._read = _READ[type]
        self._write = _WRITE[type]

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute

    @overload
    def __get__(self, row: None, owner: type) -> Self: ...
    @overload
    def __get__(self, row: Entity, owner: type) -> T | None: ...
    def __get__(self, row: Entity | None, owner: type) -> Self | T | None:
        return self if row is None else row.given.get(self.attribute)

    def __set__(self, row: Entity, value: T | None) -> None:
        if value is not None and type(value) is not self.kind:
            wanted = self.kind.__name__
            raise SankhyaInputError(self.attribute, f"is of type {wanted} or None, not {type(value).__name__}")
        row._given[self.attribute] = value  # noqa: SLF001 - its own column

    def read(self, text: str | None) -> T | None:
        """The value in an answer. Raises `ValueError` for what is none of its type."""
        if not text:
            return None
        try:
            found: T = self._read(text)
        except (ValueError, InvalidOperation):
            raise ValueError(f"{self.name} is no {self.kind.__name__}") from None
        return found

    def write(self, value: T | None) -> str | None:
        """The value for a request."""
        try:
            return None if value is None else self._write(value)
        except ValueError:
            raise SankhyaInputError(self.attribute, "cannot be written as a number or date") from None


class Entity:
    """A row of an entity. Subclass it with ``entity=``, the service's name of it, and `Column`s."""

    entity: ClassVar[str]
    """What the service calls it."""
    columns: ClassVar[Mapping[str, Column[Any]]] = MappingProxyType({})
    """The columns by attribute."""
    __slots__ = ("_given",)

    def __init_subclass__(cls, *, entity: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if entity is not None:
            cls.entity = check_name(entity)
        own = {name: one for name, one in vars(cls).items() if isinstance(one, Column)}
        cls.columns = MappingProxyType({**cls.columns, **own})

    def __init__(self, **values: Any) -> None:
        self._given: dict[str, Any] = {}
        for name, value in values.items():
            if name not in self.columns:
                raise SankhyaInputError(name, unknown(f"column of {type(self).__name__}", name, self.columns))
            setattr(self, name, value)

    @property
    def given(self) -> Mapping[str, Any]:
        """The values that were given or found, by attribute."""
        return self._given

    @classmethod
    def plan(cls, places: Mapping[str, str]) -> Plan:
        """How rows of one answer are read: ``places`` says where in a row each of the service's columns stands."""
        found: Plan = []
        for attribute, column in cls.columns.items():
            place = places.get(column.name) or places.get(f"{column.path}_{column.column}")
            if place is not None:
                # Text is taken as it is, which most columns are.
                found.append((place, attribute, None if column.kind is str else column.read))
        return found

    @classmethod
    def of_cells(cls, cells: Mapping[str, str | None], plan: Plan) -> Self:
        """The row of an answer. Raises `ValueError` for a value that is none of its column's type."""
        made = cls()
        given = made._given
        for place, attribute, read in plan:
            if place in cells:
                text = cells[place]
                given[attribute] = text if read is None else read(text)
        return made

    def texts(self, *, key: bool) -> dict[str, str | None]:
        """What was given, by the service's names, as text: of the key, or of all else. Joined columns are left out."""
        return {
            column.column: column.write(self._given[attribute])
            for attribute, column in self.columns.items()
            if attribute in self._given and column.key is key and not column.path
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entity) and type(other) is type(self) and other._given == self._given

    __hash__: ClassVar[None]  # type: ignore[assignment]  # a row may change

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._given.items())})"


def key_of(row: Entity) -> dict[str, str]:
    """The whole primary key of a row. Raises `SankhyaInputError` where a part of it is missing."""
    found = row.texts(key=True)
    missing = [one.attribute for one in keys(type(row)) if found.get(one.column) is None]
    if missing or not found:
        raise SankhyaInputError(missing[0] if missing else "key", "is of the primary key, and has to be given")
    return {name: value for name, value in found.items() if value is not None}


def keys(entity: type[Entity]) -> Iterable[Column[Any]]:
    """The columns of the primary key."""
    return [one for one in entity.columns.values() if one.key]
