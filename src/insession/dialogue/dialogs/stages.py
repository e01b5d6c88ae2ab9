"""Stages of a context: each builds the navigator that says what is said, and what becomes of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .navigators import Hear, Move, Moves, Navigator, Say, Then

if TYPE_CHECKING:
    from .dialog import Dialog

START: Final = "start"
"""The stage where a context begins: its method is ``on_start``."""


class Stage(Moves):
    """One stage while it is built: ``async def on_start(self, stage) -> Navigator``.

    The method is called when the stage begins, when an answer has come, and when a context that it depends on comes
    back: it only says what is to be done in each case.
    """

    __slots__ = ("dialog", "name")

    def __init__(self, dialog: Dialog, name: str) -> None:
        self.dialog: Dialog = dialog
        self.name: str = name

    def talk(self, say: Say, hear: Hear | None = None) -> Navigator:
        """Say something by a function, and wait; ``hear`` decides about the answer (None: go to the next stage)."""
        return Navigator(Move.WAIT, say=say, hear=hear)

    def ask(self, question: str, hear: Hear | None = None, *, into: str | None = None) -> Navigator:
        """Ask, and wait. ``into`` is the field of the context that the answer's text is put into."""

        def put(dialog: Dialog) -> Any:
            if into is not None:
                setattr(dialog.context, into, dialog.session.message.text)
            return dialog.next() if hear is None else hear(dialog)

        return Navigator(Move.WAIT, say=lambda dialog: dialog.say(question), hear=put)

    def depend_on(self, target: object, then: Then | None = None) -> Navigator:
        """Go through another context first (a class, or new data), and come back with it."""
        return Navigator(Move.DEPEND, target=target, then=then)
