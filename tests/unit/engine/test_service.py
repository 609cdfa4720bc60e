"""The engine's order of effects, guard by guard (DESIGN section 4; the names in brackets are order.pml's)."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EntryState,
    EventType,
    FeedMode,
    OrderStatus,
    Side,
    SignalClass,
    TradingState,
)
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import Latch, Outcome, Quote
from alpha_panda.domain.ids import broker_tag
from alpha_panda.domain.order_events import order_event
from alpha_panda.errors import DependencyUnavailableError, TransientError, UndecodableRecordError
from alpha_panda.ports import Record
from unit.engine.desk import ACCOUNT, FEED, SECOND, TOKEN, Calls, Desk

FILLED = (EventType.ORDER_FILLED, EntryState.FILLED)


async def outcome(desk: Desk, signal: Any) -> tuple[list[EventType], EntryState, Code | None]:
    entry = await desk.entry(signal)
    return desk.told(), entry.state, entry.code


# ------------------------------------------------------------------------------------------------- GO


async def test_go_leads_to_one_call_one_event_and_an_entry_that_left_open(desk: Desk) -> None:
    signal = desk.signal()
    calls = Calls()
    engine = desk.engine(calls)
    await engine.handle([await desk.validated(signal)])
    assert calls.names == [
        "prices.read",
        "journal.begin",
        "trader.place",
        "journal.settle",
        "producer.send",
        "journal.acknowledge",
    ]
    (event,) = desk.events()
    entry = await desk.entry(signal)
    assert event == order_event(entry, ACCOUNT, "engine/paper")
    assert (entry.state, entry.filled_quantity, entry.tag) == (
        EntryState.FILLED,
        10,
        broker_tag(signal.signal_id),
    )
    assert await desk.open_ids() == []
    assert engine.details() == {"orders_filled": 1, "unanswered": 0}


async def test_the_quote_it_was_sent_on_is_in_entry_and_event(desk: Desk) -> None:
    await desk.quote(2500.02)
    await desk.place(desk.signal())
    ((_, update),) = desk.updates()
    assert (update.quote_price, update.quote_ts) == (Decimal("2500.00"), desk.clock.now())


async def test_the_broker_gets_the_entry_that_begin_stored(desk: Desk) -> None:
    """The tag, and the attempt, are those a reader of the book will find."""
    signal = desk.signal()
    entry = await desk.place(signal)
    (sent,) = desk.broker.placed
    assert (sent.tag, sent.attempt, sent.state) == (entry.tag, entry.attempt, EntryState.SENDING)
    assert sent.send_by == desk.clock.now() + 5 * SECOND


async def test_an_order_that_rests_is_told_as_placed(desk: Desk) -> None:
    await desk.place(desk.limit())
    assert desk.told() == [EventType.ORDER_PLACED]
    assert await desk.open_ids() == []


# ------------------------------------------------------------------------------- DUP, refusals and doubt


async def test_dup_does_nothing_whoever_asks_again(desk: Desk) -> None:
    """[G_DUP] Redelivered, duplicated, to the same engine or another."""
    record = await desk.validated(desk.signal())
    await desk.engine().handle([record, record])
    await desk.engine().handle([record])
    assert len(desk.broker.placed) == 1
    assert desk.told() == [EventType.ORDER_FILLED]


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING])
async def test_begin_refuses_by_state_stored_before_told(desk: Desk, state: TradingState) -> None:
    """[G_LATCH]"""
    await desk.state(state, account_scope(ACCOUNT))
    signal = desk.signal()
    await desk.place(signal)
    code = Code.TRADING_HALTED if state is TradingState.HALTED else Code.TRADING_REDUCING
    assert await outcome(desk, signal) == ([EventType.ORDER_FAILED], EntryState.FAILED, code)
    assert desk.broker.placed == []


async def test_a_latch_refuses_though_the_manifest_says_active(desk: Desk) -> None:
    """[G_LATCH]"""
    scope = account_scope(ACCOUNT)
    await desk.control.set_latch(
        Latch(latch_id="l", scope=scope, state=TradingState.HALTED, reason="", set_by="", set_at=0)
    )
    await desk.place(desk.signal())
    assert (desk.told(), desk.broker.placed) == ([EventType.ORDER_FAILED], [])


async def test_an_expired_signal_is_refused(desk: Desk) -> None:
    """[G_EXP]"""
    signal = desk.signal(expires_at=desk.clock.now())
    await desk.place(signal)
    assert await outcome(desk, signal) == ([EventType.ORDER_FAILED], EntryState.FAILED, Code.SIGNAL_EXPIRED)


async def test_a_signal_without_a_stored_decision_is_refused(desk: Desk) -> None:
    """[G_DEC]"""
    signal = desk.signal()
    await desk.engine().handle([await desk.validated(signal, stored=False)])
    assert await outcome(desk, signal) == (
        [EventType.ORDER_FAILED],
        EntryState.FAILED,
        Code.PAYLOAD_MISMATCH,
    )
    assert desk.broker.placed == []


async def test_a_key_in_doubt_takes_no_second_order(desk: Desk) -> None:
    """[F_INDOUBT]"""
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN, message="time-out"))
    await desk.place(desk.signal(1))
    second = desk.signal(2)
    await desk.place(second)
    assert (await desk.entry(second)).code is Code.IN_DOUBT
    assert len(desk.broker.placed) == 1


async def test_the_rate_of_the_manifest_binds(desk: Desk) -> None:
    signals = [desk.signal(n) for n in range(1, 12)]
    for signal in signals:
        await desk.place(signal)
    codes = [(await desk.entry(signal)).code for signal in signals]
    assert codes == [None] * 10 + [Code.RATE_LIMIT]


async def test_an_old_epoch_is_unknown_not_failed_and_not_told(desk: Desk) -> None:
    """[G_DEP, F_OLDUNK] It may have been sent before the journal lost it."""
    signal = desk.signal()
    record = await desk.validated(signal)
    desk.database.restart()
    await desk.take_over()
    await desk.open_epoch()
    await desk.engine().handle([record])
    assert await outcome(desk, signal) == ([], EntryState.UNKNOWN, Code.NOT_RECONCILED)
    assert desk.broker.placed == []
    assert await desk.open_ids() == [signal.signal_id]


async def test_without_an_epoch_for_this_run_nothing_is_sent(desk: Desk) -> None:
    """[G_RUN] The store has come back and the order-tracker has not vouched for it yet."""
    signal = desk.signal()
    record = await desk.validated(signal)
    desk.database.restart()
    await desk.engine().handle([record])
    assert await outcome(desk, signal) == ([], EntryState.UNKNOWN, Code.NOT_RECONCILED)


async def test_every_refusal_before_begin_is_stored_once_and_before_its_event(desk: Desk) -> None:
    """[F_REFUSEJ]"""
    desk.clock._now += 60 * SECOND  # the only price is stale now
    signal = desk.signal()
    record = await desk.validated(signal)
    calls = Calls()
    await desk.engine(calls).handle([record])
    assert calls.names == ["prices.read", "journal.refuse", "producer.send", "journal.acknowledge"]
    await desk.quote(2500.0)
    await desk.engine().handle([record])  # a good price now: too late, its end is told
    assert await outcome(desk, signal) == ([EventType.ORDER_FAILED], EntryState.FAILED, Code.PRICE_STALE)
    assert desk.broker.placed == []


# ------------------------------------------------------------------------------------------ the deadline


class Slow:
    """A clock that moves `seconds` during one named call."""

    def __init__(self, desk: Desk, name: str, seconds: float) -> None:
        self.desk, self.name, self.seconds = desk, name, seconds

    async def __call__(self, name: str, call: Any) -> Any:
        if name == self.name:
            await self.desk.clock.sleep(self.seconds)
        return await call()


@pytest.mark.parametrize(("seconds", "state"), [(4.999, EntryState.FILLED), (5.0, EntryState.FAILED)])
async def test_nothing_is_sent_after_the_deadline(desk: Desk, seconds: float, state: EntryState) -> None:
    """[G_MONO] S runs on the monotonic clock from before BEGIN, so a slow BEGIN uses it up."""
    signal = desk.signal()
    await desk.engine(Slow(desk, "trader.place", seconds)).handle([await desk.validated(signal)])
    entry = await desk.entry(signal)
    assert entry.state is state
    if state is EntryState.FAILED:
        assert entry.code is Code.SEND_DEADLINE_PASSED


async def test_a_slow_begin_uses_up_the_permission(desk: Desk) -> None:
    """[G_MONO] The deadline was read before BEGIN, so it is never later than the journal's send_by."""
    signal = desk.signal()
    await desk.engine(Slow(desk, "journal.begin", 5.0)).handle([await desk.validated(signal)])
    entry = await desk.entry(signal)
    assert entry.code is Code.SEND_DEADLINE_PASSED


