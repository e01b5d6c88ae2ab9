"""The verbs of the service, async: rows, services, files. Made by a context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID
from xml.etree.ElementTree import Element

import anyio

from insession.remote.contracts import Call, Verify
from insession.remote.pool import SessionPool

from . import crud
from .entities import Entity
from .errors import SankhyaInputError, ServiceRequestInvalidResponseException
from .files import File, FileKey, FileRequest, file_request, image_request
from .paging import Pages
from .request import ServiceRequest, ServiceResponse
from .services import DELETE_FILES, OPEN_FILE
from .translating import translating

E = TypeVar("E", bound=Entity)
Body = ServiceRequest | Element | Mapping[str, Any] | str | bytes | None
"""What may be given as a request, see `ServiceRequest.of`."""
CONFIRMED = "br.com.sankhya.actionbutton.clientconfirm"


class AsyncSankhyaWrapper:
    """What a context does at the service. Any number of tasks may use it.

    Each verb borrows a session of the context's for its requests, so that there is never more than one of them at a
    time in a session. All of them raise `ServiceRequestException` and what is below it.
    """

    def __init__(self, pool: SessionPool[Any, Any], *, json: bool, timeout: float | None) -> None:
        self._pool = pool
        self._json = json
        self._timeout = timeout

    async def find_async(
        self,
        entity: type[E],
        criteria: str = "",
        parameters: Sequence[object] = (),
        *,
        max_results: int = 0,
    ) -> list[E]:
        """The rows for which an expression holds, of all pages.

        Args:
            entity: The class of the rows, which names entity and columns.
            criteria: An expression of the service (SQL); empty: all rows. Values go into ``parameters``.
            parameters: The values for each ``?`` in it, in their order. They are sent beside the expression and are
                never part of it.
            max_results: At most so many; 0: all.

        Raises `ServiceRequestSessionStateException` if the session was lost between two pages: what was found until
        then is not returned as if it were all.
        """
        if max_results < 0:
            raise SankhyaInputError("max_results", "is a number of rows, or 0 for all")
        pages = Pages(crud.load(entity, criteria, parameters), json=self._json)
        found: list[E] = []
        with translating():
            async with self._pool.borrow() as token:
                while not pages.over and (not max_results or len(found) < max_results):
                    response = await self._page(token, pages)
                    found += crud.typed(entity, response)
                    pages.read(response)
        return found[:max_results] if max_results else found

    async def insert_async(self, row: E, *, verify: Verify[Any] | None = None, retry_busy: bool = False) -> E:
        """Insert a row; as the service has it then, its new key included.

        ``verify`` is asked if the answer was lost: it gives back the row if it is there, else a verdict
        (`insession.remote.Verify`). Without it that raises `ServiceRequestOutcomeUnknownException`, and nothing is sent
        twice. ``retry_busy``: try again after a deadlock and the like, which the service rolled back.
        """
        return await self._save(row, there=False, verify=verify, retry_busy=retry_busy)

    async def update_async(self, row: E, *, verify: Verify[Any] | None = None, retry_busy: bool = False) -> E:
        """Change the columns of a row that were given, all but its key; see `insert_async`."""
        return await self._save(row, there=True, verify=verify, retry_busy=retry_busy)

    async def insert_all_async(self, rows: Sequence[E], *, verify: Verify[Any] | None = None) -> list[E]:
        """Insert rows of one entity by one request: all, or none; ``verify`` gives back all of them."""
        if not rows:
            return []
        answer = await self._any(crud.save([(row, False) for row in rows]), verify=verify)
        if not isinstance(answer, ServiceResponse):
            return list(answer)
        return crud.typed(type(rows[0]), answer) or list(rows)

    async def remove_async(self, row: Entity, *, verify: Verify[Any] | None = None, retry_busy: bool = False) -> None:
        """Remove a row, by its primary key; see `insert_async`. What ``verify`` gives back, if no verdict, is: done."""
        await self._any(crud.remove(row), verify=verify, retry_busy=retry_busy)

    async def invoke_service_async(
        self,
        service: str,
        request: Body = None,
        *,
        idempotent: bool | None = None,
        verify: Verify[Any] | None = None,
        retry_busy: bool = False,
    ) -> ServiceResponse:
        """Ask any service, in any session of the context's; see `ServiceRequest.of` for what it takes."""
        made = ServiceRequest.of(service, request, idempotent=idempotent)
        response: ServiceResponse = await self._any(made, verify=verify, retry_busy=retry_busy)
        return response

    async def open_file_async(self, path: str) -> FileKey:
        """The key of a file in the service's repository, for `get_file_async`."""
        made = ServiceRequest.of(OPEN_FILE, {"config": {"path": path}})
        with translating():
            async with self._pool.borrow() as token:
                response: ServiceResponse = await self._pool.invoke(token, self._call(made))
                generation = self._pool.generation(token)
        key = response.find("chave")
        text = "" if key is None else key.get("valor", "")
        if not text:
            raise ServiceRequestInvalidResponseException("it names no key", service=OPEN_FILE)
        return FileKey(text, token, generation)

    async def get_file_async(self, key: FileKey | str, *, to: Path | str | None = None) -> File:
        """A file by its key: as `open_file_async` gave it, or a text that some service gave in the same session.

        ``to``: also write it there. Raises `ServiceRequestFileNotFoundException`, and
        `ServiceRequestSessionStateException` if the session of the key has been renewed since.
        """
        file: File
        with translating():
            if isinstance(key, FileKey):
                call = self._file_call(file_request(key.text), generation=key.generation)
                file = await self._pool.invoke(key.token, call)
            else:
                file = await self._pool.send(self._file_call(file_request(key)))
        if to is not None:
            await anyio.Path(to).write_bytes(file.content)
        return file

    async def get_image_async(self, entity: str, **keys: object) -> File | None:
        """The image of a row, named by its key: ``get_image_async("Produto", CODPROD=4)``; None: it has none."""
        with translating():
            image: File | None = await self._pool.send(self._file_call(image_request(entity, keys)))
        return image

    async def delete_files_async(self, *paths: str) -> None:
        """Delete files of the repository."""
        body = {
            "arquivos": {"path": [{"$": path} for path in paths]},
            "clientEventList": {"clientEvent": [{"$": CONFIRMED}]},
        }
        await self._any(ServiceRequest.of(DELETE_FILES, body))

    async def _page(self, token: UUID, pages: Pages) -> ServiceResponse:
        generation = self._pool.generation(token) if pages.rests_on_session else None
        call = self._call(crud.load_request(pages.body), generation=generation)
        response: ServiceResponse = await self._pool.invoke(token, call)
        return response

    async def _save(self, row: E, *, there: bool, verify: Verify[Any] | None, retry_busy: bool) -> E:
        answer = await self._any(crud.save([(row, there)]), verify=verify, retry_busy=retry_busy)
        if isinstance(answer, ServiceResponse):
            return crud.saved(row, answer)
        found: E = answer  # what the verify function found
        return found

    async def _any(
        self, request: ServiceRequest, *, verify: Verify[Any] | None = None, retry_busy: bool = False
    ) -> Any:
        with translating():
            return await self._pool.send(self._call(request, retry_busy=retry_busy), verify=verify)

    def _call(
        self, request: ServiceRequest, *, retry_busy: bool = False, generation: int | None = None
    ) -> Call[ServiceRequest]:
        return call_of(request, timeout=self._timeout, retry_busy=retry_busy, generation=generation)

    def _file_call(self, request: FileRequest, generation: int | None = None) -> Call[FileRequest]:
        return Call(
            service=request.service,
            request=request,
            idempotent=True,
            timeout=self._timeout,
            generation=generation,
        )


def call_of(
    request: ServiceRequest, *, timeout: float | None, retry_busy: bool = False, generation: int | None = None
) -> Call[ServiceRequest]:
    """The pool's call of a request."""
    service = request.service
    return Call(
        service=service.name,
        request=request,
        idempotent=service.idempotent,
        retry_busy=retry_busy,
        timeout=timeout,
        generation=generation,
    )
