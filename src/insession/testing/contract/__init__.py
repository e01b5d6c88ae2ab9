"""The contract that every store keeps, as tests: inherit `StoreContract`, and give it a `store`.

A store that passes may be used wherever a URL names one::

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self, clock):
            store = MyStore(clock=clock)
            await store.open()
            yield store
            await store.close()
"""

from __future__ import annotations

import pytest

for _topic in ("batches", "endings", "items", "leases", "limits", "log", "pages", "records", "samples", "suite"):
    pytest.register_assert_rewrite(f"{__name__}.{_topic}")

from .endings import Endings, Expiry, Picks, Touches  # noqa: E402
from .items import ItemPages, ItemRepeats, Items, UnderAnId  # noqa: E402
from .limits import KindLimits, Limits, TwoLimits  # noqa: E402
from .records import Guards, Patches, Refusals, Repeats, Versions  # noqa: E402
from .suite import Suite  # noqa: E402


class StoreContract(
    Guards, Patches, Versions, Repeats, Refusals,
    Endings, Picks, Expiry, Touches,
    Limits, KindLimits, TwoLimits,
    Items, ItemRepeats, UnderAnId, ItemPages,
):
    """All topics of the contract."""


__all__ = ["StoreContract", "Suite"]
