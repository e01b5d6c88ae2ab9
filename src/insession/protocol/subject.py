"""The subject: the storage's three calls, and observers who are told what they changed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Self, cast

from insession.errors import ConfigurationError, InvalidInput
from insession.kernel.clock import Clock
from insession.kernel.ids import check_seconds

from .contracts import KeyedSessionStorageProtocol, SessionObserverProtocol, SessionStorageProtocol
from .delivering import Cause, Delivery, Lane, nested, told_at_once
from .event import CREATED, DESTROYED, SessionEvent
from .hearing import Changes
from .keys import NO_KEY, Form, identity
from .storage import Place, SessionStorage

TIMEOUT: Final = 5.0
"""So many seconds an observer may take."""
CALLS: Final = ("create_session", "has_session", "destroy_session")
Storage = SessionStorageProtocol | KeyedSessionStorageProtocol
OnError = Callable[[SessionEvent, BaseException], None]
Change = Callable[[], Awaitable[bool]]
_log: Final = logging.getLogger("insession.protocol")


class SessionSubject:
    """Creates, knows and destroys sessions in a storage, and tells observers of each that begins or ends.

    All observers of an event are told side by side and have finished when the call returns; of one session they hear
    in order, one event after another. What an observer raises is logged, counted in ``failures`` and told to
    ``on_error``; it reaches nobody else. An observer may call the subject: such a call returns when the storage has
    changed, its event comes after the one that is being told, and the outermost call returns after both.

    A storage of ours (`SessionStorage`) also tells of what other processes, idle timeouts and caps do. One that
    answers None is asked `has_session` first, and changed by one call at a time for each session.

    Args:
        session_storage_factory: Called once, without arguments; a storage, or a class that needs nothing.
        keyed: True: sessions are known by ``(auth_key, session_id)``, False: by ``session_id``; None: as the storage
            takes them, or as the first call says.
        timeout: So many seconds an observer may take, None: any time. It is then cancelled and counts as failed.
        on_error: Told of every failure, with the event.
        clock: For tests.
    """

    def __init__(
        self,
        session_storage_factory: Callable[[], Storage],
        *,
        keyed: bool | None = None,
        timeout: float | None = TIMEOUT,
        on_error: OnError | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.session_storage: Any = session_storage_factory()
        self.observers: list[SessionObserverProtocol] = []
        self.failures: int = 0
        for call in CALLS:
            if not callable(getattr(self.session_storage, call, None)):
                raise ConfigurationError(
                    f"session_storage_factory: made a {type(self.session_storage).__name__}, without {call}"
                )
        self._own: SessionStorage | None = (
            self.session_storage if isinstance(self.session_storage, SessionStorage) else None
        )
        # One whose calls somebody has overridden is called as it is written.
        self._short: SessionStorage | None = self._own if _is_plain(self.session_storage) else None
        self._form: Form = _form(self.session_storage, keyed=keyed)
        self._timeout = None if timeout is None else check_seconds(timeout, "timeout", least=0.001)
        told: Any = on_error  # which may be anything, whatever its annotation says
        if told is not None and (not callable(told) or inspect.iscoroutinefunction(told)):
            raise InvalidInput("on_error", "is a plain function of an event and an error")
        self._on_error = on_error
        self._clock = clock or Clock()
        self._lanes: dict[Any, Lane] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changes: Changes | None = None

    async def open(self) -> None:
        """Open the storage now, so that this process hears what others do before it calls anything itself."""
        if self._own is not None:
            await self._own.open()

    async def close(self) -> None:
        """Wait for what is being told, then close the storage, if it is one of ours."""
        while tasks := self._tasks - {asyncio.current_task()}:
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._own is not None:
            await self._own.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def subscribe(self, observer: SessionObserverProtocol) -> None:
        """Tell an observer from the next event on. One that is subscribed twice is told twice."""
        if not callable(getattr(observer, "update", None)):
            raise InvalidInput("observer", f"has an update(event), which a {type(observer).__name__} has not")
        # A new list each time: who is being told of an event right now is not affected.
        self.observers = [*self.observers, observer]
        if self._changes is None and self._own is not None:
            self._changes = self._own.changes(self._heard)

    def unsubscribe(self, observer: SessionObserverProtocol) -> None:
        """Tell an observer no more, or once less; `InvalidInput`, a `ValueError`, for one that is not subscribed."""
        left = list(self.observers)
        try:
            left.remove(observer)
        except ValueError:
            raise InvalidInput("observer", "is not subscribed") from None
        self.observers = left

    async def create_session(self, *given: Any, **named: Any) -> bool:
        """Create a session, and tell observers if it is new; whether it is.

        Called with ``session_id``, or with ``auth_key`` and ``session_id``.
        """
        auth_key, session_id = identity(given, named)
        if self._short is None:
            _nothing_left(named)
            return await self._alone(self._create_there, CREATED, auth_key, session_id)
        storage, place = self._short, await self._short.placed(auth_key, session_id)
        if not self.observers:
            return await storage.create(place, session_id, named, self._changes)
        change = partial(storage.create, place, session_id, named, self._changes)
        return await self._ours(change, CREATED, auth_key, session_id, place)

    async def has_session(self, *given: Any, **named: Any) -> bool:
        """Whether a session exists, as the storage says."""
        auth_key, session_id = identity(given, named)
        if named:
            _nothing_left(named)
        if self._short is not None:
            return await self._short.has(auth_key, session_id)
        self._form.hold(auth_key)
        return bool(await self.session_storage.has_session(*_arguments(auth_key, session_id)))

    async def destroy_session(self, *given: Any, **named: Any) -> bool:
        """Destroy a session, and tell observers if there was one; whether there was."""
        auth_key, session_id = identity(given, named)
        _nothing_left(named)
        if self._short is None:
            return await self._alone(self._destroy_there, DESTROYED, auth_key, session_id)
        storage, place = self._short, await self._short.placed(auth_key, session_id)
        if not self.observers:
            return await storage.destroy(place, self._changes)
        return await self._ours(partial(storage.destroy, place, self._changes), DESTROYED, auth_key, session_id, place)

    async def destroy_all(self, auth_key: Any) -> int:
        """Destroy every session of an auth key, each with its event; how many this call destroyed. Storages of ours."""
        if self._own is None:
            raise ConfigurationError(
                "destroy_all: this storage cannot list the sessions of a key; use a SessionStorage"
            )
        sessions = [record.session_id async for record in self._own.sessions(auth_key)]
        return sum(await asyncio.gather(*(self.destroy_session(auth_key, one) for one in sessions)))

    async def _ours(self, change: Change, what: Any, auth_key: Any, session_id: int, place: Place) -> bool:
        """A change in a storage of ours, which says itself whether it was one."""
        event = SessionEvent(what, session_id, None if auth_key is NO_KEY else auth_key, place.key.id)
        if not self.session_storage.immediate:
            return await self._through(place.id, event, change)
        if not await change():
            return await self._announced(None, place.id)
        if place.id in self._lanes:
            return await self._announced(self._announce(place.id, event), place.id)
        # Nobody uses this session now, and most observers cannot wait: then there is nothing to put in order.
        rest = told_at_once(event, self.observers, self._failed)
        return not rest or await self._announced(self._announce(place.id, event, lambda: rest), place.id)

    async def _alone(self, change: Any, what: Any, auth_key: Any, session_id: int) -> bool:
        """A change in a storage of somebody else's."""
        self._form.hold(auth_key)
        arguments = _arguments(auth_key, session_id)
        event = SessionEvent(what, session_id, None if auth_key is NO_KEY else auth_key)
        place = (arguments[0] if event.auth_key_id is None else event.auth_key_id, session_id)
        return await self._through(place, event, partial(change, arguments))

    async def _create_there(self, arguments: tuple[Any, ...]) -> bool:
        storage = self.session_storage
        if not getattr(storage, "tells_changes", False) and await storage.has_session(*arguments):
            return False
        return await storage.create_session(*arguments) is not False

    async def _destroy_there(self, arguments: tuple[Any, ...]) -> bool:
        storage = self.session_storage
        if not getattr(storage, "tells_changes", False) and not await storage.has_session(*arguments):
            return False
        return await storage.destroy_session(*arguments) is not False

    async def _through(self, place: Any, event: SessionEvent, change: Change) -> bool:
        """Change and tell, one call of a session at a time. It runs to its end also where the caller is cancelled."""
        work = asyncio.get_running_loop().create_task(self._changed(place, event, change))
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        return await asyncio.shield(work)

    async def _changed(self, place: Any, event: SessionEvent, change: Change) -> bool:
        lane = self._lane(place)
        lane.users += 1
        try:
            async with lane.lock:
                told = self._announce(place, event) if await change() else None
        finally:
            lane.users -= 1
            lane.leave()
        return await self._announced(told, place)

    def _announce(
        self, place: Any, event: SessionEvent, audience: Callable[[], list[Any]] | None = None
    ) -> tuple[Cause, asyncio.Future[None]]:
        """Put an event behind those of its session that are being told."""
        cause = nested() or Cause()
        delivery = Delivery(
            event,
            audience=audience or self._audience,
            cause=cause,
            failed=self._failed,
            clock=self._clock,
            timeout=self._timeout,
        )
        told = delivery.wait()
        self._lane(place).tell(delivery)
        return cause, told

    async def _announced(self, told: tuple[Cause, asyncio.Future[None]] | None, place: Any) -> bool:
        """Wait until it has been told; a call that changed nothing waits for what is being told of its session."""
        inside = nested()
        if told is None:
            lane = self._lanes.get(place)
            if inside is None and lane is not None and lane.last is not None:
                await lane.last.wait()
            return False
        cause, future = told
        if inside is not None:
            inside.pending.append(future)
            return True
        await future
        while cause.pending:
            await cause.pending.pop()
        cause.over = True
        return True

    def _heard(self, place: str, event: SessionEvent) -> None:
        """Somebody else changed a session."""
        if self.observers:
            self._announce(place, event)

    def _audience(self) -> list[Any]:
        return self.observers

    def _lane(self, place: Any) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = Lane(self._lanes, place, self._tasks)
        return lane

    def _failed(self, event: SessionEvent, error: BaseException) -> None:
        self.failures += 1
        # Its message is the observer's own and may show a key; `on_error` gets all of it.
        _log.warning("an observer failed at %r: %s%s", event, type(error).__name__, _raised_at(error))
        if self._on_error is not None:
            try:
                self._on_error(event, error)
            except Exception as second:  # noqa: BLE001 - a hook reaches nobody either
                _log.warning("on_error failed: %s%s", type(second).__name__, _raised_at(second))


