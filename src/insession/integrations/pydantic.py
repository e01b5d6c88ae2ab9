"""Pydantic models as the data of a kind, or of items. Needs the extra ``insession[pydantic]``.

    Kind("chat", data=ModelData(Chat, version=2, upgrades={1: one_to_two}))

A model is kept as the JSON-like values that it dumps, and validated when it is read.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from insession.errors import ConfigurationError, DataUnreadable, InvalidInput
from insession.kernel.codec import decode
from insession.kernel.data import Data

M = TypeVar("M", bound=BaseModel)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelData(Data[M]):
    """Data of a pydantic model, see `Data`. Dumped and validated as JSON is, by alias; computed fields are not kept."""

    def _check_type(self) -> None:
        given: object = self.type
        if not isinstance(given, type) or not issubclass(given, BaseModel):
            raise ConfigurationError("ModelData.type: is a pydantic model")

    def _plain(self, value: M) -> object:
        try:
            # Its warnings show values; what is of a wrong type is refused by the reading that follows.
            return value.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)
        except ValueError as error:
            raise InvalidInput("data", f"cannot be kept: {error}") from None

    def _read(self, data: bytes, key: str) -> M:
        plain = decode(data, None, key)
        try:
            return self.type.model_validate_json(msgspec.json.encode(plain))
        except ValidationError as error:
            raise DataUnreadable(key, _described(error, self.type)) from None


def _described(error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong, without a value: of a place only a field's name is told, because a key may be data."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = {name for field, info in model.model_fields.items() for name in (field, info.alias)}
    place = first["loc"][0] if first["loc"] and first["loc"][0] in names else "a field"
    return f"{error.error_count()} of its fields are wrong, the first is {place} ({first['type']})"
