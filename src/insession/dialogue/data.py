"""Typed data of dialogues: contexts, intents and memories, where they are registered, and how they are stored.

Stored is (name of the type, data version, MessagePack by msgspec); never pickle. A reference is stored as the identity
of what it points at, ``name:id``, and nothing of its data.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, get_args, get_type_hints, overload

import msgspec

from insession.errors import ConfigurationError, DataUnreadable, InvalidInput
from insession.kernel.ids import check_count
from insession.kernel.urls import unknown

from .errors import NotAdopted
from .scope import check_dimensions

if TYPE_CHECKING:
    from .session import Session

T = TypeVar("T")
CURRENT: ContextVar[Session] = ContextVar("insession_dialogue_session")
"""The session of the innermost turn of this task."""
Upgrade = Callable[[Any], Any]
"""Makes the plain data (dicts, lists, numbers, texts) of one data version into that of the next."""
LARGEST_VERSION: Final = 65_535
_NAME: Final = re.compile(r"[A-Za-z][\w.-]{0,99}")
_PER_TURN: Final = frozenset({"session_id", "turn_id"})


class Form(enum.StrEnum):
    """What a registered type is."""

    CONTEXT = "context"
    INTENT = "intent"
    MEMORY = "memory"


class Ref(Generic[T]):
    """A reference from data to other data of the session, stored as its identity. Made by `ref`."""

    __slots__ = ("_target", "identity")

    def __init__(self, identity: str | None = None, target: T | None = None) -> None:
        self.identity: str | None = identity
        self._target = target

    def __repr__(self) -> str:
        return f"<Ref {self.identity or 'of new data'}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self.identity == other.identity and self._target is other._target

    def __hash__(self) -> int:
        return hash(self.identity)


def ref(target: T) -> Ref[T]:
    """A reference to data of the session; new data is adopted when the data that holds the reference is saved."""
    return Ref(None, target)


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """One piece of data at rest; ``refs`` are the identities that it points at."""

    name: str
    version: int
    data: bytes
    refs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class DataType:
    """A registered type.

    Args:
        name: What stands in the store for it; in the texts of a marked intent too.
        cls: A `msgspec.Struct` or a dataclass, each field with a default.
        form: What it is.
        scope: Of a memory, the dimensions that its id is made of, sorted.
        version: The data version that is written.
        upgrades: For each older version, what makes the next one of it.
        on_conflict: Of a memory that another chat changed meanwhile: ``retry`` the turn (`Dialogue.handle` does),
            or ``raise`` `TurnConflict` at once.
    """

    name: str
    cls: type[Any]
    form: Form
    scope: tuple[str, ...] = ()
    version: int = 1
    upgrades: Mapping[int, Upgrade] = dataclasses.field(default_factory=dict)
    on_conflict: str = "retry"
    wide: bool = dataclasses.field(init=False)
    """Whether it outlives the session: a memory that neither the session nor the turn is in the scope of."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "wide", self.form is Form.MEMORY and not _PER_TURN.intersection(self.scope))

    def default(self) -> Any:
        """New data; `InvalidInput` where a field has no default."""
        try:
            return self.cls()
        except TypeError as error:
            raise InvalidInput(self.name, f"cannot be made without values: {error}") from None

    def encode(self, data: Any, identify: Callable[[Ref[Any]], str]) -> Stored:
        """Data as it is stored; ``identify`` gives the identity of what a reference points at."""
        refs: list[str] = []

        def hook(value: object) -> object:
            if isinstance(value, Ref):
                refs.append(identify(value))
                return refs[-1]
            raise TypeError(f"a {type(value).__name__} is no data")

        try:
            encoded = msgspec.msgpack.encode(data, enc_hook=hook)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            where = path_of_misfit(data)
            raise InvalidInput(f"{self.name}{where}", f"cannot be kept: {error}") from None
        return Stored(self.name, self.version, encoded, tuple(refs))

    def decode(self, stored: Stored, identity: str) -> Any:
        """Stored data as an object; `DataUnreadable` names the identity, and never shows the data."""
        if stored.name != self.name:
            raise DataUnreadable(identity, f"it is a {stored.name!r}, not a {self.name!r}")
        if stored.version > self.version:
            raise DataUnreadable(identity, f"data version {stored.version} was written by a newer program")
        try:
            if stored.version == self.version:
                return msgspec.msgpack.decode(stored.data, type=self.cls, dec_hook=_dec_hook)
            return msgspec.convert(self._upgraded(stored, identity), self.cls, dec_hook=_dec_hook)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DataUnreadable(identity, str(error)) from None
        except NameError as error:
            raise ConfigurationError(f"{self.name}: an annotation names what its module has not: {error}") from None

    def _upgraded(self, stored: Stored, identity: str) -> Any:
        plain = msgspec.msgpack.decode(stored.data)
        try:
            for version in range(stored.version, self.version):
                upgrade = self.upgrades.get(version)
                plain = plain if upgrade is None else upgrade(plain)
        except Exception as error:
            # What the user's hook raises may quote the data.
            raise DataUnreadable(identity, f"its upgrade failed with {type(error).__name__}") from error
        return plain


