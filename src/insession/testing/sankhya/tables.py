"""The rows that the double holds, in an SQLite database in memory, which judges expressions and queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from .envelopes import Refused
from .settings import DoubleSettings, Row

Values = dict[str, object]
PARTNERS: Final[tuple[Row, ...]] = (
    {"NOMEPARC": "Parceiro 1", "CGC_CPF": "00000000000191", "CEP": "01310100", "ATIVO": "S"},
    {"NOMEPARC": "Parceiro 2", "CGC_CPF": None, "CEP": None, "ATIVO": "N"},
    {"NOMEPARC": "Ação & Cia", "CGC_CPF": "00123456000178", "CEP": "00010000", "ATIVO": "S"},
)
_PARTNER: Final[Row] = {
    "CODPARC": 0,
    "NOMEPARC": "",
    "RAZAOSOCIAL": None,
    "TIPPESSOA": "J",
    "ATIVO": "S",
    "CLIENTE": "S",
    "FORNECEDOR": "N",
    "CGC_CPF": None,
    "IDENTINSCESTAD": None,
    "EMAIL": None,
    "TELEFONE": None,
    "CEP": None,
    "CODEND": None,
    "NUMEND": None,
    "COMPLEMENTO": None,
    "CODBAI": None,
    "CODCID": 1,
    "LIMCRED": 1000.5,
    "DTCAD": "21/11/2025 08:30:00",
    "DTALTER": "21/11/2025 08:30:00",
    "OBSERVACOES": None,
}
_CITIES: Final[tuple[Row, ...]] = ({"CODCID": 1, "NOMECID": "São Paulo", "UF": 1},)


class Tables:
    """Entities by name. Every value leaves as text, as the service sends it."""

    def __init__(self, settings: DoubleSettings) -> None:
        # All on the double's own loop.
        self._base = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._base.row_factory = sqlite3.Row
        self.keys: dict[str, str] = {}
        self.columns: dict[str, list[str]] = {}
        partners = [*PARTNERS, *({"NOMEPARC": f"Parceiro {number}"} for number in range(4, settings.seed + 4))]
        self._make("Parceiro", [{**_PARTNER, **row, "CODPARC": place} for place, row in enumerate(partners, 1)])
        self._make("Cidade", _CITIES)
        for entity, rows in settings.rows.items():
            self._make(entity, rows)

    def close(self) -> None:
        """Forget everything."""
        self._base.close()

    def count(self, entity: str) -> int:
        """How many rows an entity has."""
        return int(self._base.execute(f'SELECT count(*) FROM "{self._known(entity)}"').fetchone()[0])  # noqa: S608

    def find(self, entity: str, expression: str, parameters: Sequence[object] = ()) -> list[Values]:
        """The rows for which an SQL expression holds, by key."""
        where = f" WHERE {expression}" if expression.strip() else ""
        key = self.keys[self._known(entity)]
        text = f'SELECT * FROM "{entity}" AS this{where} ORDER BY "{key}"'  # noqa: S608 - the wire carries SQL
        return self._rows(text, parameters)

    def query(self, sql: str) -> tuple[list[str], list[list[object]]]:
        """Names and rows of a query of the caller's."""
        if not sql.lstrip().upper().startswith("SELECT"):
            raise Refused("Apenas consultas são permitidas.")
        rows = self._rows(sql, ())
        names = list(rows[0]) if rows else []
        return names, [list(row.values()) for row in rows]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._base.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def save(self, entity: str, values: Mapping[str, object], key: Mapping[str, object]) -> Values:
        """Insert, or with a key update; the row as it is then."""
        name = self.keys[self._known(entity)]
        for column in (*values, *key):
            if column not in self.columns[entity]:
                raise Refused(f"Campo não existe: {entity}->{column}")
        number = key.get(name)
        if number in {None, ""}:
            number = self._insert(entity, values)
        elif values:
            sets = ", ".join(f'"{column}" = ?' for column in values)
            self._run(f'UPDATE "{entity}" SET {sets} WHERE "{name}" = ?', (*values.values(), number))  # noqa: S608
        rows = self._rows(f'SELECT * FROM "{entity}" WHERE "{name}" = ?', (number,))  # noqa: S608 - known names
        if not rows:
            raise Refused(f"Registro não encontrado: {entity}")
        return rows[0]

    def remove(self, entity: str, key: Mapping[str, object]) -> None:
        """Delete one row."""
        name = self.keys[self._known(entity)]
        self._run(f'DELETE FROM "{entity}" WHERE "{name}" = ?', (key.get(name),))  # noqa: S608 - known names

    def _insert(self, entity: str, values: Mapping[str, object]) -> object:
        names = ", ".join(f'"{column}"' for column in values)
        marks = ", ".join("?" for _ in values)
        what = f"({names}) VALUES ({marks})" if values else "DEFAULT VALUES"
        return self._run(f'INSERT INTO "{entity}" {what}', tuple(values.values())).lastrowid

    def _known(self, entity: str) -> str:
        if entity not in self.keys:
            raise Refused(f"Entidade não encontrada: {entity}")
        return entity

    def _make(self, entity: str, rows: Sequence[Row]) -> None:
        columns: dict[str, str] = {}
        for row in rows:
            columns |= {name: _affinity(one) for name, one in row.items() if one is not None or name not in columns}
        key, *others = columns or {"ID": ""}
        self.keys[entity], self.columns[entity] = key, [key, *others]
        told = "".join(f', "{name}" {columns[name]}' for name in others)
        self._run(f'CREATE TABLE "{entity}" ("{key}" INTEGER PRIMARY KEY{told})', ())
        for row in rows:
            self._insert(entity, row)

    def _rows(self, sql: str, parameters: Sequence[object]) -> list[Values]:
        return [dict(row) for row in self._run(sql, parameters).fetchall()]

    def _run(self, sql: str, parameters: Sequence[object]) -> sqlite3.Cursor:
        try:
            return self._base.execute(sql, tuple(parameters))
        except sqlite3.IntegrityError:
            raise Refused("Violação da restrição de chave.") from None
        except (sqlite3.Error, sqlite3.Warning) as error:
            column = str(error).partition("no such column: ")[2]
            raise Refused(f"Nome de coluna '{column}' inválido" if column else f"Expressão inválida: {error}") from None


def text(value: object) -> dict[str, str]:
    """A value as the service sends it."""
    return {} if value is None else {"$": str(value)}


def _affinity(value: object) -> str:
    return "NUMERIC" if isinstance(value, int | float) else "TEXT"
