"""The command that serves."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import EPILOG, app
from .call import Config, Namespace, Store
from .settings import read
from .target import DEFAULT_STORE


@app.command("serve", epilog=EPILOG)
def serve(
    *,
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="8080; 0: a free one.")] = None,
    store: Store = None,
    namespace: Namespace = None,
    config: Config = None,
) -> None:
    """Serve a store over HTTP, until SIGTERM or Ctrl-C."""
    listening = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = read(config, {"store": store, "namespace": namespace, "serve": listening or None})
    from insession.service import serve as serve_store

    serve_store(
        settings.store or DEFAULT_STORE,
        host=settings.serve.host,
        port=settings.serve.port,
        namespace=settings.namespace or "default",
    )
