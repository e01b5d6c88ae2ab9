"""The double's control over HTTP, below `/~double/`: what its methods do, for another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from insession.errors import ConfigurationError

if TYPE_CHECKING:
    from .double import SankhyaDouble

PREFIX: Final = "/~double/"


class Control:
    """Answers requests about the double itself; they are not counted."""

    def __init__(self, double: SankhyaDouble) -> None:
        self._double = double

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """``POST /~double/METHOD`` with a JSON object of its arguments; the answer is JSON."""
        try:
            arguments = msgspec.json.decode(await request.read() or b"{}", type=dict[str, Any])
            said = self._said(request.path.removeprefix(PREFIX), arguments)
        except (ConfigurationError, msgspec.DecodeError, TypeError) as error:
            return web.Response(text=str(error), status=400)
        except LookupError:
            return web.Response(text="no such control", status=404)
        return web.Response(body=msgspec.json.encode(said), content_type="application/json")

    def _said(self, name: str, arguments: dict[str, Any]) -> object:
        double = self._double
        if name in {"counters", "log"}:
            return getattr(double, name)
        methods: dict[str, Callable[..., object]] = {
            one.__name__: one
            for one in (
                double.inject,
                double.clear_faults,
                double.change,
                double.expire,
                double.expire_bearers,
                double.sessions,
                double.count,
                double.release,
                double.reset_counters,
            )
        }
        return methods[name](**arguments)