async def test_a_slow_price_read_uses_up_nothing(desk: Desk) -> None:
    signal = desk.signal()
    await desk.engine(Slow(desk, "prices.read", 4.0)).handle([await desk.validated(signal)])
    assert (await desk.entry(signal)).state is EntryState.FILLED


# ----------------------------------------------------------------------------- outcome, event and open


async def test_an_ambiguous_outcome_is_unknown_and_not_told(desk: Desk) -> None:
    """[G_AMB]"""
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN, message="time-out"))
    signal = desk.signal()
    await desk.place(signal)
    assert await outcome(desk, signal) == ([], EntryState.UNKNOWN, None)
    assert await desk.open_ids() == [signal.signal_id]


async def test_a_definite_refusal_of_the_broker_is_failed_and_told(desk: Desk) -> None:
    desk.broker.answers.append(Outcome(state=EntryState.FAILED, code=Code.BROKER_REJECTED, message="no"))
    signal = desk.signal()
    await desk.place(signal)
    assert await outcome(desk, signal) == ([EventType.ORDER_FAILED], EntryState.FAILED, Code.BROKER_REJECTED)


async def test_a_trader_that_raises_is_not_called_again_and_the_order_is_in_doubt(desk: Desk) -> None:
    signal = desk.signal()
    record = await desk.validated(signal)
    calls = Calls()
    calls.plan("refuse", "trader.place")
    engine = desk.engine(calls)
    with pytest.raises(DependencyUnavailableError):
        await engine.handle([record])
    await engine.handle([record])
    assert calls.count("trader.place") == 1
    assert await outcome(desk, signal) == ([], EntryState.SENDING, None)


