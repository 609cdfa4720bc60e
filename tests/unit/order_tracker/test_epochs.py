"""The store comes back: rebuild, wait, read the book, and only then the epoch (DESIGN section 4)."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.database import EMPTY_IMAGE, Image
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, TradingState
from alpha_panda.contracts.events import RejectedSignal
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import BookReading
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import FencedError
from alpha_panda.order_tracker.latches import announce, halt, return_latch
from alpha_panda.ports import Outgoing
from alpha_panda.runtime.records import event_of
from unit.engine.desk import ACCOUNT, SECOND, Calls, Desk
from unit.order_tracker.test_resolver import row

WAIT = 5  # S; D is 0 on paper


async def returned(desk: Desk, image: Image | None = EMPTY_IMAGE) -> None:
    """Let the store come back, and take the lease and risk's claim anew."""
    desk.database.restart(image)
    await desk.take_over()
    await desk.state(TradingState.ACTIVE)
    await desk.quote(2500.0)


async def test_a_journal_that_has_never_traded_gets_its_epoch_at_once(clock: Any) -> None:
    """[F_EMPTY]"""
    async with Desk(clock, ready=False) as desk:
        began = clock.now()
        await desk.tracker()
        assert await desk.journal.epoch() is not None
        assert clock.now() == began


async def test_a_valid_epoch_is_left_alone(desk: Desk) -> None:
    """[G_ONCE]"""
    await desk.tracker()
    await (await desk.tracker()).look_after()
    assert await desk.journal.epoch() == desk.epoch


@pytest.mark.parametrize("image", [None, EMPTY_IMAGE])
async def test_a_returned_store_waits_s_and_d_before_its_epoch(desk: Desk, image: Image | None) -> None:
    """[G_WAIT, G_RUN]"""
    await desk.place(desk.signal())
    await returned(desk, image)
    began = desk.clock.now()
    leading = asyncio.create_task(desk.tracker())
    await desk.clock.advance(WAIT - 0.001)
    assert await desk.journal.epoch() is None
    await leading
    assert desk.clock.now() == began + WAIT * SECOND
    assert await desk.journal.epoch() not in (None, desk.epoch)


async def test_what_risk_rejected_is_known_again_and_not_told_as_failed(clock: Any) -> None:
    """Were it unknown, risk would decide on it anew, and might now let it pass. No wait: nothing was sent."""
    async with Desk(clock, ready=False) as desk:
        signal = desk.signal()
        rejected = RejectedSignal(original_signal=signal, code=Code.RATE_LIMIT, message="", decided_at=1)
        await desk.produce(
            desk.topics.signals_rejected, desk.event(EventType.REJECTED_SIGNAL, signal, rejected)
        )
        began = clock.now()
        tracker = await desk.tracker()
        for _ in range(3):
            await tracker.look_after()
        entry = await desk.entry(signal)
        assert (entry.state, entry.code) == (EntryState.FAILED, Code.RATE_LIMIT)
        assert desk.told() == []
        assert clock.now() == began


async def test_engines_send_nothing_meanwhile(desk: Desk) -> None:
    await desk.place(desk.signal(1))
    record = await desk.validated(desk.signal(2))
    await returned(desk)
    leading = asyncio.create_task(desk.tracker())
    await desk.clock.advance(1)
    await desk.engine().handle([record])
    assert (await desk.entry(desk.signal(2))).state is EntryState.UNKNOWN
    await leading
    await desk.engine().handle([record])  # decided under the old epoch: never sent
    assert desk.broker.calls[desk.signal(2).signal_id] == 0


