"""Settings: what a command takes from flags, else from the environment, else from a file.

The file is the one that ``--config`` (``INSESSION_CONFIG``) names, else ``insession.toml`` in the working folder, else
``insession.toml`` in the config folder. One file is read, and never a second.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from insession.folders import config_folder

FILE: Final = "insession.toml"
PREFIX: Final = "INSESSION_"


@dataclass(frozen=True, slots=True)
class Service:
    """What ``insession serve`` listens on, and whom it answers (`service.serve`)."""

    host: str = "127.0.0.1"
    port: int = 8080
    tokens: str | None = field(default=None, repr=False)
    """Bearer tokens, as `service.tokens.Tokens.parse` reads them;"""
    token_file: str | None = None
    """or a file with them."""
    rate: float | None = None
    drain: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Which store or service, and how to be let in."""

    store: str | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    namespace: str | None = None
    token: str | None = field(default=None, repr=False)
    keys: str | None = field(default=None, repr=False)
    """A ring of keys as text (`insession.connect`);"""
    keys_file: str | None = None
    """or a file with one, which is read again when it changes."""
    service: Service = Service()

    @property
    def ring(self) -> str | Path | None:
        """What `insession.connect` takes as keys."""
        return self.keys or (Path(self.keys_file) if self.keys_file else None)


def read(config: Path | None, given: Mapping[str, Any]) -> Settings:
    """The settings: what flags have ``given`` (None: nothing), else the environment, else the file.

    Raises `ConfigurationError`, which names the setting and its place and never a secret.
    """
    given = {name: value for name, value in given.items() if value is not None}
    file = config or next((path for path in (Path(FILE), config_folder() / FILE) if path.is_file()), None)
    if file is None and not any(name.startswith(PREFIX) for name in os.environ):
        # pydantic takes longer to import than most commands to run.
        return built(given)
    from .sources import merged

    return built(merged(given, file))


def built(values: Mapping[str, Any]) -> Settings:
    """Settings of values that are known to be right."""
    return Settings(**{**values, "service": Service(**values.get("service", {}))})
