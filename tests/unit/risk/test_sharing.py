"""External trades are shared out once, when it is known who held what: without a pipeline."""

from collections.abc import Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderStatus, OrderType, Side, Validity
from alpha_panda.contracts.events import VERSION, Envelope, OrderUpdate
from alpha_panda.contracts.stored import Decision, RiskClaim, RiskSnapshot
from alpha_panda.ports import Outgoing, TopicPartition
from alpha_panda.risk.ledger import Ledger
from alpha_panda.risk.sharing import Sharing

TOKEN = 7
FILLED = TopicPartition("paper.orders.filled", 0)
D = Decimal


def update(order: str, strategy: str, side: Side, quantity: str, **changes: Any) -> OrderUpdate:
    base = OrderUpdate(
        signal_id=order,
        order_id=order,
        strategy_id=strategy,
        instrument_token=TOKEN,
        symbol="NSE:X",
        side=side,
        order_type=OrderType.MARKET,
        quantity=D(quantity),
        validity=Validity.DAY,
        status=OrderStatus.FILLED,
        rank=3,
        price=D(100),
        filled_quantity=D(quantity),
        amount=D(quantity) * 100,
    )
    return replace(base, **changes)


SOLD = update("external:b1", "external", Side.SELL, "5", external=True, code=Code.SQUARE_OFF, correction=True)


def event(data: OrderUpdate) -> Envelope:
    return Envelope(
        id=f"e-{data.signal_id}",
        type=EventType.ORDER_UPDATED,
        version=VERSION,
        ts=9,
        source="test",
        account="paper",
        key="k",
        correlation_id="c",
        causation_id="",
        data=data,
    )


class Store:
    """Keeps decisions; the first word stays."""

    def __init__(self) -> None:
        self.kept: dict[str, Decision] = {}

    async def record(self, _: str, *decisions: Decision) -> list[Decision]:
        return [self.kept.setdefault(item.signal_id, item) for item in decisions]


class Bus:
    """Takes what is told, or fails."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.fails = False

    async def send(self, records: Sequence[Outgoing]) -> list[Any]:
        if self.fails:
            raise ConnectionError
        self.sent += records
        return []


class World:
    """Sharing over a ledger, and what the topics' ends are."""

    def __init__(self, store: Store, ledger: Ledger | None = None) -> None:
        self.ledger = Ledger(D(0)) if ledger is None else ledger
        self.bus = Bus()
        self.end = 0
        self.asked = 0
        context = SimpleNamespace(resource="paper", settings=SimpleNamespace(topic_prefix=""))
        terms = SimpleNamespace(instruments=SimpleNamespace(by_token={}), strategies={})
        self.sharing = Sharing(
            cast("Any", context), cast("Any", store), self.ledger, cast("Any", lambda: terms)
        )

    async def ends(self) -> dict[TopicPartition, int]:
        self.asked += 1
        return {FILLED: self.end}

    def fold(self, data: OrderUpdate, *, old: bool = False) -> None:
        step = self.ledger.fold(data)
        self.sharing.take(event(data), data, step, old=old)

    async def turn(self, read: int) -> bool:
        return await self.sharing.turn({FILLED: read}, self.ends, cast("Any", self.bus))

    def held(self, name: str) -> Decimal:
        return self.ledger.book.strategy(name).quantity(TOKEN)


async def test_it_waits_for_what_was_told_before_the_trade() -> None:
    world = World(Store())
    world.end = 3
    world.fold(SOLD)
    assert not await world.turn(2)
    assert world.sharing.waiting
    world.fold(update("s1", "alpha", Side.BUY, "5"))  # told before, and folded only now
    world.end = 9  # what came since need not be waited for
    assert await world.turn(3)
    assert (world.held("alpha"), world.held("external"), world.asked) == (0, 0, 1)
    assert not world.sharing.waiting


async def test_who_dies_after_storing_tells_the_same_bytes_and_shares_nothing_else() -> None:
    store = Store()
    first = World(store)
    for name, quantity in (("alpha", "6"), ("beta", "4")):
        first.fold(update(f"s-{name}", name, Side.BUY, quantity))
    first.fold(SOLD)
    state = first.ledger.encode()
    first.bus.fails = True
    with pytest.raises(ConnectionError):
        await first.turn(0)
    assert first.sharing.waiting
    first.bus.fails = False
    assert await first.turn(0)
    again = Ledger(D(0))
    claim = RiskClaim(
        epoch="e", decisions=dict(store.kept), snapshot=RiskSnapshot(offsets={}, state=state), folds={}
    )
    again.load(claim)
    second = World(store, again)
    second.fold(
        update("s-more", "alpha", Side.BUY, "100")
    )  # had it been so at first, it would have shared otherwise
    assert await second.turn(0)
    assert [item.value for item in second.bus.sent] == [item.value for item in first.bus.sent]
    assert (second.held("alpha"), second.held("beta"), second.held("external")) == (103, 2, 0)
    told = [decode_event(item.value).data for item in second.bus.sent]
    assert [
        (data.strategy_id, data.filled_quantity, data.share_of)
        for data in told
        if isinstance(data, OrderUpdate)
    ] == [
        ("alpha", 3, "external:b1"),
        ("beta", 2, "external:b1"),
    ]


async def test_what_an_earlier_life_has_shared_is_not_shared_again() -> None:
    world = World(Store())
    world.fold(update("s1", "alpha", Side.BUY, "5"))
    world.fold(SOLD, old=True)
    assert not world.sharing.waiting
    assert world.held("external") == -5


async def test_a_share_that_comes_back_through_the_topic_changes_nothing() -> None:
    world = World(Store())
    world.fold(update("s1", "alpha", Side.BUY, "5"))
    world.fold(SOLD)
    assert await world.turn(0)
    (told,) = (decode_event(item.value).data for item in world.bus.sent)
    assert isinstance(told, OrderUpdate)
    world.fold(told)
    assert (world.held("alpha"), world.held("external"), world.sharing.waiting) == (0, 0, False)
    assert world.ledger.book.quantity(TOKEN) == 0
