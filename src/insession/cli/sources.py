"""Reading settings from the environment and from a TOML file, by pydantic-settings."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from insession.errors import ConfigurationError
from insession.kernel.urls import unknown

from .settings import PREFIX

SECRETS: Final = frozenset({"token", "keys", "service.tokens"})
_OTHERS: Final = frozenset({"CONFIG", "COPY_FROM", "COPY_TO", "STATE_DIR", "HARDWARE_ID"})
"""Variables that somebody else reads."""
_LINK: Final = "INSESSION_PORT"
"""Kubernetes sets it, to a URL, in containers where a service is called insession, and others that begin so:"""
_LINKS: Final = ("INSESSION_PORT", "INSESSION_SERVICE_PORT", "INSESSION_SERVICE_HOST")
_ABOVE: Final = {
    "url": "store",
    "token_file": "tokens",
    "tokens": "token_file",
    "keys_file": "keys",
    "keys": "keys_file",
}
"""A setting does not count where one that stands for it is set in a layer above."""
_PASSWORD: Final = re.compile(r"[^/]*//[^/]*:[^/]*@")
_NEAR: Final = 0.7
_OF_OTHERS: Final = 0o077


def _lines(given: object) -> object:
    return "\n".join(given) if isinstance(given, list) and all(isinstance(one, str) for one in given) else given


class ServiceModel(BaseModel):
    """What `settings.Service` may hold."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)

    host: str = ""
    port: int = Field(default=0, ge=0, le=65535)
    tokens: Annotated[str, BeforeValidator(_lines)] = ""
    token_file: str = ""
    rate: float = Field(default=0.0, ge=0)
    drain: float = Field(default=0.0, ge=0)


class SettingsModel(BaseSettings):
    """What `settings.Settings` may hold; only what is set counts, so that the defaults stand there."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        hide_input_in_errors=True,
    )

    store: str = ""
    url: str = ""
    namespace: str = ""
    token: str = ""
    keys: str = ""
    keys_file: str = ""
    service: ServiceModel = ServiceModel()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `merged` has put together, and nothing else."""
        return (init_settings,)


class _Layer(NamedTuple):
    """What a source says, and how it calls a setting."""

    said: Mapping[str, Any]
    place: Callable[[tuple[str, ...]], str]


def merged(given: Mapping[str, Any], file: Path | None) -> Mapping[str, Any]:
    """What flags have given, else the environment says, else the file; `ConfigurationError` where that cannot be."""
    layers = [
        _Layer(given, lambda names: f"--{names[-1]}"),
        _Layer(_environment(), lambda names: PREFIX + "_".join(names).upper()),
        _Layer({} if file is None else _content(file), lambda names: f"{file}: {'.'.join(names)}"),
    ]
    values: dict[str, Any] = {}
    for layer in layers:
        _add(values, layer.said)
    try:
        return SettingsModel(**values).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise ConfigurationError(_problem(error, layers)) from None


def _add(values: dict[str, Any], below: Mapping[str, Any]) -> None:
    """Add what a layer says to what those above it have said."""
    above = frozenset(values)
    for name, value in below.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            _add(values[name], value)
        elif _ABOVE.get(name) not in above:
            # A table of its own: it grows by those of lower layers, which are not to be taken for this one's.
            values.setdefault(name, dict(value) if isinstance(value, Mapping) else value)


class _Environment(EnvSettingsSource):
    """The variables that are meant for us, by their names in lower case."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        linked = "://" in os.environ.get(_LINK, "")
        return {
            name.lower(): value
            for name, value in os.environ.items()
            if value and not (linked and name.startswith(_LINKS))
        }


def _environment() -> Mapping[str, Any]:
    fields = [*SettingsModel.model_fields, *(f"service_{name}" for name in ServiceModel.model_fields)]
    known = sorted({name.upper() for name in fields} | _OTHERS)
    for variable in os.environ:
        name = variable.removeprefix(PREFIX)
        if name in {variable, *known} or variable.startswith(_LINKS):
            continue
        # A name that is like none of ours is somebody else's.
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_NEAR):
            raise ConfigurationError(f"unknown variable {variable!r}; did you mean {PREFIX + near[0]!r}?")
    try:
        return _Environment(SettingsModel)()
    except SettingsError:
        raise ConfigurationError(
            f"{PREFIX}SERVICE: is no JSON; set {PREFIX}SERVICE_PORT and the like instead"
        ) from None


def _content(file: Path) -> Mapping[str, Any]:
    try:
        with file.open("rb") as opened:
            content = tomllib.load(opened)
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: is not UTF-8, as TOML is") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: is not TOML: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
    if os.name == "posix" and mode & _OF_OTHERS and (secrets := _secrets(content)):
        raise ConfigurationError(f"{file}: others than its user may read its {secrets[0]}; chmod 600 it")
    return content


def _secrets(content: Mapping[str, Any]) -> list[str]:
    """The settings of a file that are nobody else's business: also a URL with a password."""
    service = content.get("service")
    names = {*content, *(f"service.{name}" for name in (service if isinstance(service, dict) else ()))}
    return sorted((names & SECRETS) | {name for name in ("store", "url") if _PASSWORD.match(str(content.get(name)))})


def _problem(error: ValidationError, layers: Sequence[_Layer]) -> str:
    """The first of what is wrong, in a sentence."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # The place of an entry of a list says nothing more.
    names = tuple(one for one in first["loc"] if isinstance(one, str))
    where = next(layer.place(names) for layer in layers if _says(layer.said, names))
    if first["type"] == "extra_forbidden":
        known = SettingsModel.model_fields if len(names) == 1 else ServiceModel.model_fields
        return f"{where}: {unknown('setting', names[-1], known)}"
    said = "is a table" if first["type"] == "model_type" else first["msg"]
    return f"{where}: {said[:1].lower()}{said[1:]}"


def _says(said: Any, names: tuple[str, ...]) -> bool:
    return not names or (isinstance(said, Mapping) and names[0] in said and _says(said[names[0]], names[1:]))
