"""The calls that only read, and the calculators."""

import csv
import io
from decimal import Decimal

import msgspec
import pytest

from alpha_panda.testing.kite.instruments import (
    HEADER,
    INFY,
    MAHINDRA,
    NIFTY_50,
    RELIANCE,
    SENSEX,
    instruments,
)
from alpha_panda.testing.kite.wire import moment

from .desk_kit import Kite, market, order


def dump(kite: Kite, path: str = "/instruments") -> list[dict[str, str]]:
    reply = kite.reply("GET", path)
    assert (reply.status, reply.content_type) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(reply.body.decode())))


def test_the_dump_has_kites_columns_and_all_segments() -> None:
    kite = Kite()
    rows = dump(kite)
    assert tuple(rows[0]) == HEADER
    by_token = {int(row["instrument_token"]): row for row in rows}
    assert len(by_token) == len(rows) == len(kite.core.dump)
    assert by_token[MAHINDRA]["tradingsymbol"] == "M&M"
    assert by_token[MAHINDRA]["name"] == "MAHINDRA, & MAHINDRA"  # a comma inside quotes
    nifty, sensex = by_token[NIFTY_50], by_token[SENSEX]
    assert (nifty["segment"], nifty["exchange"], nifty["lot_size"], nifty["tick_size"]) == (
        "INDICES",
        "NSE",
        "0",
        "0",
    )
    assert (sensex["segment"], sensex["exchange"]) == ("INDICES", "BSE")
    segments = {
        "NSE",
        "BSE",
        "NFO-FUT",
        "NFO-OPT",
        "CDS-FUT",
        "BCD-FUT",
        "BFO-FUT",
        "MCX-FUT",
        "NCO-FUT",
        "INDICES",
    }
    assert {row["segment"] for row in rows} == segments
    for row in rows:
        assert int(row["instrument_token"]) >> 8 == int(row["exchange_token"])
        if row["segment"] != "INDICES":
            assert Decimal(row["tick_size"]) > 0 < int(row["lot_size"])


def test_the_dump_of_an_exchange_is_a_part_of_it() -> None:
    kite = Kite()
    rows = dump(kite, "/instruments/MCX")
    assert {row["exchange"] for row in rows} == {"MCX"}
    assert all(row in dump(kite) for row in rows)
    assert dump(kite, "/instruments/NOWHERE") == []


def test_there_are_as_many_instruments_as_are_wanted_and_always_the_same() -> None:
    day = moment(Kite().now).date()
    many = instruments(day, 3000, seed=3)
    assert len(many) == 3000 == len({item.key for item in many})
    assert many.csv() == instruments(day, 3000, seed=3).csv()
    assert [item.price for item in many] != [item.price for item in instruments(day, 3000, seed=4)]
    for item in many:
        assert item.price % item.tick_size == 0 if item.tick_size else True
        low, high = item.limits
        assert low < item.price < high


def test_quotes_come_by_symbol_or_token_and_unknown_ones_are_missing() -> None:
    kite = Kite()
    kite.price(INFY, "1510.5")
    names = {"i": ["NSE:INFY", str(RELIANCE), "NSE:NOBODY", "NSE:NIFTY 50"]}
    full = kite.call("GET", "/quote", query=names)
    assert list(full) == ["NSE:INFY", str(RELIANCE), "NSE:NIFTY 50"]
    infy = full["NSE:INFY"]
    assert (infy["last_price"], infy["ohlc"]) == (
        1510.5,
        {"open": 1500, "high": 1510.5, "low": 1500, "close": 1500},
    )
    assert (infy["timestamp"], infy["volume"]) == ("2026-01-02 14:15:00", 1)
    assert (infy["lower_circuit_limit"], infy["upper_circuit_limit"]) == (1200, 1800)
    assert [len(infy["depth"][side]) for side in ("buy", "sell")] == [5, 5]
    assert infy["depth"]["buy"][0]["price"] == 1510.5 < infy["depth"]["sell"][0]["price"]
    assert {level["price"] for level in full["NSE:NIFTY 50"]["depth"]["buy"]} == {0}
    ohlc = kite.call("GET", "/quote/ohlc", query=names)
    assert set(ohlc["NSE:INFY"]) == {"instrument_token", "last_price", "ohlc"}
    assert kite.call("GET", "/quote/ltp", query=names)["NSE:INFY"] == {
        "instrument_token": INFY,
        "last_price": 1510.5,
    }


