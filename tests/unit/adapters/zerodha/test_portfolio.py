"""What the account holds, as Kite tells it."""

from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.adapters.http.exchange import Answer, Exchange, Unanswered
from alpha_panda.adapters.zerodha.portfolio import Answers, PortfolioReader, cash_of
from alpha_panda.adapters.zerodha.wire import Funds, Margins
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import BrokerPosition, PortfolioReading

from .rest_kit import CRUDE, MASTER, RELIANCE, START, USER, error, success

POSITION = {
    "tradingsymbol": "RELIANCE",
    "exchange": "NSE",
    "instrument_token": RELIANCE,
    "product": "MIS",
    "quantity": -10,
    "overnight_quantity": 0,
    "multiplier": 1,
    "average_price": 100.25,
    "last_price": 101,
    "pnl": 5,
    "realised": 2.5,
}
HOLDING = {
    "tradingsymbol": "M&M",
    "exchange": "NSE",
    "instrument_token": 1,
    "isin": "X",
    "product": "CNC",
    "quantity": 7,
    "t1_quantity": 2,
    "opening_quantity": None,
    "average_price": 1500.5,
    "last_price": 1600,
}
FUNDS = {"equity": {"enabled": True, "net": 99725.05000000002}, "commodity": {"enabled": True, "net": 100.5}}
EQUITY = InstrumentMaster.of([MASTER.by_token[RELIANCE]])
METALS = InstrumentMaster.of([MASTER.by_token[CRUDE]])


def read(
    positions: Any = None, holdings: Any = None, margins: Any = None, master: InstrumentMaster = MASTER
) -> PortfolioReading:
    defaults = ({"net": [POSITION], "day": []}, [HOLDING], FUNDS)
    given = (positions, holdings, margins)
    answers = [
        item if isinstance(item, Answer | Unanswered) else success(default if item is None else item)
        for item, default in zip(given, defaults, strict=True)
    ]
    return PortfolioReader(USER, lambda: master, lambda _: "2026-01-02").reading(START, Answers(*answers))


def test_a_complete_reading() -> None:
    reading = read()
    assert reading.complete
    assert reading.positions == (
        BrokerPosition(
            instrument_token=RELIANCE,
            symbol="NSE:RELIANCE",
            product="MIS",
            quantity=Decimal(-10),
            average_price=Decimal("100.25"),
            last_price=Decimal(101),
            realised=Decimal("2.5"),
        ),
    )
    (holding,) = reading.holdings
    assert (holding.symbol, holding.product, holding.quantity) == ("NSE:M&M", "CNC", 9)
    assert holding.instrument_token == 519937
    assert (reading.user, reading.trading_day, reading.begun_at) == (USER, "2026-01-02", START)


def test_cash_is_exact_and_of_the_segments_that_are_traded() -> None:
    assert read(master=EQUITY).cash == Decimal("99725.05000000002")
    assert read(master=METALS).cash == Decimal("100.5")
    assert read(master=MASTER).cash == Decimal("99825.55000000002")
    assert read(master=InstrumentMaster.of([])).cash == Decimal("99725.05000000002")


@pytest.mark.parametrize(
    "told", [None, Margins(), Margins(Funds(), Funds()), Margins(Funds(net=Decimal("NaN")))]
)
def test_cash_that_is_not_told_is_none(told: Margins | None) -> None:
    assert cash_of(told, EQUITY) is None


def test_the_mornings_quantity_counts_where_it_is_told() -> None:
    """What is sold today stands among the positions: a holding that fell with it would count the sale twice."""
    (holding,) = read(holdings=[HOLDING | {"quantity": 3, "t1_quantity": 0, "opening_quantity": 10}]).holdings
    assert holding.quantity == 10


def test_lots_become_units() -> None:
    crude = POSITION | {
        "exchange": "MCX",
        "tradingsymbol": "CRUDEOIL26JANFUT",
        "quantity": 2,
        "overnight_quantity": 1,
    }
    (position,) = read({"net": [crude]}).positions
    assert (position.quantity, position.overnight_quantity, position.instrument_token) == (200, 100, CRUDE)


def test_flat_positions_stay_and_nothing_is_complete_too() -> None:
    (flat,) = read({"net": [POSITION | {"quantity": 0}]}).positions
    assert flat.quantity == 0
    empties: tuple[Any, ...] = ([], success(None))
    for empty in empties:
        nothing = read({"net": []}, empty)
        assert nothing.complete
        assert (nothing.positions, nothing.holdings) == ((), ())


BROKEN: list[Exchange] = [
    error(500, "GeneralException", "x"),
    Answer(200, b"<html>"),
    success("text"),
    Unanswered("x"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
@pytest.mark.parametrize("part", ["positions", "holdings", "margins"])
def test_a_missing_part_makes_it_incomplete_and_the_others_count(part: str, broken: Exchange) -> None:
    answers: dict[str, Any] = {part: broken}
    reading = read(**answers)
    assert not reading.complete
    told = {
        "positions": bool(reading.positions),
        "holdings": bool(reading.holdings),
        "margins": reading.cash is not None,
    }
    assert {name for name, there in told.items() if not there} == {part}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("positions", {"net": [POSITION, {"exchange": "NSE"}]}),
        ("positions", {"net": [POSITION | {"quantity": "NaN"}]}),
        ("positions", {"net": None}),
        ("positions", {}),
        ("holdings", [HOLDING, 5]),
        ("holdings", [HOLDING | {"average_price": "Infinity"}]),
        ("margins", {"equity": None}),
        ("margins", {}),
    ],
)
def test_what_can_not_be_read_may_be_what_matters(part: str, value: Any) -> None:
    assert not read(**{part: value}).complete


def test_without_answers_nothing_is_known() -> None:
    reading = PortfolioReader(USER, lambda: MASTER, lambda _: "2026-01-02").reading(START, None)
    assert (reading.complete, reading.positions, reading.holdings, reading.cash) == (False, (), (), None)
