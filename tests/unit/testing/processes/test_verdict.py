"""The judges of a platform: each must find what it is there to find. Its topics are on the memory bus here."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderStatus, Side, TradingState
from alpha_panda.contracts.events import (
    VERSION,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    PositionView,
    Signal,
)
from alpha_panda.contracts.topics import TopicMap, dlq
from alpha_panda.domain.ids import broker_tag, event_id
from alpha_panda.ports import Outgoing, Record
from alpha_panda.runtime.dead_letter import Failure, dead_letter, dead_letter_topics
from alpha_panda.testing.broker.api import PlaceRequest
from alpha_panda.testing.broker.core import BrokerCore
from alpha_panda.testing.processes import verdict
from alpha_panda.testing.processes.manifests import ACCOUNT, HAND_TOKENS, symbol_of
from alpha_panda.testing.processes.recorder import Recorder
from alpha_panda.testing.processes.signals import make_signal, raw_event

TOPICS = TopicMap(ACCOUNT)
CASH = Decimal(1000)
PRICE = Decimal(10)


class Scene:
    """An account's topics, written by hand, and what a recorder makes of them."""

    def __init__(self, bus: MemoryBus, recorder: Recorder) -> None:
        self.bus = bus
        self.recorder = recorder
        self.core = BrokerCore()
        self.sent: list[str] = []

    async def tell(self, topic: str, *events: Envelope) -> None:
        await self.put(*(Outgoing(topic, encode_event(event), key=event.key) for event in events))

    async def put(self, *records: Outgoing) -> None:
        async with self.bus.producer("test") as producer:
            await producer.send(records)
        async with asyncio.timeout(10):
            while await self.recorder.lag():  # noqa: ASYNC110 - the bus tells nobody that all is read
                await asyncio.sleep(0)

    async def signal(self) -> Signal:
        signal = make_signal()
        self.sent.append(signal.signal_id)
        await self.tell(TOPICS.signals_raw, raw_event(signal))
        return signal

    def place(self, signal: Signal) -> None:
        request = PlaceRequest(
            tag=broker_tag(signal.signal_id),
            instrument_token=signal.instrument_token,
            side=signal.side,
            quantity=signal.quantity,
            order_type=signal.order_type,
            validity=signal.validity,
        )
        self.core.place(request, time.time_ns())

    async def end(self, signal: Signal, status: OrderStatus, **changes: Any) -> None:
        event_type = EventType.ORDER_FILLED if status is OrderStatus.FILLED else EventType.ORDER_FAILED
        filled = signal.quantity if status is OrderStatus.FILLED else Decimal(0)
        update = OrderUpdate(
            signal_id=signal.signal_id,
            order_id=broker_tag(signal.signal_id),
            strategy_id=signal.strategy_id,
            instrument_token=signal.instrument_token,
            symbol=signal.symbol,
            side=signal.side,
            order_type=signal.order_type,
            quantity=signal.quantity,
            validity=signal.validity,
            status=status,
            rank=int(status.rank),
            price=PRICE if filled else None,
            filled_quantity=filled,
        )
        event = self.event(signal, event_type, replace(update, **changes))
        topic = TOPICS.orders_filled if filled else TOPICS.orders_failed
        await self.tell(topic, event)

    def event(self, signal: Signal, event_type: EventType, data: Any) -> Envelope:
        return Envelope(
            id=event_id(signal.signal_id, event_type, 0),
            type=event_type,
            version=VERSION,
            ts=1,
            source="test",
            account=ACCOUNT,
            key=signal.key,
            correlation_id=signal.signal_id,
            causation_id="test",
            data=data,
        )

    async def book(self, cash: Decimal, **positions: Decimal) -> None:
        views = {
            symbol.replace("_", ":"): PositionView(
                instrument_token=1, symbol=symbol, quantity=quantity, average_price=PRICE
            )
            for symbol, quantity in positions.items()
        }
        zero = Decimal(0)
        snapshot = PortfolioSnapshot(
            opening_cash=CASH,
            cash=cash,
            equity=cash,
            realized_pnl=zero,
            unrealized_pnl=zero,
            fees=zero,
            gross_exposure=zero,
            net_exposure=zero,
            positions=views,
            strategies={},
            open_orders=0,
            trading_state=TradingState.ACTIVE,
        )
        event = self.event(make_signal(), EventType.PORTFOLIO_SNAPSHOT, snapshot)
        await self.tell(TOPICS.portfolio, event)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    bus = MemoryBus(RealClock(), ids=RandomIds(), retain_records=1000, max_backlog=1000)
    letters = dead_letter_topics([TOPICS.signals_raw])
    await bus.ensure_topics([*TOPICS.specs(2), *letters])
    recorder = Recorder(bus, TOPICS, [spec.name for spec in letters])
    running = asyncio.create_task(recorder.run())
    yield Scene(bus, recorder)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_signal_that_was_sent_once_and_filled_has_no_fault(scene: Scene) -> None:
    signal = await scene.signal()
    scene.place(signal)
    await scene.end(signal, OrderStatus.FILLED, price=Decimal(100))
    await scene.book(CASH - 100, **{signal.symbol.replace(":", "_"): Decimal(1)})
    assert verdict.call_faults(scene.recorder, scene.core, scene.sent) == []
    assert verdict.end_faults(scene.recorder.stories, scene.sent) == []
    assert verdict.unsent_faults(scene.recorder, scene.core) == []
    assert verdict.book_faults(scene.recorder) == []
    assert scene.recorder.contradictions == []


