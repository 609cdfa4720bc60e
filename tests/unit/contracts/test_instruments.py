from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.errors import UnknownInstrumentError

D = Decimal
RELIANCE = Instrument(738561, "NSE:RELIANCE", D("0.05"))
NIFTY = Instrument(256265, "NFO:NIFTY24", D("0.05"), lot_size=D(75), kind="FUT")


@pytest.mark.parametrize(
    ("price", "on_grid"),
    [
        (2500.0, "2500.00"),
        (2500.02, "2500.00"),
        (2500.03, "2500.05"),
        (2500.025, "2500.00"),  # a tie goes to the even multiple: 50000
        (2500.075, "2500.10"),  # and 50002
        (0.1 + 0.2, "0.30"),
        (D("2500.049"), "2500.05"),
        (-0.07, "-0.05"),
    ],
)
def test_a_price_goes_to_the_nearest_tick(price: float | Decimal, on_grid: str) -> None:
    assert RELIANCE.quantize(price) == D(on_grid)


@given(st.floats(0.01, 1e9), st.sampled_from(["0.05", "0.01", "0.0025", "1", "7"]))
def test_a_quantised_price_is_on_the_grid_half_a_tick_away_and_stays(price: float, tick: str) -> None:
    instrument = Instrument(1, "X:Y", D(tick))
    found = instrument.quantize(price)
    assert instrument.on_tick_grid(found)
    assert abs(found - D(repr(price))) <= D(tick) / 2
    assert instrument.quantize(found) == found


def test_the_grids() -> None:
    assert RELIANCE.on_tick_grid(D("2500.05"))
    assert not RELIANCE.on_tick_grid(D("2500.04"))
    assert NIFTY.on_lot_grid(D(150))
    assert not NIFTY.on_lot_grid(D(100))
    assert not NIFTY.on_lot_grid(D("75.5"))


def test_the_exchange_is_in_the_symbol() -> None:
    assert (RELIANCE.exchange, NIFTY.exchange) == ("NSE", "NFO")


def test_the_master_finds_by_token_and_by_symbol() -> None:
    master = InstrumentMaster.of([RELIANCE, NIFTY])
    assert master.token(738561) is RELIANCE
    assert master.symbol("NFO:NIFTY24") is NIFTY
    assert list(master) == [RELIANCE, NIFTY]
    assert len(master) == 2


def test_what_the_master_does_not_have_is_an_error_that_names_it() -> None:
    master = InstrumentMaster.of([RELIANCE])
    with pytest.raises(UnknownInstrumentError, match="'NSE:TCS'"):
        master.symbol("NSE:TCS")
    with pytest.raises(UnknownInstrumentError, match="token 7 "):
        master.token(7)
