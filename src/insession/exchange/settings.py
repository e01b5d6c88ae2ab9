"""What an exchange session is told from outside: variables, the ``.env`` of a project, or a plain object.

Nothing is read when this is imported, and nothing when `ExchangeSettings` is made: `ExchangeSettings.read` asks the
environment and the ``.env`` file. So several sessions with settings of their own live in one program.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from insession.errors import ConfigurationError
from insession.kernel.urls import unknown

from .contracts import Deadlines

__all__ = ["ROOT", "ExchangeSettings", "variable"]
ROOT: Final = "BASELINE_ROOT_DIR"
"""The variable that names the root of ``.env``, ``files/`` and ``logs/``; else it is the working folder (R40)."""
_PREFIX: Final = "SESSION_"
_DOCUMENTED: Final = {
    "token": "TOKEN",
    "host": "HOST",
    "debug": "DEBUG",
    "debug_content": "DEBUG_CONTENT",
    "only_save": "SESSION_IS_ONLY_SAVE_FILES",
    "protocol_version": "SESSION_WS_PROTOCOL_VERSION",
    "download_host": "DOWNLOAD_HOST",
    "check_directory_answer": "CHECK_DIRECTORY_ANSWER",
    "check_directory_answer_delay": "CHECK_DIRECTORY_ANSWER_DELAY",
    "automatic_answer": "AUTOMATIC_ANSWER_FILE_GENERATE",
    "store": "INSESSION_STORE",
    "root": ROOT,
}
_OFF: Final = frozenset({"none", "null", "disable", "disabled"})
"""Words for off beside those that pydantic knows: 0, false, f, no, n, off."""
_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})
_MISSING: Final = {
    "token": "TOKEN, the participant's token from your account on the platform",
    "host": "HOST, the platform's address such as https://platform.example",
}


def variable(name: str) -> str:
    """The variable of a setting."""
    return _DOCUMENTED.get(name, _PREFIX + name.removeprefix(_PREFIX.lower()).upper())


def _switch(given: object) -> object:
    return False if isinstance(given, str) and given.lower() in _OFF else given


def _address(given: str) -> str:
    parts = urlsplit(given)
    if parts.scheme not in _SCHEMES or not parts.hostname or not given.isprintable():
        raise ValueError("is no address such as https://platform.example")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("is an address alone: no user, no query; the token goes into TOKEN")
    return given.rstrip("/")


def _namespace(given: str) -> str:
    if not given.startswith("/") or not given.isprintable() or set(given) & set(",? #"):
        raise ValueError("is a namespace of socket.io such as /pku")
    return given


def _json(given: str) -> str:
    try:
        json.loads(given)
    except ValueError:
        raise ValueError("is no JSON") from None
    return given


Switch = Annotated[bool, BeforeValidator(_switch)]
Address = Annotated[str, AfterValidator(_address)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class ExchangeSettings(BaseSettings):
    """Settings of exchange sessions. Each has a variable: `variable` says which, docs/exchange.md lists them.

    Made plainly it holds what it is given and defaults; `read` asks the environment and ``.env`` too. What is empty
    or None counts as not given. Raises `ConfigurationError`: one sentence that names the setting and where it may
    come from, and shows no value.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        alias_generator=variable,
        populate_by_name=True,
        env_ignore_empty=True,
        env_file_encoding="utf-8",
        str_strip_whitespace=True,
    )

    strict: ClassVar[bool] = True
    """Whether a name that nobody knows is refused."""

    token: SecretStr
    """What the platform knows the participant by; shown in the handshake and nowhere else."""
    host: Address
    namespace: Annotated[str, AfterValidator(_namespace)] = "/pku"
    dialect: Literal["2021", "2023"] = "2021"
    protocol_version: int | None = 2
    """Told in the handshake as ``version``; 0 tells none."""
    abort_spelling: Literal["cliend", "client"] = "cliend"
    """How the event of an abort is spelled: ``cliend`` as the protocol's page has it, or ``client`` (R32)."""
    download_host: Address | None = None
    """Where files are fetched in the dialect of 2023."""
    tls_verify: Switch = True
    """Off: whoever stands between reads the token and the files. Said at each start."""

    solution: str | None = None
    """``module:function``, a command, or a folder, as ``--solution`` takes it."""
    concurrency: Annotated[int, Field(ge=1, le=1_000)] = 4
    """So many files are solved at once."""
    only_save: Switch = False
    """Files are saved, none is answered."""
    check_directory_answer: Switch = False
    """Answers are files that another program puts into ``output/``,"""
    check_directory_answer_delay: Seconds = 1.0
    """looked for so often, in seconds."""
    automatic_answer: Switch = False
    """An empty answer is given to each file, to rehearse without a solution."""
    file_timeout: Seconds | None = None
    """Seconds to answer a file where neither the platform nor the options say it."""
    fallback: Annotated[str, AfterValidator(_json)] | None = None
    """The answer, as JSON, that is sent shortly before a file's deadline if there is no other;"""
    fallback_lead: Seconds = 2.0
    """so many seconds before."""
    resend: Literal["always", "never"] = "always"
    """Whether an answer that may have left is sent again until it is acknowledged (R45)."""

    connect_timeout: Seconds = 30.0
    join_timeout: Seconds = 3.0
    """How long the platform has to say whether a session is active, before one is started."""
    start_timeout: Seconds = 30.0
    rejoin_timeout: Seconds = 30.0
    result_timeout: Seconds = 30.0
    """How long the platform has to acknowledge an answer."""
    abort_timeout: Seconds = 30.0
    download_timeout: Seconds = 60.0
    session_timeout: Seconds | None = None
    """For the whole session; else what its parameters say and an hour."""
    drain_timeout: Seconds = 10.0
    """How long work in hand may go on when the session is stopped by a signal."""
    flush_timeout: Seconds = 5.0
    retry_first: Seconds = 0.5
    """Seconds before the line is tried again, doubled from time to time, with jitter,"""
    retry_longest: Annotated[float, Field(gt=0, le=5)] = 5.0
    """and never more than these."""

    debug: Switch = False
    debug_content: Switch = False
    """Debug records hold tokens and content in full."""
    store: str | None = Field(default=None, repr=False)
    """URL of the store of the journal; else SQLite in the state folder."""
    root: Path = Field(default_factory=Path.cwd)

    @property
    def files(self) -> Path:
        """Where files and answers lie."""
        return self.root / "files"

    @property
    def logs(self) -> Path:
        """Where logs lie."""
        return self.root / "logs"

    @property
    def deadlines(self) -> Deadlines:
        """How many seconds each step may take."""
        return Deadlines(**{name: getattr(self, f"{name}_timeout") for name in Deadlines.__struct_fields__})

    @property
    def fallback_answer(self) -> Any:
        """The fallback as a value; None without one."""
        return None if self.fallback is None else json.loads(self.fallback)

    @classmethod
    def read(cls, root: str | Path | None = None, **given: Any) -> ExchangeSettings:
        """Settings from what is given, else the environment, else the ``.env`` file in the root.

        Args:
            root: The root; else `ROOT` names it, else the working folder.
            given: Settings by name; an unknown one is refused with the nearest that is known.
        """
        folder = Path(root or os.environ.get(ROOT, "").strip() or Path.cwd()).absolute()
        look: Any = _Found
        try:
            found: ExchangeSettings = look(_env_file=folder / ".env", **_given(given), root=folder)
            return found
        except UnicodeDecodeError:
            raise ConfigurationError(f"{folder / '.env'}: is not UTF-8") from None
        except OSError as error:
            raise ConfigurationError(f"{folder / '.env'}: cannot be read: {error.strerror}") from None

    def but(self, **given: Any) -> Self:
        """The same settings with some others; what is None stays as it is."""
        held = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate(held | _given(given))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, and nothing else."""
        return (init_settings,)

    @model_validator(mode="wrap")
    @classmethod
    def _told_plainly(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """One error of ours instead of pydantic's, with the names that the caller used."""
        if not isinstance(given, Mapping):
            return handler(given)
        fields = {variable(name): name for name in cls.model_fields} | {name: name for name in cls.model_fields}
        if cls.strict and (strange := [name for name in given if name not in fields]):
            raise ConfigurationError(unknown("setting", str(strange[0]), cls.model_fields))
        held = {name: value for name, value in given.items() if name in fields and not _empty(value)}
        found = {fields[name] for name in held}
        if missing := [sentence for name, sentence in _MISSING.items() if name not in found]:
            root = held.get("root") or held.get(ROOT) or Path.cwd()
            raise ConfigurationError(
                f"missing or empty: {'; and '.join(missing)}. Set it in {Path(root) / '.env'} or in the environment"
            )
        try:
            return handler(held)
        except ValidationError as error:
            raise ConfigurationError(_problem(error, held)) from None


class _Found(ExchangeSettings):
    """Settings that are looked for, in places that hold other things too."""

    strict: ClassVar[bool] = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, else the environment, else the file."""
        return (init_settings, env_settings, dotenv_settings)


def _given(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given by name, checked: a source that is asked later would hide a slip."""
    for name in given:
        if name not in ExchangeSettings.model_fields:
            raise ConfigurationError(unknown("setting", name, ExchangeSettings.model_fields))
    return {name: value for name, value in given.items() if not _empty(value)}


def _empty(value: object) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return text is None or (isinstance(text, str) and not text.strip())


def _problem(error: ValidationError, held: Mapping[str, Any]) -> str:
    """The first of what is wrong, in a sentence that shows no value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = str(first["loc"][0])
    said = next((one for one in held if variable(one) == name), name)
    message = first["msg"].removeprefix("Value error, ")
    return f"{said}: {message[:1].lower()}{message[1:]}"
