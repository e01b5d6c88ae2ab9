"""Rows at the service: found over pages, saved and removed, in both dialects."""

from __future__ import annotations

from decimal import Decimal

import pytest

from insession.remote.sankhya import (
    AsyncSankhyaContext,
    Column,
    Entity,
    Partner,
    SankhyaInputError,
    ServiceRequestInvalidExpressionException,
    ServiceRequestPropertyNameException,
)
from insession.testing import SankhyaDouble

from .conftest import Opened, gateway_settings, settings_for

WAYS = ["xml", "json", "gateway"]


class City(Entity, entity="Cidade"):
    code = Column(int, "CODCID", key=True)
    name = Column(str, "NOMECID")


class Located(Entity, entity="Parceiro"):
    code = Column(int, "CODPARC", key=True)
    city = Column(str, "Cidade.NOMECID")


def context_of(way: str, double: SankhyaDouble) -> AsyncSankhyaContext:
    if way == "gateway":
        return AsyncSankhyaContext(gateway_settings(double))
    return AsyncSankhyaContext(settings_for(double, dialect=way))


@pytest.mark.requirement("S11")
@pytest.mark.parametrize("way", WAYS)
async def test_all_rows_of_all_pages(way: str) -> None:
    with SankhyaDouble(seed=997) as double:
        async with context_of(way, double) as context:
            found = await context.wrapper.find_async(Partner, "CODPARC > 0")
            assert [row.code for row in found] == list(range(1, 1001))
            special = found[2]
            assert (special.name, special.document, special.postal_code) == ("Ação & Cia", "00123456000178", "00010000")
            assert (special.active, special.credit_limit) == (True, Decimal("1000.5"))
            assert found[1].document is None
            assert len(await context.wrapper.find_async(Partner, "", max_results=170)) == 170
        asked = double.counters.received["CRUDServiceProvider.loadRecords"]
        assert asked == {"xml": 4 + 2}.get(way, 20 + 4)
        assert double.counters.violations == ()


@pytest.mark.requirement("S11")
@pytest.mark.parametrize("way", WAYS)
async def test_parameters_are_bound(way: str, double: SankhyaDouble) -> None:
    async with context_of(way, double) as context:
        find = context.wrapper.find_async
        evil = "x' OR 'a' = 'a"
        await context.wrapper.insert_async(Partner(name=evil))
        assert [row.name for row in await find(Partner, "NOMEPARC = ?", [evil])] == [evil]
        assert len(await find(Partner, "CODPARC IN (?, ?) AND ATIVO = ?", [1, 3, True])) == 2
        assert await find(Partner, "NOMEPARC = ?", ["?"]) == []
        with pytest.raises(SankhyaInputError, match="parameters"):
            await find(Partner, "NOMEPARC = ?")


@pytest.mark.requirement("S12")
@pytest.mark.parametrize("way", WAYS)
async def test_round_trips(way: str, double: SankhyaDouble) -> None:
    async with context_of(way, double) as context:
        wrapper = context.wrapper
        row = await wrapper.insert_async(Partner(name="Novo & <Ação>", document="00000123", active=True, notes=None))
        assert (row.code, row.name, row.document, row.active) == (4, "Novo & <Ação>", "00000123", True)
        changed = await wrapper.update_async(Partner(code=row.code, name="Outro", document=None))
        assert (changed.name, changed.document, changed.active) == ("Outro", None, True)
        (found,) = await wrapper.find_async(Partner, "CODPARC = ?", [row.code])
        assert found == changed
        await wrapper.remove_async(found)
        assert await wrapper.find_async(Partner, "CODPARC = ?", [row.code]) == []
        assert double.count() == 3
        rows = await wrapper.insert_all_async([Partner(name="A"), Partner(name="B")])
        assert [one.name for one in rows] == ["A", "B"]
        assert double.counters.saves_received == 3
        assert await wrapper.insert_all_async([]) == []


@pytest.mark.parametrize("way", ["xml", "json"])
async def test_entities_of_ones_own_and_joined_columns(way: str, double: SankhyaDouble) -> None:
    async with context_of(way, double) as context:
        assert [one.name for one in await context.wrapper.find_async(City)] == ["São Paulo"]
        assert {one.city for one in await context.wrapper.find_async(Located)} == {"São Paulo"}


@pytest.mark.requirement("S41")
async def test_what_the_service_says_of_a_criterion(opened: Opened) -> None:
    wrapper = (await opened()).wrapper
    with pytest.raises(ServiceRequestInvalidExpressionException):
        await wrapper.find_async(Partner, "CODPARC >")
    with pytest.raises(ServiceRequestPropertyNameException) as caught:
        await wrapper.find_async(Partner, "XYZ = 1")
    assert caught.value.property_name == "XYZ"
    with pytest.raises(SankhyaInputError, match="max_results"):
        await wrapper.find_async(Partner, max_results=-1)
