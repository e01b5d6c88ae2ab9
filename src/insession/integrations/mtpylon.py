"""Sessions of an mtpylon application (pypi.org/project/mtpylon) on a store: shared by processes, kept over restarts.

By dotted path, in the configuration that `mtpylon.configuration.configure_app` takes::

    config = {
        "session_storage": {
            "storage": "insession.integrations.mtpylon.SessionStorage",
            "params": {"store": "postgresql:///app", "idle": 3600},
        },
        ...,
    }
    configure_app(app, schema_with_sessions(schema), config)
    install(app)

The storage alone is enough for sessions to be shared and kept. `install` puts a subject of ours in the place of
mtpylon's, which sends false ``created`` events and lets an observer's failure leave a message unanswered.
`schema_with_sessions` answers `destroy_session`, which mtpylon leaves unanswered.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any, Final

from insession.errors import ConfigurationError
from insession.protocol import SessionRecord, SessionSubject
from insession.protocol import SessionStorage as ProtocolStorage

__all__ = ["SessionStorage", "install", "new_session_created", "schema_with_sessions"]
SUBJECT: Final = "session_subject"
"""Where an mtpylon application keeps its subject."""


class SessionStorage(ProtocolStorage):
    """A storage for mtpylon's configuration; ``params`` are the arguments of `insession.protocol.SessionStorage`.

    It serves ``(auth_key, session_id)``, opens at its first use, and keeps the id of the message that made mtpylon
    create a session as the record's ``first_msg_id``.
    """

    def __init__(self, store: Any = None, **params: Any) -> None:
        super().__init__(store, **{"keyed": True, **params})

    async def create(self, place: Any, session_id: int, options: dict[str, Any], by: Any = None) -> bool:
        """See `insession.protocol.SessionStorage.create`."""
        message = _mtpylon("contextvars").income_message_var.get(None)
        # Only the message of this very session says something about it.
        if message is not None and getattr(message, "session_id", None) == session_id:
            options = {"first_msg_id": message.message_id, **options}
        return await super().create(place, session_id, options, by)


def install(app: Any, **options: Any) -> SessionSubject:
    """Put a subject of ours into a configured application, over the storage that is there; it opens and closes with it.

    ``options`` are those of `insession.protocol.SessionSubject`. What had subscribed already stays subscribed.
    """
    before = app.get(SUBJECT)
    if before is None:
        raise ConfigurationError(f"app: has no {SUBJECT!r}; call configure_app(app, schema, config) first")
    subject = SessionSubject(lambda: before.session_storage, **{"keyed": True, **options})
    for observer in before.observers:
        subject.subscribe(observer)
    app[SUBJECT] = subject

    async def alive(_: Any) -> AsyncIterator[None]:
        async with subject:
            yield

    app.cleanup_ctx.append(alive)
    return subject


def schema_with_sessions(schema: Any) -> Any:
    """The application's schema with MTProto's ``destroy_session``, answered ``destroy_session_ok`` or ``_none``.

    mtpylon's own stub is never called: what is in its service schema counts as unknown when it comes encrypted, and is
    not answered. A function of the application is; so this one is, and comes before the stub. The client gets the
    answer as it gets every other one of mtpylon's, in an ``rpc_result``.
    """
    schemas = _mtpylon("schema").Schema
    answers = _mtpylon("service_schema.constructors")
    contextvars = _mtpylon("contextvars")
    web = importlib.import_module("aiohttp.web")

    async def destroy_session(request: Any, session_id: int) -> Any:
        """Forget another session of the same key. The current one is not forgotten, as its answer is sent in it."""
        subject, auth_key = request.app[SUBJECT], contextvars.auth_key_var.get()
        current = contextvars.session_id_var.get(None)
        if session_id != current and await _destroyed(subject, auth_key, session_id):
            return answers.DestroySessionOk(session_id=session_id)
        return answers.DestroySessionNone(session_id=session_id)

    # mtpylon reads what a call takes from its annotations.
    destroy_session.__annotations__ = {
        "request": web.Request,
        "session_id": _mtpylon("types").long,
        "return": answers.DestroySessionRes,
    }

    class Schema(schemas):  # type: ignore[misc, valid-type]
        """A schema whose own calls come before those that it is joined with."""

        def __or__(self, other: Any) -> Any:
            return Schema(other.constructors + self.constructors, other.functions + self.functions)

    return Schema([*schema.constructors, answers.DestroySessionRes], [*schema.functions, destroy_session])


async def _destroyed(subject: Any, auth_key: Any, session_id: int) -> bool:
    """Whether there was a session, which is no more; mtpylon's own subject does not say."""
    if isinstance(subject, SessionSubject):
        return await subject.destroy_session(auth_key, session_id)
    there = bool(await subject.has_session(auth_key, session_id))
    await subject.destroy_session(auth_key, session_id)
    return there


def new_session_created(record: SessionRecord, server_salt: int) -> Any:
    """What MTProto tells a client whose message made a new session, as mtpylon's object.

    mtpylon gives neither observers nor middlewares its message sender, so that sending it is the application's.
    """
    constructors = _mtpylon("service_schema.constructors")
    return constructors.NewSession(
        first_msg_id=record.first_msg_id or 0, unique_id=record.unique_id, server_salt=server_salt
    )


def _mtpylon(name: str) -> Any:
    """A module of mtpylon, which is imported only where it is used."""
    try:
        return importlib.import_module(f"mtpylon.{name}")
    except ImportError as error:
        raise ConfigurationError("mtpylon is not installed; pip install mtpylon") from error
