"""mtpylon's document about sessions: its import paths and its samples, with their lines unchanged."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Iterator

import pytest

from insession import aliases, protocol
from insession.protocol import InMemorySessionStorage, SessionEvent, SessionSubject

from .conftest import Write
from .sampled import Samples

PATHS = {
    "mtpylon.sessions.session_storage_protocol": "SessionStorageProtocol",
    "mtpylon.sessions.session_event": "SessionEvent",
    "mtpylon.sessions.session_observer_protocol": "SessionObserverProtocol",
    "mtpylon.sessions.session_oberver_protocol": "SessionObserverProtocol",
    "mtpylon.sessions.session_subject": "SessionSubject",
    "mtpylon.sessions.in_memory_session_storage": "InMemorySessionStorage",
}


@pytest.fixture
def resolved() -> Iterator[None]:
    """The document's names, on request; afterwards nothing of them is imported."""
    with aliases.install("mtpylon"):
        yield
    for path in [path for path in sys.modules if path.partition(".")[0] == "mtpylon"]:
        del sys.modules[path]


@pytest.fixture
def samples(resolved: None) -> Samples:
    samples = Samples("protocol")
    exec(  # noqa: S102 - what the samples take for granted
        "from typing import Protocol\n"
        "from mtpylon import long\n"
        "from mtpylon.sessions.session_event import SessionEvent\n",
        samples.names,
    )
    return samples


@pytest.mark.requirement("P37")
@pytest.mark.parametrize(("path", "name"), PATHS.items())
def test_the_documented_paths_resolve(resolved: None, path: str, name: str) -> None:
    assert getattr(importlib.import_module(path), name) is getattr(protocol, name)


@pytest.mark.requirement("P37")
def test_long_and_the_package_itself(resolved: None) -> None:
    found = importlib.import_module("mtpylon")
    assert found.long is importlib.import_module("mtpylon.types").long is protocol.long
    sessions = importlib.import_module("mtpylon.sessions")
    assert (sessions.SessionSubject, sessions.SessionEvent) == (SessionSubject, SessionEvent)
    for one in (protocol.SessionStorageProtocol, protocol.SessionObserverProtocol):
        assert typing.Protocol in one.__bases__


@pytest.mark.requirement("P37")
async def test_the_documents_storage_is_ours(samples: Samples) -> None:
    theirs = (await samples.run("storage"))["SessionStorageProtocol"]
    for call in ("create_session", "has_session", "destroy_session"):
        ours = inspect.signature(getattr(protocol.SessionStorageProtocol, call)).parameters
        assert list(inspect.signature(getattr(theirs, call)).parameters) == list(ours)

    class Storage(theirs):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            self.kept: set[int] = set()

        async def create_session(self, session_id: int) -> None:
            self.kept.add(session_id)

        async def has_session(self, session_id: int) -> bool:
            return session_id in self.kept

        async def destroy_session(self, session_id: int) -> None:
            self.kept.remove(session_id)

    told: list[SessionEvent] = []

    class Observer((await samples.run("observer"))["SessionObserverProtocol"]):  # type: ignore[misc]
        async def update(self, event: SessionEvent) -> None:
            told.append(event)

    for factory in (Storage, InMemorySessionStorage):
        subject = samples.names["SessionSubject"] = importlib.import_module("mtpylon.sessions").SessionSubject(
            session_storage_factory=factory
        )
        subject.subscribe(Observer())
        await subject.create_session(session_id=5)
        assert await subject.has_session(5)
        await subject.destroy_session(5)
        assert told == [SessionEvent(type="created", session_id=5), SessionEvent(type="destroyed", session_id=5)]
        told.clear()
        await subject.close()


@pytest.mark.requirement("P38")
def test_of_an_installed_package_only_the_missing_submodule_is_ours(write: Write) -> None:
    write(
        mtpylon__init="long = 'theirs'\n",
        mtpylon__sessions__init="SessionSubject = 'theirs'\n",
        mtpylon__sessions__session_event="SessionEvent = 'theirs'\n",
        mtpylon__sessions__session_oberver_protocol="SessionObserverProtocol = 'theirs'\n",
    )
    try:
        with aliases.install("mtpylon"):
            get = importlib.import_module
            assert get("mtpylon").long == get("mtpylon.sessions").SessionSubject == "theirs"
            assert get("mtpylon.sessions.session_event").SessionEvent == "theirs"
            assert get("mtpylon.sessions.session_oberver_protocol").SessionObserverProtocol == "theirs"
            missing = get("mtpylon.sessions.session_observer_protocol")
            assert missing.SessionObserverProtocol is protocol.SessionObserverProtocol
            with pytest.raises(ImportError):
                get("mtpylon.sessions.session_manager")
        with aliases.install("mtpylon", override=True):
            assert importlib.import_module("mtpylon.sessions").SessionSubject is SessionSubject
    finally:
        for path in [path for path in sys.modules if path.partition(".")[0] == "mtpylon"]:
            del sys.modules[path]
