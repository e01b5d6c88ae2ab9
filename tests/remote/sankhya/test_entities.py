"""Typed rows: what is read, what is sent, what is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from insession.remote.sankhya import Column, Entity, Partner, ServiceResponse, crud
from insession.remote.sankhya.envelope import parse, write
from insession.remote.sankhya.errors import SankhyaInputError, ServiceRequestInvalidResponseException
from insession.remote.sankhya.paging import Pages
from insession.remote.sankhya.request import read_xml


class Note(Entity, entity="CabecalhoNota"):
    number = Column(int, "NUNOTA", key=True)
    item = Column(int, "SEQUENCIA", key=True)
    day = Column(dt.date, "DTNEG")
    total = Column(Decimal, "VLRNOTA")
    open = Column(bool, "PENDENTE")
    customer = Column(str, "Parceiro.NOMEPARC")


def xml(request: Any) -> str:
    return write("X.y", getattr(request, "body", request)).decode()


def answered(body: str) -> ServiceResponse:
    return read_xml(f'<serviceResponse status="1"><responseBody>{body}</responseBody></serviceResponse>'.encode())


def test_rows_are_read_in_the_order_of_the_metadata() -> None:
    response = answered(
        '<entities total="2"><metadata><fields><field name="CODPARC"/><field name="CGC_CPF"/><field name="ATIVO"/>'
        '<field name="LIMCRED"/><field name="DTCAD"/><field name="CEP"/><field name="AD_NEW"/></fields></metadata>'
        "<entity><f0>1</f0><f1>00000000000191</f1><f2>S</f2><f3>1000.50</f3><f4>21/11/2025 08:30:00</f4>"
        "<f5>01310100</f5><f6>x</f6><_rmd/></entity>"
        "<entity><f0>2</f0><f1/><f2>N</f2><f3/><f4>21/11/2025</f4><f5/><f6/></entity></entities>"
    )
    one, two = crud.typed(Partner, response)
    assert (one.code, one.document, one.active, one.postal_code) == (1, "00000000000191", True, "01310100")
    assert (one.credit_limit, one.created) == (Decimal("1000.50"), dt.datetime(2025, 11, 21, 8, 30))  # noqa: DTZ001
    assert (two.document, two.active, two.created) == (None, False, dt.datetime(2025, 11, 21))  # noqa: DTZ001
    assert one.notes is None
    assert "notes" not in one.given


def test_rows_without_metadata_have_their_real_names() -> None:
    (row,) = crud.typed(
        Note,
        answered("<entities><entity><NUNOTA>7</NUNOTA><Parceiro_NOMEPARC>A</Parceiro_NOMEPARC></entity></entities>"),
    )
    assert (row.number, row.customer, row.day) == (7, "A", None)


@pytest.mark.parametrize(
    ("column", "text"), [("NUNOTA", "x"), ("DTNEG", "2025-11-21"), ("VLRNOTA", "1,5"), ("PENDENTE", "Y")]
)
def test_a_value_that_is_none_names_its_column(column: str, text: str) -> None:
    response = answered(f"<entities><entity><{column}>{text}</{column}></entity></entities>")
    with pytest.raises(ServiceRequestInvalidResponseException, match=column):
        crud.typed(Note, response)


def test_an_insert_sends_what_was_given_and_nothing_else() -> None:
    row = Note(number=7, total=Decimal("1E+2"), day=dt.date(2025, 1, 2), open=True, item=None)
    sent = parse(xml(crud.save([(row, False)])).encode())
    fields = sent.find("requestBody/dataSet/dataRow/localFields")
    assert fields is not None
    assert {one.tag: one.text for one in fields} == {
        "NUNOTA": "7",
        "VLRNOTA": "100",
        "DTNEG": "02/01/2025",
        "PENDENTE": "S",
        "SEQUENCIA": None,
    }
    assert sent.find("requestBody/dataSet/dataRow/key") is None


def test_an_update_names_its_row_by_the_key() -> None:
    row = Note(number=7, item=1, open=False)
    sent = xml(crud.save([(row, True)]))
    assert (
        "<localFields><PENDENTE>N</PENDENTE></localFields><key><NUNOTA>7</NUNOTA><SEQUENCIA>1</SEQUENCIA></key>" in sent
    )
    assert 'list="NUNOTA,SEQUENCIA,DTNEG,VLRNOTA,PENDENTE"' in sent


def test_rows_that_cannot_be_named_or_have_nothing_to_say_are_refused() -> None:
    with pytest.raises(SankhyaInputError, match="item"):
        crud.save([(Note(number=7, open=True), True)])
    with pytest.raises(SankhyaInputError, match="item"):
        crud.remove(Note(number=7))
    with pytest.raises(SankhyaInputError, match="nothing to save"):
        crud.save([(Note(number=7, item=1), True)])
    with pytest.raises(SankhyaInputError, match="one entity"):
        crud.save([(Note(number=7, item=1), False), (Partner(name="x"), False)])


@pytest.mark.requirement("S11")
def test_parameters_travel_beside_the_expression() -> None:
    values = [1, "O'Neil'; --", dt.date(2025, 1, 2), True, Decimal("1.5")]
    body = crud.load(Partner, "CODPARC > ? AND NOMEPARC = ? AND DTCAD < ? AND ATIVO = ? AND LIMCRED > ?", values)
    sent = xml(body)
    assert "<expression>CODPARC &gt; ? AND NOMEPARC = ? AND DTCAD &lt; ? AND ATIVO = ? AND LIMCRED &gt; ?" in sent
    assert '<parameter type="I">1</parameter><parameter type="S">O\'Neil\'; --</parameter>' in sent
    assert '<parameter type="D">02/01/2025</parameter><parameter type="S">S</parameter>' in sent


@pytest.mark.parametrize(
    ("criteria", "parameters"),
    [
        ("A = ?", []),
        ("A = 1", [1]),
        ("", [1]),
        ("A = '?'", [1]),
        ("A = ? AND B = ?", [1]),
        ("A = ?", [None]),
        ("A = ?", [[1]]),
    ],
)
def test_parameters_that_do_not_fit_are_refused(criteria: str, parameters: list[object]) -> None:
    with pytest.raises(SankhyaInputError, match="parameters"):
        crud.load(Partner, criteria, parameters)


def test_a_mark_inside_of_a_text_is_none() -> None:
    assert "<expression>A = &apos;?&apos;" in xml(crud.load(Partner, "A = '?' AND B = ?", [1])).replace("'", "&apos;")


def test_joined_columns_are_asked_for_by_their_path() -> None:
    sent = xml(crud.load(Note, "", []))
    assert '<entity path="Parceiro"><fieldset list="NOMEPARC"/></entity>' in sent


def test_an_attribute_takes_its_type_only() -> None:
    with pytest.raises(SankhyaInputError, match="name"):
        Partner(name=7)
    with pytest.raises(SankhyaInputError, match="did you mean 'name'"):
        Partner(nam="x")
    row = Partner(code=1)
    with pytest.raises(SankhyaInputError, match="code"):
        row.code = True
    row.name = None
    assert row.given == {"code": 1, "name": None}


def test_rows_are_equal_by_what_they_hold() -> None:
    assert Partner(code=1, name="A") == Partner(name="A", code=1)
    assert Partner(code=1) != Partner(code=2)
    assert repr(Partner(code=1, active=True)) == "Partner(code=1, active=True)"


def test_a_class_of_ones_own_adds_columns() -> None:
    class OurPartner(Partner, entity="Parceiro"):
        region = Column(int, "AD_REGIAO")

    assert set(OurPartner.columns) == {*Partner.columns, "region"}
    assert OurPartner(code=1, region=2).texts(key=False) == {"AD_REGIAO": "2"}


def test_a_column_that_cannot_be_is_refused_where_it_is_declared() -> None:
    with pytest.raises(SankhyaInputError, match="type of a column"):
        Column(list, "A")
    with pytest.raises(SankhyaInputError, match="no name"):
        Column(str, "A B")


@pytest.mark.parametrize(
    "body",
    [
        '<entities total="1" totalPages="x" pagerID="p"/>',
        '<entities total="1" totalPages="2"/>',
    ],
)
def test_pages_that_cannot_be_had_are_said(body: str) -> None:
    pages = Pages(crud.load(Partner, "", []), json=False)
    with pytest.raises(ServiceRequestInvalidResponseException):
        pages.read(answered(body))
