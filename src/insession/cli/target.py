"""Which store or service a command talks to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from insession.errors import ConfigurationError
from insession.kernel.urls import StoreURL, parse_url

from .client import Opened
from .codes import Usage
from .settings import Settings

DEFAULT_FILE: Final = "insession.db"
DEFAULT_STORE: Final = f"sqlite:///{DEFAULT_FILE}"


def sessions(settings: Settings) -> Opened:
    """The client of the service that is named, else of the store, else of the file here."""
    if settings.url:
        from .remote import remote

        return remote(settings.url, settings.token)
    from .local import local

    return local(store_of(settings, or_url=" or --url"), settings)


def store_of(settings: Settings, *, or_url: str = "") -> str:
    """The URL of the store that is named, else of the file here."""
    if settings.store:
        return settings.store
    if not Path(DEFAULT_FILE).exists():
        variables = "INSESSION_STORE or INSESSION_URL" if or_url else "INSESSION_STORE"
        raise Usage(
            f"which {'sessions' if or_url else 'store'}? Give --store{or_url}, set {variables}, "
            f"or go where {DEFAULT_FILE} is"
        )
    return DEFAULT_STORE


def stored(url: str) -> StoreURL:
    """A store's URL, read. A store that is not there is not made: a slip in its name would look empty."""
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        raise ConfigurationError(
            "memory: lives inside of one process, so this one would find nothing there; "
            "name a store that is shared, or with --url the service that holds it"
        )
    if parsed.scheme == "sqlite" and not os.path.exists(parsed.path.removeprefix("/")):  # noqa: PTH110
        raise ConfigurationError(
            f"{parsed.shown}: there is no such file; name the store with --store or INSESSION_STORE"
        )
    return parsed