async def test_a_second_call_is_found_and_so_is_one_of_nobody(scene: Scene) -> None:
    signal, stranger = await scene.signal(), make_signal()
    scene.place(signal)
    scene.place(signal)
    scene.place(stranger)
    found = verdict.call_faults(scene.recorder, scene.core, scene.sent)
    assert any("2 broker calls" in line and signal.signal_id in line for line in found)
    assert any(broker_tag(stranger.signal_id) in line for line in found)


async def test_no_outcome_and_two_outcomes_are_found_but_not_one_that_came_twice(scene: Scene) -> None:
    none, two, twice = [await scene.signal() for _ in range(3)]
    await scene.end(two, OrderStatus.FILLED)
    await scene.end(two, OrderStatus.LOST, code=Code.ORDER_LOST)
    await scene.end(twice, OrderStatus.FILLED)
    await scene.end(twice, OrderStatus.FILLED)
    found = verdict.end_faults(scene.recorder.stories, scene.sent)
    assert [line.partition(" ")[0] for line in found] == [none.signal_id, two.signal_id]


async def test_a_late_match_corrects_and_is_no_second_outcome(scene: Scene) -> None:
    signal = await scene.signal()
    await scene.end(signal, OrderStatus.LOST, code=Code.ORDER_LOST)
    await scene.end(signal, OrderStatus.FILLED, correction=True)
    assert verdict.end_faults(scene.recorder.stories, scene.sent) == []


async def test_what_was_told_but_not_traded_is_found_and_the_other_way_round(scene: Scene) -> None:
    told, traded = await scene.signal(), await scene.signal()
    await scene.end(told, OrderStatus.FILLED)
    scene.place(traded)
    found = verdict.unsent_faults(scene.recorder, scene.core)
    assert len(found) == 2
    assert all("told" in line for line in found)


async def test_a_book_that_lacks_a_fill_is_found(scene: Scene) -> None:
    assert verdict.book_faults(scene.recorder) == ["no book was published"]
    signal = await scene.signal()
    await scene.end(signal, OrderStatus.FILLED)
    await scene.book(CASH)
    assert len(verdict.book_faults(scene.recorder)) == 2  # its position, and its money


async def test_an_event_that_comes_again_with_another_content_is_found(scene: Scene) -> None:
    signal = await scene.signal()
    await scene.end(signal, OrderStatus.FILLED)
    await scene.end(signal, OrderStatus.FILLED, price=Decimal(11))
    assert len(scene.recorder.contradictions) == 1


async def test_dead_letters_are_counted_and_must_be_fit_to_be_replayed(scene: Scene) -> None:
    record = Record(TOPICS.signals_raw, 0, 7, "k", b"?", (), 1)
    await scene.put(dead_letter(record, Failure(Code.UNDECODABLE, "no"), "risk"))
    assert verdict.letter_faults(scene.recorder.dead_letters, 1) == []
    assert verdict.letter_faults(scene.recorder.dead_letters, None) == []
    assert "1 dead letters, 0 expected" in verdict.letter_faults(scene.recorder.dead_letters, 0)[0]
    await scene.put(Outgoing(dlq(TOPICS.signals_raw), b"?"))
    assert any(
        "can't be replayed" in line for line in verdict.letter_faults(scene.recorder.dead_letters, None)
    )


async def test_poison_is_passed_over(scene: Scene) -> None:
    await scene.put(Outgoing(TOPICS.signals_raw, b"\xff", key="k"))
    signal = await scene.signal()
    assert scene.recorder.stories[signal.signal_id].raw


def test_signals_are_of_one_instrument_after_the_other() -> None:
    made = [make_signal() for _ in HAND_TOKENS]
    assert {signal.instrument_token for signal in made} == set(HAND_TOKENS)
    assert len({signal.signal_id for signal in made}) == len(HAND_TOKENS)
    assert make_signal(Side.SELL, token=HAND_TOKENS[0]).symbol == symbol_of(HAND_TOKENS[0])
