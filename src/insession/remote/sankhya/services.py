"""The services of the ERP: the module that each lies in, and whether a request may be sent again.

From section 1.3 of the protocol's notes. What is not in the table lies in ``mge`` and counts as not idempotent.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Final

from .errors import SankhyaInputError

LOGIN: Final = "MobileLoginSP.login"
LOGOUT: Final = "MobileLoginSP.logout"
LOAD: Final = "CRUDServiceProvider.loadRecords"
SAVE: Final = "CRUDServiceProvider.saveRecord"
REMOVE: Final = "CRUDServiceProvider.removeRecord"
OPEN_FILE: Final = "RepositorioArquivoSP.abreArquivo"
DELETE_FILES: Final = "ImportacaoImagemSP.deletaArquivos"
SESSIONS: Final = "SessionManagerSP.getCoreSessions"
_PART: Final = r"[A-Za-z][A-Za-z0-9_]{0,63}"
_NAME: Final = re.compile(rf"(?:(?P<module>[a-z]{{2,20}}):)?(?P<name>{_PART}(?:\.{_PART}){{0,3}})")


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A service by name. ``idempotent``: a request of it may be sent again when its outcome is unknown."""

    name: str
    module: str = "mge"
    idempotent: bool = False


def _known() -> Iterable[Service]:
    for name in (LOGOUT, LOAD, OPEN_FILE, "crud.find", "DbExplorerSP.executeQuery", "AvisoSistemaSP.getNovosAvisos"):
        yield Service(name, idempotent=True)
    for name in (SESSIONS, "SessionManagerSP.killSession"):
        yield Service(name, idempotent=True)
    yield Service("ServicosNfeSP.getAcompanhamentosNota", "mgecom", idempotent=True)
    for name in ("AvisoSistemaSP.enviarAviso", "AvisoSistemaSP.enviarMensagem", DELETE_FILES):
        yield Service(name)
    for name in (LOGIN, SAVE, REMOVE, "crud.save", "crud.remove"):
        yield Service(name)
    for verb in [
        "incluirNota",
        "incluirAlterarCabecalhoNota",
        "incluirAlterarItemNota",
        "duplicarNota",
        "confirmarNota",
        "cancelarNota",
        "excluirNotas",
        "excluirItemNota",
        "ligarPedidoNota",
        "marcarPedidosComoNaoPendentes",
    ]:
        yield Service(f"CACSP.{verb}", "mgecom")
    yield Service("SelecaoDocumentoSP.faturar", "mgecom")
    yield Service("ServicosNfeSP.gerarLote", "mgecom")
    for name in ("MovimentacaoFinanceiraSP.desvincularRemessa", "BaixaAutomaticaSP.baixar"):
        yield Service(name, "mgefin")
    yield Service("BaixaFinanceiroSP.estornarTitulo", "mgefin")


SERVICES: Final[Mapping[str, Service]] = {one.name: one for one in _known()}


def service_of(name: str, *, idempotent: bool | None = None) -> Service:
    """The service that a name means, as in ``"CACSP.incluirNota"``, or ``"mgecom:Own.service"`` with its module.

    ``idempotent`` says it of a service that the table does not know, or otherwise than the table.
    """
    known = SERVICES.get(name)
    if known is None:
        known = _named(name)
    if idempotent is None or idempotent == known.idempotent:
        return known
    return dataclasses.replace(known, idempotent=idempotent)


def _named(name: str) -> Service:
    found = _NAME.fullmatch(name)
    if found is None:
        raise SankhyaInputError("service", "is a name like 'CACSP.incluirNota', or 'mgecom:CACSP.incluirNota'")
    there = SERVICES.get(found["name"], Service(found["name"]))
    return dataclasses.replace(there, module=found["module"] or there.module)
