"""The names of the Sankhya SDK's guide, and what they are here."""

from __future__ import annotations

from typing import Final

from insession.kernel.documented import Documented, DocumentedLogger
from insession.remote.logs import NAME

_HERE: Final = "insession.remote.sankhya"
_CONTEXTS: Final = {
    "SankhyaContext": f"{_HERE}.blocking:SankhyaContext",
    "AsyncSankhyaContext": f"{_HERE}.context:AsyncSankhyaContext",
}
_WRAPPERS: Final = {
    "SankhyaWrapper": f"{_HERE}.blocking:SankhyaWrapper",
    "AsyncSankhyaWrapper": f"{_HERE}.wrapper:AsyncSankhyaWrapper",
}
_SETTINGS: Final = {"SankhyaSettings": f"{_HERE}.settings:SankhyaSettings"}
_CRUD: Final = {
    "SimpleCRUDRequestWrapper": f"{_HERE}.crudwrappers:SimpleCRUDRequestWrapper",
    "AsyncSimpleCRUDRequestWrapper": f"{_HERE}.crudwrappers:AsyncSimpleCRUDRequestWrapper",
}
_PARTNER: Final = {"Partner": f"{_HERE}.partner:Partner"}
_ENTITIES: Final = {"Entity": f"{_HERE}.entities:Entity", "Column": f"{_HERE}.entities:Column"}
_KINDS: Final = (
    *("BusinessRule", "CanceledQuery", "Competition", "Deadlock", "DuplicatedDocument", "ExpiredAuthentication"),
    *("External", "FileNotFound", "ForeignKey", "FullTransactionLogs", "Inaccessible", "InvalidAuthorization"),
    *("InvalidCredentials", "InvalidExpression", "InvalidRelation", "InvalidSubQuery", "OutcomeUnknown", "Pagination"),
    *("PermissionDenied", "PropertyName", "PropertyValue", "PropertyWidth", "RequiredAttribute", "SessionExpired"),
    *("Timeout", "TooManySessions", "UnbalancedDelimiter", "Unavailable", "Unexpected"),
)
_ERRORS: Final = {
    name: f"{_HERE}.errors:{name}"
    for name in (
        "SankhyaException",
        "ServiceRequestException",
        *(f"ServiceRequest{one}Exception" for one in _KINDS),
    )
}
DOCUMENTED: Final = Documented(
    root="sankhya_sdk",
    modules={
        "": _CONTEXTS | _WRAPPERS | _SETTINGS | _CRUD | _ERRORS | _PARTNER,
        "config": _SETTINGS,
        "core": _CONTEXTS | _WRAPPERS | _SETTINGS,
        "core.context": _CONTEXTS,
        "core.settings": _SETTINGS,
        "core.wrapper": _WRAPPERS,
        "exceptions": _ERRORS,
        "models.transport": _PARTNER,
        "models.transport.partner": _PARTNER,
        "request_wrappers": _CRUD,
        "transport_entities": _PARTNER | _ENTITIES,
    },
    loggers=(DocumentedLogger(name="sankhya_sdk.session", ours=NAME, use="insession.remote.logs:use"),),
)
