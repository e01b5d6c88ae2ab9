"""Sessions for a `grpc.aio` server: each call is one, and an interrupt reaches its client.

Needs the extra: ``pip install 'insession[grpc]'``. ::

    interceptor = SessionInterceptor(manager, hardware_id_from="x-hardware-id")
    server = grpc.aio.server(interceptors=[interceptor])
    ...
    await interceptor.shutdown()  # every client is told why
    await server.stop(grace=5)
"""

from __future__ import annotations

from .callers import Source
from .context import CallContext, NoSession, current_session
from .interceptor import INFRASTRUCTURE, SessionInterceptor
from .statuses import REASON_KEY, SESSION_KEY, STATUS_KEY, STATUSES

__all__ = [
    "INFRASTRUCTURE",
    "REASON_KEY",
    "SESSION_KEY",
    "STATUSES",
    "STATUS_KEY",
    "CallContext",
    "NoSession",
    "SessionInterceptor",
    "Source",
    "current_session",
]
