"""The command that serves."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import UNSET

from insession.service.tokens import VARIABLE, Tokens

from .app import EPILOG, app
from .call import Config, Namespace, Store
from .settings import Service, read
from .target import DEFAULT_STORE


@app.command("serve", epilog=EPILOG)
def serve(
    *,
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="8080; 0: a free one.")] = None,
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="Bearer tokens of those who may ask.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0, help="Requests a second of one caller; 0: as many as come.")
    ] = None,
    drain: Annotated[
        float | None, typer.Option("--drain", min=0, help="Seconds to go on after SIGTERM, not ready (0).")
    ] = None,
    store: Store = None,
    namespace: Namespace = None,
    config: Config = None,
) -> None:
    """Serve a store over HTTP, until SIGTERM or Ctrl-C."""
    flags = {"host": host, "port": port, "token_file": token_file, "rate": rate, "drain": drain}
    given = {name: value for name, value in flags.items() if value is not None}
    settings = read(config, {"store": store, "namespace": namespace, "service": given})
    from insession.service import serve as serve_store

    wanted = settings.service
    serve_store(
        settings.store or DEFAULT_STORE,
        host=wanted.host,
        port=wanted.port,
        namespace=settings.namespace or "default",
        keys=settings.ring,
        tokens=_tokens(wanted),
        rate=UNSET if wanted.rate is None else wanted.rate or None,
        drain=wanted.drain,
    )


def _tokens(wanted: Service) -> Tokens | None:
    return Tokens.found(wanted.token_file, {VARIABLE: wanted.tokens or ""})
