"""Sankhya: authenticated sessions with the ERP, over the pool of `insession.remote`.

    async with AsyncSankhyaContext.from_settings() as context:
        partners = await context.wrapper.find_async(Partner, "CODPARC > ?", [0])

`SankhyaContext` is the same for threads. Needs ``insession[remote]``.
"""

from __future__ import annotations

from .blocking import SankhyaContext, SankhyaWrapper
from .context import AsyncSankhyaContext
from .crudwrappers import AsyncSimpleCRUDRequestWrapper, SimpleCRUDRequestWrapper
from .entities import Column, Entity
from .errors import SankhyaException, ServiceRequestException
from .files import File, FileKey
from .partner import Partner
from .request import ServiceRequest, ServiceResponse
from .settings import SankhyaSettings
from .wrapper import AsyncSankhyaWrapper

__all__ = [
    "AsyncSankhyaContext",
    "AsyncSankhyaWrapper",
    "AsyncSimpleCRUDRequestWrapper",
    "Column",
    "Entity",
    "File",
    "FileKey",
    "Partner",
    "SankhyaContext",
    "SankhyaException",
    "SankhyaSettings",
    "SankhyaWrapper",
    "ServiceRequest",
    "ServiceRequestException",
    "ServiceResponse",
    "SimpleCRUDRequestWrapper",
]
