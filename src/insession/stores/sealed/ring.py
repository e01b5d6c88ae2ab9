"""The ring of keys that a running process uses: read again when it changes, and held to what the store knows."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Generator
from pathlib import Path
from time import monotonic
from typing import Final, NoReturn, cast

from insession.errors import ConfigurationError, DataUnreadable, StoreUnavailable
from insession.kernel.operations import Answer, Commit, Guard, Load, Loaded, Operation, Put
from insession.kernel.record import CHECKS, Item

from .keys import Keys
from .seals import ITEM, Seals, Unreadable

_log: Final = logging.getLogger("insession.sealed")
LOOK_EVERY = 10.0
"""A change of the ring's file is noticed after so many seconds by who meets no new key before."""
Checking = Generator[Operation, Answer | None, None]


class Ring:
    """The ring in use with its seals, and the next one from its finding until it is checked.

    *Check*: the first that seals with a key puts an item ``~keys/<number>`` into the store, sealed by that key. Whose
    key of that number does not open it has another one, and is refused by name. A key that opens it is proven to be
    the store's, so that a value of that number that it does not open is known to have been changed or moved.
    """

    def __init__(self, keys: object) -> None:
        self._path: Path | None = keys if isinstance(keys, Path) else None
        self._keys: Keys | None = None if keys is None or self._path is not None else as_ring(keys)
        self._seals: Seals | None = None if self._keys is None else Seals(self._keys)
        self._look: float = 0.0
        self._said: str | None = None
        self.next: tuple[Keys, Seals] | None = None
        """Found where the ring lies, and not in use yet: values are opened by it, not sealed."""

    @property
    def keys(self) -> Keys:
        """The keys; where none were given they are known once `find` was called."""
        return self._keys or _not_open()

    @property
    def seals(self) -> Seals:
        """What seals and opens now."""
        return self._seals or _not_open()

    async def find(self) -> None:
        """Read the ring, where it was not given."""
        if self._keys is None:
            path = self._path
            found = await asyncio.to_thread(Keys.found if path is None else lambda: Keys.from_file(path))
            self.use(found, Seals(found))
        self._look = monotonic() + LOOK_EVERY

    def use(self, keys: Keys, seals: Seals) -> None:
        """Use another ring from now on."""
        self._keys, self._seals, self.next, self._said = keys, seals, None, None

    def refuse(self, error: DataUnreadable) -> None:
        """Go on with the ring in use."""
        self.next = None
        self._say(f"the ring of keys was changed, and is not used: {error.problem}")

    @property
    def is_due(self) -> bool:
        """Whether it is time to look where the ring lies."""
        return self.keys.source != "given" and monotonic() >= self._look

    async def look(self) -> None:
        """Look whether the ring has changed where it lies."""
        self._look = monotonic() + LOOK_EVERY
        self._take(await asyncio.to_thread(self._again))

    def look_now(self) -> Seals | None:
        """The same for somebody who met a key that the ring lacks, and cannot wait; the seals of the next ring."""
        self._take(self._again())
        return None if self.next is None else self.next[1]

    def _again(self) -> Keys | None:
        try:
            return (self.keys if self.next is None else self.next[0]).again()
        except ConfigurationError as error:
            # The ring in use goes on: the file may be half written.
            self._say(f"the ring of keys could not be read again: {error}")
            return None

    def _take(self, found: Keys | None) -> None:
        if found is not None:
            self.next = (found, Seals(found))

    def _say(self, problem: str) -> None:
        if problem != self._said:
            self._said = problem
            _log.error("%s", problem)


def checking(keys: Keys, seals: Seals, now: float) -> Checking:
    """The operations that compare keys with what the store knows; `DataUnreadable` where one is not the store's."""
    name = f"{CHECKS}{keys.current}"
    items = yield from _known(keys)
    if name not in items:
        put = Put(name, seals.seal(ITEM, name, b""), Guard.ABSENT)
        yield Commit(now, f"keys-{secrets.token_hex(8)}", "", (put,))
        items = yield from _known(keys)  # another process may have been first
    for number in keys.numbers:
        item = items.get(f"{CHECKS}{number}")
        if item is None:
            continue
        if type(seals.open(ITEM, item.key, item.data)) is Unreadable:
            problem = f"key {number} of the ring is not the key {number} of this store; give a new key a new number"
            raise DataUnreadable(item.key, problem)
        seals.proven.add(number)


def _known(keys: Keys) -> Generator[Operation, Answer | None, dict[str, Item]]:
    answer = yield Load(tuple([f"{CHECKS}{number}" for number in keys.numbers]))
    return {one.key: one for one in cast("Loaded", answer).found if isinstance(one, Item)}


def as_ring(keys: object) -> Keys:
    """A ring, or the one of a text."""
    if isinstance(keys, str):
        return Keys.parse(keys)
    if isinstance(keys, Keys):
        return keys
    kind = type(keys).__name__
    raise ConfigurationError(f"keys: is a ring of keys, its text, the path of its file, or None, not {kind}")


def _not_open() -> NoReturn:
    raise StoreUnavailable("the store is not open, and has no keys before")
