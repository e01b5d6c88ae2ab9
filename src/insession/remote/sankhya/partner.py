"""Partners: customers, suppliers and whoever else the ERP deals with (entity ``Parceiro``)."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from .entities import Column, Entity


class Partner(Entity, entity="Parceiro"):
    """A partner. Subclass it for columns of your own; documents, telephones and postal codes are text."""

    code: Column[int] = Column(int, "CODPARC", key=True)
    name: Column[str] = Column(str, "NOMEPARC")
    company_name: Column[str] = Column(str, "RAZAOSOCIAL")
    person_type: Column[str] = Column(str, "TIPPESSOA")
    """``J`` for a company, ``F`` for a person."""
    active: Column[bool] = Column(bool, "ATIVO")
    is_client: Column[bool] = Column(bool, "CLIENTE")
    is_supplier: Column[bool] = Column(bool, "FORNECEDOR")
    document: Column[str] = Column(str, "CGC_CPF")
    """The CNPJ or CPF, with its leading zeros."""
    state_registration: Column[str] = Column(str, "IDENTINSCESTAD")
    email: Column[str] = Column(str, "EMAIL")
    telephone: Column[str] = Column(str, "TELEFONE")
    postal_code: Column[str] = Column(str, "CEP")
    address_code: Column[int] = Column(int, "CODEND")
    address_number: Column[str] = Column(str, "NUMEND")
    address_complement: Column[str] = Column(str, "COMPLEMENTO")
    neighborhood_code: Column[int] = Column(int, "CODBAI")
    city_code: Column[int] = Column(int, "CODCID")
    credit_limit: Column[Decimal] = Column(Decimal, "LIMCRED")
    created: Column[dt.datetime] = Column(dt.datetime, "DTCAD")
    changed: Column[dt.datetime] = Column(dt.datetime, "DTALTER")
    notes: Column[str] = Column(str, "OBSERVACOES")
