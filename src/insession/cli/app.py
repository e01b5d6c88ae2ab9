"""The application: what it is called with, and how it ends."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

import insession
from insession.errors import InsessionError

from .codes import OK, STOPPED, Usage, failed, tell

EPILOG: Final = (
    "Settings: flags, else INSESSION_STORE, INSESSION_URL, INSESSION_NAMESPACE, INSESSION_TOKEN, INSESSION_KEYS, else"
    " insession.toml here or in the config folder. Exit codes: 0 done, 1 error, 2 wrong usage or input,"
    " 3 no such session, 4 ended before, 5 store or service not reached, 6 not allowed, 130 stopped by Ctrl-C."
)
app: typer.Typer = typer.Typer(
    name="insession", no_args_is_help=True, epilog=EPILOG, pretty_exceptions_enable=False, rich_markup_mode=None
)


def run() -> int:
    """Run a command; its exit code. What fails is one sentence on standard error."""
    try:
        code: Any = app(standalone_mode=False, prog_name="insession")
        return code if isinstance(code, int) else OK
    except (InsessionError, Usage) as error:
        return failed(error)
    except typer.TyperException as error:
        # One that cannot be understood shows its usage and exits with 2.
        tell(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return STOPPED


def _version(*, wanted: bool) -> None:
    if wanted:
        print(insession.__version__)  # noqa: T201
        raise typer.Exit


@app.callback()
def _insession(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version.", callback=lambda value: _version(wanted=value), is_eager=True
        ),
    ] = False,
) -> None:
    """Sessions of every kind: serve a store, look into it, stop what runs, keep it in order."""
