"""Pages of rows: what asks for the next one, and when there is none."""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element

from .errors import ServiceRequestInvalidResponseException
from .request import ServiceResponse

MOST_PAGES: Final = 100_000


class Pages:
    """The pages of one search. In XML a pager at the service keeps its place, which dies with the session.

    In JSON pages are counted, and nothing lies at the service.
    """

    __slots__ = ("_body", "_data", "_json", "number", "over")

    def __init__(self, body: Element, *, json: bool) -> None:
        data = body.find("dataSet")
        assert data is not None  # noqa: S101 - made by crud.load
        self._body = body
        self._data = data
        self._json = json
        self.number: int = 1
        self.over: bool = False
        if json:
            data.set("offsetPage", "0")

    @property
    def rests_on_session(self) -> bool:
        """Whether the next page can be had from the session of the last one only."""
        return self.number > 1 and not self._json

    @property
    def body(self) -> Element:
        """What asks for the page that comes next."""
        return self._body

    def read(self, response: ServiceResponse) -> None:
        """Learn from a page what comes after it."""
        found = response.element.find("entities")
        self.over = found is None or not self._more(found, response)
        if self.over:
            return
        self.number += 1
        if self.number > MOST_PAGES:
            raise ServiceRequestInvalidResponseException("it has pages without end", service=response.service)
        if self._json:
            self._data.set("offsetPage", str(self.number - 1))
        else:
            self._data.set("pageNumber", str(self.number))

    def _more(self, found: Element, response: ServiceResponse) -> bool:
        if self._json:
            return found.get("hasMoreResult", "").lower() == "true"
        try:
            pages = int(found.get("totalPages", "1"))
        except ValueError:
            raise ServiceRequestInvalidResponseException(
                "its number of pages is no number", service=response.service
            ) from None
        pager = found.get("pagerID", "")
        if self.number >= pages:
            return False
        if not pager:
            # Without it the rest cannot be had: better said than left out.
            raise ServiceRequestInvalidResponseException("it has more pages and no pager", service=response.service)
        self._data.set("pagerID", pager)
        return True
