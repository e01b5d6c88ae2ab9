"""Kinds: the policy of a sort of sessions, declared once."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from insession.errors import ConfigurationError, InvalidInput
from insession.kernel.data import Data
from insession.kernel.ids import check_count, check_kind, check_seconds
from insession.kernel.limits import MOST_OF_KIND, Limit
from insession.kernel.record import NODE_KIND

if TYPE_CHECKING:
    from insession.kernel.session import Session

DAY: Final = 86_400.0
Work = Callable[["Session"], Awaitable[object]]
"""Work on a session that a kind declares: recovery of an orphan, or work after an ending."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A sort of sessions with its policy. Durations are seconds; None means never.

    Args:
        name: Lower-case name; names that begin with ``~`` are the engine's own.
        idle: A session that is not touched for so long expires.
        absolute: A session expires so long after its opening, whatever happens.
        window: Touches closer together than this are not written. None: 0 on a store that never
            waits, else 5 % of ``idle``, at most 60 s. The idle deadline lies that much later, so
            that no session ends early.
        keep: An ended session stays readable for so long,
        keep_count: or as long as it is among so many newest of its kind.
        limits: How many may live at once.
        recovery: What happens to the sessions of a process that died: ``end`` them (reason
            ``node_lost``), ``keep`` them for the next owner, or call a function for each; None:
            sessions belong to no process.
        finish: Work after an ending: called once it ended, by any process that declares the kind, until
            it returns.
        secret_owner: The owner is a secret: stores see a keyed digest only.
        data: The type of the sessions' data (a struct or a dataclass), or a `Data` that gives it a version and
            upgrades; None: JSON-like values.
    """

    name: str
    _: dataclasses.KW_ONLY
    idle: float | None = None
    absolute: float | None = None
    window: float | None = None
    keep: float = DAY
    keep_count: int = 10_000
    limits: tuple[Limit, ...] = ()
    recovery: Literal["end", "keep"] | Work | None = None
    finish: Work | None = None
    secret_owner: bool = False
    data: type[Any] | Data[Any] | None = None
    shape: Data[Any] | None = dataclasses.field(init=False, repr=False, compare=False)
    """What ``data`` means."""

    def __post_init__(self) -> None:
        try:
            check_kind(self.name, "name")
            for field in ("idle", "absolute", "window"):
                if getattr(self, field) is not None:
                    check_seconds(getattr(self, field), field, least=0.0 if field == "window" else 0.001)
            check_seconds(self.keep, "keep")
            check_count(self.keep_count, "keep_count", MOST_OF_KIND)
        except InvalidInput as error:
            raise ConfigurationError(f"Kind.{error}") from None
        self._check_parts()
        # A list is taken too. Those that make room come first: what they evict may be room enough for the others.
        object.__setattr__(self, "limits", tuple(sorted(self.limits, key=lambda limit: limit.then == "deny")))

    def _check_parts(self) -> None:
        if not all(isinstance(limit, Limit) for limit in self.limits):
            raise ConfigurationError("Kind.limits: holds Limit(...) only")
        if self.recovery not in (None, "end", "keep") and not callable(self.recovery):
            raise ConfigurationError("Kind.recovery: is 'end', 'keep', an async function or None")
        if self.finish is not None and not callable(self.finish):
            raise ConfigurationError("Kind.finish: is an async function or None")
        if self.data is not None and not isinstance(self.data, type | Data):
            raise ConfigurationError("Kind.data: is a class (a struct or a dataclass), a Data, or None")
        object.__setattr__(self, "shape", Data(self.data) if isinstance(self.data, type) else self.data)

    @property
    def by_kind(self) -> bool:
        """Whether all its sessions lie in one partition, because a limit spans all owners."""
        return any(limit.over == "kind" for limit in self.limits)

    def touch_window(self, idle: float | None, *, immediate: bool) -> float:
        """The touch window of a session with this idle timeout."""
        if self.window is not None:
            return self.window
        return 0.0 if immediate or idle is None else min(0.05 * idle, 60.0)


NODE: Final = Kind(NODE_KIND, idle=15.0, window=0.0, keep=DAY, keep_count=1_000)
"""An engine that owns work: touched every 5 s, gone after 15."""
NODE_TOUCH: Final = 5.0
