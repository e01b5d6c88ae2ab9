"""Request bodies: read strictly, with errors that name the field and the nearest known one."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from litestar.dto import AbstractDTO
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.openapi.spec import Operation, Reference, Schema
from litestar.typing import FieldDefinition

from insession.errors import InvalidInput
from insession.kernel.urls import unknown

T = TypeVar("T")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_PLACE: Final = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?", re.DOTALL)


class StrictBody(AbstractDTO[T]):
    """A body that is decoded as the struct says.

    Litestar's own way coerces ("60" would pass for a number) and does not know `InvalidInput`. Used
    as ``dto=StrictBody[Struct]`` (``Any``: any JSON); the schema is that of the struct.
    """

    def decode_bytes(self, value: bytes) -> T:
        """The body as its struct."""
        return decode_body(value, self.model_type)

    @classmethod
    def create_for_field_definition(cls, **_: Any) -> None:  # type: ignore[override]
        """Nothing is made: there is no model between bytes and struct."""

    @classmethod
    def create_openapi_schema(
        cls,
        field_definition: FieldDefinition,  # noqa: ARG003 - Litestar's signature, here and below
        handler_id: str,  # noqa: ARG003
        schema_creator: Any,
    ) -> Reference | Schema:
        """The schema of the struct itself."""
        schema: Reference | Schema = schema_creator.for_field_definition(
            FieldDefinition.from_annotation(cls.model_type)
        )
        if isinstance(schema, Reference):  # Litestar does not look whether a struct forbids them
            schema_creator.schema_registry.from_reference(schema).schema.additional_properties = False
        return schema

    @classmethod
    def generate_field_definitions(
        cls,
        model_type: type[Any],  # noqa: ARG003
    ) -> Generator[DTOFieldDefinition, None, None]:
        """None, see `create_for_field_definition`."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:  # noqa: ARG003
        """Never, see `create_for_field_definition`."""
        return False


@dataclass
class OptionalBody(Operation):
    """An operation that is asked without a body, too."""

    def __post_init__(self) -> None:
        if self.request_body is not None and hasattr(self.request_body, "required"):
            self.request_body.required = False


def decode_body(body: bytes, wanted: type[T]) -> T:
    """A body as its struct; `InvalidInput` names the field."""
    try:
        return msgspec.json.decode(body, type=wanted)
    except msgspec.ValidationError as error:
        raise invalid(str(error), getattr(wanted, "__struct_fields__", ())) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("body", f"is not JSON that can be read: {error}") from None


def invalid(message: str, known: tuple[str, ...]) -> InvalidInput:
    """What msgspec says of a value, with the field's name and the nearest known one."""
    if found := _UNKNOWN.match(message):
        return InvalidInput(found[1], unknown("field", found[1], known))
    if found := _MISSING.match(message):
        return InvalidInput(found[1], "is missing")
    found = _PLACE.fullmatch(message)
    said, place = (message, "") if found is None else found.groups(default="")
    return InvalidInput(place or "body", said[:1].lower() + said[1:])
