from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import OrderStatus, SignalClass, Verdict
from alpha_panda.contracts.events import OrderUpdate, Signal
from alpha_panda.contracts.stored import Decision, RiskClaim, RiskSnapshot
from alpha_panda.domain.ledger_state import LedgerState
from alpha_panda.domain.risk.facts import PnlReading
from alpha_panda.errors import RecordError
from alpha_panda.risk.ledger import ACCOUNT, Ledger
from unit.risk.world import BUY, RELIANCE, SELL, TCS, D, cancel, filled, signal, update

DAY, NEXT = "2026-01-02", "2026-01-03"
S1 = signal("s1", BUY, 10)


def decision(
    of: Signal,
    verdict: Verdict = Verdict.VALIDATED,
    signal_class: SignalClass = SignalClass.INCREASING,
    at: int = 1,
) -> Decision:
    return Decision(
        signal=of,
        verdict=verdict,
        signal_class=signal_class,
        payload_hash="",
        risk_epoch="",
        journal_epoch="",
        decided_at=at,
        correlation_id="",
        causation_id="",
        reference_price=D(100),
    )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(D(1000))


def reloaded(ledger: Ledger, *, cash: int = 1000) -> Ledger:
    """Return what a restart gets of everything stored."""
    twin = Ledger(D(cash))
    snapshot = RiskSnapshot(offsets={}, state=ledger.encode())
    twin.load(RiskClaim(epoch="e", decisions=ledger.decisions, snapshot=snapshot, folds=ledger.changed_folds))
    return twin


def reserved(ledger: Ledger) -> dict[str, Decimal]:
    return {order.signal_id: order.open_quantity for order in ledger.open_orders()}


class TestReservations:
    def test_a_validated_order_is_reserved_whole_at_its_reference_price(self, ledger: Ledger) -> None:
        ledger.add(decision(S1))
        (order,) = ledger.open_orders()
        assert (order.open_quantity, order.reference_price, order.value) == (10, 100, 1000)

    def test_a_rejected_one_reserves_nothing(self, ledger: Ledger) -> None:
        ledger.add(decision(S1, Verdict.REJECTED))
        assert reserved(ledger) == {}

    def test_a_partial_fill_leaves_the_rest_reserved(self, ledger: Ledger) -> None:
        ledger.add(decision(S1))
        ledger.fold(filled(S1, 100, 4))
        assert reserved(ledger) == {"s1": 6}

    @pytest.mark.parametrize(
        "status", [OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.FAILED, OrderStatus.LOST]
    )
    def test_a_terminal_one_reserves_nothing(self, ledger: Ledger, status: OrderStatus) -> None:
        ledger.add(decision(S1))
        ledger.fold(update(S1, status))
        assert reserved(ledger) == {}

    def test_a_resting_one_reserves_all(self, ledger: Ledger) -> None:
        ledger.add(decision(S1))
        ledger.fold(update(S1, OrderStatus.PLACED))
        assert reserved(ledger) == {"s1": 10}

    def test_a_late_event_of_an_earlier_stage_reserves_nothing_again(self, ledger: Ledger) -> None:
        ledger.add(decision(S1))
        ledger.fold(filled(S1))
        ledger.fold(update(S1, OrderStatus.PLACED))
        assert reserved(ledger) == {}

    def test_an_order_that_filled_before_its_decision_was_loaded_reserves_nothing(
        self, ledger: Ledger
    ) -> None:
        ledger.fold(filled(S1))
        ledger.add(decision(S1))
        assert reserved(ledger) == {}

    def test_more_filled_than_asked_never_reserves_below_zero(self, ledger: Ledger) -> None:
        ledger.add(decision(S1))
        ledger.fold(update(S1, OrderStatus.PARTIALLY_FILLED, filled_quantity=D(12), price=D(1)))
        assert reserved(ledger) == {"s1": 0}

    def test_cancel_requests_are_no_orders(self, ledger: Ledger) -> None:
        request = cancel("c1", S1)
        ledger.add(msgspec.structs.replace(decision(S1, signal_class=SignalClass.CANCEL), signal=request))
        assert reserved(ledger) == {}
        assert ledger.order("c1") is None

    def test_reservations_follow_from_decisions_and_folds_after_a_restart(self, ledger: Ledger) -> None:
        for n, verdict in enumerate((Verdict.VALIDATED, Verdict.REJECTED, Verdict.VALIDATED)):
            ledger.add(decision(signal(f"s{n}"), verdict, at=n))
        ledger.fold(filled(signal("s0"), 100, 3))
        ledger.fold(filled(signal("s2")))
        assert reserved(reloaded(ledger)) == reserved(ledger) == {"s0": 7}


