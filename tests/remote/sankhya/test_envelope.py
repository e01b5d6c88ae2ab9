"""Envelopes: writing them, reading answers safely, and what may be given as a request."""

from __future__ import annotations

import base64
from xml.etree import ElementTree as ET

import pytest

from insession.remote.sankhya import ServiceRequest
from insession.remote.sankhya.dialect import JSON, XML, judged
from insession.remote.sankhya.envelope import Unreadable, message_of, parse, write
from insession.remote.sankhya.errors import SankhyaInputError, ServiceRequestException
from insession.remote.sankhya.request import read_json, read_xml
from insession.remote.sankhya.services import SERVICES, service_of
from insession.remote.sankhya.wire import Answer

LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {two} "{f"&{one};" * 10}">' for one, two in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><serviceResponse status='1'>&j;</serviceResponse>"
)

NOTE = '<nota informar="true"><cabecalho><NUNOTA>7</NUNOTA></cabecalho><item>a</item><item>b</item></nota>'


def answer(content: bytes, status: int = 200) -> Answer:
    import httpx2

    return Answer(status, content, httpx2.Headers())


@pytest.mark.parametrize(
    "content",
    [
        LAUGHS.encode(),
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b"<!DOCTYPE a><a/>",
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
    ],
    ids=["expansion", "external type", "external entity", "empty", "in UTF-16"],
)
def test_a_document_type_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable, match="document type"):
        parse(content)


def test_an_entity_without_a_type_is_refused() -> None:
    with pytest.raises(Unreadable, match="not well-formed"):
        parse(b"<a>&x;</a>")


@pytest.mark.parametrize(
    "content",
    [b"", b"   ", b"<a>", b"<a></b>", b"<a/><b/>", b"plain", b"\xff\xfe", b'<?xml version="1.0" encoding="no"?><a/>'],
)
def test_what_is_no_xml(content: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(content)


@pytest.mark.requirement("S40")
@pytest.mark.parametrize("content", [b"", b"<html><body>x</body></html>", b'<serviceResponse status="1"><resp', b"\0"])
def test_an_answer_that_is_none_is_a_typed_error_with_its_beginning(content: bytes) -> None:
    from insession.remote.errors import OutcomeLost
    from insession.remote.sankhya.errors import ServiceRequestInvalidResponseException

    for dialect in (XML, JSON):
        with pytest.raises((OutcomeLost, ServiceRequestInvalidResponseException)) as caught:
            judged(dialect, SERVICES["CRUDServiceProvider.saveRecord"], answer(content))
        error = getattr(caught.value, "error", caught.value)
        assert isinstance(error, ServiceRequestInvalidResponseException)
        assert error.raw == content


def test_what_is_kept_of_an_answer_is_capped_and_never_that_of_a_login() -> None:
    from insession.remote.errors import OutcomeLost

    with pytest.raises(OutcomeLost) as caught:
        judged(XML, SERVICES["CRUDServiceProvider.saveRecord"], answer(b"<a>" * 10_000))
    assert len(caught.value.error.raw) == 4_096  # type: ignore[union-attr]
    with pytest.raises(OutcomeLost) as caught:
        judged(XML, SERVICES["MobileLoginSP.login"], answer(b"<jsessionid>secret</jsessionid>"))
    assert caught.value.error.raw == b""  # type: ignore[union-attr]


@pytest.mark.requirement("S41")
@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_a_message_in_base64(encoding: str) -> None:
    text = base64.b64encode("Não autorizado.".encode(encoding)).decode()
    element = ET.Element("statusMessage")
    element.text = f"\n{text[:8]}\n{text[8:]}\n"
    assert message_of(element) == "Não autorizado."


@pytest.mark.parametrize("text", ["Não autorizado.", "deadlock", "erro", "abcd", "Erro interno"])
def test_a_plain_message_stays_as_it_is(text: str) -> None:
    element = ET.Element("statusMessage")
    element.text = text
    assert message_of(element) == text


@pytest.mark.requirement("S17")
@pytest.mark.parametrize(
    ("status", "body", "right"),
    [
        ("1", "", True),
        ("1", "<a/>", True),
        ("2", "<a/>", True),
        ("2", "", False),
        ("3", "", False),
        ("3", "<a/>", False),
        ("0", "<a/>", False),
        ("4", "<a/>", False),
        ("5", "<a/>", False),
        ("-1", "<a/>", False),
        ("x", "<a/>", False),
        ("", "<a/>", False),
    ],
)
def test_only_status_1_and_2_with_a_body_are_a_success(status: str, body: str, right: bool) -> None:
    from insession.remote.errors import Report

    service = SERVICES["CRUDServiceProvider.loadRecords"]
    content = f'<serviceResponse status="{status}"><responseBody>{body}</responseBody></serviceResponse>'
    said = f'{{"status":"{status}","responseBody":{"{}" if not body else """{"a":{}}"""}}}'
    for dialect, text in ((XML, content), (JSON, said)):
        if right:
            assert judged(dialect, service, answer(text.encode())).status == int(status)
        else:
            with pytest.raises((Report, ServiceRequestException)):
                judged(dialect, service, answer(text.encode()))


def test_an_envelope_in_latin_1() -> None:
    content = '<?xml version="1.0" encoding="ISO-8859-1"?><serviceResponse serviceName="X.y" status="1" '
    content += 'pendingPrinting="true" transactionId="A1" errorCode="E" errorLevel="2"><responseBody><n>Ação</n>'
    content += "</responseBody></serviceResponse>"
    read = read_xml(content.encode("iso-8859-1"))
    assert (read.service, read.status, read.transaction_id, read.pending_printing) == ("X.y", 1, "A1", True)
    assert (read.error_code, read.error_level) == ("E", "2")
    assert read.body == {"n": {"$": "Ação"}}


@pytest.mark.requirement("S73")
def test_an_answer_is_an_element_and_a_dict_in_both_dialects() -> None:
    xml = b'<serviceResponse status="1"><responseBody><e total="2"><r><f0>1</f0></r><r><f0/></r></e></responseBody>'
    one = read_xml(xml + b"</serviceResponse>")
    two = read_json(b'{"status":"1","responseBody":{"e":{"total":"2","r":[{"f0":{"$":"1"}},{"f0":{}}]}}}')
    assert one.body == two.body == {"e": {"total": "2", "r": [{"f0": {"$": "1"}}, {"f0": {}}]}}
    for response in (one, two):
        found = response.find("e")
        assert found is not None
        assert found.get("total") == "2"


@pytest.mark.requirement("S73")
@pytest.mark.parametrize(
    "request_",
    [
        {"nota": {"cabecalho": {"NUNOTA": {"$": 7}, "aviso": None}, "item": [{"$": "a"}, "b"], "informar": True}},
        {"requestBody": {"nota": {"cabecalho": {"NUNOTA": {"$": "7"}}, "item": ["a", "b"], "informar": "true"}}},
        NOTE,
        f"<requestBody>{NOTE}</requestBody>",
        f'<serviceRequest serviceName="other"><requestBody>{NOTE}</requestBody></serviceRequest>'.encode(),
    ],
    ids=["dict", "dict with its body", "text", "body as text", "envelope"],
)
def test_what_may_be_given_as_a_request(request_: dict[str, object] | str | bytes) -> None:
    made = ServiceRequest.of("CACSP.incluirNota", request_)
    again = ServiceRequest.of("CACSP.incluirNota", made)
    from_element = ServiceRequest.of("CACSP.incluirNota", made.body)
    wanted = f'<serviceRequest serviceName="CACSP.incluirNota"><requestBody>{NOTE}</requestBody></serviceRequest>'
    for one in (made, again, from_element):
        assert write("CACSP.incluirNota", one.body).decode() == wanted


@pytest.mark.requirement("S73")
def test_several_elements_side_by_side_are_a_body() -> None:
    made = ServiceRequest.of("X.y", "<a/><b>1</b>")
    assert write("X.y", made.body).decode().partition("<requestBody>")[2].startswith("<a/><b>1</b>")


@pytest.mark.requirement("S73")
@pytest.mark.parametrize(
    "request_", ["no xml", "<a>", "<!DOCTYPE a><a/>", 7, {"a b": "x"}, {"a": object()}, {"a": {"<": 1}}]
)
def test_what_may_not(request_: object) -> None:
    with pytest.raises(SankhyaInputError, match="request"):
        ServiceRequest.of("X.y", request_)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["<&>\"'", "a\nb\tc", "Ação €", "]]>", " x "])
