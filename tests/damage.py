"""What becomes of data when somebody has the file: written below the engine, one bit flipped."""

from __future__ import annotations

from insession.kernel.contract import Store
from insession.kernel.operations import Done, Guard, Load, Loaded, Put
from insession.kernel.record import Item, Record
from insession.testing.contract.samples import ask, update, writing


async def lying(store: Store, name: str) -> Record | Item:
    """What lies in a store under an id or key."""
    (found,) = (await ask(store, Load((name,)), Loaded)).found
    assert found is not None
    return found


async def overwrite(store: Store, name: str, data: bytes) -> None:
    """Write over the data of a session or an item that is there; nothing else of it changes."""
    there = await lying(store, name)
    if isinstance(there, Item):
        put = Put(name, data, Guard.SAME, there.version, there.owner, there.expires)
        await ask(store, writing(0.0, put), Done)
    else:
        await ask(store, update(name, 0.0, guard=Guard.SAME, version=there.version, data=data), Done)


async def flip(store: Store, name: str) -> None:
    """Flip one bit in the middle of what lies there."""
    data = bytearray((await lying(store, name)).data)
    data[len(data) // 2] ^= 1
    await overwrite(store, name, bytes(data))
