"""One turn, from its lease to its replies: a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final

import anyio
import msgspec
from msgspec.structs import replace

from insession.errors import Expired
from insession.kernel.codec import decode, encode
from insession.kernel.operations import Guard, Put, Refused, Why
from insession.kernel.record import Item, Record

from . import outbox, undoing
from .data import CURRENT, DataType, Stored
from .driver import Change, Policy, Visit
from .errors import DataLost, MemoryConflict, RedirectLoop, TurnConflict, TurnLost, TurnRepeated
from .messages import Message, Reply, chat_of, checked, digest, owner_of
from .races import after_loss
from .repository import Kept, Repository, State, encoded
from .scope import calendar, memory_id, scope_of
from .session import Conversation, Session
from .turns import TurnEntry, answered, recent_in, with_turn

if TYPE_CHECKING:
    from .dialogue import Dialogue

_encoder: Final = msgspec.msgpack.Encoder()
_LOST: Final = (DataLost, RedirectLoop)
MERGES: Final = 100
"""So often a memory's updates are made anew for others that were faster."""


class Turn:
    """A turn of one message: its place, its lease, its session, and what is to be written of it."""

    def __init__(self, dialogue: Dialogue, message: Message, scene: str | None) -> None:
        self._dialogue = dialogue
        self._message = checked(message)
        if message.at is not None or message.zone != "UTC":
            calendar(0.0 if message.at is None else message.at, message.zone)
        self._scene = scene
        bot = message.bot or dialogue.settings.bot
        self._bot = bot
        self.chat_id: str = chat_of(message, bot)
        self.owner: str = owner_of(message, self.chat_id)
        known = message.message_id
        self.id: str = dialogue.driver.fresh_id()[:16] if known is None else digest("turn", self.chat_id, known)[:16]
        self._now = dialogue.driver.now()
        self._session: Session
        self._visit: Visit

    async def __aenter__(self) -> Session:
        dialogue = self._dialogue
        place = self._place = dialogue.driver.place(self.chat_id, self.owner)
        wide = self._declared()
        keys = [place.turns] if dialogue.apart else [place.turns, *wide]
        self._visit = dialogue.driver.visit(place, keys, self._policy())
        await self._visit.__aenter__()
        try:
            return await self._begun(wide)
        except BaseException as error:
            await self._visit.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        session, visit = self._session, self._visit
        self._dialogue.running.pop(self._place.record, None)
        try:
            if kind is None:
                await self._end(session)
            elif issubclass(kind, _LOST):
                await self._give_up(session)
        except BaseException as other:
            if not await visit.__aexit__(type(other), other, other.__traceback__):
                raise
        else:
            return await visit.__aexit__(kind, error, trace)
        finally:
            CURRENT.reset(self._outer)
            session.repo.close()
            session._over = True  # noqa: SLF001 - the session is the turn's
            del self._session  # which leads back here: nothing of a turn waits for the collector
        return None

    async def _begun(self, wide: list[str]) -> Session:
        dialogue, visit = self._dialogue, self._visit
        items = visit.items
        self._turns = items[self._place.turns]
        self._recent = recent_in(self._turns)
        if await self._answered(self._message.message_id):
            raise TurnRepeated(self.chat_id)
        if dialogue.apart and wide:
            items = await dialogue.memory_driver.load(wide)
        messages = (self._message,) if not visit.notes else await self._messages()
        self._session = session = self._made(visit.record, items, messages)
        if visit.record is not None:
            dialogue.running[self._place.record] = visit
        self._outer = CURRENT.set(session)
        return session

    def _policy(self) -> Policy:
        policy = self._dialogue.policy
        if not policy.take:
            return policy
        return replace(policy, note=encode(self._message, self._dialogue.driver.most_data, "message"))

    def _declared(self) -> list[str]:
        """The keys of the memories that the dialogue declares, for the trip that takes the lease."""
        declared = self._dialogue.declared
        if not declared:
            return []
        scope = scope_of(self._message, ("", self.chat_id, self._bot, self.id), self._now)
        return [self.key_of(of, memory_id(of.name, of.scope, scope)) for of in declared]

    def key_of(self, of: DataType, memory: str) -> str:
        """The key of a memory's item: in the partition of its user, of its chat, or of itself."""
        user = self._message.user_id
        routed_by = user if "user_id" in of.scope and user else self.owner if "chat_id" in of.scope else memory
        return self._dialogue.memory_driver.key(routed_by, memory, of.name)

    async def _answered(self, message_id: str | None) -> bool:
        """Whether a turn before answered a message."""
        if message_id is None:
            return False
        if not self._recent.may_have_had(message_id):
            return self._recent.has(message_id, self._now)
        return answered(message_id, await self._dialogue.turn_items(self._place), self._now)

    def _made(self, record: Record | None, items: Mapping[str, Item | None], messages: tuple[Message, ...]) -> Session:
        dialogue = self._dialogue
        state = State(dialogue.driver.fresh_id()) if record is None else state_in(record)
        self._state = state
        ids = (state.session_id, self.chat_id, self._bot, self.id)
        repo = Repository(dialogue.registry, lambda: scope_of(self._message, ids, self._now), state, self.key_of)
        repo.preload(items, self._load)
        conversation = Conversation(self.id, messages, [])
        visit = self._visit
        return dialogue.session_class(
            dialogue, self.chat_id, conversation, repo, lost=lambda: visit.lost, scene=self._scene
        )

    async def _load(self, key: str) -> Item | None:
        return (await self._dialogue.memory_driver.load([key]))[key]

    async def _messages(self) -> tuple[Message, ...]:
        """The message, with those that waited and are answered together with it."""
        taken: list[Message] = [decode(note, Message, self._place.lease) for note in self._visit.notes]
        known = {self._message.message_id} - {None}
        messages = [self._message]
        for message in taken:
            if message.message_id is None or (
                message.message_id not in known and not await self._answered(message.message_id)
            ):
                messages.append(message)
                known.add(message.message_id)
        return tuple(messages)

    async def _end(self, session: Session) -> None:
        built = session._built  # noqa: SLF001 - the session is the turn's
        if not built["sneaky"]:
            if self._dialogue.driver.immediate:
                await self._save(session, built["quit"])
            else:
                # What is being written is written to its end: a turn is either saved or not, whoever cancels it.
                with anyio.CancelScope(shield=True):
                    await self._save(session, built["quit"])
        await self._dialogue.send_replies(self._place, self.id, self._message, session.replies)

    async def _give_up(self, session: Session) -> None:
        """End a session that cannot go on: nothing of the turn is saved, and the apology goes out."""
        apology = self._dialogue.settings.apology
        replies = [] if apology is None else [Reply(apology)]
        if self._visit.record is not None:
            with anyio.CancelScope(shield=True):
                nothing = _encoder.encode(State(session.id))
                await self._written(self._change("lost", nothing, self._turn_puts(session)), {}, None)
        await self._dialogue.send_replies(self._place, self.id, self._message, replies)

    async def _save(self, session: Session, quits: str | None) -> None:
        repo, record = session.repo, self._visit.record
        before = None if record is None else record.data
        puts = [*self._turn_puts(session), *self._outbox_put(session)]
        if quits is not None:
            data: bytes | None = _encoder.encode(State(session.id))
        else:
            state = repo.saved()
            data = self._changed(repo, state, before, puts)
        memories = {self.key_of(kept.type, _digits(kept)): (kept, new) for kept, new in repo.memories()}
        await self._written(self._change(quits, data, puts), memories, repo)

    def _changed(self, repo: Repository, state: State, before: bytes | None, puts: list[Put]) -> bytes | None:
        """The session's new data, None if it is as it was; with what it was before, for undo."""
        if before is not None and state == self._state:
            return None
        most, record = self._dialogue.settings.undo, self._place.record
        # A turn that went back is none to go back to.
        if most and not repo.restored:
            state.undo = undoing.with_turn(state.undo, self.id, most)
            was = _encoder.encode(State(state.session_id)) if before is None else before
            puts.append(undoing.before(record, state.undo[-1], was))
        puts += undoing.removed(record, self._state.undo, state.undo)
        return encoded(state, self._dialogue.driver.most_data)

    def _change(self, quits: str | None, data: bytes | None, puts: Sequence[Put]) -> Change:
        return Change(f"turn-{self.id}", data, self._visit.record is None, puts, quits)

    def _turn_puts(self, session: Session) -> list[Put]:
        now = self._dialogue.driver.now()
        ids = tuple(one.message_id for one in session._conversation.messages if one.message_id is not None)  # noqa: SLF001
        return with_turn(self._place, self._turns, self._recent, TurnEntry(self.id, now, ids))

    def _outbox_put(self, session: Session) -> list[Put]:
        if not (self._dialogue.settings.outbox and session.replies):
            return []
        letter = outbox.Letter(self.chat_id, self.owner, self.id, self._now, self._message, tuple(session.replies))
        kept = encode(letter, self._dialogue.driver.most_data, "replies")
        return [Put(outbox.key_of(self._place.home, self.id), kept, owner=outbox.OWNER)]

    async def _written(self, change: Change, memories: dict[str, tuple[Kept, Stored]], repo: Repository | None) -> None:
        """Write the turn; what another chat changed meanwhile is merged where the turn said how."""
        puts = {key: self._memory_put(key, *memories[key]) for key in memories}
        for lost in range(1, MERGES + 1):
            refused = await self._tried(change, list(puts.values()))
            if refused is None:
                return
            await after_loss(lost)
            merged = {} if repo is None or isinstance(refused.current, Record) else await self._merged(repo, memories)
            if not merged:
                if refused.why is Why.PAST_DUE:
                    raise Expired(self._place.record, "the turn was longer than the session lives without one")
                raise TurnLost(self.chat_id) if refused.why is Why.FENCED else TurnConflict(self.chat_id, refused.why)
            puts.update(merged)
        raise MemoryConflict(self.chat_id)

    async def _merged(self, repo: Repository, memories: dict[str, tuple[Kept, Stored]]) -> dict[str, Put]:
        """The memories that have changed since they were read, with this turn's updates made of what is there now."""
        merged = {}
        for key, item in (await self._dialogue.memory_driver.load(list(memories))).items():
            kept = memories[key][0]
            if (None if item is None else item.version) == (None if kept.item is None else kept.item.version):
                continue
            stored = repo.again(kept, item)
            if stored is None and repo.unread(kept):
                raise TurnConflict(self.chat_id, f"{kept.type.name} is there already: get it instead of adopting it")
            if stored is None:
                raise (MemoryConflict if kept.type.on_conflict == "retry" else TurnConflict)(
                    self.chat_id, kept.type.name
                )
            merged[key] = self._memory_put(key, kept, stored)
        return merged

    def _memory_put(self, key: str, kept: Kept, stored: Stored) -> Put:
        """A memory under the version that was read, so that nobody's change is lost."""
        data = encode(stored, self._dialogue.memory_driver.most_data, kept.type.name)
        user = self._message.user_id
        owner = self._dialogue.memory_driver.owner(user) if "user_id" in kept.type.scope and user else None
        if kept.item is None:
            return Put(key, data, Guard.ABSENT, owner=owner)
        return Put(key, data, Guard.VERSION, kept.item.version, owner)

    async def _tried(self, change: Change, memories: list[Put]) -> Refused | None:
        if self._dialogue.apart and memories:
            refused = await self._dialogue.memory_driver.write(change.id, memories)
            if refused is not None:
                return refused
            memories.clear()
        answer = await self._visit.finish(replace(change, puts=[*change.puts, *memories]) if memories else change)
        return answer if isinstance(answer, Refused) else None


def state_in(record: Record) -> State:
    """The state of a session; `DataUnreadable` names its record."""
    state: State = decode(record.data, State, record.id)
    return state


def _digits(kept: Kept) -> str:
    return kept.identity.partition(":")[2]
