"""The import paths, class and logger names of other people's documents, on request.

    import insession.aliases

    insession.aliases.install("modules.session_management")

or, for a program that is left as it is, ``python -m insession.aliases run script.py``.

What is installed wins: an import finder answers only for what nobody else finds, so that in a package that is
installed a missing submodule is filled in, and nothing else; ``override=True`` puts ours first. Installing imports
what faces declare; what a name means is imported when it is asked for.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.abc
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import MappingProxyType, ModuleType, TracebackType
from typing import Any, Final, Self

from insession.errors import ConfigurationError
from insession.kernel.documented import Documented, DocumentedLogger
from insession.kernel.urls import unknown

__all__ = ["DOCUMENTS", "Installed", "install", "main"]
Modules = Mapping[str, Mapping[str, str]]

DOCUMENTS: Final[Mapping[str, str]] = {
    "modules.session_management": "insession.tracking.documented:DOCUMENTED",
    "mtpylon": "insession.protocol.documented:DOCUMENTED",
    "baseline": "insession.exchange.documented:DOCUMENTED",
    "sankhya_sdk": "insession.remote.documented:DOCUMENTED",
}
"""Where each documented package is declared. A face adds one line."""

_installed: Final[list[Installed]] = []
_aside: Final[dict[str, ModuleType]] = {}
"""What had been imported from packages that are shadowed now."""


def install(*roots: str, override: bool = False) -> Installed:
    """Let documented import paths and logger names resolve to ours.

    Args:
        roots: The documented packages; without any, all in `DOCUMENTS`.
        override: Shadow these packages where they are installed. What is imported already is put aside until
            `Installed.uninstall`; who holds a reference to it keeps it.

    Raises `ConfigurationError` for a package that no face declares. Installing again does no harm.
    """
    for root in roots:
        if root not in DOCUMENTS:
            raise ConfigurationError(unknown("documented package", root, DOCUMENTS))
    installed = Installed([_referred(DOCUMENTS[root]) for root in roots or DOCUMENTS], override=override)
    installed._start()  # noqa: SLF001 - its other half
    return installed


class Installed:
    """What `install` has put in place; the end of a ``with`` block, or `uninstall`, takes it away."""

    def __init__(self, documents: Sequence[Documented], *, override: bool) -> None:
        modules = {path: names for one in documents for path, names in one.by_path().items()}
        self.documents: tuple[Documented, ...] = tuple(documents)
        self.override: bool = override
        self._first: _Finder = _Finder(modules)
        self._last: _LastFinder = _LastFinder(modules)

    @property
    def roots(self) -> tuple[str, ...]:
        """The documented packages that resolve."""
        return tuple(one.root for one in self.documents)

    def shadows(self, path: str) -> bool:
        """Whether a module of this path is ours, whoever else has one."""
        return self.override and any(path == root or path.startswith(f"{root}.") for root in self.roots)

    def uninstall(self) -> None:
        """Take away the finder and the modules that it made, and give loggers their own names; once is enough.

        Classes that were imported are ours and stay what they are.
        """
        if self not in _installed:
            return
        _installed.remove(self)
        sys.meta_path[:] = [one for one in sys.meta_path if one not in (self._first, self._last)]
        self._forget()
        for path in [path for path in _aside if not any(one.shadows(path) for one in _installed)]:
            _put(path, _aside.pop(path))
        still = {logger.name for one in _installed for logger in _loggers(one.documents)}
        for logger in _loggers(self.documents):
            if logger.name not in still:
                _referred(logger.use)(logger.ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.uninstall()

    def _start(self) -> None:
        if self.override:
            self._forget()
            _aside.update({path: _take(path) for path in list(sys.modules) if self.shadows(path)})
            sys.meta_path.insert(0, self._first)
        sys.meta_path.append(self._last)
        _installed.append(self)
        for logger in _loggers(self.documents):
            _referred(logger.use)(logger.name)

    def _forget(self) -> None:
        """Drop the modules that were made, children first; a parent of others' modules stays."""
        for path in sorted(self._last.modules, reverse=True):
            if _loader(path) and not any(other.startswith(f"{path}.") for other in sys.modules):
                _take(path)


class _Loader(importlib.abc.Loader):
    """Makes a documented module; a name is looked up at ours when it is first asked for."""

    def __init__(self, names: Mapping[str, str], known: Iterable[str]) -> None:
        self.names: Mapping[str, str] = names
        self.known: list[str] = sorted({*names, *known})

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = "Names of a document; what they mean is insession's."
        module.__dict__.update(
            __all__=sorted(self.names),
            __getattr__=functools.partial(self._attribute, module),
            __dir__=lambda: sorted({*vars(module), *self.names}),
        )

    def _attribute(self, module: ModuleType, name: str) -> Any:
        if name not in self.names:
            wrong = f"import {name} first" if name in self.known else unknown("name", name, self.known)
            raise AttributeError(f"{module.__name__}: {wrong}")
        value = _referred(self.names[name])
        setattr(module, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder):
    """Answers for the documented modules."""

    def __init__(self, modules: Modules) -> None:
        self.modules: Modules = modules

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        names = self.modules.get(fullname)
        if names is None:
            return None
        children = [one.rpartition(".")[2] for one in self.modules if one.rpartition(".")[0] == fullname]
        # Also what has no submodules is a package: the import system then asks `_LastFinder` for a name that
        # `from ... import` does not find, and the error can name the nearest one.
        return ModuleSpec(fullname, _Loader(names, children), origin="insession.aliases", is_package=True)


