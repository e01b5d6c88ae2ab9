"""Dialogues: conversations of many turns, each turn a transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Final, Self

import msgspec

from insession.errors import ConfigurationError, InsessionError, InvalidInput
from insession.kernel.codec import decode
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.ids import check_count
from insession.kernel.kinds import Kind
from insession.kernel.operations import Put, Refused
from insession.kernel.record import Item
from insession.kernel.tasks import Tasks
from insession.kernel.urls import unknown

from . import outbox, undoing
from .data import REGISTRY, DataType, Form, Registry
from .dialogs.intents import NAVIGATION
from .driver import KIND, Change, Driver, Place, Policy, Visit
from .endings import Endings
from .enginedriver import EngineDriver
from .errors import DataLost, MemoryConflict, RedirectLoop, TurnConflict, TurnMerged, TurnRepeated
from .messages import Message, Reply, chat_of, checked, owner_of
from .nlu import Understand
from .pipes import Pipe, check_pipes, through
from .races import after_loss
from .repository import State
from .session import Session
from .settings import MOST_UNDO, InvalidSetting, Send, Settings, settings_of
from .standard import STANDARD
from .turn import Turn, state_in
from .turns import TurnEntry, keys_of, turns_in

_log: Final = logging.getLogger("insession.dialogue")
_encoder: Final = msgspec.msgpack.Encoder()


class Handled(msgspec.Struct, frozen=True):
    """What became of a message.

    ``replies`` have been sent, if the dialogue was told how. ``repeated``: the message was answered before, ``merged``:
    another turn answers it; there are no replies then.
    """

    session_id: str | None
    replies: tuple[Reply, ...]
    repeated: bool = False
    merged: bool = False


class Dialogue:
    """A bot's conversations over one store. ``async with`` opens it.

    Args:
        store: A URL, a store, or an engine; None: the environment's ``INSESSION_STORE``, else memory.
        root: The context where a session begins (a class or a name).
        scenes: Other beginnings, by name; ``turn(message, scene=name)`` asks for one.
        pipes: What a message goes through before the dialogue hears it, see `Pipe`.
        memories: Memories that are read in the trip that takes the lease.
        send: Sends the replies of a turn; None: only `handle` gives them back.
        understand: Says what a message means; asked at most once a turn.
        memory_store: Another place for the memories that outlive a session: a URL, a store or an engine.
        driver: A driver of your own, in the place of ``store``.
        memory_driver: The same for ``memory_store``.
        registry: Where contexts, intents and memories are registered, unless it is the common place.
        bot_config: What `Session.bot_config` shows.
        session_class: A subclass of `Session`.
        namespace: The part of the store to use; with a URL.
        engine_options: What `insession.connect` takes beside, such as ``keys`` and ``clock``.
        settings: The fields of `Settings`.
    """

    def __init__(
        self,
        store: Engine | Store | str | None = None,
        *,
        root: type[Any] | str | None = None,
        scenes: Mapping[str, type[Any] | str] = MappingProxyType({}),
        pipes: Sequence[Pipe] = STANDARD,
        memories: Iterable[type[Any] | str] = (),
        send: Send | None = None,
        understand: Understand | None = None,
        memory_store: Engine | Store | str | None = None,
        driver: Driver | None = None,
        memory_driver: Driver | None = None,
        registry: Registry | None = None,
        bot_config: Mapping[str, Any] = MappingProxyType({}),
        session_class: type[Session] = Session,
        namespace: str = "default",
        engine_options: Mapping[str, Any] = MappingProxyType({}),
        **settings: Any,
    ) -> None:
        for name in settings:
            if name not in Settings.__struct_fields__:
                raise ConfigurationError(unknown("option", name, Settings.__struct_fields__))
        self.settings: Settings = settings_of(**settings)
        self.config: Mapping[str, Any] = MappingProxyType(msgspec.structs.asdict(self.settings))
        given = {"registry": registry, "bot_config": bot_config, "scenes": scenes, "session_class": session_class}
        for name, value in {**given, "send": send, "understand": understand}.items():
            _check(name, value)
        self.bot_config: Mapping[str, Any] = MappingProxyType(dict(bot_config))
        self.registry: Registry = REGISTRY if registry is None else registry
        for intent in NAVIGATION:
            self.registry.take(REGISTRY.of(intent))
        self.root: DataType | None = None if root is None else self.registry.of(root)
        self.scenes: Mapping[str, DataType] = {name: self.registry.of(cls) for name, cls in scenes.items()}
        self.pipes: tuple[Pipe, ...] = check_pipes(pipes)
        self.understand: Understand | None = understand
        self.session_class: type[Session] = session_class
        self.declared: tuple[DataType, ...] = self._declared(memories)
        kind = Kind(KIND, idle=self.settings.expire, absolute=self.settings.max_age, window=0.0)
        made = _one_of("store", store, "driver", driver)
        self.driver: Driver = made or EngineDriver(store, kind=kind, namespace=namespace, **engine_options)
        other = _one_of("memory_store", memory_store, "memory_driver", memory_driver)
        if memory_store is not None:
            other = EngineDriver(memory_store, kind=kind, namespace=namespace, **engine_options)
        self.apart: bool = other is not None
        """Whether memories that outlive a session lie in another place than sessions."""
        self.memory_driver: Driver = other or self.driver
        self._send = send
        self._leaving: dict[str, asyncio.Future[None]] = {}
        self.running: dict[str, Visit] = {}
        """The turns that run in this process, by the record of their session."""
        self.policy: Policy = _policy(self.settings)

    def _declared(self, memories: Iterable[type[Any] | str]) -> tuple[DataType, ...]:
        if isinstance(memories, str):
            raise ConfigurationError("memories: is a list of classes and names")
        found = tuple(self.registry.of(cls) for cls in memories)
        for of in found:
            if of.form is not Form.MEMORY:
                raise ConfigurationError(f"memories: {of.name} is no memory but a {of.form}")
        return tuple(of for of in found if of.wide)

    async def __aenter__(self) -> Self:
        await self.driver.open()
        try:
            if self.apart:
                await self.memory_driver.open()
        except BaseException:
            await self.driver.close()
            raise
        self._tasks = Tasks()
        self._unfollow = self.driver.follow(Endings(self.running))
        if self.settings.outbox:
            self._tasks.spawn(self._deliver_left())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unfollow()
        await self._tasks.close()
        try:
            if self.apart:
                await self.memory_driver.close()
        finally:
            await self.driver.close()

    def turn(self, message: Message, *, scene: str | None = None) -> AbstractAsyncContextManager[Session]:
        """A turn of a message's chat: ``async with dialogue.turn(message) as session``.

        The block has the chat for itself, in all processes. Left normally, all that it changed is saved at once, then
        its replies go out; left by an exception, nothing of it has happened. Raises `ChatBusy`, `TurnMerged` and
        `TurnRepeated` instead of beginning, and `TurnConflict` at the end if nothing could be saved.
        """
        if scene is not None and scene not in self.scenes:
            raise InvalidInput("scene", unknown("scene", scene, self.scenes))
        return Turn(self, message, scene)

    async def handle(self, message: Message, *, scene: str | None = None) -> Handled:
        """Answer a message: through the pipes, then where the dialogue stands.

        A turn that another chat's change of a memory spoilt is run again.
        """
        for tries in range(self.settings.retries + 1):
            try:
                return await self._handled(message, scene)
            except TurnRepeated:
                return Handled(None, (), repeated=True)
            except TurnMerged:
                return Handled(None, (), merged=True)
            except MemoryConflict:
                if tries == self.settings.retries:
                    raise
                await after_loss(tries + 1)
        raise AssertionError  # pragma: no cover - the last try returns or raises

    async def _handled(self, message: Message, scene: str | None) -> Handled:
        replies: list[Reply] = []
        session_id = None
        try:
            async with self.turn(message, scene=scene) as session:
                session_id, replies = session.id, session.replies
                await through(self.pipes, session)
                self._say_what_is_missing(session)
        except (DataLost, RedirectLoop) as error:
            _log.error("a session of chat %s was given up: %s", chat_of(message, self.settings.bot), error)
            apology = self.settings.apology
            return Handled(session_id, () if apology is None else (Reply(apology),))
        return Handled(session_id, tuple(replies))

    def _say_what_is_missing(self, session: Session) -> None:
        if session.quitting and self.settings.farewell is not None:
            session.reply(self.settings.farewell)
        elif not session.quitting and not session.handled and self.settings.missed is not None:
            session.reply(self.settings.missed)

    def beginning(self, scene: str | None) -> DataType | None:
        """The context where a new session begins."""
        return self.root if scene is None else self.scenes[scene]

    async def send_replies(self, place: Place, turn_id: str, message: Message, replies: Sequence[Reply]) -> None:
        """Send the replies of a committed turn, after those of the turns before it in this process."""
        if self._send is None or not replies:
            return
        before = self._leaving.get(place.record)
        mine = self._leaving[place.record] = asyncio.get_running_loop().create_future()
        try:
            if before is not None:
                await asyncio.wait([before])
            await self._send(message, tuple(replies))
            if self.settings.outbox:
                await self.driver.write(self.driver.fresh_change(), [Put(outbox.key_of(place.home, turn_id), None)])
        finally:
            mine.set_result(None)
            if self._leaving.get(place.record) is mine:
                del self._leaving[place.record]

    async def deliver(self, *, older: float = 0.0) -> int:
        """Send what a crash has left in the outbox for so many seconds; how many turns' replies were sent.

        The oldest of a page first. At least once: a crash between the sending and its note sends again. Without
        ``send`` nothing is sent; another process delivers then.
        """
        sent, after, more = 0, None, self._send is not None
        while more:
            items, after = await self.driver.find(outbox.OWNER, after)
            letters = [(item.key, outbox.letter_in(item)) for item in items]
            for key, letter in sorted(letters, key=lambda one: one[1].at):
                sent += await self._delivered(key, letter, older)
            more = after is not None
        return sent

    async def _delivered(self, key: str, letter: outbox.Letter, older: float) -> bool:
        if letter.at > self.driver.now() - older:
            return False
        place = self.driver.place(letter.chat_id, letter.owner)
        async with self.driver.visit(place, [key], self._outside()) as visit:
            if visit.items[key] is None:
                return False
            await self.send_replies(place, letter.turn_id, letter.message, letter.replies)
            return True

    async def _deliver_left(self) -> None:
        """Look for what a crash has left at the start, and then from time to time."""
        while True:
            try:
                await self.deliver(older=2 * self.settings.lease)
            except InsessionError:
                _log.exception("replies that a crash has left could not be sent")
            await self.driver.sleep(max(60.0, 2 * self.settings.lease))

    async def undo(self, chat: Message | str, turns: int = 1) -> bool:
        """Take back the last turns of a chat that changed its session's data; False if so many are not known.

        Memories that outlive the session and what was said are not taken back. The chat is named by a message of it,
        or by its id where its messages give one themselves.
        """
        check_count(turns, "turns", MOST_UNDO)
        place = self._place_of(chat)
        async with self.driver.visit(place, [], self._outside()) as visit:
            if visit.record is None:
                return False
            state = state_in(visit.record)
            before = await self._state_before(place, state, turns)
            if before is None:
                return False
            puts = undoing.removed(place.record, state.undo[-turns:], ())
            change = Change(self.driver.fresh_change(), _encoder.encode(before), opens=False, puts=puts, touch=False)
            if isinstance(await visit.finish(change), Refused):
                raise TurnConflict(place.chat_id)
            return True

    async def step_back(self, session: Session, turns: int) -> bool:
        """See `Session.backward`."""
        check_count(turns, "turns", MOST_UNDO)
        place = self._place_of(session.message)
        before = await self._state_before(place, session.repo.state, turns)
        if before is not None:
            session.repo.restore(before)
        return before is not None

    async def _state_before(self, place: Place, state: State, turns: int) -> State | None:
        if len(state.undo) < turns:
            return None
        first = state.undo[-turns]
        key = undoing.key_of(place.record, first)
        data = undoing.data_before(first, (await self.driver.load([key]))[key])
        return None if data is None else decode(data, State, key)

    async def history(self, chat: Message | str) -> list[TurnEntry]:
        """The last 100 turns of a chat, of at most a day, oldest first. See `undo` for how a chat is named."""
        return turns_in(await self.turn_items(self._place_of(chat)), self.driver.now())

    async def turn_items(self, place: Place) -> list[Item | None]:
        """All that a chat remembers of its turns."""
        return list((await self.driver.load(keys_of(place))).values())

    def _place_of(self, chat: Message | str) -> Place:
        if isinstance(chat, str):
            return self.driver.place(chat, chat)
        message = checked(chat)
        chat_id = chat_of(message, message.bot or self.settings.bot)
        return self.driver.place(chat_id, owner_of(message, chat_id))

    def _outside(self) -> Policy:
        """How somebody who is no turn waits for a chat."""
        return Policy(self.settings.lease, self.settings.max_wait, None)


def _policy(settings: Settings) -> Policy:
    """How a turn waits for its chat."""
    waits = settings.on_busy != "reject"
    return Policy(
        settings.lease,
        settings.max_wait if waits else 0.0,
        settings.max_queue if waits else 0,
        settings.on_busy == "replace",
        None,
        settings.on_busy == "merge",
        settings.on_lost == "cancel" or settings.on_busy == "replace",
    )


_WANTED: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "registry": (lambda value: value is None or isinstance(value, Registry), "a Registry"),
    "bot_config": (lambda value: isinstance(value, Mapping), "a mapping"),
    "scenes": (lambda value: isinstance(value, Mapping), "a mapping of names to contexts"),
    "send": (lambda value: value is None or callable(value), "an async function"),
    "understand": (lambda value: value is None or callable(value), "an async function"),
    "session_class": (lambda value: isinstance(value, type) and issubclass(value, Session), "a subclass of Session"),
}


def _check(name: str, value: object) -> None:
    fits, wanted = _WANTED[name]
    if not fits(value):
        raise ConfigurationError(f"{name}: is {wanted}, not of type {type(value).__name__}")


def _one_of(name: str, value: object, other: str, driver: Driver | None) -> Driver | None:
    if value is not None and driver is not None:
        raise InvalidSetting(f"{other}: goes without {name}; a dialogue has one driver")
    return driver
