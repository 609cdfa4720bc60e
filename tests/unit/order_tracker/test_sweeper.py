"""What may not rest under the trading state: Halted cancels all, Reducing what increases, an expired key nothing."""

from collections.abc import Iterable

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, Side, SignalClass, TradingState
from alpha_panda.contracts.scopes import account_scope, scopes_of, strategy_scope
from alpha_panda.contracts.stored import ControlReading, JournalEntry, Latch, Outcome
from alpha_panda.domain.order_events import EXTERNAL
from alpha_panda.errors import DependencyUnavailableError, FencedError
from alpha_panda.order_tracker.sweeper import Sweeper, SweepTerms, forbidden, to_cancel
from contracts.samples import entry as sample
from contracts.samples import signal
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
    await (await desk.tracker()).sweep()
    assert [entry.signal_class for entry in await desk.journal.resting()] == left


def reading(state: TradingState, latches: Iterable[Latch] = ()) -> ControlReading:
    return ControlReading(scope="s", spec=state, expired=False, latches=tuple(latches))


async def test_the_strictest_scope_binds(desk: Desk) -> None:
    increasing, reducing = await resting(desk)
    readings = [reading(TradingState.ACTIVE), reading(TradingState.REDUCING)]
    assert forbidden(increasing, readings) == "s is Reducing"
    assert forbidden(reducing, readings) is None
    assert forbidden(reducing, [*readings, reading(TradingState.HALTED)]) == "s is Halted"


@pytest.mark.parametrize(
    ("tag", "touched"), [("external:b1", False), ("", False), (f"ap{'a' * 18}", True)], ids=str
)
async def test_a_halt_leaves_other_peoples_orders_alone(desk: Desk, tag: str, touched: bool) -> None:
    """A person who closes a position by hand has often halted the account before; a stray of ours must go."""
    await desk.state(TradingState.HALTED)
    await desk.state(TradingState.HALTED, account_scope(ACCOUNT))
    order = sample(signal(f"{EXTERNAL}:b1"), EntryState.PARTIALLY_FILLED, tag=tag)
    assert bool(await to_cancel(ACCOUNT, [order], desk.control)) is touched


# ------------------------------------------------------------------------------------------- many of them


class Slow:
    """Cancels that take `seconds` each, on the clock; notes who was asked for, and how many at once."""

    def __init__(
        self, clock: VirtualClock, seconds: float, errors: dict[str, Exception] | None = None
    ) -> None:
        self.clock, self.seconds, self.errors = clock, seconds, errors or {}
        self.asked: list[str] = []
        self.now = self.most = 0

    async def __call__(self, entry: JournalEntry, reason: str) -> None:
        self.asked.append(entry.signal_id)
        self.now += 1
        self.most = max(self.most, self.now)
        await self.clock.sleep(self.seconds)
        self.now -= 1
        if entry.signal_id in self.errors:
            raise self.errors[entry.signal_id]


def found(count: int) -> list[tuple[JournalEntry, str]]:
    return [(sample(signal(f"s{n}"), EntryState.PLACED), "Halted") for n in range(count)]


def sweeper(cancel: Slow, at_once: int = 4, within: float = 10) -> Sweeper:
    return Sweeper(cancel.clock, SweepTerms(at_once, round(within * SECOND)), cancel)


async def test_hanging_cancels_are_waited_for_side_by_side(clock: VirtualClock) -> None:
    cancel, begun = Slow(clock, 5), clock.now()
    await sweeper(cancel).sweep(found(4))
    assert (len(cancel.asked), cancel.most, clock.now() - begun) == (4, 4, 5 * SECOND)


async def test_no_more_than_so_many_are_under_way_at_once(clock: VirtualClock) -> None:
    cancel = Slow(clock, 0.1)
    await sweeper(cancel).sweep(found(50))
    assert (sorted(cancel.asked), cancel.most) == (sorted(f"s{n}" for n in range(50)), 4)


