"""Paper matching: hand-worked fills, and the promises that hold for every order and every price."""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, FeedMode, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import JournalEntry, Outcome, PriceRange
from alpha_panda.domain.matching import PaperTerms, cancel, expire, match_new, match_resting, outcome_of

D = Decimal
INSTRUMENT = Instrument(token=738561, symbol="NSE:RELIANCE", tick_size=D("0.05"))
FREE = PaperTerms()
SLIP = PaperTerms(slippage_bps=D(5), commission_bps=D(3))
PARTS = PaperTerms(partial_fill_ratio=D(1), seed=7)
PLACED = Outcome(state=EntryState.PLACED)


def order(side: Side = Side.BUY, order_type: OrderType = OrderType.MARKET, **fields: object) -> Signal:
    values: dict[str, object] = {
        "signal_id": "s-1",
        "strategy_id": "momentum",
        "strategy_uid": "uid",
        "instrument_token": INSTRUMENT.token,
        "symbol": INSTRUMENT.symbol,
        "quantity": D(10),
        "validity": Validity.DAY,
        "expires_at": 0,
    }
    return Signal(side=side, order_type=order_type, **(values | fields))  # type: ignore[arg-type]


def limit(side: Side, price: str, **fields: object) -> Signal:
    return order(side, OrderType.LIMIT, limit_price=D(price), **fields)


def stop(side: Side, trigger: str, **fields: object) -> Signal:
    return order(side, OrderType.STOP, trigger_price=D(trigger), **fields)


def stop_limit(side: Side, trigger: str, price: str, **fields: object) -> Signal:
    return order(side, OrderType.STOP_LIMIT, trigger_price=D(trigger), limit_price=D(price), **fields)


def resting(signal: Signal, outcome: Outcome = PLACED, quote_ts: int | None = 0) -> JournalEntry:
    return JournalEntry(
        signal=signal,
        state=outcome.state,
        signal_class=SignalClass.INCREASING,
        tag="ap1",
        revision=1,
        send_by=0,
        updated_at=0,
        correlation_id="c",
        causation_id="c",
        broker_order_id=outcome.broker_order_id,
        filled_quantity=outcome.filled_quantity,
        average_price=outcome.average_price,
        amount=outcome.amount,
        fees=outcome.fees,
        triggered=outcome.triggered,
        quote_ts=quote_ts,
    )


def prices(low: float, high: float, last: float, ts: int = 1) -> PriceRange:
    return PriceRange(1, INSTRUMENT.token, low, high, last, ts, 1, 2, FeedMode.SIMULATED)


def price_of(outcome: Outcome | None) -> Decimal:
    assert outcome is not None
    assert outcome.state is EntryState.FILLED
    return outcome.average_price


# ------------------------------------------------------------------------------------------------ MARKET


def test_market_without_slippage_fills_at_the_last_price() -> None:
    outcome = match_new(order(), INSTRUMENT, 2500.0, FREE)

    assert outcome == Outcome(
        state=EntryState.FILLED, filled_quantity=D(10), average_price=D(2500), amount=D(25_000)
    )


@pytest.mark.parametrize(
    ("side", "last", "price"),
    [
        (Side.BUY, 2500.0, "2501.25"),  # 2500 x 1.0005
        (Side.SELL, 2500.0, "2498.75"),  # 2500 x 0.9995
        (Side.BUY, 100.0, "100.05"),  # 100.05 exactly: no further tick
        (Side.BUY, 100.1, "100.2"),  # 100.15005: up to the next tick
        (Side.SELL, 100.1, "100"),  # 100.04995: down to the next tick
    ],
)
def test_market_slips_and_rounds_against_the_trader(side: Side, last: float, price: str) -> None:
    assert price_of(match_new(order(side), INSTRUMENT, last, SLIP)) == D(price)


@pytest.mark.parametrize(
    ("side", "opposite", "terms", "price"),
    [
        (Side.BUY, 2500.5, FREE, "2500.5"),
        (Side.SELL, 2499.5, FREE, "2499.5"),
        (Side.BUY, 2499.9, FREE, "2499.9"),  # the ask has come down since the last trade
        (Side.BUY, 2502.0, SLIP, "2503.3"),  # 2502 x 1.0005 = 2503.251
        (Side.BUY, None, FREE, "2500"),
        (Side.BUY, 0.0, FREE, "2500"),
        (Side.SELL, float("nan"), FREE, "2500"),
    ],
)
def test_market_trades_with_the_other_side_of_the_quote(
    side: Side, opposite: float | None, terms: PaperTerms, price: str
) -> None:
    assert price_of(match_new(order(side), INSTRUMENT, 2500.0, terms, opposite)) == D(price)