async def test_a_lost_reply_of_begin_counts_as_dup(desk: Desk) -> None:
    """GO may have been written: it is the order-tracker's to resolve, and the record is done."""
    signal = desk.signal()
    calls = Calls()
    calls.plan("lose reply", "journal.begin")
    await desk.engine(calls).handle([await desk.validated(signal)])
    assert calls.count("trader.place") == 0
    assert await outcome(desk, signal) == ([], EntryState.SENDING, None)


async def test_a_begin_that_was_not_applied_is_tried_again(desk: Desk) -> None:
    record = await desk.validated(desk.signal())
    calls = Calls()
    calls.plan("refuse", "journal.begin")
    engine = desk.engine(calls)
    with pytest.raises(DependencyUnavailableError):
        await engine.handle([record])
    await engine.handle([record])
    assert desk.told() == [EventType.ORDER_FILLED]
    assert len(desk.broker.placed) == 1


async def test_a_lost_reply_of_settle_leaves_the_telling_to_the_tracker(desk: Desk) -> None:
    signal = desk.signal()
    calls = Calls()
    calls.plan("lose reply", "journal.settle")
    await desk.engine(calls).handle([await desk.validated(signal)])
    assert await outcome(desk, signal) == ([], EntryState.FILLED, None)
    assert await desk.open_ids() == [signal.signal_id]


