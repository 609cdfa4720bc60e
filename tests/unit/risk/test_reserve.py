"""What the broker's cash is still good for, after what was decided since it was told."""

from decimal import Decimal

from alpha_panda.contracts.enums import Side, SignalClass, Verdict
from alpha_panda.domain.risk.limits import AccountLimits
from alpha_panda.risk.reserve import Reserve
from contracts.samples import decision, signal

LIMITS = AccountLimits(short_margin_ratio=Decimal("0.5"), cost_allowance_bps=Decimal(100))
WITHIN = 15
CASH = Decimal(10_000)


def left(reserve: Reserve, cash_at: int, *placed: str) -> Decimal:
    return reserve.left(CASH, cash_at, LIMITS, lambda signal_id: signal_id in placed)


def noted(signal_id: str, at: int, **changes: object) -> Reserve:
    reserve = Reserve(WITHIN)
    side = Side(str(changes.pop("side", "BUY")))
    made = decision(
        signal(signal_id, quantity=Decimal(10), side=side),
        **{
            "verdict": Verdict.VALIDATED,
            "signal_class": SignalClass.INCREASING,
            "reference_price": Decimal(100),
            "decided_at": at,
            **changes,
        },
    )
    reserve.note(made)
    return reserve


def test_what_was_decided_since_counts_in_full_with_its_costs() -> None:
    assert left(noted("s1", 100), 50) == CASH - 1010
    assert left(noted("s1", 100, side="SELL"), 50) == CASH - 500


def test_what_was_decided_just_before_counts_too_and_what_the_broker_knows_does_not() -> None:
    reserve = noted("s1", 100)
    assert left(reserve, 100 + WITHIN - 1, "s1") == CASH - 1010
    assert left(reserve, 100 + WITHIN) == CASH - 1010  # nobody has told that it arrived
    assert left(reserve, 100 + WITHIN, "s1") == CASH
    assert left(reserve, 0) == CASH  # forgotten


def test_rejected_and_reducing_orders_take_nothing() -> None:
    assert left(noted("s1", 100, verdict=Verdict.REJECTED), 50) == CASH
    assert left(noted("s1", 100, signal_class=SignalClass.REDUCING), 50) == CASH
    assert left(noted("s1", 100, reference_price=None), 50) == CASH


def test_an_order_that_ended_without_a_fill_gives_back_what_it_took() -> None:
    reserve = noted("s1", 100)
    reserve.drop("s1")
    reserve.drop("unknown")
    assert left(reserve, 50) == CASH
