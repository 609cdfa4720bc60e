import msgspec
import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import TradingState
from alpha_panda.domain.risk.facts import PnlReading
from alpha_panda.domain.risk.limits import AccountLimits, StrategyLimits
from alpha_panda.domain.risk.losses import DayPnl, loss_latches
from unit.domain.risk.making import D


def reading(day_pnl: str = "0", drawdown: str = "0") -> PnlReading:
    return PnlReading(day_pnl=D(day_pnl), drawdown=D(drawdown))


@pytest.mark.parametrize(
    ("day_pnl", "latched"), [("-100", True), ("-99.99", False), ("100", False), ("-101", True)]
)
def test_a_loss_that_reaches_its_limit_latches(day_pnl: str, latched: bool) -> None:
    found = loss_latches("account/paper", reading(day_pnl), AccountLimits(max_daily_loss=D(100)))
    assert [item.code for item in found] == ([Code.DAILY_LOSS] if latched else [])


@pytest.mark.parametrize(("fall", "latched"), [("100", True), ("99.99", False)])
def test_a_fall_from_the_peak_that_reaches_its_limit_latches(fall: str, latched: bool) -> None:
    found = loss_latches("strategy/m", reading("50", fall), StrategyLimits(max_drawdown=D(100)))
    assert [item.code for item in found] == ([Code.DRAWDOWN] if latched else [])


def test_a_latch_says_scope_state_and_numbers_and_leaves_a_way_out() -> None:
    limits = AccountLimits(max_daily_loss=D(100), max_drawdown=D(120))
    found = loss_latches("account/paper", reading("-150", "150"), limits)
    assert [item.code for item in found] == [Code.DAILY_LOSS, Code.DRAWDOWN]
    for item in found:
        assert item.scope == "account/paper"
        assert item.state is TradingState.REDUCING
        assert "150" in item.message


def test_a_limit_of_zero_latches_at_the_first_loss_not_before() -> None:
    limits = AccountLimits(max_daily_loss=D(0), max_drawdown=D(0))
    assert loss_latches("a", reading(), limits) == []
    assert len(loss_latches("a", reading("-0.01", "0.01"), limits)) == 2


def test_without_limits_nothing_latches() -> None:
    assert loss_latches("a", reading("-1000000", "1000000"), AccountLimits()) == []


def test_days_by_hand() -> None:
    track = DayPnl(last=D(1000))
    assert track.observe("2024-01-01", D(1000)) == reading()
    assert track.observe("2024-01-01", D(1100)) == reading("100")
    assert track.observe("2024-01-01", D(950)) == reading("-50", "150")
    # The gap overnight is the new day's: it began at 950.
    assert track.observe("2024-01-02", D(900)) == reading("-50", "50")
    assert track.observe("2024-01-02", D(980)) == reading("30")


def test_the_first_fill_counts_from_what_was_there_before_it() -> None:
    assert DayPnl().observe("2024-01-01", D(-30)) == reading("-30", "30")


def test_a_day_survives_storage() -> None:
    track = DayPnl(last=D(5))
    track.observe("2024-01-01", D(7))
    loaded = msgspec.json.decode(msgspec.json.encode(track), type=DayPnl)
    assert loaded.observe("2024-01-01", D(6)) == track.observe("2024-01-01", D(6)) == reading("1", "1")