def test_a_days_prices_begin_where_the_day_before_has_ended() -> None:
    kite = Kite()
    kite.price(INFY, "1550")
    kite.price(INFY, "1510.5")
    kite.core.change_day("2026-01-05", kite.now)
    kite.price(INFY, "1512")
    quote = kite.call("GET", "/quote", query={"i": ["NSE:INFY"]})["NSE:INFY"]
    assert quote["ohlc"] == {"open": 1510.5, "high": 1512, "low": 1510.5, "close": 1510.5}
    assert quote["volume"] == 1


@pytest.mark.parametrize(("path", "most"), [("/quote", 500), ("/quote/ohlc", 1000), ("/quote/ltp", 1000)])
def test_so_many_quotes_come_at_once(path: str, most: int) -> None:
    kite = Kite()
    kite.call("GET", path, query={"i": ["NSE:INFY"] * most})
    assert kite.failure("GET", path, query={"i": ["NSE:INFY"] * (most + 1)})[:2] == (400, "InputException")
    assert kite.failure("GET", path)[0] == 400


def test_candles_are_made_up_but_of_the_right_shape() -> None:
    kite = Kite()
    times = {"from": ["2026-01-02 09:15:00"], "to": ["2026-01-02 09:25:00"], "oi": ["1"]}
    data = kite.call("GET", f"/instruments/historical/{INFY}/5minute", query=times)
    first, *rest = data["candles"]
    assert first[0] == "2026-01-02T09:15:00+0530"
    assert [len(row) for row in (first, *rest)] == [7, 7, 7]
    for row in data["candles"]:
        assert row[3] <= min(row[1], row[4]) <= max(row[1], row[4]) <= row[2]
    without = kite.call("GET", f"/instruments/historical/{INFY}/day", query={**times, "oi": ["0"]})
    assert [len(row) for row in without["candles"]] == [6]
    for path in (f"{INFY}/year", "nobody/minute", "1/minute"):
        assert kite.failure("GET", f"/instruments/historical/{path}", query=times)[0] == 400
    assert kite.failure("GET", f"/instruments/historical/{INFY}/minute", query={"from": ["x"]})[0] == 400


ASKED = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "variety": "regular", "product": "CNC",
    "order_type": "MARKET", "quantity": 2, "price": 0, "trigger_price": 0,
}  # fmt: skip


def test_margins_and_charges_are_told_beforehand() -> None:
    kite = Kite()
    body = msgspec.json.encode([ASKED, {**ASKED, "product": "MIS", "price": 1000}])
    totals = [row["total"] for row in kite.call("POST", "/margins/orders", body=body)]
    assert totals == [3000, 400]
    basket = kite.call("POST", "/margins/basket", body=body, query={"consider_positions": ["True"]})
    assert (basket["initial"]["total"], basket["final"]["total"], len(basket["orders"])) == (3400, 3400, 2)
    assert kite.call("POST", "/margins/basket", body=body, query={"mode": ["compact"]})["orders"] == []
    note = msgspec.json.encode([{**ASKED, "order_id": "1", "average_price": 560}])
    (charged,) = kite.call("POST", "/charges/orders", body=note)
    assert (charged["price"], charged["charges"]["total"]) == (560, 0)
    for wrong in (b"no list", b'[{"exchange": "NSE"}]', msgspec.json.encode([{**ASKED, "price": "x"}])):
        assert kite.failure("POST", "/margins/orders", body=wrong)[:2] == (400, "InputException")
    assert kite.failure("POST", "/margins/nothing", body=b"[]")[0] == 400