LOST = ("lose reply", "lose request")


async def tracked(desk: Desk) -> list[EventType]:
    """Let the order-tracker look twice; return all that was told by then."""
    tracker = await desk.tracker()
    await tracker.look_after()
    await tracker.look_after()
    return desk.told()


@pytest.mark.parametrize("lost", LOST)
async def test_an_unanswered_refusal_is_retried_and_told_once(desk: Desk, lost: str) -> None:
    """The engine lives on: asked again it finds the refusal written, or writes it."""
    desk.clock._now += 60 * SECOND
    signal = desk.signal()
    record = await desk.validated(signal)
    calls = Calls()
    calls.plan(lost, "journal.refuse")
    engine = desk.engine(calls)
    with pytest.raises(TransientError):
        await engine.handle([record])
    assert engine.details() == {"unanswered": 1}
    await engine.handle([record])
    assert (await tracked(desk), await desk.open_ids()) == ([EventType.ORDER_FAILED], [])
    assert desk.broker.placed == []


@pytest.mark.parametrize("begin", LOST)
@pytest.mark.parametrize("refuse", LOST)
async def test_a_store_that_answers_neither_begin_nor_refuse_ends_nothing_and_loses_no_signal(
    desk: Desk, begin: str, refuse: str
) -> None:
    signal = desk.signal()
    record = await desk.validated(signal)
    calls = Calls()
    calls.plan(begin, "journal.begin")
    calls.plan(refuse, "journal.refuse")
    engine = desk.engine(calls)
    with pytest.raises(TransientError):
        await engine.handle([record])
    assert calls.count("trader.place") == 0
    await engine.handle([record])
    never_asked = (begin, refuse) == ("lose request", "lose request")
    assert calls.count("trader.place") == int(never_asked)
    assert (await desk.journal.get(signal.signal_id)) is not None
    assert engine.details()["unanswered"] == 2


async def test_a_dead_letter_whose_refusal_is_not_answered_is_tried_again(desk: Desk) -> None:
    record = await desk.validated(desk.signal())
    calls = Calls()
    calls.plan("lose request", "journal.refuse")
    engine = desk.engine(calls)
    with pytest.raises(TransientError):
        await engine.dead_letter(record, Code.BREAKER_OPEN, "store: down")
    await engine.dead_letter(record, Code.BREAKER_OPEN, "store: down")
    assert desk.told() == [EventType.ORDER_FAILED]


@pytest.mark.parametrize("lost", LOST)
async def test_an_unanswered_acknowledgement_ends_nothing_and_no_broker_is_asked_again(
    desk: Desk, lost: str
) -> None:
    signal = desk.signal()
    calls = Calls()
    calls.plan(lost, "journal.acknowledge")
    engine = desk.engine(calls)
    await engine.handle([await desk.validated(signal)])
    assert desk.told() == [EventType.ORDER_FILLED]
    assert await desk.open_ids() == ([signal.signal_id] if lost == "lose request" else [])
    assert set(await tracked(desk)) == {EventType.ORDER_FILLED}
    assert await desk.open_ids() == []
    assert (calls.count("trader.place"), engine.details()["unanswered"]) == (1, 1)


@pytest.mark.parametrize("lost", LOST)
async def test_a_cancellation_that_could_not_be_stored_is_told_as_unconfirmed_and_not_asked_again(
    desk: Desk, lost: str
) -> None:
    order = desk.limit()
    await desk.place(order)
    calls = Calls()
    calls.plan(lost, "journal.fill")
    request = await cancel(desk, order, calls)
    assert refusals(desk, request) == [(EventType.ORDER_UPDATED, Code.CANCEL_UNCONFIRMED)]
    assert calls.count("trader.cancel") == 1
    stored = lost == "lose reply"
    assert (await desk.entry(order)).state is (EntryState.CANCELLED if stored else EntryState.PLACED)
    assert (EventType.ORDER_CANCELLED in await tracked(desk)) is stored