def test_a_limit_that_the_other_side_does_not_meet_rests() -> None:
    assert match_new(limit(Side.BUY, "2500"), INSTRUMENT, 2500.0, FREE, 2500.05) == PLACED
    assert match_new(limit(Side.SELL, "2500"), INSTRUMENT, 2500.0, FREE, 2499.95) == PLACED
    assert price_of(match_new(limit(Side.BUY, "2501"), INSTRUMENT, 2500.0, FREE, 2500.05)) == D("2500.05")


def test_a_stop_is_reached_by_the_last_price_and_trades_with_the_other_side() -> None:
    assert match_new(stop(Side.BUY, "2501"), INSTRUMENT, 2500.0, FREE, 2502.0) == PLACED
    assert price_of(match_new(stop(Side.BUY, "2500"), INSTRUMENT, 2500.0, FREE, 2502.0)) == D(2502)
    assert price_of(match_new(stop(Side.SELL, "2500"), INSTRUMENT, 2500.0, FREE, 2502.0)) == D(2500)


def test_market_off_the_grid_rounds_against_the_trader_without_slippage_too() -> None:
    assert price_of(match_new(order(Side.BUY), INSTRUMENT, 100.01, FREE)) == D("100.05")
    assert price_of(match_new(order(Side.SELL), INSTRUMENT, 100.04, FREE)) == D("100.00")


def test_a_sale_never_fills_below_one_tick() -> None:
    terms = PaperTerms(slippage_bps=D(20_000))

    assert price_of(match_new(order(Side.SELL), INSTRUMENT, 0.07, FREE)) == D("0.05")
    assert price_of(match_new(order(Side.SELL), INSTRUMENT, 2500.0, terms)) == D("0.05")


def test_commission_is_taken_of_the_amount_and_rounded_half_up_to_four_places() -> None:
    outcome = match_new(order(quantity=D(3)), INSTRUMENT, 2500.0, SLIP)

    # 3 x 2501.25 = 7503.75; x 3 / 10000 = 2.251125
    assert outcome.fees == D("2.2511")
    # 1 x 2.5 x 1 / 10000 = 0.00025
    one = match_new(order(quantity=D(1)), INSTRUMENT, 2.5, PaperTerms(commission_bps=D(1)))
    assert one.fees == D("0.0003")


# ------------------------------------------------------------------------------------------------- LIMIT


@pytest.mark.parametrize(
    ("side", "limit_price", "last", "price"),
    [
        (Side.BUY, "2501", 2500.0, "2501"),  # slipped 2501.25 is worse than the limit
        (Side.BUY, "2510", 2500.0, "2501.25"),  # better than the limit
        (Side.BUY, "2500", 2500.0, "2500"),  # touch
        (Side.SELL, "2499", 2500.0, "2499"),
        (Side.SELL, "2490", 2500.0, "2498.75"),
        (Side.SELL, "2500", 2500.0, "2500"),
    ],
)
def test_a_marketable_limit_fills_at_the_slipped_price_or_its_limit(
    side: Side, limit_price: str, last: float, price: str
) -> None:
    assert price_of(match_new(limit(side, limit_price), INSTRUMENT, last, SLIP)) == D(price)


@pytest.mark.parametrize(("side", "limit_price"), [(Side.BUY, "2499.95"), (Side.SELL, "2500.05")])
def test_a_limit_away_from_the_market_rests(side: Side, limit_price: str) -> None:
    assert match_new(limit(side, limit_price), INSTRUMENT, 2500.0, SLIP) == PLACED


