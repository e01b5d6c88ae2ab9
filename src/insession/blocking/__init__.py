"""insession for threads and plain scripts: the same verbs, without ``await``.

    with insession.blocking.connect("sqlite:///sessions.db") as engine:
        session = engine.open(owner="ann", idle=3600, data={"lang": "en"})

One event loop in a thread of its own serves all calls of an engine; see `Portal` for its rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from anyio.from_thread import BlockingPortal

from insession.kernel.clock import Clock
from insession.kernel.codec import MOST_DATA
from insession.kernel.connecting import connect as connect_async
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.kinds import Kind

from .engine import BlockingEngine, BlockingSessionPage
from .held import Held
from .items import BlockingItems
from .locks import BlockingLock
from .portal import Portal
from .running import Running
from .session import BlockingSession
from .streams import BlockingEventStream, BlockingSubscription

__all__ = [
    "BlockingEngine",
    "BlockingEventStream",
    "BlockingItems",
    "BlockingLock",
    "BlockingSession",
    "BlockingSessionPage",
    "BlockingSubscription",
    "Held",
    "Portal",
    "Running",
    "connect",
]


def connect(
    store: str | Store | None = None,
    *,
    kinds: Iterable[Kind] = (),
    namespace: str = "default",
    clock: Clock | None = None,
    most_data: int = MOST_DATA,
    index_key: bytes | None = None,
    keys: object = None,
    portal: BlockingPortal | None = None,
) -> BlockingEngine:
    """Make an engine for threads; ``with``, or its first verb, opens it.

    Args:
        store: As in `insession.connect`, and so are the others.
        kinds: Their functions (``recovery``, ``finish``) are async, and run on the loop.
        namespace: See there.
        clock: See there.
        most_data: See there.
        index_key: See there.
        keys: See there.
        portal: The portal of an application that has a loop: the engine then lives on that loop, at most as long as
            the portal. None: on a loop of its own.

    Raises `ConfigurationError`; no I/O happens here, and no thread is started.
    """
    declared = tuple(kinds)

    def made() -> Engine:
        return connect_async(
            store,
            kinds=declared,
            namespace=namespace,
            clock=clock,
            most_data=most_data,
            index_key=index_key,
            keys=keys,
        )

    return BlockingEngine(made(), again=made, portal=portal)
