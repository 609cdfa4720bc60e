"""What is sent for an order, to the letter; and what is never sent."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from alpha_panda.adapters.zerodha.orders import Request, ZerodhaTerms, cancel_request, place_request, plain
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, Side, Validity
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import Outcome
from alpha_panda.domain.ids import broker_tag

from .rest_kit import CRUDE, DOLLAR, MAHINDRA, MASTER, NIFTY, ODD, RELIANCE, USER, entry

TERMS = ZerodhaTerms(user_id=USER, product="MIS", live=True)
TAG = broker_tag("s1")
MARKET: dict[str, Any] = {"order_type": OrderType.MARKET, "limit_price": None}


def sent(terms: ZerodhaTerms = TERMS, **changes: Any) -> dict[str, str]:
    request = place_request(entry(**changes), terms, MASTER)
    assert isinstance(request, Request), request
    assert (request.method, request.path) == ("POST", "/orders/regular")
    assert {name: [value] for name, value in request.form} == parse_qs(
        request.encoded, keep_blank_values=True
    )
    return dict(request.form)


def refused(terms: ZerodhaTerms = TERMS, **changes: Any) -> Code | None:
    outcome = place_request(entry(**changes), terms, MASTER)
    assert isinstance(outcome, Outcome), outcome
    assert outcome.state is EntryState.FAILED
    return outcome.code


def test_a_limit_order() -> None:
    assert sent() == {
        "exchange": "NSE",
        "tradingsymbol": "RELIANCE",
        "transaction_type": "BUY",
        "order_type": "LIMIT",
        "quantity": "10",
        "product": "MIS",
        "validity": "DAY",
        "tag": TAG,
        "price": "100.5",
    }


def test_a_market_order_is_protected_and_has_no_price() -> None:
    form = sent(side=Side.SELL, **MARKET)
    assert form["market_protection"] == "-1"
    assert (form["order_type"], form["transaction_type"]) == ("MARKET", "SELL")
    assert not form.keys() & {"price", "trigger_price"}


@pytest.mark.parametrize(
    ("order_type", "prices", "expected"),
    [
        (OrderType.STOP, {"limit_price": None, "trigger_price": Decimal(99)}, ("SL-M", None, "99", "-1")),
        (OrderType.STOP_LIMIT, {"trigger_price": Decimal("99.95")}, ("SL", "100.5", "99.95", None)),
    ],
)
def test_stops(order_type: OrderType, prices: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    form = sent(order_type=order_type, **prices)
    assert (
        tuple(form.get(n) for n in ("order_type", "price", "trigger_price", "market_protection")) == expected
    )


def test_what_the_account_says_is_sent() -> None:
    terms = replace(TERMS, product="CNC", market_protection=Decimal("2.50"), algo_id="A1", ttl_minutes=15)
    form = sent(terms, **MARKET)
    names = ("product", "market_protection", "algo_id", "validity", "validity_ttl")
    assert [form[name] for name in names] == ["CNC", "2.5", "A1", "TTL", "15"]


def test_an_ioc_order_stays_one_where_day_orders_have_a_time_to_live() -> None:
    form = sent(replace(TERMS, ttl_minutes=15), validity=Validity.IOC)
    assert form["validity"] == "IOC"
    assert "validity_ttl" not in form


def test_an_ampersand_in_a_symbol_ends_nothing() -> None:
    request = place_request(entry(token=MAHINDRA), TERMS, MASTER)
    assert isinstance(request, Request)
    assert "tradingsymbol=M%26M&" in request.encoded


def test_lots_are_counted_where_kite_counts_lots() -> None:
    assert sent(token=CRUDE, quantity=Decimal(300), limit_price=Decimal(6000))["quantity"] == "3"
    assert sent(token=NIFTY, quantity=Decimal(130), limit_price=Decimal(100))["quantity"] == "130"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": 5}, Code.INSTRUMENT_UNKNOWN),
        ({"symbol": "NSE:OTHER"}, Code.INSTRUMENT_UNKNOWN),
        ({"token": ODD}, Code.INSTRUMENT_UNKNOWN),
        ({"tag": ""}, Code.INTERNAL_ERROR),
        ({"tag": "a" * 21}, Code.INTERNAL_ERROR),
        ({"tag": "with space"}, Code.INTERNAL_ERROR),
        ({"token": CRUDE, "quantity": Decimal(100), "validity": Validity.IOC}, Code.VALIDITY_NOT_ALLOWED),
        ({"token": CRUDE, "quantity": Decimal(150)}, Code.LOT_SIZE),
        ({"token": DOLLAR, "quantity": Decimal(1000)}, Code.LOT_SIZE),
        ({"token": NIFTY, "quantity": Decimal(66)}, Code.LOT_SIZE),
        ({"quantity": Decimal("1.5")}, Code.LOT_SIZE),
        ({"quantity": Decimal(0)}, Code.LOT_SIZE),
        ({"quantity": Decimal(-10)}, Code.LOT_SIZE),
        ({"quantity": Decimal("NaN")}, Code.LOT_SIZE),
        ({"quantity": Decimal("1e30")}, Code.LOT_SIZE),
        ({"limit_price": Decimal("100.52")}, Code.TICK_SIZE),
        ({"limit_price": Decimal(0)}, Code.TICK_SIZE),
        ({"limit_price": Decimal(-5)}, Code.TICK_SIZE),
        ({"limit_price": Decimal("Infinity")}, Code.TICK_SIZE),
        ({"limit_price": None}, Code.SCHEMA_INVALID),
        ({"trigger_price": Decimal(99)}, Code.SCHEMA_INVALID),
        ({"order_type": OrderType.MARKET}, Code.SCHEMA_INVALID),
        ({"order_type": OrderType.STOP}, Code.SCHEMA_INVALID),
    ],
    ids=str,
)
def test_what_would_be_refused_or_mean_another_order_is_not_sent(changes: dict[str, Any], code: Code) -> None:
    assert refused(**changes) is code


def test_a_tick_size_of_nothing_divides_nothing() -> None:
    master = InstrumentMaster.of([Instrument(RELIANCE, "NSE:RELIANCE", Decimal(0))])
    outcome = place_request(entry(), TERMS, master)
    assert isinstance(outcome, Outcome)
    assert outcome.code is Code.TICK_SIZE


def test_a_fraction_of_a_lot_of_fractions_is_not_sent() -> None:
    master = InstrumentMaster.of(
        [Instrument(RELIANCE, "NSE:RELIANCE", Decimal("0.05"), lot_size=Decimal("0.5"))]
    )
    outcome = place_request(entry(quantity=Decimal("1.5")), TERMS, master)
    assert isinstance(outcome, Outcome)
    assert outcome.code is Code.LOT_SIZE


def test_a_cancellation_names_variety_and_order_and_nothing_else() -> None:
    request = cancel_request("195334/..", "re gular")
    assert (request.method, request.path, request.form) == ("DELETE", "/orders/re%20gular/195334%2F..", ())


def test_a_request_tells_all_but_secrets() -> None:
    request = place_request(entry(), TERMS, MASTER)
    assert str(request).startswith("POST /orders/regular exchange=NSE&tradingsymbol=RELIANCE&")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("100", "100"),
        ("100.00", "100"),
        ("1E+2", "100"),
        ("0.0025", "0.0025"),
        ("-1", "-1"),
        ("1500.50", "1500.5"),
    ],
)
def test_numbers_are_plain(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text