@pytest.mark.parametrize(
    ("side", "seen", "price"),
    [
        (Side.BUY, prices(100.0, 101.0, 101.0), "100"),  # touched
        (Side.BUY, prices(99.0, 101.0, 100.5), "100"),  # crossed
        (Side.BUY, prices(98.0, 98.0, 98.0), "98.05"),  # gapped through: 98 x 1.0005 = 98.049
        (Side.BUY, prices(98.0, 99.98, 98.0), "100"),  # 99.98 x 1.0005 = 100.03: no better than the limit
        (Side.SELL, prices(99.0, 100.0, 99.0), "100"),
        (Side.SELL, prices(99.0, 101.0, 99.5), "100"),
        (Side.SELL, prices(102.0, 103.0, 103.0), "101.9"),  # 102 x 0.9995 = 101.949
    ],
)
def test_a_resting_limit_fills_at_its_limit_and_better_only_over_a_gap(
    side: Side, seen: PriceRange, price: str
) -> None:
    assert price_of(match_resting(resting(limit(side, "100")), INSTRUMENT, seen, SLIP)) == D(price)


@pytest.mark.parametrize(
    ("side", "seen"), [(Side.BUY, prices(100.05, 105.0, 101.0)), (Side.SELL, prices(90.0, 99.95, 99.0))]
)
def test_a_resting_limit_that_the_range_does_not_touch_stays(side: Side, seen: PriceRange) -> None:
    assert match_resting(resting(limit(side, "100")), INSTRUMENT, seen, SLIP) is None


# -------------------------------------------------------------------------------------------------- STOP


@pytest.mark.parametrize(("side", "trigger"), [(Side.BUY, "100.05"), (Side.SELL, "99.95")])
def test_a_stop_before_its_trigger_rests(side: Side, trigger: str) -> None:
    assert match_new(stop(side, trigger), INSTRUMENT, 100.0, FREE) == PLACED


@pytest.mark.parametrize("side", list(Side))
def test_a_stop_at_its_trigger_fills_at_once(side: Side) -> None:
    outcome = match_new(stop(side, "100"), INSTRUMENT, 100.0, FREE)

    assert outcome.triggered
    assert price_of(outcome) == D(100)


@pytest.mark.parametrize(
    ("side", "seen", "price"),
    [
        (
            Side.BUY,
            prices(99.0, 100.0, 99.5),
            "100.05",
        ),  # reached; last is better than the trigger: 100 x 1.0005
        (Side.BUY, prices(99.0, 102.0, 102.0), "102.1"),  # last is worse: 102 x 1.0005 = 102.051
        (Side.BUY, prices(104.0, 106.0, 104.0), "104.1"),  # gap: 104 x 1.0005 = 104.052
        (Side.SELL, prices(100.0, 101.0, 100.5), "99.95"),  # 100 x 0.9995
        (Side.SELL, prices(95.0, 96.0, 95.0), "94.95"),  # 95 x 0.9995 = 94.9525
    ],
)
def test_a_resting_stop_fills_from_the_worse_of_trigger_and_last(
    side: Side, seen: PriceRange, price: str
) -> None:
    outcome = match_resting(resting(stop(side, "100")), INSTRUMENT, seen, SLIP)

    assert price_of(outcome) == D(price)
    assert outcome is not None
    assert outcome.triggered


def test_a_resting_stop_that_is_not_reached_stays() -> None:
    assert match_resting(resting(stop(Side.BUY, "100")), INSTRUMENT, prices(90.0, 99.95, 99.0), FREE) is None
    assert (
        match_resting(resting(stop(Side.SELL, "100")), INSTRUMENT, prices(100.05, 110.0, 105.0), FREE) is None
    )


# -------------------------------------------------------------------------------------------- STOP_LIMIT


def test_a_stop_limit_reached_at_submission_is_a_limit_at_once() -> None:
    filled = match_new(stop_limit(Side.BUY, "99", "101"), INSTRUMENT, 100.0, SLIP)
    waiting = match_new(stop_limit(Side.BUY, "99", "99.5"), INSTRUMENT, 100.0, SLIP)

    assert price_of(filled) == D("100.05")
    assert waiting == Outcome(state=EntryState.PLACED, triggered=True)


def test_a_stop_limit_uses_only_the_last_price_of_the_range_that_reached_it() -> None:
    entry = resting(stop_limit(Side.BUY, "100", "100.5"))

    # The low of 99 may have come before the trigger: it fills nothing.
    outcome = match_resting(entry, INSTRUMENT, prices(99.0, 103.0, 102.0), FREE)
    assert outcome == Outcome(state=EntryState.PLACED, triggered=True)
    assert price_of(match_resting(entry, INSTRUMENT, prices(99.0, 103.0, 100.25), FREE)) == D("100.25")


