from alpha_panda.contracts.enums import SignalClass, Verdict
from alpha_panda.contracts.events import CancelRequest, Signal
from alpha_panda.contracts.stored import Decision
from alpha_panda.domain.risk.facts import OrderCounts
from alpha_panda.risk.pace import Pace
from unit.risk.world import SELL, TCS, cancel, signal

SECOND = 1_000_000_000
DAY = "2026-01-02"
KEEP = 10 * SECOND


def decided(
    ts: int,
    of: Signal | CancelRequest | None = None,
    verdict: Verdict = Verdict.VALIDATED,
    signal_class: SignalClass = SignalClass.INCREASING,
) -> Decision:
    return Decision(
        signal=of or signal("s"),
        verdict=verdict,
        signal_class=signal_class,
        payload_hash="",
        risk_epoch="",
        journal_epoch="",
        decided_at=ts,
        correlation_id="",
        causation_id="",
    )


def noted(*decisions: Decision, day: str = DAY) -> Pace:
    pace = Pace()
    for item in decisions:
        pace.note(item, day, KEEP)
    return pace


def counts(pace: Pace, now: int, scope: str = "", day: str = DAY) -> tuple[int, int, int]:
    found = pace.counts(scope, now, day)
    return (found.last_second, found.last_minute, found.today)


def test_nothing_decided_counts_nothing() -> None:
    assert Pace().counts("", 0, DAY) == OrderCounts()


def test_windows_roll_and_their_older_end_is_out() -> None:
    pace = noted(decided(0), decided(SECOND // 2))
    assert counts(pace, SECOND - 1) == (2, 2, 2)
    assert counts(pace, SECOND) == (1, 2, 2)
    assert counts(pace, 60 * SECOND - 1) == (0, 2, 2)
    assert counts(pace, 60 * SECOND) == (0, 1, 2)
    assert counts(pace, 61 * SECOND) == (0, 0, 2)


def test_a_new_day_starts_at_zero_even_before_its_first_order() -> None:
    pace = noted(decided(0))
    assert counts(pace, 100 * SECOND, day="2026-01-03") == (0, 0, 0)
    pace.note(decided(101 * SECOND), "2026-01-03", KEEP)
    assert counts(pace, 101 * SECOND, day="2026-01-03") == (1, 1, 1)


def test_the_minute_rolls_over_midnight_while_the_day_does_not() -> None:
    pace = noted(decided(0))
    assert counts(pace, 10 * SECOND, day="2026-01-03") == (0, 1, 0)


def test_only_validated_increasing_orders_count() -> None:
    pace = noted(
        decided(0, verdict=Verdict.REJECTED),
        decided(0, signal_class=SignalClass.REDUCING),
        decided(0, cancel("c", signal("s")), signal_class=SignalClass.CANCEL),
    )
    assert counts(pace, 0) == (0, 0, 0)
    assert counts(pace, 0, "alpha") == (0, 0, 0)


def test_a_strategys_orders_count_for_it_and_the_account_alone() -> None:
    pace = noted(decided(0), decided(0, signal("t", strategy="beta")))
    assert [counts(pace, 0, scope)[0] for scope in ("", "alpha", "beta", "gamma")] == [2, 1, 1, 0]


def test_a_loop_counts_refused_signals_too() -> None:
    pace = noted(
        decided(0), decided(0, verdict=Verdict.REJECTED), decided(0, signal_class=SignalClass.REDUCING)
    )
    assert pace.repeats(signal("next"), 0, SECOND) == 3


def test_like_signals_share_strategy_instrument_and_side() -> None:
    pace = noted(decided(0))
    assert pace.repeats(signal("n", quantity=77), 0, SECOND) == 1
    assert pace.repeats(signal("n", SELL), 0, SECOND) == 0
    assert pace.repeats(signal("n", token=TCS), 0, SECOND) == 0
    assert pace.repeats(signal("n", strategy="beta"), 0, SECOND) == 0


def test_cancels_are_no_loop() -> None:
    assert noted(decided(0, cancel("c", signal("s")))).repeats(signal("n"), 0, SECOND) == 0


def test_repeats_roll_out_of_their_window() -> None:
    pace = noted(decided(0), decided(SECOND))
    assert pace.repeats(signal("n"), SECOND, 5 * SECOND) == 2
    assert pace.repeats(signal("n"), 5 * SECOND, 5 * SECOND) == 1
    assert pace.repeats(signal("n"), 6 * SECOND, 5 * SECOND) == 0


def test_a_long_loop_is_remembered_no_longer_than_asked() -> None:
    pace = Pace()
    for ts in range(0, 100 * SECOND, SECOND):
        pace.note(decided(ts), DAY, 3 * SECOND)
    assert pace.repeats(signal("n"), 99 * SECOND, 100 * SECOND) == 3
