"""The names that a document gives to things of ours.

Each face that stands in for a documented package declares that package here, in a module of its own that imports
nothing else; `insession.aliases` makes the names resolve. What is ours is a reference, ``module:attribute``, that is
imported when the name is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedLogger:
    """A logger that has another name in the document.

    Args:
        name: Its name in the document.
        ours: Its name otherwise.
        use: Reference to a function that takes a logger's name and lets the face's records go there from then on.
    """

    name: str
    ours: str
    use: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """A package as a document describes it.

    Args:
        root: The import path of the package.
        modules: Its modules by the path below the root (``""`` is the root itself), each with its names and what
            they are of ours. Packages between the root and a module need not be named.
        loggers: Its loggers.
    """

    root: str
    modules: Mapping[str, Mapping[str, str]]
    loggers: tuple[DocumentedLogger, ...] = ()

    def by_path(self) -> dict[str, Mapping[str, str]]:
        """Every module by its full import path, the packages between included, parents first."""
        found: dict[str, Mapping[str, str]] = {self.root: MappingProxyType({})}
        for below, names in self.modules.items():
            parts = below.split(".") if below else []
            for count in range(1, len(parts)):
                found.setdefault(".".join((self.root, *parts[:count])), MappingProxyType({}))
            found[".".join((self.root, *parts))] = names
        return found
