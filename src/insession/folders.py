"""Where files of this user lie when nobody named a place: the state folder and the config folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """The folder of this user's state: ``INSESSION_STATE_DIR``, else where the system keeps such files.

    It is not made here; whoever writes into it makes it, for this user alone.
    """
    named = os.environ.get("INSESSION_STATE_DIR")
    return Path(named) if named else platformdirs.user_state_path("insession", appauthor=False)


def config_folder() -> Path:
    """The folder of this user's settings, where the system keeps such files. It is not made here."""
    return platformdirs.user_config_path("insession", appauthor=False)
