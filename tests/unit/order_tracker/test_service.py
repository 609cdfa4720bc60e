"""The tracker's round as a whole: engine and tracker beside one another, strays, the lease, the running service."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.contracts.enums import EntryState, EventType, TradingState
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import BookReading, Outcome
from alpha_panda.engine.service import SERVICE as ENGINE
from alpha_panda.errors import FencedError
from alpha_panda.order_tracker.service import SERVICE, build
from unit.engine.desk import ACCOUNT, Calls, Desk
from unit.order_tracker.test_resolver import row


def reading(desk: Desk, *rows: Any) -> BookReading:
    return BookReading(complete=True, begun_at=desk.clock.now(), user="u", trading_day="d", rows=rows)


# ------------------------------------------------------------------------------- beside an engine


class Interleaved:
    """Runs one round of the tracker before the n-th call of an engine."""

    def __init__(self, round_: Any, nth: int) -> None:
        self._round, self._nth, self.calls = round_, nth, 0

    async def __call__(self, name: str, call: Any) -> Any:
        self.calls += 1
        if self.calls == self._nth:
            await self._round()
        return await call()


@pytest.mark.parametrize("nth", range(1, 8))
@pytest.mark.parametrize("rests", [False, True])
async def test_a_round_between_any_two_calls_of_an_engine_changes_nothing(
    desk: Desk, nth: int, rests: bool
) -> None:
    """An order that is being sent is in doubt, but neither lost nor told by anybody else."""
    signal = desk.limit() if rests else desk.signal()
    tracker = await desk.tracker()
    await tracker.look_after()
    harm = Interleaved(tracker.look_after, nth)
    await desk.engine(harm).handle([await desk.validated(signal)])
    await tracker.look_after()
    await tracker.look_after()
    assert desk.told() == [EventType.ORDER_PLACED if rests else EventType.ORDER_FILLED]
    assert await desk.open_ids() == []
    assert len(desk.broker.placed) == 1


async def test_two_rounds_within_one_telling_tell_it_twice_with_one_id(desk: Desk) -> None:
    """An engine slower than a round: harmless, repeats fold."""
    tracker = await desk.tracker()

    async def rounds() -> None:
        await tracker.look_after()
        await tracker.look_after()

    calls = Calls()

    async def harm(name: str, call: Any) -> Any:
        if name == "producer.send":
            await rounds()
        return await calls(name, call)

    await desk.engine(harm).handle([await desk.validated(desk.signal())])
    first, second = desk.events()
    assert first.id == second.id
    assert first.data == second.data
    assert await desk.open_ids() == []


async def test_a_placed_order_filled_before_its_engine_acknowledges_is_told_in_full(desk: Desk) -> None:
    signal = desk.limit()
    tracker = await desk.tracker()
    fill = Outcome(state=EntryState.FILLED, filled_quantity=Decimal(10), average_price=Decimal(2400))

    async def harm(name: str, call: Any) -> Any:
        if name == "journal.acknowledge":
            assert await tracker.resting.apply(desk.producer, await desk.entry(signal), fill)
        return await call()

    await desk.engine(harm).handle([await desk.validated(signal)])
    assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_FILLED]
    assert await desk.open_ids() == []


async def test_an_order_whose_engine_died_in_the_call_is_lost_and_told_once(desk: Desk) -> None:
    calls = Calls()
    calls.plan("kill before", "journal.settle")
    with pytest.raises(asyncio.CancelledError):
        await desk.engine(calls).handle([await desk.validated(desk.signal())])
    tracker = await desk.tracker()
    for _ in range(4):
        await tracker.look_after()
    assert desk.told() == []  # its permission to send has not ended
    await desk.clock.sleep(5)
    for _ in range(4):
        await tracker.look_after()
    assert desk.told() == [EventType.ORDER_FAILED]
    assert (await desk.entry(desk.signal())).state is EntryState.LOST
    details = tracker.details()
    assert {"lease_epoch": desk.lease, "repeated": 0, "resolved": 1}.items() <= details.items()


async def test_a_live_order_is_lost_d_later(desk: Desk) -> None:
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal())
    tracker = await desk.tracker(live=True)
    for seconds, state in ((34, EntryState.UNKNOWN), (1, EntryState.LOST)):
        await desk.clock.sleep(seconds)
        for _ in range(3):
            await tracker.look_after()
        assert (await desk.entry(desk.signal())).state is state


# -------------------------------------------------------------------------------------------- the book


async def test_a_paper_account_reads_its_book_only_in_doubt(desk: Desk) -> None:
    calls = Calls()
    tracker = await desk.tracker(calls)
    await desk.place(desk.signal(1))
    await tracker.look_after()
    assert calls.count("trader.order_book") == 0
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal(2))
    await tracker.look_after()
    assert calls.count("trader.order_book") == 1


async def test_a_live_account_reads_its_book_once_a_round(desk: Desk) -> None:
    calls = Calls()
    tracker = await desk.tracker(calls, live=True)
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal())
    await tracker.look_after()
    await tracker.look_after()
    assert calls.count("trader.order_book") == 2


async def test_the_list_of_what_is_in_doubt_is_older_than_the_reading(desk: Desk) -> None:
    """An order sent after the book was read is not missing from it."""
    calls = Calls()
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal())
    tracker = await desk.tracker(calls)
    await tracker.look_after()
    assert calls.names.index("journal.in_doubt") < calls.names.index("trader.order_book")


async def test_a_stray_of_a_live_account_is_booked_latched_and_told(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    tracker = await desk.tracker(live=True)
    stray = row(entry, broker_order_id="b9", quantity=Decimal(5))
    desk.broker.books.append(reading(desk, stray))
    await tracker.look_after()
    kind, update = desk.updates()[-1]
    assert (kind, update.external, update.signal_id) == (EventType.ORDER_UPDATED, True, "external:b9")
    (control,) = await desk.control.read([account_scope(ACCOUNT)])
    assert control.state is TradingState.HALTED
    assert await desk.open_ids() == []


async def test_a_late_match_of_a_live_account_is_corrected_and_told(desk: Desk) -> None:
    desk.broker.answers.append(Outcome(state=EntryState.FAILED))
    entry = await desk.place(desk.signal())
    tracker = await desk.tracker(live=True)
    desk.broker.books.append(reading(desk, row(entry)))
    await tracker.look_after()
    kind, update = desk.updates()[-1]
    assert (kind, update.correction, update.filled_quantity) == (EventType.ORDER_UPDATED, True, 10)
    assert update.external is False


async def test_a_live_order_is_never_filled_from_the_price_cache(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    tracker = await desk.tracker(live=True)
    await desk.clock.sleep(1)
    await desk.quote(2300.0)
    await tracker.look_after()
    await tracker.handle_rested([desk.records[-1]])
    assert (await desk.entry(signal)).state is EntryState.PLACED
    await desk.clock.sleep(2 * 24 * 3600)
    await tracker.look_after()
    assert (await desk.entry(signal)).state is EntryState.PLACED  # its venue ends it, and its book says so


# ------------------------------------------------------------------------------------------- the lease


async def test_without_a_lease_it_does_nothing(desk: Desk) -> None:
    tracker = await desk.tracker(leads=False)
    with pytest.raises(FencedError):
        await tracker.look_after()


async def test_a_tracker_that_lost_its_lease_ends_when_it_would_write(desk: Desk) -> None:
    """[G_LEASE]"""
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal())
    old = await desk.tracker()
    await desk.clock.sleep(6)
    await old.look_after()
    await old.look_after()
    await desk.take_over()
    with pytest.raises(FencedError):
        await old.look_after()
    assert (await desk.entry(desk.signal())).state is EntryState.UNKNOWN


async def test_a_store_that_returns_while_it_runs_is_rebuilt_under_a_new_lease(desk: Desk) -> None:
    tracker = await desk.tracker()
    await desk.place(desk.signal())
    desk.database.restart()  # with everything, but an epoch of the lease ends with the run
    assert await desk.journal.epoch() is None
    with pytest.raises(FencedError):
        await tracker.look_after()
    await desk.take_over()
    await desk.tracker()
    assert await desk.journal.epoch() is not None
    assert (await desk.entry(desk.signal())).state is EntryState.FILLED


# ---------------------------------------------------------------------------------------- the service


async def test_the_built_service_watches_fills_and_stops(desk: Desk) -> None:
    await desk.leases.release("paper:order-tracker", "tracker", desk.lease)
    signal = desk.limit()
    await desk.place(signal)
    context, _ = desk._context(None)
    ports = replace(context.ports, statuses=Statuses())  # type: ignore[arg-type]
    service = build(replace(context, ports=ports))
    running = asyncio.create_task(service.run())
    await desk.clock.advance(2)
    await desk.range(2400.0, 2400.0, 2400.0)
    await desk.clock.advance(1)
    assert (await desk.entry(signal)).state is EntryState.FILLED
    assert service.get_status().details["lease_epoch"] == desk.lease + 1
    await service.stop()
    await running


class Statuses:
    async def put(self, status: object, ttl: float) -> None:
        pass


def test_it_is_one_an_account_and_starts_before_whoever_needs_the_epoch() -> None:
    assert (SERVICE.name, SERVICE.kind) == ("order-tracker", "BrokerAccount")
    assert SERVICE.start_order < ENGINE.start_order
