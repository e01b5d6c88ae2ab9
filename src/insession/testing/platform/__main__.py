"""``python -m insession.testing.platform [--port N] [--count 300] [--drop-every 100] ...``: the platform as a process.

It prints its URL as the first line. Every field of `PlatformRules` and `PlatformFaults` is an option; one with several
values takes them with commas. Counters: ``GET /control/counters``. Faults by hand: ``POST /control/drop/<way>``,
``POST /control/abort`` with a message.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from typing import Any, get_origin, get_type_hints

import msgspec

from insession.errors import InvalidInput

from .double import serve
from .rules import PlatformFaults, PlatformRules
from .server import PlatformServer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m insession.testing.platform", description="The platform's double.")
    parser.add_argument("--host", default="127.0.0.1", help="where it listens")
    parser.add_argument("--port", type=int, default=0, help="0 takes one that is free")
    for plan in (PlatformRules, PlatformFaults):
        for field in msgspec.structs.fields(plan):
            parser.add_argument(f"--{field.name.replace('_', '-')}", help=f"see {plan.__name__}.{field.name}")
    return parser


def _given(asked: argparse.Namespace, plan: type[PlatformRules | PlatformFaults]) -> dict[str, Any]:
    """The options of one plan that were given, lists taken apart."""
    types = get_type_hints(plan)
    words = {field.name: getattr(asked, field.name) for field in msgspec.structs.fields(plan)}
    return {
        name: word.split(",") if get_origin(types[name]) is tuple else word
        for name, word in words.items()
        if word is not None
    }


async def _serve(rules: PlatformRules, faults: PlatformFaults, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(rules, faults, (), host=host, port=port, started=_say, stop=stop)


def _say(server: PlatformServer) -> None:
    print(f"http://{server.host}:{server.port}", flush=True)  # noqa: T201 - what whoever started it reads


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        rules = PlatformRules.of(_given(asked, PlatformRules))
        faults = PlatformFaults.of(_given(asked, PlatformFaults))
    except InvalidInput as error:
        parser.error(str(error))
    asyncio.run(_serve(rules, faults, asked.host, asked.port))


if __name__ == "__main__":
    main()
