"""The blocking classes have the verbs of the asynchronous ones, with the same signatures."""

from __future__ import annotations

import inspect

import pytest

import insession
import insession.blocking
from insession.blocking import (
    BlockingEngine,
    BlockingEventStream,
    BlockingItems,
    BlockingLock,
    BlockingSession,
    BlockingSessionPage,
    BlockingSubscription,
)
from insession.kernel.engine import Engine, SessionPage
from insession.kernel.items import Items
from insession.kernel.locks import Lock
from insession.kernel.observers import Subscription
from insession.kernel.session import Session
from insession.kernel.streams import EventStream

from .parity import differences


@pytest.mark.parametrize(
    ("twin", "blocking", "missing", "more"),
    [
        (Engine, BlockingEngine, {"follow", "get_at", "listen", "write_over"}, {"ask", "items", "name", "shut_down"}),
        (Session, BlockingSession, set(), {"raise_if_interrupted"}),
        (Lock, BlockingLock, {"cancel", "finish", "loaded", "renew", "renewal"}, {"raise_if_lost"}),
        (Items, BlockingItems, set(), set()),
        (EventStream, BlockingEventStream, set(), {"close"}),
        (Subscription, BlockingSubscription, set(), {"failures"}),
        (SessionPage, BlockingSessionPage, set(), set()),
    ],
)
def test_the_same_verbs(twin: type, blocking: type, missing: set[str], more: set[str]) -> None:
    assert differences(twin, blocking, missing=missing, more=more) == []


def test_connect_takes_the_same_and_a_portal() -> None:
    theirs, ours = (inspect.signature(one).parameters for one in (insession.connect, insession.blocking.connect))
    assert dict(theirs) == {name: one for name, one in ours.items() if name != "portal"}
