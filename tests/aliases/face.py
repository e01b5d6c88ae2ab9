"""A made-up face, which stands in for a package `oldhouse.sessions`."""

from __future__ import annotations

from insession.kernel.documented import Documented, DocumentedLogger

logger_names = ["insession.made_up"]


def use(name: str) -> None:
    logger_names[:] = [name]


DOCUMENTED = Documented(
    root="oldhouse.sessions",
    modules={
        "": {"Keeper": "tests.aliases.heavy:Keeper", "Extra": "tests.aliases.needs_an_extra:Extra"},
        "settings": {"Settings": "tests.aliases.heavy:Settings"},
        "core.keeper": {"Keeper": "tests.aliases.heavy:Keeper"},
    },
    loggers=(DocumentedLogger(name="oldhouse.sessions", ours="insession.made_up", use="tests.aliases.face:use"),),
)
SECOND = Documented(root="oldhouse.records", modules={"": {"Settings": "tests.aliases.heavy:Settings"}})
