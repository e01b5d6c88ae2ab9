"""Where a dialogue goes next: what stages, and the functions that they name, give back."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from .dialog import Dialog

Say = Callable[["Dialog"], "Awaitable[Navigator | None] | Navigator | None"]
"""Called when a stage begins. What it gives goes first; None: wait for the answer."""
Hear = Callable[["Dialog"], "Awaitable[Navigator | None] | Navigator | None"]
"""Called with the answer. None: it was not understood, and the dialogue goes on waiting."""
Then = Callable[["Dialog", Any], "Awaitable[Navigator | None] | Navigator | None"]
"""Called with the context that was depended on, fulfilled, or with None where it was cancelled."""


class Move(enum.Enum):
    """What a navigator does."""

    WAIT = "wait"
    MISSED = "missed"
    NEXT = "next"
    FULFIL = "fulfil"
    CANCEL = "cancel"
    HOME = "home"
    RESTART = "restart"
    REPEAT = "repeat"
    BACKWARD = "backward"
    REDIRECT = "redirect"
    DEPEND = "depend"
    QUIT = "quit"


class Navigator(msgspec.Struct, frozen=True):
    """A move. Made by the methods of `Stage` and `Dialog`.

    ``stages`` are those to go through next, ``target`` is the context of a redirection or dependence. ``say``, ``hear``
    and ``then`` are what a stage waits with.
    """

    move: Move
    stages: tuple[str, ...] = ()
    target: Any = None
    say: Say | None = None
    hear: Hear | None = None
    then: Then | None = None


class Moves:
    """The moves that a stage and a dialogue have in common."""

    __slots__ = ()

    def wait(self) -> Navigator:
        """Wait for the next message here."""
        return Navigator(Move.WAIT)

    def missed(self) -> Navigator:
        """Wait for the next message here; this one was not understood."""
        return Navigator(Move.MISSED)

    def next(self, *stages: str) -> Navigator:
        """Go through these stages, then those that were to come; without any left the context is fulfilled."""
        return Navigator(Move.NEXT, stages)

    def fulfil(self) -> Navigator:
        """The context is done: whoever depends on it goes on with it, else the session ends."""
        return Navigator(Move.FULFIL)

    def cancel(self) -> Navigator:
        """Give the context up: whoever depends on it goes on without, else the session ends."""
        return Navigator(Move.CANCEL)

    def home(self) -> Navigator:
        """Begin anew at the root."""
        return Navigator(Move.HOME)

    def restart(self) -> Navigator:
        """Begin the context anew."""
        return Navigator(Move.RESTART)

    def repeat(self) -> Navigator:
        """Begin the stage anew: ask again."""
        return Navigator(Move.REPEAT)

    def backward(self) -> Navigator:
        """Go back to the question before, with the session's data as it was then."""
        return Navigator(Move.BACKWARD)

    def redirect(self, target: object) -> Navigator:
        """Go on with another context (a class, or new data) in the place of this one."""
        return Navigator(Move.REDIRECT, target=target)

    def quit(self) -> Navigator:
        """End the session."""
        return Navigator(Move.QUIT)