def test_gtts_are_kept_changed_and_deleted() -> None:
    kite = Kite()
    condition = {"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": [1400], "last_price": 1500}
    form = {"type": "single", "condition": msgspec.json.encode(condition).decode(), "orders": "[]"}
    trigger = kite.call("POST", "/gtt/triggers", form)["trigger_id"]
    assert [row["id"] for row in kite.call("GET", "/gtt/triggers")] == [trigger]
    kite.wait(5)
    kite.call("PUT", f"/gtt/triggers/{trigger}", {**form, "type": "two-leg"})
    kept = kite.call("GET", f"/gtt/triggers/{trigger}")
    assert (kept["type"], kept["condition"]["instrument_token"], kept["status"]) == (
        "two-leg",
        INFY,
        "active",
    )
    assert (kept["created_at"], kept["updated_at"]) == ("2026-01-02 14:15:00", "2026-01-02 14:15:05")
    assert kite.call("DELETE", f"/gtt/triggers/{trigger}") == {"trigger_id": trigger}
    assert kite.failure("GET", f"/gtt/triggers/{trigger}")[0] == 404
    assert kite.failure("POST", "/gtt/triggers", {})[0] == 400
    wrong = {**form, "condition": '{"exchange": "NSE", "tradingsymbol": "NOBODY"}'}
    assert kite.failure("POST", "/gtt/triggers", wrong)[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/mf/orders"), ("POST", "/orders"), ("GET", "/orders/1/2/3"), ("PATCH", "/orders/regular"),
     ("GET", "/user/margins/other"), ("DELETE", "/trades"), ("GET", "/quote/other/more")],
)  # fmt: skip
def test_what_is_not_there_is_not_found(method: str, path: str) -> None:
    assert Kite().failure(method, path)[0] == 404


def test_numbers_are_whole_or_not_and_exact() -> None:
    """Kite writes 72 and 109.4; a price is never blurred on its way."""
    kite = Kite()
    placed = kite.place(price="1390.05", quantity=3)
    body = kite.reply("GET", "/orders").body
    assert b'"price":1390.05,' in body
    assert b'"trigger_price":0,' in body
    for price in ("1390.05", "1390", "1389.95"):
        kite.core.fill(placed, 1, Decimal(price), kite.now)
    assert b'"average_price":1390,' in kite.reply("GET", "/orders").body
    assert b'"average_price":1390.05,' in kite.reply("GET", "/trades").body


def test_trades_name_their_order_and_the_time_of_day() -> None:
    kite = Kite()
    placed = kite.place(price=1400, product="CNC")
    other = kite.place(**market(tradingsymbol="INFY"))
    (trade,) = kite.call("GET", f"/orders/{placed}/trades")
    row = kite.row(placed)
    assert (trade["order_id"], trade["exchange_order_id"]) == (placed, row["exchange_order_id"])
    assert (trade["order_timestamp"], trade["fill_timestamp"]) == ("14:15:00", "2026-01-02 14:15:00")
    assert [each["order_id"] for each in kite.call("GET", "/trades")] == [placed, other]
    assert kite.call("GET", "/orders/none/trades") == []


def test_calls_are_noted() -> None:
    kite = Kite()
    placed = kite.place()
    kite.call("GET", "/orders")
    kite.call("GET", "/portfolio/positions")
    kite.call("PUT", f"/orders/regular/{placed}", {"price": "1385"})
    kite.call("DELETE", f"/orders/regular/{placed}")
    assert [(call.kind, call.subject) for call in kite.core.calls] == [
        ("place", "ap1"), ("book", ""), ("portfolio", "/portfolio/positions"), ("modify", placed), ("cancel", placed),
    ]  # fmt: skip
    assert kite.core.placed() == {"ap1": 1}
    assert [each.order_id for each in kite.core.orders_of("ap1")] == [placed]


def test_a_form_may_name_what_the_address_says_too() -> None:
    kite = Kite()
    data = kite.call("POST", "/orders/regular", {**order(), "variety": "regular", "order_id": "7"})
    assert kite.status(data["order_id"]) == "OPEN"
