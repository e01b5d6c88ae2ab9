"""Faults: what goes wrong with the n-th request of a service, and how many times."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from insession.errors import ConfigurationError
from insession.kernel.urls import unknown

When = Literal["before", "after"]

TEXTS: Final = {
    "not_authorized": "Não autorizado.",
    "invalid_credentials": "Usuário/Senha inválido.",
    "deadlock": "Transaction (Process ID 52) was chosen as the deadlock victim.",
    "query_timeout": "O tempo limite da consulta foi atingido.",
    "competition": "Ocorreu uma situação de concorrência; tente novamente.",
    "canceled": "A consulta foi cancelada.",
    "unavailable": "The connection object is closed.",
    "message": "",
}
"""Answered with status 0 instead of being run; `message` says the fault's own text."""
DEFAULT_WHEN: Final[dict[str, When]] = {
    "expired": "before",
    "service_canceled": "before",
    "http500": "before",
    "http401": "before",
    "reset": "before",
    "close": "before",
    "truncate": "after",
    "slow": "after",
    "hold": "before",
    "html": "after",
    "empty": "after",
    "huge": "after",
    **dict.fromkeys(TEXTS, "before"),
}
"""Every kind, and whether the request has run when it strikes, unless the fault says otherwise."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong.

    Kinds, each with ``when="before"`` (the request never runs) or ``"after"`` (it ran, its answer is lost or late);
    ``reset_after`` is short for ``reset`` with ``when="after"``:

    - ``reset``, ``close``: the connection ends, by RST or in good order; ``truncate``: half of the answer and the end;
    - ``slow``: the answer comes after ``seconds``; ``hold``: it never comes, until `SankhyaDouble.release`;
    - ``http500``, ``http401``: that status, with an HTML page; ``html``, ``empty``: status 200 with a page or nothing;
      ``huge``: status 200 with ``size`` bytes;
    - ``expired``: the session dies first; ``service_canceled``: the envelope's status 4;
    - ``not_authorized``, ``invalid_credentials``, ``deadlock``, ``query_timeout``, ``competition``, ``canceled``,
      ``unavailable``: status 0 with the server's text; ``message``: with ``text``.
    """

    kind: str
    service: str = "*"
    """A service's whole name, what follows its point (``login``), or ``*``; also file, image, authenticate, refresh."""
    nth: int = 1
    """The first request of that service, from now on, that it meets."""
    times: int | None = 1
    """How many in a row it meets; None for all."""
    when: When = "before"
    seconds: float = 1.0
    text: str = ""
    size: int = 50_000_000

    def meets(self, service: str) -> bool:
        """Whether it is about this service."""
        return self.service in {"*", service, service.rpartition(".")[2]}


def fault(kind: str, **options: Any) -> Fault:
    """A fault by its kind; `ConfigurationError` for what is not known."""
    name, _, suffix = kind.rpartition("_")
    if suffix in {"before", "after"} and name in DEFAULT_WHEN:
        kind, options = name, {"when": suffix} | options
    if kind not in DEFAULT_WHEN:
        raise ConfigurationError(unknown("fault", kind, DEFAULT_WHEN))
    try:
        return msgspec.convert({"kind": kind, "when": DEFAULT_WHEN[kind]} | options, Fault)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"fault {kind}: {error}") from None


class Faults:
    """The faults that are to come, each with its own count of requests."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        """From now on."""
        self._waiting.append((fault, [0]))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._waiting.clear()

    def strike(self, service: str) -> Fault | None:
        """Count a request; the fault that meets it: the first one that was added."""
        struck: Fault | None = None
        for fault, seen in list(self._waiting):
            if not fault.meets(service):
                continue
            seen[0] += 1
            last = None if fault.times is None else fault.nth + fault.times - 1
            if struck is None and seen[0] >= fault.nth and (last is None or seen[0] <= last):
                struck = fault
            if last is not None and seen[0] >= last and (fault, seen) in self._waiting:
                self._waiting.remove((fault, seen))
        return struck
