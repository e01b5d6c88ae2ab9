"""The pipes that every dialogue has: events, marked intents, navigation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from insession.errors import ConfigurationError

from .data import Form
from .dialogs import Navigator
from .dialogs.intents import NAVIGATION, meant
from .messages import ChatEvent, MessageKind
from .pipes import Next, Pipe
from .session import Session

_MARKED: Final = re.compile(r"#([\w.:]+)#")


async def events(session: Session, next: Next) -> Session:  # noqa: A002 - the document's word
    """What a platform tells of becomes a move; other events go on.

    ``connect`` repeats, ``start_session`` begins anew, ``end_session`` ends the session.
    """
    if session.message.kind is not MessageKind.EVENT:
        return await next(session)
    dialog = session.dialog
    moves: dict[str, Callable[[], Navigator]] = {
        ChatEvent.CONNECT: dialog.repeat,
        ChatEvent.START_SESSION: dialog.home,
        ChatEvent.END_SESSION: dialog.quit,
    }
    move = moves.get(session.message.text)
    if move is None:
        return await next(session)
    await dialog.hear(move())
    session.handle()
    return session


async def marked_intents(session: Session, next: Next) -> Session:  # noqa: A002 - the document's word
    """A tool for debugging (``debug=True``): a text such as ``#navigation.home#`` means that intent if none was."""
    if session.config["debug"] and session.message.kind is MessageKind.TEXT:
        found = _MARKED.fullmatch(session.message.text.strip())
        if found is not None and (await session.nlu.understood()).intent is None and found[1] in session.intents:
            session.nlu.intent = found[1]
    return await next(session)


class NavigationPipe:
    """Intents that go before whatever the dialogue is about: the first that is meant, and moves, is the turn.

    ``intents`` are tried in their order, by class or name; those of `NAVIGATION` unless said.
    """

    def __init__(self, intents: Sequence[type[Any] | str] = NAVIGATION) -> None:
        self.intents: tuple[type[Any] | str, ...] = tuple(intents)

    async def handle(self, session: Session, next: Next) -> Session:  # noqa: A002 - the document's word
        """Make the move of the first intent that is meant, or go on."""
        nlu = await session.nlu.understood()
        for one in self.intents:
            of = session.repo.registry.of(one)
            if of.form is not Form.INTENT or not callable(getattr(of.cls, "navigate", None)):
                raise ConfigurationError(f"{of.name}: navigation takes intents that have navigate(dialog)")
            intent = await meant(of, session.message, nlu)
            move = None if intent is None else intent.navigate(session.dialog)
            move = await move if inspect.isawaitable(move) else move
            if move is not None:
                nlu.intent = of.name
                await session.dialog.hear(move)
                return session
        return await next(session)


navigation: Final = NavigationPipe()
STANDARD: Final[tuple[Pipe, ...]] = (events, marked_intents, navigation)
"""The pipes of a dialogue that is told of no others."""
