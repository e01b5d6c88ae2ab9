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

from typing import Final

import pytest

for _topic in (
    "batches",
    "endings",
    "fences",
    "items",
    "leases",
    "limits",
    "log",
    "moving",
    "pages",
    "records",
    "samples",
    "suite",
):
    pytest.register_assert_rewrite(f"{__name__}.{_topic}")

from .batches import Batches  # noqa: E402
from .endings import Endings, Expiry, Lives, Picks, Touches  # noqa: E402
from .fences import Displacement, Fences  # noqa: E402
from .items import ItemPages, ItemRepeats, Items, UnderAnId  # noqa: E402
from .leases import Leases, Notes  # noqa: E402
from .limits import KindLimits, Limits, TwoLimits  # noqa: E402
from .log import Log, TwoInstances, Wakers  # noqa: E402
from .moving import Imports, Marks  # noqa: E402
from .pages import Pages, Purges  # noqa: E402
from .records import Guards, Patches, Refusals, Repeats, Versions  # noqa: E402
from .suite import Suite  # noqa: E402

TOPICS: Final[tuple[type[Suite], ...]] = (
    *(Guards, Patches, Versions, Repeats, Refusals),
    *(Endings, Lives, Picks, Expiry, Touches),
    *(Limits, KindLimits, TwoLimits),
    *(Items, ItemRepeats, UnderAnId, ItemPages),
    *(Leases, Notes, Displacement, Fences),
    *(Log, Wakers, TwoInstances),
    *(Pages, Purges, Batches),
    *(Marks, Imports),
)
"""The topics, for a store whose tests want them apart."""


class StoreContract(
    Guards, Patches, Versions, Repeats, Refusals,
    Endings, Lives, Picks, Expiry, Touches,
    Limits, KindLimits, TwoLimits,
    Items, ItemRepeats, UnderAnId, ItemPages,
    Leases, Notes, Displacement, Fences,
    Log, Wakers, TwoInstances,
    Pages, Purges, Batches,
    Marks, Imports,
):  # fmt: skip
    """All topics of the contract."""


__all__ = ["TOPICS", "StoreContract", "Suite"]
