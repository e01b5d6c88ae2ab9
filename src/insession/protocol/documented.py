"""The names of mtpylon's documents about sessions, and what they are here."""

from __future__ import annotations

from typing import Final

from insession.kernel.documented import Documented

_LONG: Final = {"long": "insession.protocol.contracts:long"}
_EVENT: Final = {"SessionEvent": "insession.protocol.event:SessionEvent"}
_MEMORY: Final = {"InMemorySessionStorage": "insession.protocol.storage:InMemorySessionStorage"}
_SUBJECT: Final = {"SessionSubject": "insession.protocol.subject:SessionSubject"}
_OBSERVER: Final = {"SessionObserverProtocol": "insession.protocol.contracts:SessionObserverProtocol"}
DOCUMENTED: Final = Documented(
    root="mtpylon",
    modules={
        "": _LONG,
        "types": _LONG,
        "sessions": _MEMORY | _SUBJECT | _EVENT,
        "sessions.session_storage_protocol": {
            "SessionStorageProtocol": "insession.protocol.contracts:SessionStorageProtocol"
        },
        "sessions.session_event": _EVENT,
        "sessions.session_observer_protocol": _OBSERVER,
        # As the package itself spells it.
        "sessions.session_oberver_protocol": _OBSERVER,
        "sessions.session_subject": _SUBJECT,
        "sessions.in_memory_session_storage": _MEMORY,
    },
)
