"""``python -m tests.soak --budget SECONDS [--full] [PART ...]``: fixed work, in parts; the budget only bounds it."""

from __future__ import annotations

import argparse
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from .part import Part
from .parts import parts


def _held(part: Part) -> bool:
    print(f"{part.name} ...", flush=True)
    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            said = part.run(Path(folder))
    except Exception:  # noqa: BLE001 - a part that fails is counted, and the rest is run
        traceback.print_exc()
        print(f"  FAILED after {time.monotonic() - begin:.1f} s", flush=True)
        return False
    print(f"  ok in {time.monotonic() - begin:.1f} s{': ' if said else ''}{said}", flush=True)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what fits; 1 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds; no part begins that may not fit")
    parser.add_argument("--full", action="store_true", help="the long form")
    parser.add_argument("only", nargs="*", help="parts whose names hold one of these words")
    asked = parser.parse_args(arguments)
    end = time.monotonic() + asked.budget
    chosen = [
        part for part in parts(full=asked.full) if not asked.only or any(word in part.name for word in asked.only)
    ]
    results, left_out = list[bool](), list[str]()
    for part in chosen:
        if time.monotonic() + part.seconds > end:
            left_out.append(part.name)
        else:
            results.append(_held(part))
    for name in left_out:
        print(f"left out, the budget is used up: {name}")
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    raise SystemExit(main())
