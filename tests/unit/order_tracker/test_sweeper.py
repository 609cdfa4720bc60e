"""What may not rest under the trading state: Halted cancels all, Reducing what increases, an expired key nothing."""

from collections.abc import Iterable

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, Side, SignalClass, TradingState
from alpha_panda.contracts.scopes import account_scope, scopes_of, strategy_scope
from alpha_panda.contracts.stored import ControlReading, JournalEntry, Latch, Outcome
from alpha_panda.order_tracker.sweeper import forbidden, to_cancel
from unit.engine.desk import ACCOUNT, SECOND, STRATEGY, Desk

ALL = scopes_of(ACCOUNT, STRATEGY)


async def resting(desk: Desk) -> list[JournalEntry]:
    """Let one increasing BUY and one reducing SELL rest."""
    await desk.place(desk.limit(1))
    await desk.place(desk.limit(2, side=Side.SELL, price="2600"), SignalClass.REDUCING)
    return await desk.journal.resting()


async def swept(desk: Desk) -> list[SignalClass]:
    found = await to_cancel(ACCOUNT, await desk.journal.resting(), desk.control)
    return [entry.signal_class for entry, _ in found]


@pytest.mark.parametrize("scope", ALL)
async def test_halted_at_any_scope_cancels_all(desk: Desk, scope: str) -> None:
    await resting(desk)
    await desk.state(TradingState.HALTED, scope)
    found = await to_cancel(ACCOUNT, await desk.journal.resting(), desk.control)
    assert [reason for _, reason in found] == [f"{scope} is Halted"] * 2


@pytest.mark.parametrize("scope", ALL)
async def test_reducing_at_any_scope_cancels_what_increases(desk: Desk, scope: str) -> None:
    await resting(desk)
    await desk.state(TradingState.REDUCING, scope)
    assert await swept(desk) == [SignalClass.INCREASING]


async def test_active_cancels_nothing(desk: Desk) -> None:
    await resting(desk)
    assert await swept(desk) == []


async def test_another_strategys_state_is_its_own(desk: Desk) -> None:
    await resting(desk)
    await desk.state(TradingState.HALTED, strategy_scope("other"))
    assert await swept(desk) == []


async def test_a_key_that_expired_cancels_nothing(desk: Desk) -> None:
    """A dead operator must not take protective stops away."""
    await resting(desk)
    await desk.state(TradingState.HALTED, ttl=1)
    desk.clock._now += SECOND
    assert await swept(desk) == []


async def test_a_missing_key_cancels_nothing(desk: Desk) -> None:
    await resting(desk)
    for scope in ALL:
        await desk.control.drop_spec(scope)
    assert await swept(desk) == []


@pytest.mark.parametrize(
    ("state", "left"),
    [
        (TradingState.HALTED, []),
        (TradingState.REDUCING, [SignalClass.REDUCING]),
        (TradingState.ACTIVE, [SignalClass.INCREASING, SignalClass.REDUCING]),
    ],
)
async def test_latches_count_also_over_an_expired_key(
    desk: Desk, state: TradingState, left: list[SignalClass]
) -> None:
    await resting(desk)
    await desk.state(TradingState.ACTIVE, ttl=1)
    desk.clock._now += SECOND
    scope = account_scope(ACCOUNT)
    await desk.control.set_latch(
        Latch(latch_id="l", scope=scope, state=state, reason="", set_by="risk", set_at=0)
    )
    await (await desk.tracker()).look_after()
    assert [entry.signal_class for entry in await desk.journal.resting()] == left


def reading(state: TradingState, latches: Iterable[Latch] = ()) -> ControlReading:
    return ControlReading(scope="s", spec=state, expired=False, latches=tuple(latches))


async def test_the_strictest_scope_binds(desk: Desk) -> None:
    increasing, reducing = await resting(desk)
    readings = [reading(TradingState.ACTIVE), reading(TradingState.REDUCING)]
    assert forbidden(increasing, readings) == "s is Reducing"
    assert forbidden(reducing, readings) is None
    assert forbidden(reducing, [*readings, reading(TradingState.HALTED)]) == "s is Halted"


# ---------------------------------------------------------------------------------------- by the service


async def test_what_is_swept_is_cancelled_told_and_says_why(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    await desk.state(TradingState.HALTED, account_scope(ACCOUNT))
    tracker = await desk.tracker()
    await tracker.look_after()
    entry = await desk.entry(signal)
    assert (entry.state, entry.code) == (EntryState.CANCELLED, Code.CANCELLED_BY_STATE)
    assert entry.message == "account/paper is Halted"
    assert len(desk.events()) == 2
    assert await desk.open_ids() == []


async def test_what_comes_to_rest_later_is_swept_too(desk: Desk) -> None:
    """The state lasts: an order that BEGIN let pass just before it."""
    tracker = await desk.tracker()
    await tracker.look_after()
    signal = desk.limit()
    await desk.place(signal)
    await desk.state(TradingState.HALTED, account_scope(ACCOUNT))
    await tracker.look_after()
    assert (await desk.entry(signal)).state is EntryState.CANCELLED


async def test_a_cancel_that_the_broker_has_not_done_yet_is_asked_for_again(desk: Desk) -> None:
    signal = desk.limit()
    before = await desk.place(signal)
    await desk.state(TradingState.HALTED)

    class Slow:
        asked = 0

        async def cancel(self, entry: JournalEntry) -> Outcome:
            self.asked += 1
            return Outcome(state=entry.state, broker_order_id=entry.broker_order_id)

    tracker = await desk.tracker()
    slow = Slow()
    tracker._trader = slow  # type: ignore[assignment]
    for _ in range(3):
        await tracker.look_after()
    assert slow.asked == 3
    assert await desk.entry(signal) == before  # nothing changed, nothing told
    assert len(desk.events()) == 1


async def test_an_order_filled_before_its_cancel_is_not_said_to_be_cancelled(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    await desk.state(TradingState.HALTED)

    class Late:
        async def cancel(self, entry: JournalEntry) -> Outcome:
            return Outcome(
                state=EntryState.FILLED, filled_quantity=signal.quantity, average_price=signal.quantity
            )

    tracker = await desk.tracker()
    tracker._trader = Late()  # type: ignore[assignment]
    await tracker.look_after()
    entry = await desk.entry(signal)
    assert (entry.state, entry.code) == (EntryState.FILLED, None)
