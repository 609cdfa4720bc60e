"""Positions by Kite's own arithmetic, holdings over the days, funds by the local rule."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import Side
from alpha_panda.testing.kite.instruments import INFY, RELIANCE, KiteInstrument
from alpha_panda.testing.kite.trades import Position, Turnover

from .desk_kit import Kite, market


def gold_guinea() -> Position:
    """Return the published sample: 3 carried at 23057 on average, 1 bought and 4 sold today."""
    item = KiteInstrument(
        53505799, "GOLDGUINEA17DECFUT", "MCX", "MCX-FUT", Decimal(23232), instrument_type="FUT"
    )
    day = Turnover(1, Decimal(23388), 4, Decimal(93360))
    return Position(item, "NRML", day, carried=3, carried_price=Decimal(23057), close=Decimal(23232))


def test_the_published_sample_of_a_carried_position_comes_out() -> None:
    row = gold_guinea().row(Decimal(23355), today_alone=False)
    wanted = {
        "quantity": 0, "overnight_quantity": 3, "average_price": 0, "value": 801, "pnl": 801, "m2m": 276,
        "buy_quantity": 4, "buy_price": 23139.75, "buy_value": 92559, "buy_m2m": 93084, "sell_quantity": 4,
        "sell_price": 23340, "sell_value": 93360, "sell_m2m": 93360, "day_buy_quantity": 1, "day_sell_quantity": 4,
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted


def test_the_published_sample_of_its_day_comes_out() -> None:
    row = gold_guinea().row(Decimal(23355), today_alone=True)
    wanted = {
        "quantity": -3, "overnight_quantity": 0, "average_price": 23340, "value": 69972, "pnl": -93, "m2m": -93,
        "buy_quantity": 1, "buy_value": 23388, "sell_quantity": 4, "sell_value": 93360,
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted


def test_the_published_sample_with_a_multiplier_comes_out() -> None:
    item = KiteInstrument(53496327, "LEADMINI17DECFUT", "MCX", "MCX-FUT", Decimal(1), multiplier=1000)
    row = Position(item, "NRML", Turnover(1, Decimal(161050))).row(Decimal("161.05"), today_alone=False)
    wanted = {
        "average_price": Decimal("161.05"),
        "value": -161050,
        "pnl": 0,
        "buy_value": 161050,
        "multiplier": 1000,
    }
    assert {name: row[name] for name in wanted} == wanted


def positions(kite: Kite) -> dict[str, Any]:
    return {row["product"]: row for row in kite.call("GET", "/portfolio/positions")["net"]}


def test_a_flat_position_stays_for_the_day_and_products_are_apart() -> None:
    kite = Kite()
    kite.place(**market())
    kite.place(**market(product="CNC", quantity=3))
    kite.price(RELIANCE, "1410")
    kite.place(**market(transaction_type="SELL"))
    rows = positions(kite)
    assert (rows["MIS"]["quantity"], rows["MIS"]["pnl"], rows["MIS"]["average_price"]) == (0, 100, 0)
    assert (rows["CNC"]["quantity"], rows["CNC"]["pnl"]) == (3, 30)
    kite.core.change_day("2026-01-05", kite.now)
    assert positions(kite) == {}


def test_futures_are_carried_and_marked_at_the_close() -> None:
    kite = Kite()
    future = {"exchange": "NFO", "tradingsymbol": "NIFTY26JANFUT", "product": "NRML", "quantity": 75}
    token = kite.core.dump.by_key["NFO:NIFTY26JANFUT"].token
    kite.place(**market(**future))
    kite.price(token, "24200")
    before = kite.core.desk.portfolio.opening["equity"]
    kite.core.change_day("2026-01-05", kite.now)
    assert kite.core.desk.portfolio.opening["equity"] - before == 75 * 100  # marked to the market
    kite.price(token, "24150")
    data = kite.call("GET", "/portfolio/positions")
    (row,) = data["net"]
    assert (row["overnight_quantity"], row["average_price"], row["pnl"], row["m2m"]) == (
        75,
        24_100,
        3750,
        -3750,
    )
    assert data["day"] == []


def test_delivered_shares_become_holdings_the_next_day() -> None:
    kite = Kite()
    kite.core.desk.portfolio.hold(kite.core.dump.by_token[INFY], 10, Decimal(1000))
    kite.place(**market(product="CNC", quantity=4))
    kite.place(**market(tradingsymbol="INFY", product="CNC", quantity=3, transaction_type="SELL"))
    (infy,) = kite.call("GET", "/portfolio/holdings")
    assert (infy["quantity"], infy["used_quantity"], infy["average_price"]) == (10, 3, 1000)
    kite.core.change_day("2026-01-05", kite.now)
    rows = {row["tradingsymbol"]: row for row in kite.call("GET", "/portfolio/holdings")}
    assert (rows["RELIANCE"]["quantity"], rows["RELIANCE"]["t1_quantity"]) == (0, 4)
    assert (rows["RELIANCE"]["average_price"], rows["INFY"]["quantity"]) == (1400, 7)
    kite.core.change_day("2026-01-06", kite.now)
    rows = {row["tradingsymbol"]: row for row in kite.call("GET", "/portfolio/holdings")}
    assert (rows["RELIANCE"]["quantity"], rows["RELIANCE"]["t1_quantity"]) == (4, 0)


def test_all_holdings_sold_are_gone() -> None:
    kite = Kite()
    kite.core.desk.portfolio.hold(kite.core.dump.by_token[INFY], 10, Decimal(1000))
    kite.place(**market(tradingsymbol="INFY", product="CNC", transaction_type="SELL"))
    kite.core.change_day("2026-01-05", kite.now)
    assert kite.call("GET", "/portfolio/holdings") == []


def test_the_holdings_other_forms_agree() -> None:
    kite = Kite()
    kite.core.desk.portfolio.hold(kite.core.dump.by_token[INFY], 10, Decimal(1000))
    assert kite.call("GET", "/portfolio/holdings/compact") == [
        {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "instrument_token": INFY,
            "t1_quantity": 0,
            "quantity": 10,
        }
    ]
    summary = kite.call("GET", "/portfolio/holdings/summary")
    assert (summary["invested_amount"], summary["current_value"], summary["total_pnl"]) == (
        10_000,
        15_000,
        5000,
    )
    assert kite.call("GET", "/portfolio/holdings/auctions") == []
    assert kite.call("POST", "/portfolio/holdings/authorise")["request_id"]


def net(kite: Kite, segment: str = "equity") -> float:
    data = kite.call("GET", f"/user/margins/{segment}")
    assert data == kite.call("GET", "/user/margins")[segment]
    assert data["net"] == data["available"]["live_balance"]
    assert data["net"] == pytest.approx(data["available"]["opening_balance"] - data["utilised"]["debits"])
    return float(data["net"])


def test_funds_are_blocked_by_open_orders_used_by_positions_and_come_back() -> None:
    kite = Kite()
    order = kite.place(quantity=10, price=1390)
    assert net(kite) == 1_000_000 - 2780
    kite.call("DELETE", f"/orders/regular/{order}")
    assert net(kite) == 1_000_000
    kite.place(**market())
    assert net(kite) == 1_000_000 - 2800
    kite.price(RELIANCE, "1450")
    kite.place(**market(transaction_type="SELL"))
    assert net(kite) == 1_000_000 + 500
    gold = next(item.tradingsymbol for item in kite.core.dump if item.tradingsymbol.startswith("GOLDM"))
    kite.place(**market(exchange="MCX", tradingsymbol=gold, product="NRML", quantity=1))
    assert (net(kite), net(kite, "commodity")) == (1_000_500, 500_000 - 187_500)


def test_what_has_filled_of_an_order_is_not_blocked_twice() -> None:
    kite = Kite()
    order = kite.place(quantity=10, price=1390)
    kite.core.fill(order, 4, Decimal(1390), kite.now)
    assert net(kite) == 1_000_000 - 2780
    kite.core.fill(order, 6, Decimal(1390), kite.now)
    assert net(kite) == 1_000_000 - 2780


def test_an_order_that_closes_needs_no_money() -> None:
    kite = Kite(opening_cash=Decimal(2800))
    kite.place(**market())
    assert net(kite) == 0
    assert kite.status(kite.place(**market(quantity=1))) == "REJECTED"
    assert kite.status(kite.place(**market(transaction_type="SELL"))) == "COMPLETE"


def test_a_position_is_converted_at_its_price() -> None:
    kite = Kite()
    kite.place(**market())
    form = {
        "exchange": "NSE", "tradingsymbol": "RELIANCE", "transaction_type": "BUY", "position_type": "day",
        "quantity": "4", "old_product": "MIS", "new_product": "CNC",
    }  # fmt: skip
    assert kite.call("PUT", "/portfolio/positions", form) is True
    rows = positions(kite)
    assert (rows["MIS"]["quantity"], rows["CNC"]["quantity"], rows["CNC"]["average_price"]) == (6, 4, 1400)
    assert kite.failure("PUT", "/portfolio/positions", {**form, "quantity": "7"})[0] == 400
    assert kite.failure("PUT", "/portfolio/positions", {**form, "quantity": "x"})[0] == 400


fills = st.lists(
    st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50), st.integers(1300 * 20, 1500 * 20)),
    max_size=25,
)


@given(fills)
def test_positions_trades_and_cash_say_the_same(trades: list[tuple[str, int, int]]) -> None:
    kite = Kite(check_funds=False)
    for side, quantity, ticks in trades:
        kite.price(RELIANCE, str(Decimal(ticks) / 20))
        kite.place(**market(transaction_type=side, quantity=quantity))
    rows = kite.call("GET", "/trades")
    signed = [
        (row["quantity"] * Side(row["transaction_type"]).sign, Decimal(str(row["average_price"])))
        for row in rows
    ]
    units = sum(quantity for quantity, _ in signed)
    assert kite.core.positions() == ({RELIANCE: units} if units else {})
    reply = kite.reply("GET", "/portfolio/positions")
    data = msgspec.json.decode(reply.body, type=dict[str, Any])["data"]["net"]
    if trades:
        paid = sum(quantity * price for quantity, price in signed)
        last = kite.core.market.price(RELIANCE)
        assert data[0]["quantity"] == units
        assert data[0]["value"] == pytest.approx(float(-paid))
        assert data[0]["pnl"] == pytest.approx(float(-paid + units * last))
        assert len(rows) == len({row["trade_id"] for row in rows}) == len(trades)
