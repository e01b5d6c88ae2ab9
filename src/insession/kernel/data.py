"""Typed data: the type that a kind's sessions, or some items, hold, its version, and how older data is upgraded."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from insession.errors import ConfigurationError, DataUnreadable, InvalidInput
from insession.kernel.codec import FIRST, LATEST, MOST_DATA, decode, encode, version_of

T = TypeVar("T")
Upgrade = Callable[[Any], Any]
"""Makes the next version's JSON-like values out of one version's, which are its own to change."""
_RESERVED: Final = b"\xc1"
_UNBOUNDED: Final = 1 << 40
"""An upgrade may make data larger; the bound is asked where it is written."""


@dataclasses.dataclass(frozen=True, slots=True)
class Data(Generic[T]):
    """Data of a type, in a version: ``Data(Chat, version=3, upgrades={1: one_to_two, 2: two_to_three})``.

    Args:
        type: A msgspec struct or a dataclass. Of pydantic models there is `insession.integrations.pydantic.ModelData`.
        version: Raised with every change of the type that the older one cannot read, or would lose. It travels with
            the data. What was written without a version is of version 1.
        upgrades: By version, a plain function that makes data of the next version out of it. It gets and gives
            JSON-like values, must not wait, and is called at every reading, until the data is written again.

    Data of a newer version than this one is neither read nor written over: `DataUnreadable`.
    """

    type: type[T]
    _: dataclasses.KW_ONLY
    version: int = FIRST
    upgrades: Mapping[int, Upgrade] = dataclasses.field(default_factory=dict, hash=False)
    _worked: set[int] = dataclasses.field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_type()
        if type(self.version) is not int or not FIRST <= self.version <= LATEST:
            raise ConfigurationError(f"Data.version: is a number from {FIRST} to {LATEST}")
        first = self.version - len(self.upgrades)
        if set(self.upgrades) != set(range(max(first, FIRST), self.version)):
            raise ConfigurationError(f"Data.upgrades: are by version, without a gap, and end at {self.version - 1}")
        given: list[object] = list(self.upgrades.values())
        if not all(callable(one) and not inspect.iscoroutinefunction(one) for one in given):
            raise ConfigurationError("Data.upgrades: holds plain functions only")

    def _check_type(self) -> None:
        given: object = self.type
        if not isinstance(given, type):
            raise ConfigurationError("Data.type: is a class (a struct or a dataclass)")
        if hasattr(given, "model_validate"):
            raise ConfigurationError("Data.type: a pydantic model goes into insession.integrations.pydantic.ModelData")

    def encoded(self, value: object, most: int = MOST_DATA, whose: str = "this kind") -> bytes:
        """A value as bytes of this version; `InvalidInput` where it is none of the type, to its last field."""
        if not isinstance(value, self.type):
            raise InvalidInput("data", f"is a {self.type.__name__} for {whose}")
        encoded = encode(self._plain(value), most, version=self.version)
        try:
            # A field of a wrong type would only be noticed by whoever reads it, for ever after.
            self._read(encoded, whose)
        except DataUnreadable as error:
            raise InvalidInput("data", f"is no {self.type.__name__}: {error.problem}") from None
        return encoded

    def decoded(self, data: bytes, key: str) -> T:
        """Bytes of this version or an older one as a value. Raises `DataUnreadable`."""
        version = version_of(data) if data[:1] == _RESERVED else FIRST
        if version == self.version or type(data) is not bytes:
            return self._read(data, key)
        self.check_not_newer(data, key)
        return self._read(self._upgraded(decode(data, None, key), version, key), key)

    def check_not_newer(self, data: bytes, key: str) -> None:
        """Raise `DataUnreadable` for data that a newer version of the program wrote: it must not be written over."""
        version = version_of(data)
        if version > self.version:
            problem = f"it was written by a newer version (data version {version}; this one knows {self.version})"
            raise DataUnreadable(key, problem)

    def _upgraded(self, plain: Any, version: int, key: str) -> bytes:
        """JSON-like values of an older version as bytes of this one."""
        encoded = b""
        for step in range(version, self.version):
            upgrade = self.upgrades.get(step)
            if upgrade is None:
                raise DataUnreadable(key, f"it is of data version {step}, and no upgrade from that is declared")
            try:
                plain = upgrade(plain)
                encoded = encode(plain, _UNBOUNDED, version=step + 1)
            except Exception as error:
                # What the error says may hold data. A step that has never worked is at fault itself, not the data.
                problem = f"its upgrade from data version {step} failed with {type(error).__name__}"
                raise DataUnreadable(key, problem, broken=step in self._worked) from None
            self._worked.add(step)
        return encoded

    def _plain(self, value: T) -> object:
        """What MessagePack keeps of a value."""
        return value

    def _read(self, data: bytes, key: str) -> T:
        """Bytes of this version as a value."""
        value: T = decode(data, self.type, key)
        return value