class TestOrder:
    def test_only_validated_orders_are_known(self, ledger: Ledger) -> None:
        ledger.add(decision(S1))
        ledger.add(decision(signal("s2"), Verdict.REJECTED))
        assert ledger.order("s1") == S1
        assert ledger.order("s2") is None
        assert ledger.order("s3") is None

    def test_an_ended_order_is_still_known(self, ledger: Ledger) -> None:
        ledger.add(decision(S1))
        ledger.fold(filled(S1))
        assert ledger.order("s1") == S1


class TestFold:
    def test_the_book_moves_by_what_is_new(self, ledger: Ledger) -> None:
        ledger.fold(filled(S1, 10, 4))
        ledger.fold(filled(S1, 10, 4))
        ledger.fold(filled(S1, 10, fees=D(1)))
        assert (ledger.book.cash, ledger.book.quantity(RELIANCE)) == (1000 - 100 - 1, 10)

    def test_a_fill_over_a_rejection_is_a_contradiction_once(self, ledger: Ledger) -> None:
        ledger.add(decision(S1, Verdict.REJECTED))
        assert ledger.fold(filled(S1, 10, 4)).contradiction
        assert not ledger.fold(filled(S1, 10)).contradiction

    def test_a_refusal_of_a_rejected_id_is_none(self, ledger: Ledger) -> None:
        ledger.add(decision(S1, Verdict.REJECTED))
        assert not ledger.fold(update(S1, OrderStatus.FAILED)).contradiction

    def test_an_unusable_event_changes_nothing(self, ledger: Ledger) -> None:
        with pytest.raises(RecordError):
            ledger.fold(update(S1, OrderStatus.FILLED, filled_quantity=D("NaN")))
        assert ledger.changed_folds == {}
        assert ledger.book.cash == 1000

    def test_a_trade_of_nobodys_order_is_booked(self, ledger: Ledger) -> None:
        ledger.fold(
            filled(msgspec.structs.replace(S1, signal_id=""), 10, external=True, broker_order_id="b7")
        )
        assert ledger.book.quantity(RELIANCE) == 10
        assert list(ledger.changed_folds) == ["external:b7"]


class TestMarks:
    def hold(self, ledger: Ledger) -> None:
        ledger.fold(filled(S1, 10))
        ledger.fold(filled(signal("t", SELL, 5, token=TCS, strategy="beta"), 20))

    def test_held_tokens_are_named_once(self, ledger: Ledger) -> None:
        self.hold(ledger)
        assert ledger.held_tokens() == (RELIANCE, TCS)

    def test_a_token_is_held_while_strategies_net_to_zero(self, ledger: Ledger) -> None:
        ledger.fold(filled(S1, 10))
        ledger.fold(filled(signal("t", SELL, 10, strategy="beta"), 10))
        assert ledger.book.quantity(RELIANCE) == 0
        assert ledger.held_tokens() == (RELIANCE,)

    def test_a_price_that_is_not_told_stays_what_it_was(self, ledger: Ledger) -> None:
        self.hold(ledger)
        ledger.mark({RELIANCE: D(11), TCS: D(21)})
        ledger.mark({TCS: D(22)})
        assert ledger.marks == {RELIANCE: 11, TCS: 22}

    def test_what_is_not_held_is_forgotten(self, ledger: Ledger) -> None:
        self.hold(ledger)
        ledger.mark({RELIANCE: D(11), TCS: D(21)})
        ledger.fold(filled(signal("u", SELL, 10), 11))
        ledger.mark({})
        assert ledger.marks == {TCS: 21}