def _dec_hook(wanted: type[Any], value: Any) -> Any:
    if (wanted is Ref or getattr(wanted, "__origin__", None) is Ref) and isinstance(value, str):
        return Ref(value)
    raise TypeError(f"{wanted} is not known")


def path_of_misfit(data: object, depth: int = 8) -> str:
    """Where in data the first value stands that cannot be stored, as ``.order.items[2]``; empty if it is not found."""
    if depth and not isinstance(data, str | bytes | Ref):
        for step, value in _parts(data):
            if not _fits(value):
                return step + path_of_misfit(value, depth - 1)
    return ""


def _fits(value: object) -> bool:
    try:
        msgspec.msgpack.encode(value, enc_hook=_enc_any_ref)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True


def _enc_any_ref(value: object) -> str:
    if isinstance(value, Ref):
        return ""
    raise TypeError


def _parts(data: object) -> Iterator[tuple[str, object]]:
    if isinstance(data, Mapping):
        yield from ((f"[{key!r}]", value) for key, value in data.items())
    elif isinstance(data, msgspec.Struct):
        yield from ((f".{name}", getattr(data, name)) for name in data.__struct_fields__)
    elif dataclasses.is_dataclass(data):
        yield from ((f".{field.name}", getattr(data, field.name)) for field in dataclasses.fields(data))
    elif isinstance(data, Iterable):
        yield from ((f"[{place}]", value) for place, value in enumerate(data))


class Registry(Mapping[str, DataType]):
    """All contexts, intents and memories by their names. `contexts`, `intents` and `memories` of a session show it."""

    def __init__(self) -> None:
        self._by_name: dict[str, DataType] = {}
        self._by_class: dict[type[Any], DataType] = {}

    def __getitem__(self, name: str) -> DataType:
        try:
            return self._by_name[name]
        except (KeyError, TypeError):
            raise InvalidInput("name", unknown("data type", str(name), self._by_name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def view(self, form: Form) -> Mapping[str, DataType]:
        """Those of one form."""
        return MappingProxyType({name: found for name, found in self._by_name.items() if found.form is form})

    def of(self, cls: type[Any] | str) -> DataType:
        """The registered type of a class, or of a name."""
        if isinstance(cls, str):
            return self[cls]
        try:
            return self._by_class[cls]
        except (KeyError, TypeError):
            shown = getattr(cls, "__name__", cls)
            raise NotAdopted(f"{shown} is not registered; put @context, @intent or @memory before its class") from None

    def take(self, of: DataType) -> None:
        """Register a type of another registry here too, unless it is."""
        if self._by_class.get(of.cls) != of:
            if of.name in self._by_name:
                raise ConfigurationError(f"two types are named {of.name!r}; give one of them a name of its own")
            self._by_name[of.name] = self._by_class[of.cls] = of

    def add(
        self,
        cls: type[T],
        form: Form,
        *,
        name: str | None = None,
        scope: Iterable[str] = (),
        version: int = 1,
        upgrades: Mapping[int, Upgrade] | None = None,
        on_conflict: str = "retry",
    ) -> type[T]:
        """Register a class; `ConfigurationError` says what is wrong with it. What the decorators call."""
        name = cls.__name__ if name is None else name
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r}: a name has 1 to 100 letters, digits and ._-, and begins with a letter")
        if name in self._by_name:
            raise ConfigurationError(f"two types are named {name!r}; give one of them a name of its own")
        _check_class(cls, name, self._by_class)
        check_count(version, "version", LARGEST_VERSION)
        if on_conflict not in {"retry", "raise"}:
            raise ConfigurationError(f"{name}: on_conflict is 'retry' or 'raise'")
        kept = DataType(
            name, cls, form, check_dimensions(scope, name), version, MappingProxyType(dict(upgrades or {})), on_conflict
        )
        self._by_name[name] = self._by_class[cls] = kept
        for member, meaning in _MEMBERS.items():
            if not hasattr(cls, member) and member not in getattr(cls, "__annotations__", ()):
                setattr(cls, member, meaning)
        return cls


def _check_class(cls: type[Any], name: str, known: Mapping[type[Any], DataType]) -> None:
    if not (issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls)):
        raise ConfigurationError(f"{name}: is a msgspec.Struct or a dataclass")
    if cls in known:
        raise ConfigurationError(f"{name}: the class is registered already, as {known[cls].name!r}")
    try:
        hints = get_type_hints(cls)
    except NameError:  # a name that is defined later: msgspec finds it when it is needed
        return
    for field, hint in hints.items():
        held = [one for one in _named(hint) if one in known]
        if held:
            raise ConfigurationError(f"{name}.{field}: holds {held[0].__name__} by value; use Ref[{held[0].__name__}]")