async def test_an_event_that_is_not_acknowledged_keeps_the_entry_open(desk: Desk) -> None:
    signal = desk.signal()
    record = await desk.validated(signal)
    calls = Calls()
    calls.plan("refuse", "producer.send")
    engine = desk.engine(calls)
    with pytest.raises(DependencyUnavailableError):
        await engine.handle([record])
    await engine.handle([record])
    assert desk.told() == []
    assert await desk.open_ids() == [signal.signal_id]


async def test_what_somebody_settled_meanwhile_stays_and_is_what_is_told(desk: Desk) -> None:
    """[G_CAS] The tracker found the order in the book while the answer was on its way."""
    signal = desk.signal()

    async def meanwhile(name: str, call: Any) -> Any:
        if name == "journal.settle":
            found = Outcome(state=EntryState.PLACED, broker_order_id="b7")
            await desk.journal.resolve(desk.lease, signal.signal_id, found)
        return await call()

    await desk.engine(meanwhile).handle([await desk.validated(signal)])
    assert await outcome(desk, signal) == ([EventType.ORDER_PLACED], EntryState.PLACED, None)


async def test_a_missing_entry_is_re_created_with_gos_send_by(desk: Desk) -> None:
    """[F_SETTLE] The store lost the entry between GO and the answer."""
    signal = desk.signal()
    send_by = desk.clock.now() + 5 * SECOND

    async def forgetful(name: str, call: Any) -> Any:
        if name == "journal.settle":
            desk.database.restart(EMPTY_IMAGE)
        return await call()

    await desk.engine(forgetful).handle([await desk.validated(signal)])
    entry = await desk.entry(signal)
    assert (entry.state, entry.send_by) == (EntryState.FILLED, send_by)


async def test_an_entry_that_moved_on_is_not_acknowledged_with_an_older_event(desk: Desk) -> None:
    """[F_OPENCAS] The tracker filled it between our event and our acknowledgement."""
    signal = desk.limit()

    async def meanwhile(name: str, call: Any) -> Any:
        if name == "journal.acknowledge":
            entry = await desk.entry(signal)
            fill = Outcome(state=EntryState.FILLED, filled_quantity=Decimal(10), average_price=Decimal(2400))
            assert await desk.journal.fill(signal.signal_id, entry.revision, fill)
        return await call()

    await desk.engine(meanwhile).handle([await desk.validated(signal)])
    assert desk.told() == [EventType.ORDER_PLACED]
    assert await desk.open_ids() == [signal.signal_id]


# ------------------------------------------------------------------------------------------- dead letters


async def test_a_dead_letter_ends_as_order_failed_too(desk: Desk) -> None:
    signal = desk.signal()
    record = await desk.validated(signal)
    await desk.engine().dead_letter(record, Code.BREAKER_OPEN, "store: down")
    await desk.engine().handle([record])
    assert await outcome(desk, signal) == ([EventType.ORDER_FAILED], EntryState.FAILED, Code.BREAKER_OPEN)
    assert desk.broker.placed == []


async def test_a_dead_letter_of_a_sent_order_changes_nothing(desk: Desk) -> None:
    record = await desk.validated(desk.signal())
    engine = desk.engine()
    await engine.handle([record])
    await engine.dead_letter(record, Code.RETRIES_EXHAUSTED, "")
    assert desk.told() == [EventType.ORDER_FILLED]


