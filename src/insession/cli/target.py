"""Which store or service a command talks to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .client import Opened
from .local import local

DEFAULT_FILE: Final = "insession.db"
DEFAULT_STORE: Final = f"sqlite:///{DEFAULT_FILE}"


class Usage(Exception):
    """The command was not said in a way that it can be done."""


def target(
    store: str | None, url: str | None, namespace: str | None, environ: Mapping[str, str] = os.environ
) -> Opened:
    """The client to use: ``--url`` or ``--store``, else INSESSION_URL, else INSESSION_STORE, else the file here."""
    if store and url:
        raise Usage("give --store or --url, not both")
    if not store and not url:
        url = environ.get("INSESSION_URL")
        store = None if url else environ.get("INSESSION_STORE")
    if url:
        if namespace:
            raise Usage("--namespace goes with --store; a service has its own")
        from .remote import remote

        return remote(url)
    if not store:
        if not Path(DEFAULT_FILE).exists():
            raise Usage(
                f"which sessions? Give --store or --url, set INSESSION_STORE or INSESSION_URL, "
                f"or go where {DEFAULT_FILE} is"
            )
        store = DEFAULT_STORE
    return local(store, namespace or "default")
