"""The services that the double has: what each does with a request."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final
from xml.etree.ElementTree import Element

from .counters import Tally
from .envelopes import DENIED, ERROR, LOST, Answer, Refused, Request
from .sessions import Live, Sessions
from .settings import DoubleSettings
from .tables import Tables, Values, text
from .trees import Tree

SAVES: Final = frozenset({"crud.save", "CRUDServiceProvider.saveRecord", "DatasetSP.save"})
LOGIN, LOGOUT = "MobileLoginSP.login", "MobileLoginSP.logout"
JSON_PAGE: Final = 50
"""Rows of a page in the JSON dialect, which counts pages and keeps no pager."""
IDLE: Final[dict[str, tuple[str, ...]]] = {
    "mge": (
        "AvisoSistemaSP.getNovosAvisos",
        "AvisoSistemaSP.enviarAviso",
        "AvisoSistemaSP.enviarMensagem",
        "ImportacaoImagemSP.deletaArquivos",
    ),
    "mgecom": (
        "CACSP.incluirNota",
        "CACSP.incluirAlterarCabecalhoNota",
        "CACSP.incluirAlterarItemNota",
        "CACSP.duplicarNota",
        "CACSP.confirmarNota",
        "CACSP.cancelarNota",
        "CACSP.excluirNotas",
        "CACSP.excluirItemNota",
        "CACSP.ligarPedidoNota",
        "CACSP.marcarPedidosComoNaoPendentes",
        "SelecaoDocumentoSP.faturar",
        "ServicosNfeSP.getAcompanhamentosNota",
        "ServicosNfeSP.gerarLote",
    ),
    "mgefin": (
        "BaixaAutomaticaSP.baixar",
        "BaixaFinanceiroSP.estornarTitulo",
        "MovimentacaoFinanceiraSP.desvincularRemessa",
    ),
}
"""Services that are counted and answered with an empty body, by module."""
MODULES: Final[dict[str, str]] = {service: module for module, services in IDLE.items() for service in services}
"""The module of a service; all others are in ``mge``."""

Service = Callable[[Request, Live], Answer]


class Services:
    """What the service does once it knows who asks."""

    def __init__(self, settings: DoubleSettings, tally: Tally, sessions: Sessions) -> None:
        self._settings = settings
        self._tally = tally
        self._sessions = sessions
        self.tables: Tables = Tables(settings)
        self._known: Mapping[str, Service] = {
            "CRUDServiceProvider.loadRecords": self._load,
            "crud.find": self._find,
            "CRUDServiceProvider.saveRecord": self._save,
            "DatasetSP.save": self._save_dataset,
            "crud.save": self._save_plain,
            "CRUDServiceProvider.removeRecord": self._remove,
            "crud.remove": self._remove,
            "DbExplorerSP.executeQuery": self._query,
            "SessionManagerSP.getCoreSessions": self._list_sessions,
            "SessionManagerSP.killSession": self._kill_session,
            "RepositorioArquivoSP.abreArquivo": self._open_file,
        }

    def run(self, request: Request, session: Live) -> Answer:
        """The answer; an error of the service is status 0."""
        name = request.service
        self._tally.executed[name] += 1
        try:
            if name in self._known:
                return self._known[name](request, session)
            if name in self._settings.answers:
                return Answer(raw_body=self._settings.answers[name])
        except Refused as error:
            return Answer(status=ERROR, message=str(error))
        if name in MODULES:
            return Answer()
        return Answer(status=ERROR, message=f"Nenhum provedor foi encontrado para o serviço '{name}'.")

    def image(self, entity: str, key: Mapping[str, str]) -> bytes | None:
        """A picture of a row that is there: of the first pixel of a GIF."""
        tables = self.tables
        if entity not in tables.keys:
            return None
        name = tables.keys[entity]
        found = tables.find(entity, f'"{name}" = ?', [key.get(name)])
        return b"GIF89a\x01\x00\x01\x00\x00\x00\x00;" if found else None

    def _load(self, request: Request, session: Live) -> Answer:
        data = _child(request.body, "dataSet")
        columns = self.tables.columns.get(data.get("rootEntity", ""), [])
        fields = _fields(data, columns)
        for name in fields:
            if name not in columns and name.partition("_")[0] not in self.tables.keys:
                raise Refused(f"Descritor do campo '{name}' inválido")
        places = [(f"f{place}", name) for place, name in enumerate(fields)]
        if request.json:
            rows, more, about = self._json_page(data)
        else:
            rows, about = self._page(data, session)
            more = {}
        body: Tree = {
            "total": str(len(rows)),
            **about,
            **more,
            "metadata": {"fields": {"field": [{"name": name} for name in fields]}},
            "entity": [self._columns(row, places) for row in rows],
        }
        return Answer({"entities": body})

    def _page(self, data: Element, session: Live) -> tuple[list[Values], Tree]:
        first, later = self._settings.first_page, self._settings.next_page
        number, pager = int(data.get("pageNumber", "1")), data.get("pagerID", "")
        if number > 1 and not pager:
            self._tally.violate("a page after the first was asked for without a pager")
        if pager:
            if pager not in session.pagers:
                raise Refused(LOST)
            rows = session.pagers[pager]
        else:
            rows, pager = self._matching(data), secrets.token_hex(16)
            session.pagers[pager] = rows
        pages = 1 + max(0, math.ceil((len(rows) - first) / later))
        begin = 0 if number == 1 else first + (number - 2) * later
        if number >= pages:
            session.pagers.pop(pager, None)
        shown = rows[begin : begin + (first if number == 1 else later)]
        return shown, {"totalPages": str(pages), "pagerID": pager}

    def _json_page(self, data: Element) -> tuple[list[Values], Tree, Tree]:
        page = int(data.get("offsetPage", "0") or "0")
        rows = self._matching(data)
        more = len(rows) > (page + 1) * JSON_PAGE
        shown = rows[page * JSON_PAGE : (page + 1) * JSON_PAGE]
        return shown, {"hasMoreResult": str(more).lower()}, {"offsetPage": str(page)}

    def _matching(self, data: Element) -> list[Values]:
        criteria = data.find("criteria")
        expression, parameters = "", list[object]()
        if criteria is not None:
            expression = criteria.findtext("expression") or ""
            parameters = [_parameter(one) for one in criteria.iter("parameter")]
        return self.tables.find(data.get("rootEntity", ""), expression, parameters)

    def _columns(self, row: Values, places: list[tuple[str, str]]) -> Tree:
        return {place: text(row[name] if name in row else self._joined(row, name)) for place, name in places}

    def _joined(self, row: Values, name: str) -> object:
        """``Entity_COLUMN``: of the row that this one points at by that entity's key."""
        entity, _, column = name.partition("_")
        key = self.tables.keys[entity]
        found = self.tables.find(entity, f'"{key}" = ?', [row.get(key)])
        return found[0].get(column) if found else None

    def _find(self, request: Request, _: Live) -> Answer:
        asked = _child(request.body, "entity")
        name = asked.get("name", "")
        parts, parameters = list[str](), list[object]()
        for one in asked.iter("criterio"):
            parts.append(f'"{one.get("nome")}" = ?')
            parameters.append(one.get("valor"))
        literal = asked.find("literalCriteria")
        literal = asked.find("criterioLiteral") if literal is None else literal
        if literal is not None:
            said = literal.findtext("expression") or literal.findtext("expressao") or ""
            parts += [f"({said})"] if said.strip() else []
            parameters += [_parameter(one) for one in (*literal.iter("parameter"), *literal.iter("parametro"))]
        rows = self.tables.find(name, " AND ".join(parts), parameters)
        limit = int(asked.get("rowsLimit", "0") or "0")
        fields = [one.get("name", "") for one in asked.findall("fields/field")] or self.tables.columns[name]
        shown = [{field: text(row.get(field)) for field in fields} for row in (rows[:limit] if limit > 0 else rows)]
        return Answer({"entidades": {"nome": name, "entidade": shown}})

    def _save(self, request: Request, _: Live) -> Answer:
        data = _child(request.body, "dataSet")
        entity, tables = data.get("rootEntity", ""), self.tables
        rows = list[Values]()
        with tables.transaction():
            for row in data.findall("dataRow"):
                rows.append(tables.save(entity, _values(row.find("localFields")), _values(row.find("key"))))
            if not rows:
                raise Refused("É necessário informar o atributo 'dataRow'")
        self._saved(entity, data.findall("dataRow"))
        fields = _fields(data, tables.columns[entity])
        shown = [{name: text(row.get(name)) for name in fields} for row in rows]
        return Answer({"entities": {"total": str(len(rows)), "entity": shown}})

    def _save_dataset(self, request: Request, _: Live) -> Answer:
        entity = request.body.get("entityName", "")
        fields = [one.text or "" for one in request.body.findall("fields")]
        rows = list[Values]()
        with self.tables.transaction():
            for record in request.body.findall("records"):
                values = {fields[int(place)]: one for place, one in _values(record.find("values")).items()}
                rows.append(self.tables.save(entity, values, _values(record.find("pk"))))
        self._saved(entity, request.body.findall("records"))
        shown = [{name: text(row.get(name)) for name in fields} for row in rows]
        return Answer({"total": str(len(rows)), "result": shown})

    def _save_plain(self, request: Request, _: Live) -> Answer:
        asked = _child(request.body, "entity")
        name, tables = asked.get("name", ""), self.tables
        values: Values = {one.get("nome", ""): one.text or None for one in asked.findall("campo")}
        key = tables.keys.get(name, "")
        row = tables.save(name, {one: value for one, value in values.items() if one != key}, {key: values.get(key)})
        self._saved(name, [asked])
        return Answer({"entidades": {"nome": name, "entidade": [{one: text(value) for one, value in row.items()}]}})

    def _saved(self, entity: str, rows: list[Element]) -> None:
        self._tally.saved(entity + repr([[(one.tag, one.attrib, one.text) for one in row.iter()] for row in rows]))

    def _remove(self, request: Request, _: Live) -> Answer:
        asked = _child(request.body, "entity")
        entity = asked.get("rootEntity", asked.get("name", ""))
        with self.tables.transaction():
            for one in asked.findall("id"):
                self.tables.remove(entity, _values(one))
        return Answer()

    def _query(self, request: Request, _: Live) -> Answer:
        names, rows = self.tables.query(request.body.findtext("sql") or request.body.get("sql") or "")
        metadata = [{"name": name} for name in names]
        shown = [{f"f{place}": text(one) for place, one in enumerate(row)} for row in rows]
        return Answer({"fieldsMetadata": {"field": metadata}, "rows": {"row": shown}})

    def _list_sessions(self, _: Request, __: Live) -> Answer:
        if not self._settings.admin:
            raise Refused(DENIED)
        return Answer({"SESSIONS": {"SESSION": [self._shown(one) for one in self._sessions.live.values()]}})

    def _shown(self, session: Live) -> Tree:
        began = session.began_wall.strftime("%d/%m/%Y %H:%M:%S")
        idle = int(time.monotonic() - session.touched)
        return {
            "ID": session.id,
            "USERID": str(self._settings.user_code),
            "USERNAME": self._settings.username,
            "USERAGENT": session.user_agent,
            "HOST": session.host,
            "CREATIONTIME": began,
            "LASTACCESSEDTIME": began,
            "LOGINTIME": began,
            "INACTIVEINTERVAL": str(idle),
            "MAXINACTIVEINTERVAL": str(int(self._settings.idle_timeout)),
            "AUTHENTICATED": "S",
        }

    def _kill_session(self, request: Request, _: Live) -> Answer:
        if not self._settings.admin:
            raise Refused(DENIED)
        self._sessions.end(_child(request.body, "SESSION").get("ID", ""), "kills")
        return Answer()

    def _open_file(self, request: Request, session: Live) -> Answer:
        path = _child(request.body, "config").get("path", "")
        if path not in self._settings.files:
            raise Refused("Arquivo/Diretório não foi encontrado no repositório")
        key = secrets.token_hex(8)
        session.file_keys[key] = path
        return Answer({"chave": {"valor": key}})


def _child(body: Element, name: str) -> Element:
    found = next(body.iter(name), None)
    if found is None:
        raise Refused(f"É necessário informar o atributo '{name}'")
    return found


def _fields(data: Element, columns: list[str]) -> list[str]:
    fields = list[str]()
    for entity in data.findall("entity"):
        path = entity.get("path", "")
        listed = entity.find("fieldset")
        names = (listed.get("list", "*") if listed is not None else "*").split(",")
        for name in (one.strip() for one in names):
            if name == "*":
                fields += columns
            elif name:
                fields.append(f"{path}_{name}" if path else name)
    return fields or columns


def _values(element: Element | None) -> Values:
    if element is None:
        return {}
    return {**element.attrib, **{one.tag: one.text or None for one in element}}


def _parameter(element: Element) -> object:
    value = element.text or ""
    return int(value) if element.get("type") == "I" and value.lstrip("-").isdigit() else value
