"""What is refused at once, without a row in the book."""

import pytest

from alpha_panda.testing.kite.checks import NO_INSTRUMENT, NO_PROTECTION
from alpha_panda.testing.kite.instruments import MCX

from .desk_kit import Kite, market


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"exchange": "BSE"}, NO_INSTRUMENT.message),
        ({"tradingsymbol": "NIFTY 50"}, NO_INSTRUMENT.message),
        ({"transaction_type": "HOLD"}, "transaction_type"),
        ({"order_type": "STOP"}, "order_type"),
        ({"product": "BO"}, "product"),
        ({"validity": "GTC"}, "validity"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": "ten"}, "quantity"),
        ({"quantity": "1.5"}, "quantity"),
        ({"quantity": 100_001}, "maximum allowed quantity per order 100000"),
        ({"quantity": 1_000_001, "autoslice": "true"}, "maximum allowed quantity"),
        ({"price": None}, "price"),
        ({"price": "NaN"}, "price"),
        ({"price": "1390.01"}, "Tick size for this script is 0.05"),
        ({"order_type": "SL"}, "trigger_price"),
        ({"order_type": "SL", "trigger_price": "1385.02"}, "Tick size"),
        ({"order_type": "SL", "trigger_price": 1395}, "Trigger price"),
        ({"order_type": "SL", "transaction_type": "SELL", "trigger_price": 1380}, "Trigger price"),
        (market(market_protection=None), NO_PROTECTION.message),
        (market(market_protection=0), NO_PROTECTION.message),
        (market(market_protection=101), "market_protection"),
        (market(market_protection=-2), "market_protection"),
        ({"order_type": "SL-M", "price": None, "trigger_price": 1410}, NO_PROTECTION.message),
        ({"tag": "a" * 21}, "tag"),
        ({"validity": "TTL"}, "validity_ttl"),
        ({"validity": "TTL", "validity_ttl": 121}, "validity_ttl"),
        ({"product": "NRML"}, "NRML"),
    ],
)
def test_wrong_orders_get_an_answer_and_no_row(fields: dict[str, object], words: str) -> None:
    assert words in Kite().refusal(**fields)


def test_an_unknown_variety_and_wrong_legs_are_refused() -> None:
    kite = Kite()
    assert "variety" in kite.refusal("bo")
    assert "trigger_price" in kite.refusal("co")
    for legs, each in ((1, 10), (51, 1), (2, 0), (2, 4), (4, 4)):
        assert "iceberg" in kite.refusal("iceberg", iceberg_legs=legs, iceberg_quantity=each)


def test_derivatives_come_in_lots_until_they_expire() -> None:
    kite = Kite()
    future = {"exchange": "NFO", "tradingsymbol": "NIFTY26JANFUT", "product": "NRML", "price": 24_000}
    assert "lot size 75" in kite.refusal(**future, quantity=74)
    assert "CNC" in kite.refusal(**{**future, "product": "CNC"}, quantity=75)
    assert kite.status(kite.place(**future, quantity=75)) == "OPEN"
    old = next(item.tradingsymbol for item in kite.core.dump if "OLD" in item.tradingsymbol)
    assert kite.refusal(**{**future, "tradingsymbol": old}, quantity=75) == NO_INSTRUMENT.message


def test_a_contract_trades_on_its_last_day_and_not_after() -> None:
    kite = Kite()
    future = {
        "exchange": "NFO",
        "tradingsymbol": "NIFTY26JANFUT",
        "product": "NRML",
        "price": 24_000,
        "quantity": 75,
    }
    kite.core.change_day("2026-01-31", kite.now)
    assert kite.status(kite.place(**future)) == "OPEN"
    kite.core.change_day("2026-02-01", kite.now)
    assert kite.refusal(**future) == NO_INSTRUMENT.message


def test_mcx_takes_no_ioc() -> None:
    kite = Kite()
    gold = next(item.tradingsymbol for item in kite.core.dump if item.token & 0xFF == MCX)
    fields = {"exchange": "MCX", "tradingsymbol": gold, "product": "NRML", "quantity": 1, "price": 120_000}
    assert "IOC" in kite.refusal(**fields, validity="IOC")
    assert kite.status(kite.place(**fields)) == "OPEN"


def test_what_kite_ignores_is_ignored() -> None:
    kite = Kite()
    order = kite.place(
        variety="regular", strange="field", disclosed_quantity=0, algo_id="A1", tag="with space"
    )
    assert kite.status(order) == "OPEN"
    assert kite.core.orders[order].terms.algo_id == "A1"