def _raised_at(error: BaseException) -> str:
    """Where an error was raised, as its last line of a traceback says."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"


def _arguments(auth_key: Any, session_id: int) -> tuple[Any, ...]:
    return (session_id,) if auth_key is NO_KEY else (auth_key, session_id)


def _nothing_left(named: dict[str, Any]) -> None:
    if named:
        raise TypeError(f"unexpected argument {next(iter(named))!r}")


def _is_plain(storage: Any) -> bool:
    return all(getattr(type(storage), call, None) is getattr(SessionStorage, call) for call in CALLS)


def _form(storage: Any, *, keyed: bool | None) -> Form:
    """Which form a storage takes, as its `create_session` is written; `ConfigurationError` where that cannot be."""
    ours = isinstance(storage, SessionStorage)
    takes = storage.form.keyed if ours else _takes(storage.create_session)
    if takes is not None and keyed is not None and keyed is not takes:
        has, wants = ("(auth_key, session_id)", "(session_id)") if takes else ("(session_id)", "(auth_key, session_id)")
        made = f"session_storage_factory: {type(storage).__name__}.create_session"
        raise ConfigurationError(f"{made} takes {has}, this subject calls it with {wants}")
    if not ours:
        return Form(keyed=keyed if takes is None else takes)
    if takes is None and keyed is not None:
        storage.form = Form(keyed=keyed)
    return cast("Form", storage.form)


def _takes(create: Any) -> bool | None:
    """Whether a call takes a key and an id (True), an id alone (False), or either (None)."""
    try:
        parameters = inspect.signature(create).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    places = [one for one in parameters if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}]
    least = sum(one.default is one.empty for one in places)
    if least >= 2:  # noqa: PLR2004 - key and id
        return True
    return False if len(places) == 1 else None