async def test_told_orders_settle_and_untold_ones_are_unknown_then_lost(desk: Desk) -> None:
    """[F_REBUILD]"""
    filled, untold, resting = desk.signal(1), desk.signal(2), desk.limit(3)
    await desk.place(filled)
    await desk.place(resting)
    calls = Calls()
    calls.plan("kill before", "producer.send")
    with pytest.raises(asyncio.CancelledError):
        await desk.engine(calls).handle([await desk.validated(untold)])
    await returned(desk)
    tracker = await desk.tracker()
    states = [(await desk.entry(signal)).state for signal in (filled, untold, resting)]
    assert states == [EntryState.FILLED, EntryState.UNKNOWN, EntryState.PLACED]
    for _ in range(3):
        await tracker.look_after()
    assert (await desk.entry(untold)).state is EntryState.LOST


async def test_send_by_of_the_unknown_is_s_from_now(desk: Desk) -> None:
    """[F_RBS]"""
    await desk.validated(desk.signal())
    await returned(desk)
    began = desk.clock.now()
    leading = asyncio.create_task(desk.tracker())
    await desk.clock.advance(1)
    assert (await desk.entry(desk.signal())).send_by == began + WAIT * SECOND
    await leading


async def test_an_older_image_learns_how_its_orders_ended(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    image = desk.database.checkpoint_image()
    await desk.engine().handle([await desk.validated(desk.cancel_request(signal))])
    await returned(desk, image)
    assert (await desk.entry(signal)).state is EntryState.PLACED
    await desk.tracker()
    assert (await desk.entry(signal)).state is EntryState.CANCELLED


async def test_nothing_that_was_sent_is_sent_again(desk: Desk) -> None:
    """The promise that all this is for."""
    record = await desk.validated(desk.signal())
    await desk.engine().handle([record])
    await returned(desk)
    await desk.tracker()
    await desk.engine().handle([record])
    assert desk.broker.calls[desk.signal().signal_id] == 1
    assert desk.told() == [EventType.ORDER_FILLED]


async def test_a_second_return_during_the_wait_begins_all_anew(desk: Desk) -> None:
    """[F_RUNCAS]"""
    await desk.place(desk.signal())
    await returned(desk)
    leading = asyncio.create_task(desk.tracker())
    await desk.clock.advance(1)
    desk.database.restart()
    with pytest.raises(FencedError):
        await leading
    assert await desk.journal.epoch() is None


async def test_a_tracker_that_lost_its_lease_writes_no_epoch(desk: Desk) -> None:
    """[G_LEASE]"""
    await desk.place(desk.signal())
    await returned(desk)
    leading = asyncio.create_task(desk.tracker())
    await desk.clock.advance(1)
    await desk.take_over()
    with pytest.raises(FencedError):
        await leading
    assert await desk.journal.epoch() is None


async def test_the_book_is_read_after_the_wait_and_completely(desk: Desk) -> None:
    """[G_READAFTER]"""
    await desk.place(desk.signal())
    await returned(desk)
    began = desk.clock.now()
    half = BookReading(complete=False, begun_at=0, user="u", trading_day="d")
    desk.broker.books.extend([half, half])
    await desk.tracker()
    assert not desk.broker.books
    assert desk.clock.now() == began + 3 * WAIT * SECOND


async def test_the_book_settles_what_is_in_doubt_before_the_epoch(desk: Desk) -> None:
    signal = desk.signal()
    await desk.validated(signal)
    twin = await desk.place(desk.signal(2))
    await returned(desk)
    tag = {"tag": broker_tag(signal.signal_id)}
    seen: list[str | None] = []

    async def noting(name: str, call: Any) -> Any:
        if name == "journal.resolve":
            seen.append(await desk.journal.epoch())
        return await call()

    reading = BookReading(
        complete=True, begun_at=desk.clock.now(), user="u", trading_day="d", rows=(row(twin, **tag),)
    )
    desk.broker.books.append(reading)
    await desk.tracker(noting)
    assert (await desk.entry(signal)).state is EntryState.FILLED
    assert seen == [None]


# ---------------------------------------------------------------------------------------------- latches


async def latches(desk: Desk) -> list[str]:
    (reading,) = await desk.control.read([account_scope(ACCOUNT)])
    return [latch.latch_id for latch in reading.latches]


def test_a_live_account_is_latched_by_every_return_a_paper_account_by_none() -> None:
    """[F_LATCHEP]"""
    latch = return_latch("a", "run-2", 7, live=True)
    assert latch is not None
    assert (latch.latch_id, latch.scope, latch.state) == (
        "store-returned-run-2",
        "account/a",
        TradingState.HALTED,
    )
    assert return_latch("a", "run-3", 7, live=True) != latch
    assert return_latch("a", "run-2", 7, live=False) is None


async def test_a_live_accounts_latch_is_set_before_its_epoch(desk: Desk) -> None:
    await desk.place(desk.signal())
    await returned(desk)
    calls = Calls()
    await desk.tracker(calls, live=True)
    run_id = await desk.journal.run_id()
    assert await latches(desk) == [f"store-returned-{run_id}"]
    order = [
        name for name in calls.names if name in ("producer.send", "control.set_latch", "journal.write_epoch")
    ]
    assert order == ["producer.send", "control.set_latch", "journal.write_epoch"]


async def test_a_live_account_waits_d_too(desk: Desk) -> None:
    """[G_D]"""
    await desk.place(desk.signal())
    await returned(desk)
    began = desk.clock.now()
    await desk.tracker(live=True)
    assert desk.clock.now() == began + 35 * SECOND


async def test_a_first_start_latches_nobody(clock: Any) -> None:
    async with Desk(clock, ready=False) as desk:
        await desk.tracker(live=True)
        assert await latches(desk) == []


async def test_latches_that_the_store_lost_come_back_from_kafka(desk: Desk) -> None:
    latch = halt(ACCOUNT, "late-x", "the broker has it", desk.clock.now())
    await announce(desk.producer, desk.topics, latch)
    await returned(desk)
    await desk.tracker()
    (reading,) = await desk.control.read([account_scope(ACCOUNT)])
    assert reading.latches == (latch,)


async def test_latches_come_back_before_the_epoch_even_where_nothing_was_traded(clock: Any) -> None:
    async with Desk(clock, ready=False) as desk:
        await announce(desk.producer, desk.topics, halt(ACCOUNT, "by-hand", "", 1))
        calls = Calls()
        await desk.tracker(calls)
        assert calls.names.index("control.set_latch") < calls.names.index("journal.write_epoch")


async def test_a_latch_that_a_person_cleared_stays_cleared(desk: Desk) -> None:
    latch = halt(ACCOUNT, "late-x", "", desk.clock.now())
    await announce(desk.producer, desk.topics, latch)
    event = event_of(desk.records[-1])
    await desk.produce(desk.topics.control, replace(event, data=replace(event.data, action="clear")))
    await returned(desk)
    await desk.tracker()
    assert await latches(desk) == []


async def test_what_cannot_be_decoded_is_left_out(desk: Desk) -> None:
    await desk.producer.send([Outgoing(desk.topics.signals_validated, b"{", key="x")])
    await desk.place(desk.signal())
    await returned(desk)
    await desk.tracker()
    assert (await desk.entry(desk.signal())).state is EntryState.FILLED


async def test_an_engine_that_settles_during_the_rebuild_is_believed(desk: Desk) -> None:
    """[F_SETTLE] Its answer came after the store had forgotten the order, and before or after the rebuild."""
    for n, when in enumerate((0.0, 1.0), start=1):
        signal = desk.signal(n)
        record = await desk.validated(signal)

        async def forgetful(name: str, call: Any, when: float = when) -> Any:
            if name == "journal.settle":
                await returned(desk)
                leading = asyncio.create_task(desk.tracker())
                await desk.clock.advance(when)
                result = await call()
                await leading
                return result
            return await call()

        await desk.engine(forgetful).handle([record])
        desk.epoch = str(await desk.journal.epoch())
        assert (await desk.entry(signal)).state is EntryState.FILLED
        assert desk.broker.calls[signal.signal_id] == 1
