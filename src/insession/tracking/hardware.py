"""The hardware id of the machine that this program runs on."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeGuard

import anyio.to_thread

from insession.folders import state_folder
from insession.kernel.urls import unknown

from . import checks
from .errors import HardwareIDFailed, NotInitialized
from .idcache import SALT_BYTES, DamagedCache, IDCache, Kept
from .logs import logger
from .machine import MACHINE_ID_FILES, RANDOM, VARIABLE, Source, derive, environment_text, find_fact
from .provider import Provider

CACHE_NAME: Final = "hardware_id.cache"
DEFAULTS: Final[Mapping[str, Any]] = {
    "cache_file": None,
    "length": 32,
    "charset": checks.CHARSET,
    "require_hardware_id": True,
    "app": "insession",
    "hardware_id": None,
}


class _NoID(Exception):
    """Nothing is known of this machine, and nothing random could be kept for it."""


@dataclass(frozen=True, slots=True)
class _Settings:
    """How an id is to be made."""

    length: int
    charset: str
    app: str
    environment: str | None = field(repr=False)

    def digest(self) -> str:
        """What the cache says that an id was made with."""
        parts = [self.length, self.charset, self.app, self.environment]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def fits(self, given: str) -> bool:
        """Whether a text has this length and alphabet."""
        return len(given) == self.length and set(given) <= set(self.charset)


@dataclass(frozen=True, slots=True)
class _Had:
    """An id that can be had, and whether the cache keeps it."""

    id: str = field(repr=False)
    source: Source
    kept: bool


class _Making:
    """Finds the id in the cache, or makes it and has it kept there. Blocks."""

    def __init__(self, settings: _Settings, cache: IDCache, files: Sequence[Path]) -> None:
        self._settings: _Settings = settings
        self._cache: IDCache = cache
        self._files: Sequence[Path] = files

    def obtain(self) -> _Had:
        """The id; `_NoID` where there is nothing to make it from."""
        salt: bytes | None = None
        try:
            with contextlib.suppress(DamagedCache):  # said where it is mended
                kept = self._read()
                if self._current(kept):
                    return _Had(kept.id, kept.source, kept=True)
                salt = None if kept is None else kept.salt
            with self._cache.alone():
                return self._keep()
        except OSError as error:
            return self._unkept(salt, error)

    def renew(self) -> None:
        """Have another id kept, by another salt."""
        with self._cache.alone():
            self._cache.replace(self._made(secrets.token_bytes(SALT_BYTES)))

    def _keep(self) -> _Had:
        try:
            kept = self._read()
        except DamagedCache as problem:
            logger().warning("%s is not believed: %s; the hardware id is made anew", self._cache.path, problem)
            return self._replaced(salt=None)
        if kept is None:
            return self._created()
        return self._taken(kept)

    def _created(self) -> _Had:
        """Ours, or that of another process which was first: with the same settings it is as good."""
        made = self._made(None)
        if self._cache.create(made):
            return self._now_kept(made)
        with contextlib.suppress(DamagedCache):
            kept = self._read()
            if kept is not None:
                return self._taken(kept)
        return self._replaced(salt=None)

    def _taken(self, kept: Kept) -> _Had:
        """What is kept, or another id by its salt where it was made with other settings."""
        return _Had(kept.id, kept.source, kept=True) if self._current(kept) else self._replaced(salt=kept.salt)

    def _replaced(self, *, salt: bytes | None) -> _Had:
        made = self._made(salt)
        self._cache.replace(made)
        return self._now_kept(made)

    def _now_kept(self, made: Kept) -> _Had:
        if made.source == RANDOM.source:
            logger().warning(
                "nothing tells this machine: its hardware id is random, and lost with %s", self._cache.path
            )
        return _Had(made.id, made.source, kept=True)

    def _unkept(self, salt: bytes | None, error: OSError) -> _Had:
        """An id that the cache does not keep is good enough where it will be the same again."""
        problem = f"{self._cache.path} is unusable: {_said(error)}"
        if salt is None and find_fact(self._files) is None:
            raise _NoID(f"nothing tells this machine from others, and {problem}") from None
        logger().warning("the hardware id cannot be kept: %s", problem)
        made = self._made(salt)
        return _Had(made.id, made.source, kept=False)

    def _made(self, salt: bytes | None) -> Kept:
        """An id from what the machine is known by, else from a random salt alone; and what to keep of it."""
        fact = find_fact(self._files) or RANDOM
        if fact is RANDOM and salt is None:
            salt = secrets.token_bytes(SALT_BYTES)
        wanted = self._settings
        made = derive(fact, app=wanted.app, salt=salt, length=wanted.length, charset=wanted.charset)
        return Kept(id=made, source=fact.source, settings=wanted.digest(), salt=salt)

    def _read(self) -> Kept | None:
        kept = self._cache.read()
        if self._current(kept) and not self._settings.fits(kept.id):
            raise DamagedCache("its id is not what it says of itself")
        return kept

    def _current(self, kept: Kept | None) -> TypeGuard[Kept]:
        """Whether it was made as one would be made now."""
        return kept is not None and kept.settings == self._settings.digest()


class HardwareIDProvider(Provider):
    """Gives the hardware id of this machine: made once, kept in a file, the same after a restart.

    It is taken from the first of: the setting ``hardware_id``, given out as it is; the environment variable
    ``INSESSION_HARDWARE_ID``; the machine id (Linux), the platform UUID (macOS), the machine GUID (Windows); else it is
    random. The text of the variable may have any form: an id is derived from it. All but the setting are bound to
    ``app``: two applications have two ids on one machine, which nobody can link without the machine's own.

    What the cache keeps goes before what the machine says now. It is made anew, with the same salt, when ``length``,
    ``charset``, ``app`` or the environment variable have changed since, and when it is damaged.

    Configuration, all keys optional:

    - ``cache_file``: used as given, relative to the working directory; None: ``hardware_id.cache`` in the state folder;
    - ``length``: characters of the id, 8 to 64 (32);
    - ``charset``: its alphabet of at least 10 characters, repeats dropped (letters and digits);
    - ``require_hardware_id``: whether it is a failure that no id can be had (True);
    - ``app``: the application's name ("insession");
    - ``hardware_id``: the id itself, of that length and alphabet (None).

    Neither an id nor a part of one is logged or shown here.
    """

    name = "hardware_id_provider"

    def __init__(
        self, config: Mapping[str, Any] | None = None, *, machine_id_files: Sequence[Path] = MACHINE_ID_FILES
    ) -> None:
        super().__init__()
        given: object = {} if config is None else config
        self._config: dict[Any, Any] | None = dict(given) if isinstance(given, Mapping) else None
        self._files: tuple[Path, ...] = tuple(machine_id_files)
        self._cache: IDCache | None = None
        self._had: _Had | None = None
        self._failure: str | None = None

    @property
    def hardware_id(self) -> str | None:
        """The id of a running provider; None before `initialize`, after `cleanup`, and where there is none."""
        return None if self._had is None or not self.is_available else self._had.id

    def problems(self) -> list[str]:
        """What is wrong with the configuration, all of it, each with its key; no value is quoted."""
        if self._config is None:
            return ["config: is a mapping of keys to values"]
        found = [unknown("key", str(key), DEFAULTS) for key in self._config if key not in DEFAULTS]
        for key, check in _CHECKS.items():
            problem = check(self._setting(key))
            if problem is not None:
                found.append(f"{key}: {problem}")
        return found or self._misfit()

    async def initialize(self) -> bool:
        """Start, and make sure that an id can be had; False, with every problem in the log, where it cannot.

        The id that a running provider has stays: after `regenerate_hardware_id` call `cleanup` first.
        """
        if self.is_available:
            return True
        problems = self.problems()
        for problem in problems:
            logger().error("hardware id: %s", problem)
        if problems:
            return False
        self._failure = None
        try:
            self._had = await anyio.to_thread.run_sync(self._obtain)
        except _NoID as error:
            if self._setting("require_hardware_id"):
                self._failure = str(error)
                logger().error("%s", HardwareIDFailed(self._failure))
                return False
            logger().warning("no hardware id, and none is required: %s", error)
        self._start()
        return True

    async def process(self, request: Any = None) -> AsyncIterator[str | None]:  # noqa: ARG002 - a provider takes one
        """Yield the id once; None where there is none and none is required. Whatever is asked is ignored.

        Raises `NotInitialized`, or `HardwareIDFailed` where `initialize` found that no id can be had.
        """
        if not self.is_available:
            self.counts.refused()
            raise NotInitialized(type(self).__name__) if self._failure is None else HardwareIDFailed(self._failure)
        self.counts.succeeded()
        yield self.hardware_id

    def regenerate_hardware_id(self) -> bool:
        """Let the next `initialize` after a `cleanup` find a new id; until then the old one stays.

        False, with a warning, where the cache cannot be written or the id is a setting. Blocks while it
        writes one small file.
        """
        problems = self.problems()
        if not problems and self._setting("hardware_id") is not None:
            problems = ["hardware_id: is a setting; change it there"]
        if problems:
            logger().warning("no new hardware id: %s", "; ".join(problems))
            return False
        try:
            self._making().renew()
        except OSError as error:
            logger().warning("no new hardware id: %s cannot be written: %s", self._opened().path, _said(error))
            return False
        logger().info("the next start has a new hardware id")
        return True

    async def cleanup(self) -> bool:
        """Stop; what the cache keeps stays. A second call does nothing."""
        self._stop()
        self._had = self._failure = None
        return True

    def get_status(self) -> dict[str, Any]:
        """Whether it runs, where the id is from (``source``, None without one), whether the cache keeps it."""
        return super().get_status() | {
            "source": None if self._had is None else self._had.source,
            "has_cached_id": self._had is not None and self._had.kept,
        }

    def get_metrics(self) -> dict[str, Any]:
        """The provider's counters, ``id_length``, ``id_generated`` (there is an id), and the state of the cache."""
        return super().get_metrics() | {
            "id_length": 0 if self._had is None else len(self._had.id),
            "id_generated": self._had is not None,
            "has_cached_id": self._had is not None and self._had.kept,
            "cache_file_exists": not self.problems() and self._opened().exists(),
        }

    def _setting(self, key: str) -> Any:
        return (self._config or {}).get(key, DEFAULTS[key])

    def _misfit(self) -> list[str]:
        """An id that was given has to be as long, and of the alphabet, that ids are said to have."""
        given = self._setting("hardware_id")
        if given is None or self._settings().fits(given):
            return []
        return [f"hardware_id: does not fit length and charset; make them fit, or have an id made by {VARIABLE}"]

    def _settings(self) -> _Settings:
        charset = "".join(dict.fromkeys(self._setting("charset")))
        return _Settings(self._setting("length"), charset, self._setting("app"), environment_text())

    def _opened(self) -> IDCache:
        """The cache, at the place that its name meant when it was first needed."""
        if self._cache is None:
            named = self._setting("cache_file")
            path = state_folder() / CACHE_NAME if named is None else Path(named)
            with contextlib.suppress(OSError):  # the working directory may be gone
                path = path.absolute()
            self._cache = IDCache(path)
        return self._cache

    def _making(self) -> _Making:
        return _Making(self._settings(), self._opened(), self._files)

    def _obtain(self) -> _Had:
        given = self._setting("hardware_id")
        return self._making().obtain() if given is None else _Had(given, "setting", kept=False)


def _said(error: OSError) -> str:
    """What the system says about a file, without its name."""
    return error.strerror or type(error).__name__


def _app(value: object) -> str | None:
    return None if isinstance(value, str) and value else "is the application's name, a text"


def _explicit(value: object) -> str | None:
    return None if value is None or isinstance(value, str) else "is a text, or None for one that is made"


_CHECKS: Final[Mapping[str, Callable[[object], str | None]]] = {
    "cache_file": checks.file_name,
    "length": checks.id_length,
    "charset": checks.charset,
    "require_hardware_id": checks.switch,
    "app": _app,
    "hardware_id": _explicit,
}
