"""Every error of dialogues.

The tree, below `insession.errors.InsessionError`::

    DialogueError
    ├── TurnRefused              the turn did not begin; nothing of it happened
    │   ├── ChatBusy             another turn runs and the policy is ``reject``, or the queue is full, or the wait over
    │   ├── TurnMerged           a turn that was under way took the message over (policy ``merge``)
    │   └── TurnRepeated         a turn of this message id was committed before
    ├── TurnConflict             somebody else changed what the turn had read; nothing of it was written or sent
    │   ├── TurnLost             its lease ran out
    │   ├── TurnReplaced         a newer message took its place (policy ``replace``)
    │   └── MemoryConflict       another chat changed a memory that it changed too
    ├── DataLost                 a reference to data that is gone
    ├── NotAdopted               data that no session knows is used like data of the session
    └── RedirectLoop             a turn was redirected too often
"""

from __future__ import annotations

from insession.errors import InsessionError


class DialogueError(InsessionError):
    """Root of what goes wrong in a dialogue."""


class TurnRefused(DialogueError):
    """The turn did not begin; nothing of it happened."""

    saying = "was refused"

    def __init__(self, chat_id: str) -> None:
        super().__init__(f"a turn of chat {chat_id} {self.saying}")
        self.chat_id = chat_id


class ChatBusy(TurnRefused):
    """Another turn of the chat runs, and this one may not, or not any longer, wait for it."""

    saying = "was refused: another one is running; send the message again later"


class TurnMerged(TurnRefused):
    """A turn that was under way took the message over, and answers it."""

    saying = "was merged into the one before it"


class TurnRepeated(TurnRefused):
    """A turn of this message id was committed before."""

    saying = "is not run again: one of this message id was committed before"


class TurnConflict(DialogueError):
    """Somebody else changed what the turn had read. Nothing of it was written, and no reply was sent."""

    saying = "was not saved: what it had read has changed meanwhile; run it again"

    def __init__(self, chat_id: str, what: str | None = None) -> None:
        super().__init__(f"a turn of chat {chat_id} {self.saying}" + (f" ({what})" if what else ""))
        self.chat_id = chat_id


class TurnLost(TurnConflict):
    """The turn's lease ran out, because its process was stopped or the store was away for too long."""

    saying = "was not saved: its lease ran out while it ran"


class TurnReplaced(TurnConflict):
    """A newer message of the chat took the turn's place."""

    saying = "was given up for a newer message"


class MemoryConflict(TurnConflict):
    """Another chat changed a memory that this turn changed too. `Dialogue.handle` runs such a turn again."""

    saying = "was not saved: another chat changed a memory that it changed too; run it again"


class DataLost(DialogueError, LookupError):
    """A reference to data that is gone. ``identity`` is its type and id."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"{identity} is not there any more; what refers to it has to be made anew")
        self.identity = identity


class NotAdopted(DialogueError):
    """Data that no session knows is used like data of the session: ``data = session.adopt(data)`` comes first."""


class RedirectLoop(DialogueError):
    """The turn was redirected too often; two stages may send it to each other."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the turn was redirected more than {most} times; do two stages send it to each other?")