def test_values_survive_the_way(text: str) -> None:
    body = ServiceRequest.of("X.y", {"a": {"b": text, "c": {"$": text}}}).body
    read = parse(write("X.y", body)).find("requestBody/a")
    assert read is not None
    assert (read.get("b"), read.findtext("c")) == (text, text)


def test_what_xml_cannot_carry_is_refused() -> None:
    with pytest.raises(SankhyaInputError, match="control character"):
        write("X.y", ServiceRequest.of("X.y", {"a": {"$": "a\x00b"}}).body)


@pytest.mark.requirement("S38", "S73")
def test_unknown_services_lie_in_mge_and_are_not_sent_twice() -> None:
    own = service_of("Own.service")
    assert (own.module, own.idempotent) == ("mge", False)
    assert service_of("mgecom:Own.service").module == "mgecom"
    assert service_of("Own.service", idempotent=True).idempotent
    assert service_of("CACSP.incluirNota").module == "mgecom"
    assert not service_of("crud.remove").idempotent
    assert not service_of("SelecaoDocumentoSP.faturar").idempotent
    assert not service_of("CACSP.confirmarNota").idempotent
    assert service_of("mge:CACSP.incluirNota").module == "mge"


@pytest.mark.parametrize("name", ["", "x y", "X.y&a=b", "../X.y", "X.y\r\nA: b", "mge:", "M:X.y"])
def test_names_that_are_no_service(name: str) -> None:
    with pytest.raises(SankhyaInputError, match="service"):
        service_of(name)


def test_neither_request_nor_answer_show_what_is_in_them() -> None:
    made = ServiceRequest.of("X.y", {"a": {"$": "s3cret"}})
    read = read_json(b'{"status":"1","responseBody":{"a":{"$":"s3cret"}}}')
    assert "s3cret" not in repr(made) + repr(read) + repr(answer(b"s3cret"))
