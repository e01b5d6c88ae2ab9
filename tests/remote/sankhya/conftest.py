"""What the tests of this face share: a place of their own, a double of the service, and contexts on it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each test out of the user's folders, and away from settings and stores of the environment."""
    import os

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path / "state"))
    for name in list(os.environ):
        if name.startswith("SANKHYA_") or name in {"INSESSION_STORE", "INSESSION_KEYS"}:
            monkeypatch.delenv(name)
