"""A tracked session in a program's hand: a mapping whose flag is live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from insession.kernel.record import Record, State
from insession.kernel.session import Session

from .keeping import status_word

if TYPE_CHECKING:
    from .tracker import SessionTracker

KEYS: Final = (
    "session_id",
    "hardware_id",
    "interrupt_flag",
    "status",
    "created_at",
    "last_activity",
    "context",
    "user_agent",
    "ip_address",
    "interrupt_reason",
    "outcome",
    "version",
)


_FLAGGED: Final = (State.ACTIVE, None)
"""Told to stop, and not ended yet."""


class LiveSession(Mapping[str, Any]):
    """A session that this process tracks, as a mapping.

    ``session_id``; ``hardware_id`` (None where none is kept); ``status`` (``active``, ``interrupted``, ``completed``,
    ``expired``); ``interrupt_flag``: whether it has ended, by anyone, anywhere; ``interrupt_reason``: the first reason
    that ended it; ``created_at``, ``last_activity``: seconds since the epoch, None without ``track_timestamps``;
    ``context``, ``user_agent``, ``ip_address``: as kept, a copy at each reading; ``version``: changes with every change
    of what is kept, for `SessionTracker.replace_session`; ``outcome``: None here,
    and in a status that is read after the end how the work for it stopped.

    Reading ``interrupt_flag`` is local, in any thread, and counts as activity of the session: who polls it in a loop
    keeps it from expiring.
    """

    __slots__ = ("_end", "_handle", "_seen", "_tracker", "record")

    def __init__(self, tracker: SessionTracker, record: Record, handle: Session | None = None) -> None:
        self._tracker = tracker
        self._handle = handle
        """Hears of the end of a session that this process does not track itself."""
        self.record: Record = record
        self._seen = record.touched
        # Whoever sees one stops.
        self._end: tuple[State, str | None] | None = None if record.live else (record.state, record.reason)

    def __getitem__(self, key: str) -> Any:
        if key == "interrupt_flag":
            return self._polled()
        if key not in KEYS:
            raise KeyError(key)
        return self.record.id if key == "session_id" else self.snapshot()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(KEYS)

    def __len__(self) -> int:
        return len(KEYS)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<LiveSession {self.record.id} {status_word(self.state)}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.id

    def learn(self, record: Record) -> None:
        """Take over what was read or written, unless more is known already."""
        if (record.version, record.touched) >= (self.record.version, self.record.touched):
            self.record = record

    def end(self, state: State, reason: str | None) -> None:
        """It ended."""
        self._end = (state, reason)

    def flag(self) -> None:
        """Tell the work for it to stop, before its end is committed."""
        if self._end is None:
            self._end = _FLAGGED

    @property
    def seen(self) -> float:
        """When the other party was last active, as far as this process knows."""
        return max(self._seen, self.record.touched)

    @property
    def state(self) -> State:
        """Where it stands, as far as this process has heard."""
        end = self._heard()
        return State.ACTIVE if end is None else end[0]

    def snapshot(self) -> dict[str, Any]:
        """What it says now, as a plain dict."""
        end = self._heard()
        state, reason = (self.record.state, self.record.reason) if end is None else end
        told = self._tracker.described(self.record, state, reason, self.seen)
        told["interrupt_flag"] = end is not None
        return told

    def _heard(self) -> tuple[State, str | None] | None:
        """How it ended, as far as this process has heard."""
        if self._handle is not None and self._end in (None, _FLAGGED) and self._handle.interrupted:
            self._end = (self._handle.state, self._handle.reason)
        return self._end

    def _polled(self) -> bool:
        """The flag; at most once a touch window the reading is written down as activity."""
        if self._heard() is not None:
            return True
        tracker = self._tracker
        now = tracker.now()
        if now - self._seen > tracker.window:
            self._seen = now
            tracker.seen(self)
        return self._end is not None


class ActiveSessions(Mapping[str, LiveSession]):
    """The live sessions of this process, id to session. Walking it walks those that live when the walk begins."""

    __slots__ = ("_sessions",)

    def __init__(self, sessions: dict[str, LiveSession]) -> None:
        self._sessions = sessions

    def __getitem__(self, session_id: str) -> LiveSession:
        return self._sessions[session_id]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)

    def items(self) -> Any:
        """Ids and sessions."""
        return dict(self._sessions).items()

    def values(self) -> Any:
        """The sessions."""
        return dict(self._sessions).values()

    def __repr__(self) -> str:
        return f"<ActiveSessions {len(self)}>"
