"""Changes that others make: other processes, an idle timeout, the cap of a key.

They are heard from the log, in its order. A subject tells its observers of its own changes itself, at once; the log
shows later what this process created and destroyed, and that is left out. What others did before a change of ours and
is heard after it was told is left out as well: it is over, and would make observers believe the opposite of what is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from insession.errors import SessionNotFound, StoreError
from insession.kernel.engine import Engine
from insession.kernel.events import ENDINGS, Event, EventType
from insession.kernel.session import Session

from .event import CREATED, DESTROYED, SessionEvent
from .record import record_of

Tell = Callable[[str, SessionEvent], None]
"""Takes the engine's id of the session and what happened; must not wait."""
_log: Final = logging.getLogger("insession.protocol")
_BOTH: Final = ENDINGS | {EventType.OPENED}
_OPENED: Final = EventType.OPENED
_DESTROY: Final = (EventType.CLOSED, DESTROYED)
RETRY: Final = 1.0
AT_ONCE: Final = 200


class Own:
    """A change of ours: about to be made, made (``changed``) or not, and shown by the log (``seen``) or not yet."""

    __slots__ = ("changed", "held", "id", "seen", "what")

    def __init__(self, session_id: str, what: str) -> None:
        self.id: str = session_id
        self.what: str = what
        self.changed: bool | None = None
        self.seen: bool = False
        self.held: list[News] = []


class News:
    """An event of somebody else's; which changes of ours were not done, or not shown by the log, when it was heard."""

    __slots__ = ("event", "later", "session", "under_way")

    def __init__(self, event: Event, owns: list[Own]) -> None:
        self.event: Event = event
        self.under_way: list[Own] = [own for own in owns if own.changed is None]
        self.later: list[Own] = [own for own in owns if not own.seen]
        self.session: Session | None = None


class Changes:
    """Hears a kind's events for one subject, and tells it of those that are news.

    Args:
        kind: The kind.
        tell: Gets what is news.
        hidden: The key's id lies in the data, because owners are digests.
        alone: Nobody else has this store: only endings can be news.
    """

    def __init__(self, kind: str, tell: Tell, *, hidden: bool, alone: bool) -> None:
        self._kind = kind
        self._tell = tell
        self._hidden = hidden
        self._alone = alone
        self._types = ENDINGS if alone else _BOTH
        self._name = ""
        self._stop: Callable[[], None] | None = None
        self._owns: dict[str, list[Own]] = {}
        self._waiting: list[News] = []
        self._task: asyncio.Task[None] | None = None

    def begin(self, engine: Engine) -> None:
        """Hear from now on."""
        self._get, self._sleep, self._name = engine.get, engine.clock.sleep, engine.name
        self._stop = engine.listen(self._kind, self, self._types)

    async def end(self) -> None:
        """Hear no more."""
        if self._stop is not None:
            self._stop()
            self._stop = None
        self._owns.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def own(self, session_id: str, what: str) -> Own | None:
        """The subject is about to make this change; None where the log will not be asked for it."""
        if self._stop is None or (what == CREATED and _OPENED not in self._types):
            return None
        own = Own(session_id, what)
        self._owns.setdefault(session_id, []).append(own)
        return own

    def settle(self, own: Own, *, changed: bool) -> None:
        """It was made, or changed nothing. What others did meanwhile is told in the loop's next turn: after ours."""
        own.changed = changed
        if own.seen or not changed:
            self._forget(own)
        if own.held:
            asyncio.get_running_loop().call_soon(self._told_later, own.held)

    def heard(self, event: Event) -> None:
        """See `insession.kernel.followers.Listener`."""
        owns = self._owns.get(event.id, [])
        if event.node == self._name and (event.type is _OPENED or (event.type, event.reason) == _DESTROY):
            self._saw(_what(event), owns)
            return
        self._waiting.append(News(event, owns))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._tell_all())

    def missed(self) -> None:
        """See `insession.kernel.followers.Listener`."""
        _log.warning("the log was trimmed before it was read: observers may have missed sessions that others changed")
        # It may never show what was ours: who waited for that would take all that comes later for something earlier.
        for own in [own for owns in self._owns.values() for own in owns]:
            own.seen = True
            if own.changed is not None:
                self._forget(own)

    def _saw(self, what: str, owns: list[Own]) -> None:
        """The log shows a change of this process, which a subject told of or nobody wanted to be told of."""
        for own in owns:
            if own.what == what and not own.seen:
                own.seen = True
                if own.changed:
                    self._forget(own)
                return

    def _forget(self, own: Own) -> None:
        owns = self._owns.get(own.id, [])
        if own in owns:
            owns.remove(own)
            if not owns:
                del self._owns[own.id]

    async def _tell_all(self) -> None:
        while self._waiting:
            some = self._waiting[:AT_ONCE]
            del self._waiting[: len(some)]
            sessions = await asyncio.gather(*(self._loaded(news.event.id) for news in some))
            for news, session in zip(some, sessions, strict=True):
                news.session = session
                self._news(news)

    def _told_later(self, held: list[News]) -> None:
        for news in held:
            self._news(news)

    async def _loaded(self, session_id: str) -> Session | None:
        while True:
            try:
                return await self._get(session_id)
            except SessionNotFound:
                return None
            except StoreError as error:
                _log.warning("session %s cannot be read: %s", session_id, error)
                await self._sleep(RETRY)

    def _news(self, news: News) -> None:
        for own in news.under_way:
            if own.changed is None:
                own.held.append(news)
                return
        if any(own.changed for own in news.later):
            return  # it came before a change that observers have been told of
        if news.session is not None and self._alone and _is_later_life(news.session, news.event):
            return  # here nobody but a subject begins one, so that it has been told
        if news.session is None:
            _log.warning("session %s was purged before observers could be told of it", news.event.id)
            return
        record = record_of(news.session, hidden=self._hidden)
        self._tell(news.event.id, SessionEvent(_what(news.event), record.session_id, None, record.auth_key_id))


def _is_later_life(session: Session, event: Event) -> bool:
    return session.version > event.version and session.opened >= event.time


def _what(event: Event) -> Any:
    return CREATED if event.type is _OPENED else DESTROYED