def test_a_triggered_stop_limit_rests_as_a_limit() -> None:
    entry = resting(stop_limit(Side.SELL, "100", "99"), Outcome(state=EntryState.PLACED, triggered=True))

    assert match_resting(entry, INSTRUMENT, prices(97.0, 98.95, 98.0), FREE) is None
    assert price_of(match_resting(entry, INSTRUMENT, prices(97.0, 99.0, 98.0), FREE)) == D(99)


def test_a_stop_limit_before_its_trigger_does_not_trade_at_its_limit() -> None:
    entry = resting(stop_limit(Side.BUY, "100", "101"))

    assert match_resting(entry, INSTRUMENT, prices(90.0, 99.0, 95.0), FREE) is None


# --------------------------------------------------------------------------------------------------- IOC


@pytest.mark.parametrize(
    "signal",
    [
        limit(Side.BUY, "99", validity=Validity.IOC),
        stop(Side.BUY, "101", validity=Validity.IOC),
        stop_limit(Side.BUY, "99", "99.5", validity=Validity.IOC),
    ],
)
def test_an_ioc_that_finds_nothing_is_cancelled(signal: Signal) -> None:
    outcome = match_new(signal, INSTRUMENT, 100.0, FREE)

    assert (outcome.state, outcome.code, outcome.filled_quantity) == (
        EntryState.CANCELLED,
        Code.NO_FILL,
        D(0),
    )


def test_an_ioc_filled_in_full_is_filled() -> None:
    assert price_of(match_new(limit(Side.BUY, "100", validity=Validity.IOC), INSTRUMENT, 100.0, FREE)) == D(
        100
    )


def test_an_ioc_filled_in_part_is_cancelled_with_what_it_got() -> None:
    terms = PaperTerms(commission_bps=D(10), partial_fill_ratio=D(1), seed=7)
    outcome = match_new(order(validity=Validity.IOC), INSTRUMENT, 100.0, terms)

    assert outcome.state is EntryState.CANCELLED
    assert outcome.code is None
    assert 0 < outcome.filled_quantity < 10
    assert outcome.average_price == 100
    assert outcome.fees == outcome.filled_quantity * 100 / 1000


# ------------------------------------------------------------------------------------------------- parts


def test_parts_are_whole_lots_and_end_with_the_order() -> None:
    instrument = Instrument(token=1, symbol="NFO:NIFTY", tick_size=D("0.05"), lot_size=D(75))
    signal = order(quantity=D(750))
    outcome = match_new(signal, instrument, 100.0, PARTS)
    fills = [outcome.filled_quantity]
    for _ in range(20):
        after = match_resting(resting(signal, outcome), instrument, prices(99.0, 103.0, 101.0), PARTS)
        assert after is not None
        outcome = after
        fills.append(outcome.filled_quantity)
        if outcome.state is EntryState.FILLED:
            break

    assert outcome.filled_quantity == 750
    assert len(fills) > 2
    assert all(filled % 75 == 0 for filled in fills)
    assert fills == sorted(set(fills))


@pytest.mark.parametrize("lots", [2, 3, 4, 5])
def test_the_first_part_is_never_the_whole_order(lots: int) -> None:
    signals = [order(signal_id=f"s-{n}", quantity=D(lots)) for n in range(30)]
    filled = {match_new(signal, INSTRUMENT, 100.0, PARTS).filled_quantity for signal in signals}

    assert min(filled) >= 1
    assert max(filled) == lots - 1


def test_the_fees_of_parts_are_the_commission_on_all_that_is_filled() -> None:
    terms = PaperTerms(commission_bps=D(10))
    before = Outcome(
        state=EntryState.PARTIALLY_FILLED, filled_quantity=D(4), average_price=D(100), fees=D("0.4")
    )
    outcome = match_resting(resting(order(), before), INSTRUMENT, prices(100.0, 110.0, 110.0), terms)

    assert price_of(outcome) == D(106)  # (4 x 100 + 6 x 110) / 10
    assert outcome is not None
    assert outcome.fees == D("1.06")


def test_an_order_of_one_lot_fills_whole() -> None:
    assert match_new(order(quantity=D(1)), INSTRUMENT, 100.0, PARTS).state is EntryState.FILLED


