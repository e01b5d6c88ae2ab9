"""What answers files: a function, a class, a command, or another program, each behind the same `Solver`."""

from __future__ import annotations

from .command import Command
from .factory import Isolation, SolutionAbstract, SolutionFactory, solver_of
from .folder import OutputFolder
from .solver import Solver

__all__ = ["Command", "Isolation", "OutputFolder", "SolutionAbstract", "SolutionFactory", "Solver", "solver_of"]
