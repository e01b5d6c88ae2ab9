"""Partners: customers, suppliers and whoever else the ERP deals with (entity ``Parceiro``)."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from .entities import Column, Entity


class Partner(Entity, entity="Parceiro"):
    """A partner. Subclass it for columns of your own; documents, telephones and postal codes are text."""

    code = Column(int, "CODPARC", key=True)
    name = Column(str, "NOMEPARC")
    company_name = Column(str, "RAZAOSOCIAL")
    person_type = Column(str, "TIPPESSOA")
    """``J`` for a company, ``F`` for a person."""
    active = Column(bool, "ATIVO")
    is_client = Column(bool, "CLIENTE")
    is_supplier = Column(bool, "FORNECEDOR")
    document = Column(str, "CGC_CPF")
    """The CNPJ or CPF, with its leading zeros."""
    state_registration = Column(str, "IDENTINSCESTAD")
    email = Column(str, "EMAIL")
    telephone = Column(str, "TELEFONE")
    postal_code = Column(str, "CEP")
    address_code = Column(int, "CODEND")
    address_number = Column(str, "NUMEND")
    address_complement = Column(str, "COMPLEMENTO")
    neighborhood_code = Column(int, "CODBAI")
    city_code = Column(int, "CODCID")
    credit_limit = Column(Decimal, "LIMCRED")
    created = Column(dt.datetime, "DTCAD")
    changed = Column(dt.datetime, "DTALTER")
    notes = Column(str, "OBSERVACOES")