async def test_a_dead_letter_repeated_is_told_once(desk: Desk) -> None:
    record = await desk.validated(desk.signal())
    await desk.engine().dead_letter(record, Code.BREAKER_OPEN, "")
    await desk.engine().dead_letter(record, Code.BREAKER_OPEN, "")
    assert desk.told() == [EventType.ORDER_FAILED]


def unusable(value: bytes) -> Record:
    return Record("paper.signals.validated", 0, 0, None, value, (), 0)


async def test_a_dead_letter_that_names_no_signal_tells_nothing(desk: Desk) -> None:
    await desk.engine().dead_letter(unusable(b"{"), Code.UNDECODABLE, "")
    assert desk.told() == []


async def test_another_event_on_the_topic_is_undecodable(desk: Desk) -> None:
    await desk.place(desk.signal())
    foreign = unusable(encode_event(desk.events()[0]))
    with pytest.raises(UndecodableRecordError):
        await desk.engine().handle([foreign])
    await desk.engine().dead_letter(foreign, Code.UNDECODABLE, "")
    assert desk.told() == [EventType.ORDER_FILLED]


async def test_a_cancel_that_is_set_aside_is_told_and_the_order_rests_on(desk: Desk) -> None:
    order = desk.limit()
    await desk.place(order)
    request = desk.cancel_request(order)
    await desk.engine().dead_letter(await desk.validated(request), Code.BREAKER_OPEN, "store: down")
    assert refusals(desk, request.signal_id) == [(EventType.ORDER_UPDATED, Code.BREAKER_OPEN)]
    assert (await desk.entry(order)).state is EntryState.PLACED


async def test_a_cancel_of_nothing_that_is_set_aside_tells_nothing(desk: Desk) -> None:
    request = desk.cancel_request(desk.limit())
    await desk.engine().dead_letter(await desk.validated(request), Code.BREAKER_OPEN, "")
    assert desk.told() == []


# --------------------------------------------------------------------------------------------- cancelling


def refusals(desk: Desk, signal_id: str) -> list[tuple[EventType, Code | None]]:
    return [(kind, update.code) for kind, update in desk.updates() if update.signal_id == signal_id]


async def cancel(desk: Desk, order: Any, harm: Any = None) -> str:
    request = desk.cancel_request(order)
    await desk.engine(harm).handle([await desk.validated(request)])
    return request.signal_id


@pytest.mark.parametrize("state", list(TradingState))
async def test_a_resting_order_is_cancelled_whatever_the_state(desk: Desk, state: TradingState) -> None:
    order = desk.limit()
    await desk.place(order)
    await desk.state(state)
    desk.clock._now += 3600 * SECOND  # no price that is fresh either
    await cancel(desk, order)
    assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_CANCELLED]
    entry = await desk.entry(order)
    assert (entry.state, entry.code) == (EntryState.CANCELLED, Code.CANCELLED_BY_STRATEGY)
    assert await desk.open_ids() == []


async def test_a_cancel_needs_neither_control_keys_nor_an_epoch(desk: Desk) -> None:
    order = desk.limit()
    await desk.place(order)
    for scope in ("platform", "account/paper", "strategy/alpha"):
        await desk.control.drop_spec(scope)
    desk.database.restart()
    request = desk.cancel_request(order)
    await desk.take_over()
    await desk.engine().handle([await desk.validated(request)])
    assert (await desk.entry(order)).state is EntryState.CANCELLED


async def test_a_cancel_that_comes_again_cancels_once(desk: Desk) -> None:
    order = desk.limit()
    await desk.place(order)
    record = await desk.validated(desk.cancel_request(order))
    await desk.engine().handle([record])
    await desk.engine().handle([record])
    assert len(desk.broker.cancelled) == 1
    assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_CANCELLED, EventType.ORDER_UPDATED]


