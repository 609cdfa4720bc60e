"""The store comes back: rebuild, wait, read the book, and only then the epoch (DESIGN section 4)."""

import asyncio
from typing import Any, cast

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.database import EMPTY_IMAGE, Image
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, TradingState
from alpha_panda.contracts.events import RejectedSignal
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import BookReading
from alpha_panda.contracts.topics import TopicMap, TopicSpec, platform_control
from alpha_panda.domain.control_events import cleared_event, latch_event
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import FencedError
from alpha_panda.order_tracker.latches import announce, halt, return_latch
from alpha_panda.ports import Outgoing
from unit.engine.desk import ACCOUNT, SECOND, Calls, Desk, ServiceStub
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
    cleared = cleared_event(latch, ACCOUNT, reason="looked", by="ann", now=desk.clock.now() + 1)
    await desk.produce(desk.topics.control, cleared)
    await returned(desk)
    await desk.tracker()
    assert await latches(desk) == []


async def test_latches_of_strategies_and_of_the_platform_come_back_from_wherever_they_are_kept(
    clock: Any,
) -> None:
    """An account that is younger than the latch was never told of it, and the installation has a topic of its own."""
    platform, others = platform_control("inst"), TopicSpec(TopicMap("other").control, 1, compacted=True)
    scopes = {others: [strategy_scope("s"), account_scope("other")], platform: [PLATFORM]}
    async with Desk(clock, ready=False, installation="inst") as desk:
        await desk.bus.ensure_topics(scopes)
        for topic, named in scopes.items():
            for scope in named:
                latch = replace(halt(ACCOUNT, "kept", "", clock.now()), scope=scope)
                await desk.produce(topic.name, latch_event(latch, ""))
        calls = Calls()
        await desk.tracker(calls)
        found = await desk.control.read([PLATFORM, strategy_scope("s"), account_scope("other")])
        assert [len(reading.latches) for reading in found] == [1, 1, 0]
        last = max(at for at, name in enumerate(calls.names) if name == "control.set_latch")
        assert last < calls.names.index("journal.write_epoch")


GARBLED = (
    "control",
    "signals_validated",
    "signals_rejected",
    "orders_submitted",
    "orders_filled",
    "orders_failed",
)


@pytest.mark.parametrize("name", GARBLED)
async def test_what_cannot_be_decoded_halts_the_account(desk: Desk, name: str) -> None:
    """It may have been a latch, or the word that an order is filled."""
    topic = getattr(desk.topics, name)
    await desk.producer.send([Outgoing(topic, b"{", key="x"), Outgoing(topic, b"[", key="x")])
    await desk.place(desk.signal())
    await returned(desk)
    calls = Calls()
    await desk.tracker(calls)
    run_id = await desk.journal.run_id()
    assert await latches(desk) == [f"gap-unreadable-{topic}-{run_id}"]
    assert (await desk.control.read([account_scope(ACCOUNT)]))[0].state is TradingState.HALTED
    assert calls.count("producer.send") == calls.count("control.set_latch") == 1
    assert calls.names.index("producer.send") < calls.names.index("control.set_latch")
    assert calls.names.index("control.set_latch") < calls.names.index("journal.write_epoch")
    assert (await desk.entry(desk.signal())).state is EntryState.FILLED  # the rest is read all the same


async def test_a_control_record_that_cannot_be_read_halts_one_that_has_never_traded(clock: Any) -> None:
    async with Desk(clock, ready=False) as desk:
        await desk.producer.send([Outgoing(desk.topics.control, b"{", key="x")])
        await desk.tracker()
        assert len(await latches(desk)) == 1


