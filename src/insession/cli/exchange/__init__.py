"""``insession exchange check | start | reconnect | abort | status | replay``, see docs/exchange.md.

Needs the extra ``insession[exchange]`` beside ``insession[cli]``. The commands are imported when one is asked for: no
other command waits for them, or needs the extra.
"""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from insession.cli.app import app

__all__ = ["group"]


class _Later(TyperGroup):
    """A group that imports its commands when somebody looks for them."""

    def list_commands(self, ctx: Any) -> list[str]:
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        if not self.commands:
            from . import commands, seeing  # noqa: F401 - they put themselves into the group

            self.commands.update(_built().commands)


group: Final = typer.Typer(
    name="exchange",
    cls=_Later,
    no_args_is_help=True,
    help="Exchange sessions: a platform sends files, each is answered before its deadline.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(group)


def _built() -> Any:
    return typer.main.get_group(group)
