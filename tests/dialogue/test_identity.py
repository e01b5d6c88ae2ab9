"""The identity map: each piece of data once in a turn, references, what is written, and what is not readable."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec import Struct

from insession import ConfigurationError, DataUnreadable, InvalidInput
from insession.dialogue import (
    DataLost,
    Dialogue,
    MemoryConflict,
    NotAdopted,
    Ref,
    Registry,
    TurnConflict,
    context,
    intent,
    memory,
    ref,
)
from insession.kernel.operations import Commit, Guard, Patch, Put
from insession.kernel.record import Record

from .conftest import Make
from .reading import engine_of, everything
from .samples import REGISTRY, Draft, Note, Order, UserInfo, message


@memory(scope=("user_id",), registry=REGISTRY)
class Owner(Struct):
    """A memory that points at data."""

    order: Ref[Order] | None = None
    friend: Ref[UserInfo] | None = None


async def record_of(dialogue: Dialogue) -> Record:
    (record,), _ = await everything(dialogue)
    return record


@pytest.mark.requirement("D22")
async def test_one_object_of_each_identity_whatever_the_way(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        user = await session.get(UserInfo)
        order = await session.get(Order)
        order.buyer = ref(user)
        other = session.adopt(Order(fruit="pear"))
        order.other = ref(other)
        assert await session.resolve(order.buyer) is user
        by_name: object = await session.get("UserInfo")
        assert by_name is user
    async with dialogue.turn(message()) as session:
        order = await session.get(Order)
        assert order.buyer is not None
        assert order.other is not None
        by_ref = await session.resolve(order.buyer)
        assert by_ref is await session.get(UserInfo) is await session.memory[UserInfo]
        other = await session.resolve(order.other)
        assert other.fruit == "pear"
        assert await session.resolve(Ref[Order](session.repo.identity(other))) is other


@pytest.mark.requirement("D22")
@pytest.mark.parametrize("there", [True, False])
async def test_tasks_of_a_turn_get_the_same_object(dialogue: Dialogue, there: bool) -> None:
    if there:
        async with dialogue.turn(message()) as session:
            (await session.get(UserInfo)).seen = 1
    async with dialogue.turn(message()) as session:
        found = await asyncio.gather(*(session.get(UserInfo) for _ in range(5)))
        assert all(one is found[0] for one in found)
        found[1].name = "Ann"
    async with dialogue.turn(message()) as session:
        assert (await session.get(UserInfo)).name == "Ann"


@pytest.mark.requirement("D23")
async def test_data_that_points_at_data_keeps_its_identity_and_cycles_load(dialogue: Dialogue) -> None:
    sizes = []
    for size in (10, 10_000):
        async with dialogue.turn(message(chat_id=f"c{size}")) as session:
            order = await session.get(Order)
            big = session.adopt(Order(lines=["x" * size], other=ref(order)))
            order.other = ref(big)
        async with dialogue.turn(message(chat_id=f"c{size}")) as session:
            order = await session.get(Order)
            assert order.other is not None
            big = await session.resolve(order.other)
            assert big.other is not None
            assert await session.resolve(big.other) is order
            sizes.append(len(session.repo.state.data["Order:"].data))
    assert sizes[0] == sizes[1]


@pytest.mark.requirement("D23")
def test_data_by_value_is_refused_where_it_is_defined() -> None:
    registry = Registry()

    @context(registry=registry)
    class Inner(Struct):
        value: int = 0

    with pytest.raises(ConfigurationError, match=r"Outer\.inner: .* Ref\[Inner\]"):
        context(registry=registry)(msgspec.defstruct("Outer", [("inner", list[Inner] | None, None)]))

    assert list(registry) == ["Inner"]


@pytest.mark.requirement("D24")
async def test_new_data_is_adopted(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        new = Order(fruit="kiwi")
        with pytest.raises(NotAdopted):
            await session.resolve(ref(new))
        with pytest.raises(NotAdopted):
            session.repo.identity(new)
        (await session.get(Order)).other = ref(new)
    async with dialogue.turn(message()) as session:
        order = await session.get(Order)
        assert order.other is not None
        assert (await session.resolve(order.other)).fruit == "kiwi"
        with pytest.raises(NotAdopted):
            await session.resolve(Ref[Order]())


@pytest.mark.requirement("D24")
async def test_adopting_a_memory_gives_the_stored_one(opened: Make) -> None:
    dialogue: Dialogue = await opened(memories=[UserInfo])
    async with dialogue.turn(message()) as session:
        (await session.get(UserInfo)).name = "Ann"
    async with dialogue.turn(message()) as session:
        stored = session.adopt(UserInfo(name="somebody else"))
        assert stored.name == "Ann"
        assert stored is await session.get(UserInfo)
    other: Dialogue = await opened()
    with pytest.raises(TurnConflict, match="get it instead") as raised:
        # One that was not read is taken for new, and the store knows better.
        async with other.turn(message()) as session:
            session.adopt(UserInfo(name="somebody else"))
    assert not isinstance(raised.value, MemoryConflict)  # running it again would not help


@pytest.mark.requirement("D25")
async def test_adopting_twice(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        order = session.adopt(Order())
        assert session.adopt(order) is order
        identity = session.repo.identity(order)
        async with dialogue.turn(message(user="bob")) as second:
            with pytest.raises(NotAdopted, match="another session"):
                second.adopt(order)
        assert session.repo.identity(order) == identity


@pytest.mark.requirement("D26")
async def test_a_turn_that_only_reads_writes_no_data(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).lines.append("one")
        (await session.get(UserInfo)).name = "Ann"
    before, (_, items) = await record_of(dialogue), await everything(dialogue)
    async with dialogue.turn(message()) as session:
        assert (await session.get(Order)).lines == ["one"]
        assert (await session.get(UserInfo)).name == "Ann"
    after, (_, items_after) = await record_of(dialogue), await everything(dialogue)
    assert after.data == before.data
    assert {key: item for key, item in items_after.items() if not key.endswith("/turns")} == {
        key: item for key, item in items.items() if not key.endswith("/turns")
    }


@pytest.mark.requirement("D26")
async def test_changes_in_place_are_seen(dialogue: Dialogue) -> None:
    for place in range(3):
        async with dialogue.turn(message()) as session:
            lines = (await session.get(Order)).lines
            assert lines == [str(number) for number in range(place)]
            lines.append(str(place))


@pytest.mark.requirement("D27")
async def test_data_that_nothing_points_at_goes(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        order = await session.get(Order)
        order.other = ref(Order(fruit="kiwi", other=ref(Order(fruit="fig"))))
        (await session.get(Draft)).text = "a memory"
        session.adopt(Order(fruit="nobody points at it"))
    async with dialogue.turn(message()) as session:
        assert len(session.repo.state.data) == 4
        (await session.get(Order)).other = None
    async with dialogue.turn(message()) as session:
        assert [one.partition(":")[0] for one in session.repo.state.data] == ["Order", "Draft"]
        assert (await session.get(Draft)).text == "a memory"


@pytest.mark.requirement("D27")
async def test_a_memory_that_outlives_what_it_points_at_is_refused(opened: Make) -> None:
    dialogue: Dialogue = await opened()
    with pytest.raises(InvalidInput, match=r"Owner: .* Order"):
        async with dialogue.turn(message()) as session:
            (await session.get(Owner)).order = ref(Order("kiwi"))
    async with dialogue.turn(message()) as session:
        (await session.get(Owner)).friend = ref(UserInfo("Bob"))
    async with dialogue.turn(message()) as session:
        owner = await session.get(Owner)
        assert owner.friend is not None
        assert (await session.resolve(owner.friend)).name == "Bob"


@pytest.mark.requirement("D28")
async def test_a_reference_to_what_is_gone(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        with pytest.raises(DataLost) as raised:
            await session.resolve(Ref[Order]("Order:0123"))
        assert raised.value.identity == "Order:0123"
        with pytest.raises(DataLost):
            await session.get(Order, "0123")


async def _written_over(dialogue: Dialogue, data: bytes) -> None:
    engine, record = engine_of(dialogue), await record_of(dialogue)
    patch = Patch(record.id, Guard.VERSION, record.version, data=data, kind=record.kind)
    await engine._ask(Commit(engine.clock.now(), "tests", "tests", (patch,)))


@pytest.mark.requirement("D29")
async def test_what_cannot_be_read_is_named_and_not_shown(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(Note)).text = "secret"
        (await session.get(UserInfo)).name = "Ann"
    stored = msgspec.msgpack.decode((await record_of(dialogue)).data)
    assert stored[2]["Note:"][:2] == ["Note", 1]
    stored[2]["Note:"] = ["Note", 1, b"\xc1secret", []]
    await _written_over(dialogue, msgspec.msgpack.encode(stored))
    async with dialogue.turn(message()) as session:
        with pytest.raises(DataUnreadable, match="Note:") as raised:
            await session.get(Note)
        assert "secret" not in str(raised.value)
        await session.get(Order)
    stored[2]["Note:"] = ["Gone", 1, b"\x80", []]
    await _written_over(dialogue, msgspec.msgpack.encode(stored))
    async with dialogue.turn(message()) as session:
        with pytest.raises(DataUnreadable, match="'Gone'"):
            await session.get(Note)
        with pytest.raises(InvalidInput, match="Gone"):
            await session.resolve(Ref[Order]("Gone:1"))
    await _written_over(dialogue, b"\xc1")
    with pytest.raises(DataUnreadable):
        async with dialogue.turn(message()):
            pass
    _, items = await everything(dialogue)
    (key,) = [key for key in items if key.endswith("/UserInfo")]
    engine = engine_of(dialogue)
    await engine._ask(Commit(engine.clock.now(), "items", "tests", (Put(key, b"\xc1"),)))
    async with dialogue.turn(message(chat_id="another")) as session:
        with pytest.raises(DataUnreadable, match=key):
            await session.get(UserInfo)


@pytest.mark.requirement("D30")
async def test_versions_of_data(opened: Make) -> None:
    old, new = Registry(), Registry()

    @memory(scope=("user_id",), name="Profile", registry=old)
    class First(Struct):
        name: str = ""

    @memory(
        scope=("user_id",),
        name="Profile",
        version=3,
        upgrades={1: lambda data: {"first": data["name"]}, 2: lambda data: {**data, "upgraded": True}},
        registry=new,
    )
    class Third(Struct):
        first: str = ""
        upgraded: bool = False
        added: int = 7

    before, after = await opened(registry=old), await opened(registry=new)
    async with before.turn(message()) as session:
        (await session.get(First)).name = "Ann"
    async with after.turn(message()) as session:
        profile = await session.get(Third)
        assert (profile.first, profile.upgraded, profile.added) == ("Ann", True, 7)
    async with before.turn(message()) as session:
        assert (await session.get(First)).name == "Ann"
    async with after.turn(message()) as session:
        (await session.get(Third)).added = 8
    with pytest.raises(DataUnreadable, match="newer"):
        async with before.turn(message()) as session:
            await session.get(First)


@pytest.mark.requirement("D30")
async def test_an_upgrade_that_fails_shows_nothing(opened: Make) -> None:
    old, new = Registry(), Registry()

    def failing(data: object) -> object:
        raise ValueError(data)

    @context(name="Kept", registry=old)
    class First(Struct):
        name: str = ""

    @context(name="Kept", version=2, upgrades={1: failing}, registry=new)
    class Second(Struct):
        name: str = ""

    before, after = await opened(registry=old), await opened(registry=new)
    async with before.turn(message()) as session:
        (await session.get(First)).name = "secret"
    with pytest.raises(DataUnreadable, match="ValueError") as raised:
        async with after.turn(message()) as session:
            await session.get(Second)
    assert "secret" not in str(raised.value)


async def test_an_annotation_that_leads_nowhere(opened: Make) -> None:
    registry = Registry()

    @context(registry=registry)
    class Local(Struct):
        item: Nowhere | None = None  # type: ignore[name-defined]  # noqa: F821

    dialogue: Dialogue = await opened(registry=registry)
    async with dialogue.turn(message()) as session:
        (await session.get(Local)).item = 1
    with pytest.raises(ConfigurationError, match=r"Local: .*Nowhere"):
        async with dialogue.turn(message()) as session:
            await session.get(Local)


@pytest.mark.requirement("D58")
def test_the_registry() -> None:
    registry = Registry()

    @intent(name="order.cancel", registry=registry)
    class CancelOrder(Struct):
        pass

    @context(registry=registry)
    class Basket(Struct):
        pass

    assert registry.of(CancelOrder) is registry["order.cancel"]
    with pytest.raises(InvalidInput, match="did you mean 'Basket'"):
        registry["Baskett"]
    with pytest.raises(ConfigurationError, match="two types are named 'Basket'"):
        context(name="Basket", registry=registry)(type("Other", (Struct,), {}))
    with pytest.raises(ConfigurationError, match="already"):
        context(name="Again", registry=registry)(Basket)
    with pytest.raises(ConfigurationError, match=r"msgspec\.Struct or a dataclass"):
        context(registry=registry)(int)
    with pytest.raises(NotAdopted, match="@context"):
        REGISTRY.of(Basket)
    for name in ("1st", "", "a b"):
        with pytest.raises(ConfigurationError, match="letters"):
            context(name=name, registry=registry)(type("Named", (Struct,), {}))