def test_the_rest_of_a_market_order_takes_the_last_price_of_the_next_range() -> None:
    entry = resting(order(quantity=D(2)), match_new(order(quantity=D(2)), INSTRUMENT, 100.0, PARTS))
    outcome = match_resting(entry, INSTRUMENT, prices(90.0, 120.0, 110.0), PARTS)

    assert entry.filled_quantity == 1
    assert price_of(outcome) == D(105)  # (100 + 110) / 2


def test_the_rest_of_a_stop_trades_without_a_second_trigger() -> None:
    signal = stop(Side.BUY, "100", quantity=D(2))
    entry = resting(signal, match_new(signal, INSTRUMENT, 100.0, PARTS))
    outcome = match_resting(entry, INSTRUMENT, prices(80.0, 90.0, 90.0), PARTS)

    assert entry.triggered
    assert price_of(outcome) == D(95)


def test_an_average_that_does_not_end_is_rounded_to_ten_places() -> None:
    before = Outcome(state=EntryState.PARTIALLY_FILLED, filled_quantity=D(1), average_price=D(100))
    outcome = match_resting(
        resting(order(quantity=D(3)), before), INSTRUMENT, prices(1.0, 200.0, 101.0), FREE
    )

    assert price_of(outcome) == D("100.6666666667")  # 302 / 3
    assert outcome is not None
    assert outcome.amount == 302


def test_an_average_that_ends_is_exact_however_long_it_is() -> None:
    before = Outcome(state=EntryState.PARTIALLY_FILLED, filled_quantity=D(1), average_price=D("100.05"))
    signal = order(quantity=D(2**14))
    outcome = match_resting(resting(signal, before), INSTRUMENT, prices(1.0, 200.0, 101.0), FREE)

    assert price_of(outcome) * 2**14 == D("100.05") + 101 * (2**14 - 1)


def test_the_share_of_orders_in_parts_is_about_the_ratio() -> None:
    terms = PaperTerms(partial_fill_ratio=D("0.3"), seed=1)
    states = [match_new(order(signal_id=f"s-{n}"), INSTRUMENT, 100.0, terms).state for n in range(1000)]

    # Binomial(1000, 0.3): standard deviation 14.5; the hash is fixed, so this either holds or never does.
    assert 250 < states.count(EntryState.PARTIALLY_FILLED) < 350


def test_another_seed_chooses_other_parts() -> None:
    def parts(seed: int) -> list[Decimal]:
        terms = PaperTerms(partial_fill_ratio=D("0.5"), seed=seed)
        signals = [order(signal_id=f"s-{n}", quantity=D(100)) for n in range(50)]
        return [match_new(signal, INSTRUMENT, 100.0, terms).filled_quantity for signal in signals]

    assert parts(1) == parts(1)
    assert parts(1) != parts(2)


def test_parts_are_pinned_to_their_seed_across_processes_and_releases() -> None:
    filled = [
        match_new(order(signal_id=f"s-{n}", quantity=D(100)), INSTRUMENT, 100.0, PARTS).filled_quantity
        for n in range(6)
    ]

    # 25 x (1 + SHA-256('7:s-<n>:part after 0')[:8] mod 3), worked out by hand
    assert filled == [50, 50, 75, 50, 50, 50]


# --------------------------------------------------------------------------------- refusals and endings


@pytest.mark.parametrize("last", [0.0, -1.0, math.nan, math.inf])
def test_a_last_price_that_is_none_fails_the_order(last: float) -> None:
    outcome = match_new(order(), INSTRUMENT, last, FREE)

    assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.PRICE_MISSING)


@pytest.mark.parametrize(
    "signal",
    [
        order(order_type=OrderType.LIMIT),
        order(order_type=OrderType.STOP),
        stop(Side.BUY, "-1"),
        order(order_type=OrderType.STOP_LIMIT, limit_price=D(1)),
        order(order_type=OrderType.STOP_LIMIT, trigger_price=D(1)),
        order(quantity=D(0)),
        order(quantity=D("NaN")),
        order(quantity=D("1E+100")),
    ],
)
def test_an_order_without_its_prices_or_quantity_fails(signal: Signal) -> None:
    outcome = match_new(signal, INSTRUMENT, 100.0, FREE)

    assert (outcome.state, outcome.code, outcome.filled_quantity) == (
        EntryState.FAILED,
        Code.SCHEMA_INVALID,
        D(0),
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -5.0])
def test_a_range_with_a_price_that_is_none_changes_nothing(bad: float) -> None:
    entry = resting(limit(Side.BUY, "100"))

    assert match_resting(entry, INSTRUMENT, prices(bad, 100.0, 100.0), FREE) is None
    assert match_resting(entry, INSTRUMENT, prices(90.0, 100.0, bad), FREE) is None


