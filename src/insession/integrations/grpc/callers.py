"""Who calls: hardware id, address and user agent of a client, from where the user says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

from insession.errors import ConfigurationError, InvalidInput

from .context import CallContext, values

Source = Callable[[Any, CallContext], Any]
"""``(request, context) -> value``, plain or async; ``request`` is None where the client streams."""
PEER: Final = "peer"
_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_SCHEMES: Final = ("ipv4:", "ipv6:", "unix:", "unix-abstract:")


class Callers:
    """Reads from a call what `SessionManager.create_session` wants to know of it. See `SessionInterceptor`."""

    def __init__(
        self,
        *,
        hardware_id_from: str | Source,
        ip_from: str | Source,
        trusted_proxies: int,
        user_agent_from: str,
        context_from: Source | None,
    ) -> None:
        check_source(hardware_id_from, "hardware_id_from")
        check_source(ip_from, "ip_from")
        check_source(user_agent_from, "user_agent_from", functions=False)
        if context_from is not None and not callable(context_from):
            raise ConfigurationError("context_from: is a function of request and context, or None")
        if type(trusted_proxies) is not int or trusted_proxies < 1:
            raise ConfigurationError("trusted_proxies: is a whole number from 1")
        self._hardware_id_from = hardware_id_from
        self._ip_from = ip_from
        self._trusted_proxies = trusted_proxies
        self._context_from = context_from
        self.user_agent_key: str = user_agent_from

    async def facts(self, request: Any, context: CallContext) -> dict[str, Any]:
        """Arguments for a session. `InvalidInput` names the metadata key that cannot be taken."""
        told: Any = {"method": context.method}
        if self._context_from is not None:
            told = await _asked(self._context_from, request, context)
        return {
            "hardware_id": await self._hardware_id(request, context),
            "ip_address": await self._ip_address(request, context),
            "user_agent": context.user_agent,
            "context": told,
        }

    def named(self, error: InvalidInput) -> InvalidInput:
        """The same error, by the metadata key that the client knows."""
        sources = {"hardware_id": self._hardware_id_from, "ip_address": self._ip_from}
        source = sources.get(error.field)
        return InvalidInput(source, error.problem) if isinstance(source, str) else error

    async def _hardware_id(self, request: Any, context: CallContext) -> Any:
        source = self._hardware_id_from
        if not isinstance(source, str):
            return await _asked(source, request, context)
        found = values(context, source)
        if len(found) > 1:
            raise InvalidInput(source, "is given more than once")
        return found[0] if found else None

    async def _ip_address(self, request: Any, context: CallContext) -> Any:
        source = self._ip_from
        if not isinstance(source, str):
            return await _asked(source, request, context)
        if source == PEER:
            peer = context.peer()
            return peer if peer.startswith(_SCHEMES) else None
        # Each proxy writes who called it at the end: what stands before the entries of ours, the client made up.
        entries = [entry.strip() for value in values(context, source) for entry in value.split(",")]
        return entries[-self._trusted_proxies] if len(entries) >= self._trusted_proxies else None


def check_source(source: object, field: str, *, functions: bool = True) -> None:
    """`ConfigurationError` for what is no source."""
    if isinstance(source, str):
        if not _KEY.fullmatch(source) or source.endswith("-bin"):
            raise ConfigurationError(f"{field}: is a metadata key of lower-case letters, digits and -_. without -bin")
    elif not functions or not callable(source):
        raise ConfigurationError(f"{field}: is a metadata key{' or a function of request and context' * functions}")


async def _asked(source: Source, request: Any, context: CallContext) -> Any:
    found = source(request, context)
    return await found if inspect.isawaitable(found) else found