class TestDays:
    def test_equity_and_a_strategys_result_by_hand(self, ledger: Ledger) -> None:
        """Bought 10 at 10 with a fee of 1: at 12 the account has made 19, at 7 it has lost 31."""
        ledger.fold(filled(S1, 10, fees=D(1)))
        ledger.mark({RELIANCE: D(12)})
        ledger.observe(DAY)
        assert ledger.pnl(ACCOUNT, DAY) == ledger.pnl("alpha", DAY) == PnlReading(day_pnl=D(19))
        ledger.mark({RELIANCE: D(7)})
        ledger.observe(DAY)
        assert ledger.pnl(ACCOUNT, DAY) == PnlReading(day_pnl=D(-31), drawdown=D(50))

    def test_a_new_day_begins_at_zero_before_anything_is_observed_in_it(self, ledger: Ledger) -> None:
        """A flat account is not marked: yesterday's loss must not refuse today's orders for ever."""
        ledger.fold(filled(S1, 10))
        ledger.fold(filled(signal("s2", SELL, 10), 5))
        ledger.observe(DAY)
        assert ledger.pnl(ACCOUNT, DAY).day_pnl == -50
        assert ledger.pnl(ACCOUNT, NEXT) == ledger.pnl("alpha", NEXT) == PnlReading()

    def test_the_gap_overnight_counts_in_the_new_day(self, ledger: Ledger) -> None:
        ledger.fold(filled(S1, 10))
        ledger.mark({RELIANCE: D(12)})
        ledger.observe(DAY)
        ledger.mark({RELIANCE: D(9)})
        ledger.observe(NEXT)
        assert ledger.pnl(ACCOUNT, NEXT) == PnlReading(day_pnl=D(-30), drawdown=D(30))

    def test_nobody_traded_reads_zero(self, ledger: Ledger) -> None:
        assert ledger.pnl("gamma", DAY) == PnlReading()


class TestState:
    def test_a_snapshot_without_marks_is_read(self, ledger: Ledger) -> None:
        old = msgspec.msgpack.encode({"book": ledger.book, "days": {}})
        assert msgspec.msgpack.decode(old, type=LedgerState).marks == {}

    def test_the_opening_cash_of_the_first_start_stays(self, ledger: Ledger) -> None:
        assert reloaded(ledger, cash=5).book.opening_cash == 1000

    def test_decisions_are_in_the_order_they_were_made(self) -> None:
        made = [decision(signal(name), at=at) for name, at in (("c", 3), ("b", 1), ("a", 1))]
        claim = RiskClaim(epoch="", decisions={d.signal_id: d for d in made}, snapshot=None, folds={})
        ledger = Ledger(D(1))
        ledger.load(claim)
        assert list(ledger.decisions) == ["a", "b", "c"]


ORDERS = [
    signal(f"s{n}", BUY if n % 2 else SELL, 10, strategy="alpha" if n < 3 else "beta") for n in range(4)
]
UPDATES = st.builds(
    lambda order, quantity, price, status: update(
        order, status, filled_quantity=D(quantity), price=D(price) if quantity else None
    ),
    st.sampled_from(ORDERS),
    st.integers(0, 10),
    st.integers(1, 5),
    st.sampled_from(list(OrderStatus)),
)


@given(st.lists(UPDATES, max_size=12), st.integers(0, 12))
def test_a_restart_at_any_point_changes_nothing(updates: list[OrderUpdate], at: int) -> None:
    whole, first = Ledger(D(1000)), Ledger(D(1000))
    for ledger in (whole, first):
        for order in ORDERS[:3]:
            ledger.add(decision(order))
    for item in updates:
        whole.fold(item)
    for item in updates[:at]:
        first.fold(item)
    first.observe(DAY)
    second = reloaded(first)
    for item in updates[max(0, at - 2) :]:  # some come again
        second.fold(item)
    assert second.book == whole.book
    assert reserved(second) == reserved(whole)
    for ledger in (whole, second):
        ledger.observe(DAY)
    assert second.days.keys() == whole.days.keys()
