"""How far a log holds nothing of what is followed but what answers have told, see `Store.waker`."""

from __future__ import annotations

from insession.kernel.events import Cursor


class Passed:
    """A run of one partition's log: it grows with what this process writes, and begins again behind what others did."""

    def __init__(self) -> None:
        self._epoch = ""
        self._begin = self._end = 0

    def note(self, epoch: str, before: int, position: int) -> None:
        """Answers have told all that is followed from one position to another."""
        if epoch != self._epoch or self._end < before:
            # Somebody else wrote between: who has not read that reads it, and what follows.
            self._epoch, self._begin, self._end = epoch, before, position
        self._end = max(self._end, position)

    def onward(self, cursor: str) -> str:
        """Where a reader goes on who read so far, and hears what answers tell."""
        read = Cursor.parse(cursor)
        if read.epoch == self._epoch and self._begin <= read.positions[0] < self._end:
            return str(Cursor(read.epoch, (self._end,)))
        return cursor
