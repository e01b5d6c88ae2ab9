"""Every text of a refusal, and what it is for the caller and for the pool."""

from __future__ import annotations

import pytest

from insession.remote.errors import Busy, CredentialsRefused, Denied, Report, ServiceFull, SessionGone
from insession.remote.sankhya import errors
from insession.remote.sankhya.errors import ServiceRequestException, ServiceRequestPropertyException
from insession.remote.sankhya.messages import refusal

PROPERTY_NAME = errors.ServiceRequestPropertyNameException
UNAVAILABLE = errors.ServiceRequestUnavailableException
COMPETITION = errors.ServiceRequestCompetitionException
TEXTS: list[tuple[str, type[Exception], type[Report] | None]] = [
    ("Gerenciador de sessão não foi iniciado", errors.ServiceRequestSessionExpiredException, SessionGone),
    ("Não autorizado.", errors.ServiceRequestPermissionDeniedException, Denied),
    ("Usuário/Senha inválido.", errors.ServiceRequestInvalidCredentialsException, CredentialsRefused),
    ("Usuário expirou", errors.ServiceRequestExpiredAuthenticationException, CredentialsRefused),
    ("Maximum sessions exceeded", errors.ServiceRequestTooManySessionsException, ServiceFull),
    ("Ocorreu uma situação de concorrência", COMPETITION, Busy),
    ("Erro no log de acessos", COMPETITION, Busy),
    ("violação da restrição PRIMARY KEY 'PK_TSIRLG'. Não é possível", COMPETITION, Busy),
    ("Transaction was chosen as the DEADLOCK victim", errors.ServiceRequestDeadlockException, Busy),
    ("O tempo limite da consulta foi atingido", errors.ServiceRequestTimeoutException, Busy),
    ("A consulta foi cancelada pelo usuário", errors.ServiceRequestCanceledQueryException, Busy),
    ("The resultset object is closed", UNAVAILABLE, Busy),
    ("Falha no objeto de acesso a dados", UNAVAILABLE, Busy),
    ("The connection object is closed.", UNAVAILABLE, Busy),
    ("I/O Error: Connection reset", UNAVAILABLE, Busy),
    ("TDS Protocol error: Invalid packet type", UNAVAILABLE, Busy),
    ("STP_SET_SESSION", UNAVAILABLE, Busy),
    ("java.lang.NullPointerException", UNAVAILABLE, Busy),
    ("erro interno (NPE)", errors.ServiceRequestExternalException, None),
    ("Expressão inválida: CODPARC >>", errors.ServiceRequestInvalidExpressionException, None),
    ("Delimitador ''' desbalanceado", errors.ServiceRequestUnbalancedDelimiterException, None),
    ("A subconsulta retornou mais de 1 valor", errors.ServiceRequestInvalidSubQueryException, None),
    ("Arquivo/Diretório não foi encontrado no repositório", errors.ServiceRequestFileNotFoundException, None),
    ("O sistema não pode encontrar o arquivo especificado", errors.ServiceRequestPaginationException, None),
]
FORMS: list[tuple[str, type[ServiceRequestPropertyException], dict[str, str]]] = [
    (
        "erro ao obter valor da propriedade 'NOMEPARC'",
        errors.ServiceRequestPropertyValueException,
        {"name": "NOMEPARC"},
    ),
    ("Descritor do campo 'XYZ' inválido", PROPERTY_NAME, {"name": "XYZ"}),
    ("Nome de coluna 'XYZ' inválido", PROPERTY_NAME, {"name": "XYZ"}),
    ("Campo não existe: Parceiro->XYZ", PROPERTY_NAME, {"entity": "Parceiro", "name": "XYZ"}),
    (
        "Relacionamento: 'Cidades' não encontrado em: 'Parceiro'",
        errors.ServiceRequestInvalidRelationException,
        {"entity": "Parceiro", "name": "Cidades"},
    ),
    (
        "Propriedade 'NOMEPARC' com largura acima do limite: (50 > 40)",
        errors.ServiceRequestPropertyWidthException,
        {"name": "NOMEPARC", "width": "50", "most": "40"},
    ),
    (
        "CNPJ/CPF já existente para o parceiro: '12 - Outro'",
        errors.ServiceRequestDuplicatedDocumentException,
        {"partner": "12 - Outro"},
    ),
    (
        'A regra "Cadastro deadlock" não permitiu a operação.\nNão autorizado para esta filial',
        errors.ServiceRequestBusinessRuleException,
        {"name": "Cadastro deadlock", "said": "Não autorizado para esta filial"},
    ),
    (
        "O Log de transações do banco de dados 'SANKHYA' cheio",
        errors.ServiceRequestFullTransactionLogsException,
        {"database": "SANKHYA"},
    ),
    (
        "É necessário informar o atributo 'TIPPESSOA'",
        errors.ServiceRequestRequiredAttributeException,
        {"name": "TIPPESSOA"},
    ),
    (
        'conflito com a restrição FOREIGN KEY "FK_TGFPAR" no banco, tabela "sankhya.TSICID", column \'CODCID\'',
        errors.ServiceRequestForeignKeyException,
        {"constraint": "FK_TGFPAR", "table": "sankhya.TSICID", "name": "CODCID"},
    ),
]


@pytest.mark.requirement("S41")
@pytest.mark.parametrize(("message", "error", "report"), TEXTS, ids=[text for text, *_ in TEXTS])
@pytest.mark.parametrize("case", [str, str.upper, str.lower], ids=["as it is", "upper", "lower"])
def test_a_text_is_an_exception(
    message: str, error: type[Exception], report: type[Report] | None, case: type[str]
) -> None:
    raised = refusal(f"ORA-1: {case(message)}", "CRUDServiceProvider.loadRecords", 0)
    if report is None:
        assert type(raised) is error
    else:
        assert isinstance(raised, report)
        assert type(raised.error) is error


@pytest.mark.requirement("S41")
@pytest.mark.parametrize(("message", "error", "details"), FORMS, ids=[text for text, *_ in FORMS])
def test_a_form_names_what_it_is_about(
    message: str, error: type[ServiceRequestPropertyException], details: dict[str, str]
) -> None:
    raised = refusal(message, "CRUDServiceProvider.saveRecord", 0)
    assert type(raised) is error
    assert isinstance(raised, ServiceRequestPropertyException)
    assert (raised.details, raised.property_name, raised.entity) == (
        details,
        details.get("name"),
        details.get("entity"),
    )


@pytest.mark.requirement("S41")
def test_what_is_not_known_is_kept_as_it_came() -> None:
    raised = refusal("Algo deu errado, código 17.", "CACSP.incluirNota", 0)
    assert type(raised) is errors.ServiceRequestUnexpectedException
    assert isinstance(raised, ServiceRequestException)
    assert (raised.message, raised.service, raised.status) == ("Algo deu errado, código 17.", "CACSP.incluirNota", 0)
    assert "without a message" in str(refusal("", "CACSP.incluirNota", 0))