def test_a_range_no_newer_than_the_quote_of_the_order_is_ignored() -> None:
    entry = resting(limit(Side.BUY, "100"), quote_ts=5)

    assert match_resting(entry, INSTRUMENT, prices(90.0, 90.0, 90.0, ts=5), FREE) is None
    assert match_resting(entry, INSTRUMENT, prices(90.0, 90.0, 90.0, ts=6), FREE) is not None
    assert match_resting(
        resting(limit(Side.BUY, "100"), quote_ts=None), INSTRUMENT, prices(90.0, 90.0, 90.0), FREE
    )


@pytest.mark.parametrize("state", [state for state in EntryState if not state.resting])
def test_an_order_that_does_not_rest_is_not_matched(state: EntryState) -> None:
    entry = resting(limit(Side.BUY, "100"), Outcome(state=state))

    assert match_resting(entry, INSTRUMENT, prices(90.0, 90.0, 90.0), FREE) is None


def test_expiry_and_cancel_keep_what_was_filled() -> None:
    before = Outcome(
        state=EntryState.PARTIALLY_FILLED,
        filled_quantity=D(4),
        average_price=D("100.05"),
        amount=D("400.2"),
        fees=D("0.1201"),
        broker_order_id="ap1",
        triggered=True,
    )
    entry = resting(stop(Side.BUY, "100"), before)

    assert outcome_of(entry) == before
    ended = expire(entry)
    assert ended == msgspec.structs.replace(
        before, state=EntryState.CANCELLED, code=Code.SESSION_ENDED, message=ended.message
    )
    assert cancel(entry, Code.CANCELLED_BY_STATE, "Halted") == msgspec.structs.replace(
        before, state=EntryState.CANCELLED, code=Code.CANCELLED_BY_STATE, message="Halted"
    )


# --------------------------------------------------------------------------------------------- promises

ticks = st.integers(1, 100_000)
sides = st.sampled_from(Side)
types = st.sampled_from(OrderType)
all_terms = st.builds(
    PaperTerms,
    slippage_bps=st.decimals(0, 500, places=2),
    commission_bps=st.decimals(0, 100, places=2),
    partial_fill_ratio=st.sampled_from([D(0), D("0.5"), D(1)]),
    seed=st.integers(0, 2**32),
)


@st.composite
def orders(draw: st.DrawFn) -> Signal:
    return order(
        draw(sides),
        draw(types),
        signal_id=f"s-{draw(st.integers(0, 1000))}",
        quantity=D(draw(st.integers(1, 5000))),
        validity=draw(st.sampled_from(Validity)),
        limit_price=draw(ticks) * INSTRUMENT.tick_size,
        trigger_price=draw(ticks) * INSTRUMENT.tick_size,
    )


@st.composite
def ranges(draw: st.DrawFn) -> PriceRange:
    low, last, high = sorted(draw(st.tuples(*[st.floats(0.05, 6000)] * 3)))
    return prices(low, high, last)


def life(signal: Signal, first: float, seen: list[PriceRange], terms: PaperTerms) -> list[Outcome]:
    """Every state of the order, from its arrival on."""
    outcomes = [match_new(signal, INSTRUMENT, first, terms)]
    for price_range in seen:
        after = match_resting(resting(signal, outcomes[-1]), INSTRUMENT, price_range, terms)
        if after is not None:
            outcomes.append(after)
    return outcomes


lives = st.tuples(orders(), st.floats(0.05, 6000), st.lists(ranges(), max_size=6), all_terms)


@given(lives)
def test_a_limit_never_fills_beyond_its_limit(
    life_of: tuple[Signal, float, list[PriceRange], PaperTerms],
) -> None:
    signal = life_of[0]
    for outcome in life(*life_of):
        if outcome.filled_quantity and signal.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            assert signal.limit_price is not None
            assert (outcome.average_price - signal.limit_price) * signal.side.sign <= 0


