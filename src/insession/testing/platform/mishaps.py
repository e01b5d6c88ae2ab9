"""Which fault meets which file of a session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .rules import Drop, FileId, PlatformFaults, PlatformFile


class Mishaps:
    """The faults of one session, by the places of its files."""

    def __init__(self, faults: PlatformFaults, files: Sequence[PlatformFile]) -> None:
        self.faults: PlatformFaults = faults
        self._place = {file.id: place for place, file in enumerate(files, 1)}
        self._refusals: Counter[FileId] = Counter()
        self._held_back: set[FileId] = set()
        self._drops = 0
        self._owed = 0
        self._in_use = True

    def hits(self, file: FileId, every: int) -> bool:
        """Whether a fault that meets every n-th file meets this one."""
        return every > 0 and self._place[file] % every == 0

    def order(self, files: Sequence[PlatformFile]) -> list[PlatformFile]:
        """The order in which they are sent."""
        order, every = list(files), self.faults.swap_every
        for place in range(every - 1, len(order) - 1, every) if every else ():
            order[place], order[place + 1] = order[place + 1], order[place]
        return order

    def owe_drop(self) -> None:
        """The line is to be lost, as soon as it is in use."""
        self._owed += 1

    def line_works(self) -> None:
        """Something came over it."""
        self._in_use = True

    def drop_now(self) -> Drop | None:
        """The way in which the line is to be lost now, if it is."""
        if not (self._owed and self._in_use):
            return None
        self._owed, self._in_use, self._drops = self._owed - 1, False, self._drops + 1
        return self.faults.drops[(self._drops - 1) % len(self.faults.drops)]

    def refuses(self, file: FileId) -> bool:
        """Whether its result is refused this time."""
        self._refusals[file] += 1
        return self.hits(file, self.faults.refuse_every) and self._refusals[file] <= self.faults.refuse_times

    def keeps_back(self, file: FileId) -> bool:
        """Whether the acknowledgement of its result is kept back this time."""
        first = file not in self._held_back
        self._held_back.add(file)
        return first and self.hits(file, self.faults.lose_acknowledgement_every)
