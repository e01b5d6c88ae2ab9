"""From a store's URL to an engine."""

from __future__ import annotations

from collections.abc import Iterable

from insession.kernel.clock import Clock
from insession.kernel.codec import MOST_DATA
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.kinds import Kind
from insession.kernel.urls import chosen_store, sealed


def connect(
    store: str | Store | None = None,
    *,
    kinds: Iterable[Kind] = (),
    namespace: str = "default",
    clock: Clock | None = None,
    most_data: int = MOST_DATA,
    index_key: bytes | None = None,
    keys: object = None,
) -> Engine:
    """Make an engine over a store; ``async with`` opens it.

    Args:
        store: A URL (``memory:``, ``sqlite:///sessions.db``), or a store that the engine then opens and closes;
            None: the environment's ``INSESSION_STORE``, else memory.
        kinds: The kinds of sessions that this program declares. One that is opened undeclared has default policies.
        namespace: The part of the store to use; it sees nothing of the others.
        clock: For tests.
        most_data: So many bytes of data a session or an item may have.
        index_key: Secret for the digests of secret owners, the same in all processes of a store; at most 64 bytes.
            None: one that is made once and lies in the store.
        keys: A ring of keys, its text (``"1:<base64>"``), or the path of its file: data at rest is encrypted by the
            first and read by any, and owners are kept as digests. See docs/encryption.md.

    Raises `ConfigurationError`; no I/O happens here.
    """
    chosen = chosen_store(store, namespace=namespace, clock=clock)
    if keys is not None:
        chosen = sealed(chosen, keys)
    return Engine(
        chosen,
        kinds=kinds,
        clock=clock,
        most_data=most_data,
        index_key=index_key,
        secret_owners=keys is not None,
    )
