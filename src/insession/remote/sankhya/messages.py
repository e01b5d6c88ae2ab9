"""What a refusal's text means: its exception, and what the pool may do about it.

Texts are found as parts of the message, without regard to case (section 1.5 of the protocol's notes). The customer's
own rules come first: what such a rule says is theirs, whatever words are in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from insession.remote.errors import Busy, CredentialsRefused, Denied, Report, ServiceFull, SessionGone

from . import errors as raised
from .errors import ServiceRequestException, ServiceRequestPropertyException

NOT_STARTED: Final = "Gerenciador de sessão não foi iniciado"
"""In the body of an HTTP 500: the session is dead."""
NO_FILE: Final = "O arquivo solicitado não existe no servidor"
"""In the page that is answered instead of a file."""


class Text(NamedTuple):
    """A part of a message. ``report``: what the pool is told; None: it was refused, and that is that."""

    part: str
    error: type[ServiceRequestException]
    report: type[Report] | None = None


class Pattern(NamedTuple):
    """A form of a message; its named groups are the details."""

    form: re.Pattern[str]
    error: type[ServiceRequestPropertyException]


def _pattern(form: str, error: type[ServiceRequestPropertyException]) -> Pattern:
    return Pattern(re.compile(form, re.IGNORECASE | re.DOTALL), error)


RULE: Final = _pattern(
    r"a regra \"(?P<name>[^\"]*)\" não permitiu a operação\.\s*(?P<said>.*)",
    raised.ServiceRequestBusinessRuleException,
)
PATTERNS: Final = (
    _pattern(r"erro ao obter valor da propriedade '(?P<name>[^']*)", raised.ServiceRequestPropertyValueException),
    _pattern(r"descritor do campo '(?P<name>[^']*)' inválido", raised.ServiceRequestPropertyNameException),
    _pattern(r"nome de coluna '(?P<name>[^']*)' inválido", raised.ServiceRequestPropertyNameException),
    _pattern(r"campo não existe: (?P<entity>\S+?)->(?P<name>\S+)", raised.ServiceRequestPropertyNameException),
    _pattern(
        r"relacionamento: '(?P<name>[^']*)' não encontrado em: '(?P<entity>[^']*)'",
        raised.ServiceRequestInvalidRelationException,
    ),
    _pattern(
        r"propriedade '(?P<name>[^']*)' com largura acima do limite: \((?P<width>\d+) > (?P<most>\d+)\)",
        raised.ServiceRequestPropertyWidthException,
    ),
    _pattern(
        r"cnpj/cpf já existente para o parceiro: '(?P<partner>[^']*)'", raised.ServiceRequestDuplicatedDocumentException
    ),
    _pattern(
        r"log de transações do banco de dados '(?P<database>[^']*)' cheio",
        raised.ServiceRequestFullTransactionLogsException,
    ),
    _pattern(r"é necessário informar o atributo '(?P<name>[^']*)'", raised.ServiceRequestRequiredAttributeException),
    _pattern(
        r"foreign key \"(?P<constraint>[^\"]*)\".*?tabela \"(?P<table>[^\"]*)\", column '(?P<name>[^']*)'",
        raised.ServiceRequestForeignKeyException,
    ),
)


def _texts() -> Iterator[Text]:
    yield Text("Usuário/Senha inválido", raised.ServiceRequestInvalidCredentialsException, CredentialsRefused)
    yield Text("Usuário expirou", raised.ServiceRequestExpiredAuthenticationException, CredentialsRefused)
    yield Text(NOT_STARTED, raised.ServiceRequestSessionExpiredException, SessionGone)
    # Its wording is not known; these are what the vendor's words for it would be, and one that was documented.
    for part in (
        "Maximum sessions exceeded",
        "número máximo de sessões",
        "limite de sessões",
        "limite máximo de sessões",
    ):
        yield Text(part, raised.ServiceRequestTooManySessionsException, ServiceFull)
    yield Text("não autorizado", raised.ServiceRequestPermissionDeniedException, Denied)
    for part in (
        "situação de concorrência",
        "log de acessos",
        "violação da restrição primary key 'PK_TSIRLG'",
    ):
        yield Text(part, raised.ServiceRequestCompetitionException, Busy)
    yield Text("deadlock", raised.ServiceRequestDeadlockException, Busy)
    yield Text("tempo limite da consulta", raised.ServiceRequestTimeoutException, Busy)
    yield Text("A consulta foi cancelada", raised.ServiceRequestCanceledQueryException, Busy)
    yield Text("erro interno (NPE)", raised.ServiceRequestExternalException)
    yield Text("Expressão inválida", raised.ServiceRequestInvalidExpressionException)
    yield Text("Delimitador ''' desbalanceado", raised.ServiceRequestUnbalancedDelimiterException)
    yield Text("A subconsulta retornou mais de 1 valor", raised.ServiceRequestInvalidSubQueryException)
    yield Text("Arquivo/Diretório não foi encontrado no repositório", raised.ServiceRequestFileNotFoundException)
    yield Text(NO_FILE, raised.ServiceRequestFileNotFoundException)
    yield Text("O sistema não pode encontrar o arquivo especificado", raised.ServiceRequestPaginationException)
    for part in (
        "resultset object is closed",
        "objeto de acesso a dados",
        "the connection object is closed",
        "I/O error",
        "TDS protocol error",
        "STP_SET_SESSION",
        "java.lang.NullPointerException",
    ):
        yield Text(part, raised.ServiceRequestUnavailableException, Busy)


TEXTS: Final = tuple(_texts())
_FOLDED: Final = tuple((text.part.casefold(), text) for text in TEXTS)


def refusal(message: str, service: str, status: int | None) -> Exception:
    """What a refused request raises: the exception itself, or the report to the pool that carries it."""
    found = RULE.form.search(message)
    if found is not None:
        return _about_a_property(RULE, found, message, service, status)
    folded = message.casefold()
    for part, text in _FOLDED:
        if part in folded:
            return _reported(text, message, service, status)
    for pattern in PATTERNS:
        found = pattern.form.search(message)
        if found is not None:
            return _about_a_property(pattern, found, message, service, status)
    said = message or "it was refused without a message"
    return raised.ServiceRequestUnexpectedException(said, service=service, status=status)


def _reported(text: Text, message: str, service: str, status: int | None) -> Exception:
    error = text.error(message, service=service, status=status)
    return error if text.report is None else text.report(str(error), error=error)


def _about_a_property(
    pattern: Pattern, found: re.Match[str], message: str, service: str, status: int | None
) -> ServiceRequestPropertyException:
    error = pattern.error(message, service=service, status=status)
    details = {name: value for name, value in found.groupdict().items() if value is not None}
    error.entity, error.property_name, error.details = details.get("entity"), details.get("name"), details
    return error