@pytest.mark.parametrize(
    ("key", "halts"),
    [
        (f"account/{ACCOUNT}/x", True),
        ("account/other/x", False),
        (f"account/{ACCOUNT}-2/x", False),
        ("strategy/s/x", True),
        ("platform/x", True),
    ],
)
async def test_what_cannot_be_read_of_another_account_halts_that_one_alone(
    clock: Any, key: str, *, halts: bool
) -> None:
    other = TopicSpec(TopicMap("other").control, 1, compacted=True)
    async with Desk(clock, ready=False) as desk:
        await desk.bus.ensure_topics([other])
        await desk.producer.send([Outgoing(other.name, b"{", key=key)])
        await desk.tracker()
        assert len(await latches(desk)) == halts


# ---------------------------------------------------------------------------------------- a large return


async def test_what_ended_and_was_told_is_not_told_again(desk: Desk) -> None:
    filled, resting, untold = desk.signal(1), desk.limit(2), desk.signal(3)
    await desk.place(filled)
    await desk.place(resting)
    await desk.validated(untold)
    told = desk.told()
    before = await desk.entry(filled)
    await returned(desk)
    await desk.tracker()
    assert await desk.open_ids() == [resting.signal_id, untold.signal_id]
    assert (await desk.entry(filled)).revision == before.revision
    assert desk.told() == told


async def test_rejections_are_adopted_without_a_request_for_each(clock: Any) -> None:
    async with Desk(clock, ready=False) as desk:
        for n in range(1, 6):
            signal = desk.signal(n)
            rejected = RejectedSignal(original_signal=signal, code=Code.RATE_LIMIT, message="", decided_at=1)
            event = desk.event(EventType.REJECTED_SIGNAL, signal, rejected)
            await desk.produce(desk.topics.signals_rejected, event)
        calls = Calls()
        await desk.tracker(calls)
        assert [name for name in calls.names if name.startswith("journal")] == [
            "journal.epoch",
            "journal.run_id",
            "journal.adopt",
            "journal.write_epoch",
        ]
        assert await desk.open_ids() == []
        assert (await desk.entry(desk.signal(5))).state is EntryState.FAILED


async def test_what_is_validated_is_adopted_page_by_page(desk: Desk) -> None:
    desk.settings = desk.settings.model_copy(update={"fetch_max_records": 2})
    for n in range(1, 6):
        await desk.validated(desk.signal(n))
    await returned(desk)
    calls = Calls()
    tracker = await desk.tracker(calls)
    assert calls.count("journal.adopt") >= 3
    assert len(await desk.journal.in_doubt()) == 5
    assert cast("ServiceStub", tracker.service).steps >= 2 * 3  # each page read, each page adopted


async def test_a_long_wait_tells_that_it_goes_on(desk: Desk) -> None:
    """Liveness would end a start that says nothing for `stall_seconds`, again and again."""
    await desk.place(desk.signal())
    await returned(desk)
    leading = asyncio.create_task(desk.tracker(live=True))
    tracker = await leading
    assert cast("ServiceStub", tracker.service).steps >= 35 // 5


async def test_a_book_that_can_not_be_read_is_read_again_without_another_wait(desk: Desk) -> None:
    await desk.place(desk.signal())
    await returned(desk)
    began = desk.clock.now()
    calls = Calls()
    for _ in range(2):
        calls.plan("refuse", "trader.order_book")
    await desk.tracker(calls)
    assert calls.count("trader.order_book") == 3
    assert desk.clock.now() == began + (1 + 2) * WAIT * SECOND
    assert await desk.journal.epoch() is not None


async def test_what_an_engine_tells_during_the_wait_counts(desk: Desk) -> None:
    """Its event was on its way when the outcomes were read: LOST beside it would be a contradiction."""
    signal = desk.signal()
    entry = await desk.place(signal)
    (told,) = desk.events()
    async with Desk(VirtualClock(desk.clock.now()), ready=True) as other:
        await other.validated(signal)
        await returned(other)
        leading = asyncio.create_task(other.tracker())
        await other.clock.advance(1)
        assert (await other.entry(signal)).state is EntryState.UNKNOWN
        await other.produce(other.topics.orders_filled, told)
        await leading
        found = await other.entry(signal)
        assert (found.state, found.filled_quantity) == (EntryState.FILLED, entry.filled_quantity)


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