async def test_a_cancel_keeps_what_filled_meanwhile(desk: Desk) -> None:
    """The order filled in part between our look and our write: we look again, and cancel the rest."""
    order = desk.limit()
    await desk.place(order)
    part = Outcome(
        state=EntryState.PARTIALLY_FILLED,
        filled_quantity=Decimal(4),
        average_price=Decimal(2400),
        amount=Decimal(9600),
    )
    fills = [part]

    async def meanwhile(name: str, call: Any) -> Any:
        if name == "journal.fill" and fills:
            entry = await desk.entry(order)
            assert await desk.journal.fill(order.signal_id, entry.revision, fills.pop())
        return await call()

    await cancel(desk, order, meanwhile)
    entry = await desk.entry(order)
    assert (entry.state, entry.filled_quantity, entry.amount) == (EntryState.CANCELLED, 4, 9600)


@pytest.mark.parametrize("filled", [0, 4])
async def test_a_cancel_that_the_broker_does_not_confirm_is_told_and_changes_nothing(
    desk: Desk, filled: int
) -> None:
    """What became of the order is the order-tracker's to read in the broker's book."""
    order = desk.limit()
    await desk.place(order)
    before = await desk.entry(order)

    async def unconfirmed(name: str, call: Any) -> Any:
        if name != "trader.cancel":
            return await call()
        state = EntryState.PARTIALLY_FILLED if filled else EntryState.PLACED
        return Outcome(state=state, filled_quantity=Decimal(filled), average_price=Decimal(2400))

    await cancel(desk, order, unconfirmed)
    assert await desk.entry(order) == before
    kind, update = desk.updates()[-1]
    assert (kind, update.code) == (EventType.ORDER_UPDATED, Code.CANCEL_UNCONFIRMED)
    assert update.signal_id != order.signal_id  # told of the request alone


async def test_a_cancelled_order_says_that_its_strategy_wished_it(desk: Desk) -> None:
    order = desk.limit()
    await desk.place(order)

    async def without_a_code(name: str, call: Any) -> Any:
        return Outcome(state=EntryState.CANCELLED) if name == "trader.cancel" else await call()

    await cancel(desk, order, without_a_code)
    entry = await desk.entry(order)
    assert (entry.state, entry.code) == (EntryState.CANCELLED, Code.CANCELLED_BY_STRATEGY)


async def test_an_order_filled_meanwhile_is_not_cancelled(desk: Desk) -> None:
    order = desk.limit()
    await desk.place(order)
    full = Outcome(state=EntryState.FILLED, filled_quantity=Decimal(10), average_price=Decimal(2400))

    async def meanwhile(name: str, call: Any) -> Any:
        if name == "journal.fill":
            entry = await desk.entry(order)
            assert await desk.journal.fill(order.signal_id, entry.revision, full)
        return await call()

    await cancel(desk, order, meanwhile)
    assert (await desk.entry(order)).state is EntryState.FILLED
    kind, update = desk.updates()[-1]
    assert (kind, update.code, update.filled_quantity) == (EventType.ORDER_UPDATED, Code.ORDER_NOT_OPEN, 10)


async def test_a_terminal_order_stays_what_it_is(desk: Desk) -> None:
    order = desk.signal()
    await desk.place(order)
    await cancel(desk, order)
    kind, update = desk.updates()[-1]
    assert (kind, update.code, update.status) == (
        EventType.ORDER_UPDATED,
        Code.ORDER_NOT_OPEN,
        OrderStatus.FILLED,
    )
    assert desk.broker.cancelled == []


async def test_of_an_order_in_doubt_nothing_is_told_but_of_its_cancel(desk: Desk) -> None:
    """An ORDER_UPDATED about the order itself would be folded, and rebuilt, as one that the broker has."""
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    order = desk.limit()
    await desk.place(order)
    request = await cancel(desk, order)
    assert refusals(desk, order.signal_id) == []
    assert refusals(desk, request) == [(EventType.ORDER_UPDATED, Code.IN_DOUBT)]
    ((_, update),) = desk.updates()
    assert (update.status, update.filled_quantity) == (OrderStatus.FAILED, 0)
    assert (await desk.entry(order)).state is EntryState.UNKNOWN
    assert desk.broker.cancelled == []