@given(lives)
def test_fills_fees_and_amounts_only_grow_and_stay_within_the_order(
    life_of: tuple[Signal, float, list[PriceRange], PaperTerms],
) -> None:
    signal = life_of[0]
    outcomes = [PLACED, *life(*life_of)]
    for before, after in pairwise(outcomes):
        assert before.filled_quantity <= after.filled_quantity <= signal.quantity
        assert D(0) <= before.fees <= after.fees
        assert before.triggered <= after.triggered
        assert after.average_price > 0 or not after.filled_quantity
        assert (after.state is EntryState.FILLED) == (after.filled_quantity == signal.quantity)


@given(lives)
def test_the_amount_is_the_sum_of_its_parts(
    life_of: tuple[Signal, float, list[PriceRange], PaperTerms],
) -> None:
    outcomes = [PLACED, *life(*life_of)]
    for before, after in pairwise(outcomes):
        part = after.filled_quantity - before.filled_quantity
        amount = (after.amount or D(0)) - (before.amount or D(0))
        # Each part trades at one price on the tick grid, so it moves the amount by whole ticks times its quantity.
        assert amount == 0 if not part else amount > 0 == amount % (part * INSTRUMENT.tick_size)


@given(lives)
def test_the_average_shown_is_the_amount_by_the_quantity_to_ten_places(
    life_of: tuple[Signal, float, list[PriceRange], PaperTerms],
) -> None:
    for outcome in life(*life_of):
        if not outcome.filled_quantity:
            assert (outcome.amount, outcome.average_price) == (None, 0)
            continue
        assert outcome.amount is not None
        difference = Fraction(outcome.average_price) - Fraction(outcome.amount) / Fraction(
            outcome.filled_quantity
        )
        assert abs(difference) <= Fraction(1, 2 * 10**10)


@given(lives)
def test_fees_are_the_commission_on_the_exact_amount(
    life_of: tuple[Signal, float, list[PriceRange], PaperTerms],
) -> None:
    commission = Fraction(life_of[3].commission_bps) / 10_000
    for outcome in life(*life_of):
        due = Fraction(outcome.amount or 0) * commission
        assert abs(Fraction(outcome.fees) - due) <= Fraction(1, 2 * 10**4)


def test_a_part_after_fills_that_only_have_an_average_goes_on_from_price_times_quantity() -> None:
    before = Outcome(state=EntryState.PARTIALLY_FILLED, filled_quantity=D(4), average_price=D("100.5"))
    outcome = match_resting(resting(order(), before), INSTRUMENT, prices(100.0, 110.0, 110.0), FREE)

    assert outcome is not None
    assert outcome.amount == 4 * D("100.5") + 6 * 110


@given(lives)
def test_a_stop_does_not_trade_before_its_trigger_was_reached(
    life_of: tuple[Signal, float, list[PriceRange], PaperTerms],
) -> None:
    signal, first, seen, terms = life_of
    if signal.order_type not in (OrderType.STOP, OrderType.STOP_LIMIT):
        return
    assert signal.trigger_price is not None
    trigger, sign = signal.trigger_price, signal.side.sign
    reached = sign * (D(repr(first)) - trigger) >= 0
    outcome = match_new(signal, INSTRUMENT, first, terms)
    assert outcome.triggered == reached
    for price_range in seen:
        extreme = price_range.high if signal.side is Side.BUY else price_range.low
        reached = reached or (outcome.state.resting and sign * (D(repr(extreme)) - trigger) >= 0)
        outcome = match_resting(resting(signal, outcome), INSTRUMENT, price_range, terms) or outcome
        assert outcome.triggered == reached
        assert reached or not outcome.filled_quantity


@given(orders(), st.floats(0.05, 6000), all_terms)
def test_slippage_never_helps(signal: Signal, last: float, terms: PaperTerms) -> None:
    free = PaperTerms(D(0), terms.commission_bps, terms.partial_fill_ratio, terms.seed)
    slipped, fair = match_new(signal, INSTRUMENT, last, terms), match_new(signal, INSTRUMENT, last, free)

    assert slipped.filled_quantity == fair.filled_quantity
    assert (slipped.average_price - fair.average_price) * signal.side.sign >= 0
    if signal.order_type is OrderType.MARKET:
        assert (fair.average_price - D(repr(last))) * signal.side.sign >= 0


@given(lives)
def test_the_same_seed_gives_the_same_life(
    life_of: tuple[Signal, float, list[PriceRange], PaperTerms],
) -> None:
    assert msgspec.json.encode(life(*life_of)) == msgspec.json.encode(life(*life_of))