def _named(hint: Any) -> Iterator[Any]:
    """The classes in an annotation, but for those within a `Ref`."""
    if getattr(hint, "__origin__", None) is Ref:
        return
    inner = get_args(hint)
    if inner:
        for one in inner:
            yield from _named(one)
    elif isinstance(hint, type):
        yield hint


def _session_of(data: Any) -> Session:
    """The session of this turn that the data belongs to; `NotAdopted` if it is not the session's."""
    session = CURRENT.get(None)
    if session is None or not session.repo.holds(data):
        raise NotAdopted(f"this {type(data).__name__} is no session's; adopt it first")
    return session


def _to_instance(data: T, session: Session) -> T:
    """The same as ``session.adopt(data)``."""
    return session.adopt(data)


_MEMBERS: Final[Mapping[str, Any]] = {"session": property(_session_of), "to_instance": _to_instance}
"""What every registered class has, unless it means something else by that name."""

REGISTRY: Final = Registry()
"""Where the decorators register, unless they are told another place."""


def _decorator(form: Form, cls: type[T] | None, registry: Registry | None, options: dict[str, Any]) -> Any:
    def register(cls: type[T]) -> type[T]:
        return (REGISTRY if registry is None else registry).add(cls, form, **options)

    return register if cls is None else register(cls)


@overload
def context(cls: type[T], /) -> type[T]: ...
@overload
def context(
    *,
    name: str | None = ...,
    version: int = ...,
    upgrades: Mapping[int, Upgrade] | None = ...,
    registry: Registry | None = ...,
) -> Callable[[type[T]], type[T]]: ...
def context(cls: type[T] | None = None, /, *, registry: Registry | None = None, **options: Any) -> Any:
    """Register a context: data of the session, and its stages."""
    return _decorator(Form.CONTEXT, cls, registry, options)


@overload
def intent(cls: type[T], /) -> type[T]: ...
@overload
def intent(
    *,
    name: str | None = ...,
    version: int = ...,
    upgrades: Mapping[int, Upgrade] | None = ...,
    registry: Registry | None = ...,
) -> Callable[[type[T]], type[T]]: ...
def intent(cls: type[T] | None = None, /, *, registry: Registry | None = None, **options: Any) -> Any:
    """Register an intent: what a user may mean, with its entities as fields."""
    return _decorator(Form.INTENT, cls, registry, options)


def memory(
    *,
    scope: Iterable[str] = ("session_id", "bot"),
    name: str | None = None,
    version: int = 1,
    upgrades: Mapping[int, Upgrade] | None = None,
    on_conflict: str = "retry",
    registry: Registry | None = None,
) -> Callable[[type[T]], type[T]]:
    """Register a memory: data that is found by the dimensions of its scope, and lives as long as they mean something.

    An unknown dimension is a `ConfigurationError`. With the bot in the scope no other bot sees it.
    """
    options: dict[str, Any] = {
        "scope": scope,
        "name": name,
        "version": version,
        "upgrades": upgrades,
        "on_conflict": on_conflict,
    }
    return cast("Callable[[type[T]], type[T]]", _decorator(Form.MEMORY, None, registry, options))
