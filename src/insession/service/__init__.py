"""insession as a server: an HTTP API over one engine, and the event log as server-sent events.

`create_app` gives the ASGI application, `serve` runs it. Both need the extra: ``pip install 'insession[service]'``.
The structs of the wire (`service.wire`) and the problems (`service.problems`) need msgspec only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insession.errors import ConfigurationError

if TYPE_CHECKING:
    from .app import create_app
    from .server import serve

__all__ = ["create_app", "serve"]


def __getattr__(name: str) -> Any:
    # Litestar and uvicorn are imported where they are wanted, so that the command line works without them.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    try:
        from . import app, server
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'insession[service]'") from error
    return app.create_app if name == "create_app" else server.serve