class _LastFinder(_Finder):
    """Answers for what nobody else finds: also for the parents of documented packages, which belong to nobody."""

    def __init__(self, modules: Modules) -> None:
        super().__init__({path: MappingProxyType({}) for path in _outer(modules)} | dict(modules))
        self._named: Modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = super().find_spec(fullname, path, target)
        parent, _, name = fullname.rpartition(".")
        loader = _loader(parent)
        if spec or loader is None:
            return spec
        if parent not in self._named:
            return _beside(parent, fullname)
        if name.startswith("__") or name in loader.known:
            return None
        # Under its own name the import system would take it for an answer that there is none, and say less.
        raise ModuleNotFoundError(f"{parent}: {unknown('name', name, loader.known)}", name=parent)


def _outer(paths: Iterable[str]) -> dict[str, None]:
    """The parents of the documented packages, from the outside in."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split(".")
        found |= {".".join(parts[:count]): None for count in range(1, len(parts))}
    return {path: None for path in found if path not in set(paths)}


def _beside(parent: str, fullname: str) -> ModuleSpec | None:
    """A module in a parent that was nobody's when it was first imported, and is somebody's now: `sys.path` grew."""
    above = sys.modules.get(parent.rpartition(".")[0])
    real = PathFinder.find_spec(parent, getattr(above, "__path__", None))
    if real is None or real.submodule_search_locations is None:
        return None
    sys.modules[parent].__path__ = real.submodule_search_locations
    return PathFinder.find_spec(fullname, real.submodule_search_locations)


def _loader(path: str) -> _Loader | None:
    """What made a module, if we did."""
    found = getattr(sys.modules.get(path), "__loader__", None)
    return found if isinstance(found, _Loader) else None


def _loggers(documents: Iterable[Documented]) -> Iterable[DocumentedLogger]:
    return [logger for one in documents for logger in one.loggers]


def _take(path: str) -> ModuleType:
    """Let imports of a path find nothing there."""
    module = sys.modules.pop(path)
    parent, _, child = path.rpartition(".")
    if parent in sys.modules and vars(sys.modules[parent]).get(child) is module:
        delattr(sys.modules[parent], child)
    return module


def _put(path: str, module: ModuleType) -> None:
    """Make a module what imports of its path find."""
    sys.modules[path] = module
    parent, _, child = path.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def _referred(reference: str) -> Any:
    """What a reference, ``module:attribute``, means."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def main(arguments: Sequence[str] | None = None) -> None:
    """``run`` a program with the aliases in place, or ``list`` what would resolve."""
    parser = argparse.ArgumentParser(prog="python -m insession.aliases", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what resolves, and to what")
    run = commands.add_parser("run", help="run a program as python does, with documented names resolved")
    run.add_argument("--override", action="store_true", help="shadow these packages where they are installed")
    run.add_argument("--only", action="append", default=[], metavar="ROOT", help="this documented package; may repeat")
    run.add_argument("script", help="the program")
    run.add_argument("args", nargs=argparse.REMAINDER, help="its arguments")
    asked = parser.parse_args(arguments)
    if asked.command == "list":
        sys.stdout.writelines(f"{line}\n" for line in _listing())
        return
    if not Path(asked.script).is_file():
        run.error(f"{asked.script} is not a file")
    try:
        install(*asked.only, override=asked.override)
    except ConfigurationError as error:
        run.error(str(error))
    _run(asked.script, asked.args)


def _listing() -> Iterable[str]:
    for reference in DOCUMENTS.values():
        document: Documented = _referred(reference)
        for path, names in document.by_path().items():
            yield from (f"{path}.{name} = {ours.replace(':', '.')}" for name, ours in names.items())
        yield from (f"logger {one.name} = logger {one.ours}" for one in document.loggers)


def _run(script: str, arguments: Sequence[str]) -> None:
    """Run a file as ``__main__``; unlike with `runpy` it stays that after its last line, for threads and at exit."""
    path = str(Path(script).absolute())
    sys.argv[:] = [script, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(script).resolve().parent)
    loader = SourceFileLoader("__main__", path)
    module = ModuleType("__main__")
    module.__dict__.update(__file__=path, __loader__=loader, __builtins__=sys.modules["builtins"])
    sys.modules["__main__"] = module
    exec(loader.source_to_code(loader.get_data(path), path), vars(module))  # noqa: S102 - what we were asked for


if __name__ == "__main__":
    # This file runs as `__main__`; what it installs belongs to the module that others import.
    importlib.import_module("insession.aliases").main()