async def test_a_cancel_of_an_order_that_the_journal_lost_is_set_aside(desk: Desk) -> None:
    record = await desk.validated(desk.cancel_request(desk.limit()))
    with pytest.raises(Exception, match="not in the journal"):
        await desk.engine().handle([record])
    assert desk.told() == []


async def test_a_killed_cancel_is_told_by_the_tracker(desk: Desk) -> None:
    order = desk.limit()
    await desk.place(order)
    calls = Calls()
    calls.plan("kill after", "journal.fill")
    record = await desk.validated(desk.cancel_request(order))
    with pytest.raises(asyncio.CancelledError):
        await desk.engine(calls).handle([record])
    assert await desk.open_ids() == [order.signal_id]
    tracker = await desk.tracker()
    await tracker.look_after()
    await tracker.look_after()
    assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_CANCELLED]


# ------------------------------------------------------------------------------------------------- others


async def test_records_are_counted(desk: Desk) -> None:
    engine = desk.engine()
    await engine.handle([await desk.validated(desk.signal(1)), await desk.validated(desk.signal(2))])
    assert engine.service.processed == 2  # type: ignore[attr-defined]


async def test_a_reducing_order_passes_where_reducing_is_the_state(desk: Desk) -> None:
    await desk.state(TradingState.REDUCING)
    entry = await desk.place(desk.signal(side=Side.SELL), SignalClass.REDUCING)
    assert entry.state is EntryState.FILLED


async def test_two_engines_at_once_make_one_call(clock: Any) -> None:
    async with Desk(clock, yields=True) as desk:
        record = await desk.validated(desk.signal())
        copy = replace_record(record)
        await asyncio.gather(desk.engine().handle([record]), desk.engine().handle([copy]))
        assert len(desk.broker.placed) == 1
        assert desk.told() == [EventType.ORDER_FILLED]


def replace_record(record: Record) -> Record:
    return Record(
        record.topic, record.partition, record.offset, record.key, record.value, (), record.timestamp
    )


async def test_another_payload_under_a_decided_id_is_refused(desk: Desk) -> None:
    signal = desk.signal()
    await desk.validated(signal)
    forged = await desk.validated(replace(signal, quantity=Decimal(11)), stored=False)
    await desk.engine().handle([forged])
    assert (await desk.entry(signal)).code is Code.PAYLOAD_MISMATCH
    assert desk.broker.placed == []


async def test_a_refusal_by_a_store_that_lost_its_tail_is_unknown_not_failed(desk: Desk) -> None:
    """[F_OLDUNK] The fill was told, the store forgot it and all prices, the record comes again."""
    signal = desk.signal()
    record = await desk.validated(signal)
    await desk.engine().handle([record])
    desk.database.restart(EMPTY_IMAGE)
    await desk.engine().handle([record])
    await desk.engine().dead_letter(record, Code.BREAKER_OPEN, "")
    assert await outcome(desk, signal) == ([EventType.ORDER_FILLED], EntryState.UNKNOWN, Code.NOT_RECONCILED)


@pytest.mark.parametrize(("side", "met"), [(Side.BUY, "2500.10"), (Side.SELL, "2499.90")])
async def test_an_order_names_the_price_of_the_side_that_it_meets(desk: Desk, side: Side, met: str) -> None:
    """Else nobody could tell from the event why a market order on a quote replay filled where it did."""
    now = desk.clock.now()
    quote = Quote(2500.0, now, FEED, FeedMode.SIMULATED, 1, 99, bid=2499.9, ask=2500.1)
    await desk.prices.write(FEED, 1, {TOKEN: quote}, {0: now}, 1)
    entry = await desk.place(desk.signal(side=side))
    assert entry.quote_price == Decimal(met)
    assert entry.average_price == Decimal(met)