@pytest.mark.parametrize("count", [9, 1000])
async def test_a_turn_has_an_end_however_many_hang(clock: VirtualClock, count: int) -> None:
    cancel, begun = Slow(clock, 5), clock.now()
    await sweeper(cancel, within=7).sweep(found(count))
    assert clock.now() - begun == 10 * SECOND
    assert cancel.asked == [f"s{n}" for n in range(8)]


async def test_those_who_waited_longest_come_first_in_the_next_turn(clock: VirtualClock) -> None:
    cancel = Slow(clock, 5)
    turns, rest = sweeper(cancel, within=1), found(10)
    for _ in range(3):
        await turns.sweep(rest)
    assert cancel.asked == [f"s{n}" for n in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1)]
    await turns.sweep(rest[1:5])
    assert set(cancel.asked[12:]) == {"s1", "s2", "s3", "s4"}


async def test_one_that_fails_keeps_no_other_from_its_turn(clock: VirtualClock) -> None:
    away, fenced = DependencyUnavailableError("bus", "away"), FencedError("somebody else")
    cancel = Slow(clock, 0, {"s0": away, "s1": fenced, "s2": away})
    with pytest.raises(FencedError):
        await sweeper(cancel, at_once=1).sweep(found(6))
    assert cancel.asked == [f"s{n}" for n in range(6)]


async def test_nothing_to_cancel_asks_for_nothing(clock: VirtualClock) -> None:
    cancel, begun = Slow(clock, 5), clock.now()
    await sweeper(cancel).sweep([])
    assert (cancel.asked, clock.now()) == ([], begun)


# ---------------------------------------------------------------------------------------- by the service


async def test_what_is_swept_is_cancelled_told_and_says_why(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    await desk.state(TradingState.HALTED, account_scope(ACCOUNT))
    tracker = await desk.tracker()
    await tracker.sweep()
    entry = await desk.entry(signal)
    assert (entry.state, entry.code) == (EntryState.CANCELLED, Code.CANCELLED_BY_STATE)
    assert entry.message == "account/paper is Halted"
    assert len(desk.events()) == 2
    assert await desk.open_ids() == []


async def test_what_comes_to_rest_later_is_swept_too(desk: Desk) -> None:
    """The state lasts: an order that BEGIN let pass just before it."""
    tracker = await desk.tracker()
    await tracker.sweep()
    signal = desk.limit()
    await desk.place(signal)
    await desk.state(TradingState.HALTED, account_scope(ACCOUNT))
    await tracker.sweep()
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
        await tracker.sweep()
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
    await tracker.sweep()
    entry = await desk.entry(signal)
    assert (entry.state, entry.code) == (EntryState.FILLED, None)


class TestFlatten:
    """[G_FLATTEN] What rests of a strategy that is being flattened is in the way of risk's closing orders."""

    @pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
    async def test_reducing_orders_are_cancelled_too(self, desk: Desk, state: TradingState) -> None:
        await resting(desk)
        await desk.state(state)
        found = await to_cancel(ACCOUNT, await desk.journal.resting(), desk.control, {STRATEGY})
        assert [entry.signal_class for entry, _ in found] == [SignalClass.INCREASING, SignalClass.REDUCING]

    async def test_risks_own_closing_orders_rest_on(self, desk: Desk) -> None:
        await desk.place(desk.limit(2, side=Side.SELL, price="2600", closing=True), SignalClass.REDUCING)
        await desk.state(TradingState.REDUCING)
        assert await to_cancel(ACCOUNT, await desk.journal.resting(), desk.control, {STRATEGY}) == []
        await desk.state(TradingState.HALTED)
        assert len(await to_cancel(ACCOUNT, await desk.journal.resting(), desk.control, {STRATEGY})) == 1

    async def test_not_before_the_trading_state_is_tightened(self, desk: Desk) -> None:
        await resting(desk)
        assert await to_cancel(ACCOUNT, await desk.journal.resting(), desk.control, {STRATEGY}) == []

    async def test_another_strategys_stay(self, desk: Desk) -> None:
        await resting(desk)
        await desk.state(TradingState.REDUCING)
        found = await to_cancel(ACCOUNT, await desk.journal.resting(), desk.control, {"other"})
        assert [entry.signal_class for entry, _ in found] == [SignalClass.INCREASING]
