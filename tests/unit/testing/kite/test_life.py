"""The life of orders: the statuses they go through, what they trade at, how they end."""

from decimal import Decimal

import pytest

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.kite.config import Delays, KiteConfig
from alpha_panda.testing.kite.instruments import INFY, IOC, MCX, RELIANCE, SBIN

from .desk_kit import Kite, market
from .desk_kit import order as _fields

ARRIVAL = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]
SLOW = Delays(
    received=1,
    validation=1,
    open_pending=1,
    modify_validation=1,
    modify_pending=1,
    modified=1,
    cancel_pending=1,
)


def test_a_limit_order_rests_until_the_market_comes_to_it_and_trades_at_its_limit() -> None:
    kite = Kite()
    order = kite.place(price=1390)
    assert kite.status(order) == "OPEN"
    kite.price(RELIANCE, "1390.05")
    assert kite.status(order) == "OPEN"
    kite.price(RELIANCE, "1389")
    row = kite.row(order)
    assert (row["status"], row["average_price"], row["filled_quantity"]) == ("COMPLETE", 1390, 10)
    assert kite.statuses(order) == [*ARRIVAL, "COMPLETE"]


@pytest.mark.parametrize(("side", "limit"), [("BUY", 1410), ("SELL", 1390)])
def test_an_order_that_can_trade_at_once_gets_the_markets_price(side: str, limit: int) -> None:
    kite = Kite()
    row = kite.row(kite.place(transaction_type=side, price=limit))
    assert (row["status"], row["average_price"]) == ("COMPLETE", 1400)


def test_each_status_takes_its_time_and_stays_in_the_history() -> None:
    kite = Kite(delays=SLOW)
    order = kite.place()
    seen = []
    for _ in ARRIVAL:
        seen.append(kite.status(order))
        kite.wait(1)
    assert seen == ARRIVAL == kite.statuses(order)
    first = kite.call("GET", f"/orders/{order}")[0]
    assert first["instrument_token"] == 1
    assert first["exchange_order_id"] is None


def test_a_market_order_becomes_a_limit_order_at_its_protected_price() -> None:
    kite = Kite(auto_protection=Decimal(2), liquidity=4)
    order = kite.place(**market())
    row = kite.row(order)
    assert (row["order_type"], row["price"], row["market_protection"]) == ("LIMIT", 1428, 0)
    assert row["tags"] == ["ap1", "mktp", "mktp:2.00"]
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("OPEN", 4, 6)
    kite.price(RELIANCE, "1430")
    assert kite.row(order)["filled_quantity"] == 4  # the price ran away: the rest stays open
    kite.price(RELIANCE, "1428")
    kite.price(RELIANCE, "1420")
    assert kite.status(order) == "COMPLETE"


def test_protection_may_be_given_in_percent_and_the_book_may_say_market_still() -> None:
    kite = Kite(protected_type="MARKET", liquidity=1)
    row = kite.row(kite.place(**market(market_protection="0.5", transaction_type="SELL")))
    assert (row["order_type"], row["price"]) == ("MARKET", 0)
    order = kite.core.orders[row["order_id"]]
    assert (order.price, order.tags[-1]) == (1393, "mktp:0.50")


@pytest.mark.parametrize(("side", "price"), [("BUY", 1404.65), ("SELL", 1395.35)])
def test_a_protected_price_is_on_the_grid_and_no_worse_than_the_percent(side: str, price: float) -> None:
    kite = Kite(liquidity=1)
    row = kite.row(kite.place(**market(market_protection="0.333", transaction_type=side)))
    assert row["price"] == price


def test_the_tag_may_stand_among_the_tags_alone() -> None:
    row = (kite := Kite(hide_tag=True)).row(kite.place())
    assert (row["tag"], row["tags"]) == (None, ["ap1"])
    assert "tags" not in kite.row(kite.place(tag=None))


@pytest.mark.parametrize(
    ("side", "trigger", "limit", "touch"), [("BUY", 1410, 1412, "1410"), ("SELL", 1390, 1388, "1390")]
)
def test_a_stop_waits_for_its_trigger_and_tells_when_it_is_touched(
    side: str, trigger: int, limit: int, touch: str
) -> None:
    kite = Kite()
    order = kite.place(transaction_type=side, order_type="SL", trigger_price=trigger, price=limit)
    assert kite.status(order) == "TRIGGER PENDING"
    kite.price(RELIANCE, "1400.05")
    assert (kite.status(order), kite.told()) == ("TRIGGER PENDING", [])
    kite.price(RELIANCE, touch)
    row = kite.row(order)
    assert (row["status"], row["order_type"], row["average_price"]) == ("COMPLETE", "LIMIT", trigger)
    assert kite.told() == ["UPDATE", "COMPLETE"]


def test_a_stop_at_the_market_is_protected_from_where_it_was_triggered() -> None:
    kite = Kite()
    order = kite.place(order_type="SL-M", price=None, trigger_price=1450, market_protection=1)
    assert kite.row(order)["order_type"] == "SL-M"
    kite.price(RELIANCE, "1460")
    row = kite.row(order)
    assert (row["status"], row["order_type"], row["price"]) == ("COMPLETE", "LIMIT", 1474.6)


def test_a_partial_fill_stays_open_and_is_told_as_update() -> None:
    kite = Kite()
    order = kite.place()
    assert kite.told() == []  # a plain opening is not pushed
    kite.core.fill(order, 4, Decimal(1390), kite.now)
    kite.core.fill(order, 2, Decimal("1389.95"), kite.now)
    row = kite.row(order)
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("OPEN", 6, 4)
    assert row["average_price"] == pytest.approx(1389.9833)
    assert kite.told() == ["UPDATE", "UPDATE"]
    assert [trade["quantity"] for trade in kite.call("GET", f"/orders/{order}/trades")] == [4, 2]
    kite.core.fill(order, 100, Decimal(1390), kite.now)
    assert (kite.status(order), kite.told()) == ("COMPLETE", ["COMPLETE"])
    assert sum(trade.quantity for trade in kite.core.executed()) == 10


def test_what_is_ioc_ends_where_it_can_trade_no_more() -> None:
    kite = Kite(liquidity=3)
    row = kite.row(kite.place(price=1400, validity="IOC"))
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 3, 7)
    row = kite.row(kite.place(price=1390, validity="IOC"))
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("CANCELLED", 0, 10)


def test_what_is_ttl_ends_after_its_minutes() -> None:
    kite = Kite(ttl_minute_seconds=2)
    order = kite.place(validity="TTL", validity_ttl=3)
    kite.wait(5.9)
    assert kite.status(order) == "OPEN"
    kite.wait(0.1)
    assert (kite.status(order), kite.told()) == ("CANCELLED", ["CANCELLED"])


def test_a_cancellation_takes_its_time_and_may_lose_the_race() -> None:
    kite = Kite(delays=Delays(cancel_pending=1))
    cancelled, filled = kite.place(), kite.place()
    for order in (cancelled, filled):
        assert kite.call("DELETE", f"/orders/regular/{order}") == {"order_id": order}
        assert kite.status(order) == "CANCEL PENDING"
        assert "being processed" in kite.failure("DELETE", f"/orders/regular/{order}")[2]
    kite.core.fill(filled, 10, Decimal(1390), kite.now)
    kite.wait(1)
    assert (kite.status(cancelled), kite.status(filled)) == ("CANCELLED", "COMPLETE")
    assert kite.row(cancelled)["cancelled_quantity"] == 10


def test_a_partial_fill_does_not_undo_a_cancellation_that_is_under_way() -> None:
    kite = Kite(delays=Delays(cancel_pending=1))
    order = kite.place()
    kite.call("DELETE", f"/orders/regular/{order}")
    kite.core.fill(order, 4, Decimal(1390), kite.now)
    assert (kite.status(order), kite.row(order)["filled_quantity"]) == ("CANCEL PENDING", 4)
    kite.wait(1)
    row = kite.row(order)
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 4, 6)


def test_what_is_over_can_be_neither_changed_nor_cancelled() -> None:
    kite = Kite()
    order = kite.place(price=1400)
    wanted = (400, "InputException")
    assert kite.failure("DELETE", f"/orders/regular/{order}")[:2] == wanted
    assert kite.failure("PUT", f"/orders/regular/{order}", {"price": "1"})[:2] == wanted
    assert kite.failure("DELETE", "/orders/regular/nobody")[0] == 404


def test_a_modification_goes_its_own_way_and_the_new_price_shows_at_its_end() -> None:
    kite = Kite(delays=SLOW)
    order = kite.place()
    kite.wait(3)
    kite.call("PUT", f"/orders/regular/{order}", {"price": "1385", "quantity": "20"})
    seen = []
    for _ in range(4):
        seen.append((kite.status(order), kite.row(order)["price"]))
        kite.wait(1)
    assert seen == [
        ("MODIFY VALIDATION PENDING", 1390),
        ("MODIFY PENDING", 1390),
        ("MODIFIED", 1390),
        ("OPEN", 1385),
    ]
    assert (kite.row(order)["quantity"], kite.told()) == (20, ["UPDATE"])


def test_a_modified_order_may_trade_at_once() -> None:
    kite = Kite()
    order = kite.place()
    kite.call("PUT", f"/orders/regular/{order}", {"price": "1400"})
    assert kite.status(order) == "COMPLETE"
    other = kite.place()
    kite.call("PUT", f"/orders/regular/{other}", {"order_type": "MARKET", "market_protection": "-1"})
    assert kite.row(other)["average_price"] == 1400


def test_a_modification_off_the_grids_is_refused_and_changes_nothing() -> None:
    kite = Kite()
    order = kite.place()
    assert "Tick size" in kite.failure("PUT", f"/orders/regular/{order}", {"price": "1385.01"})[2]
    assert "quantity" in kite.failure("PUT", f"/orders/regular/{order}", {"quantity": "-3"})[2]
    assert (kite.row(order)["price"], kite.status(order)) == (1390, "OPEN")


def test_an_order_is_modified_25_times_at_most_and_cancelled_even_then() -> None:
    kite = Kite()
    order = kite.place()
    for n in range(25):
        kite.call("PUT", f"/orders/regular/{order}", {"price": str(1380 + n % 3)})
    refusal = kite.failure("PUT", f"/orders/regular/{order}", {"price": "1370"})
    assert refusal == (400, "InputException", "Maximum allowed order modifications exceeded")
    kite.call("DELETE", f"/orders/regular/{order}")
    assert kite.status(order) == "CANCELLED"


def test_want_of_funds_is_a_refused_row_or_an_answer() -> None:
    kite = Kite(opening_cash=Decimal(10_000))
    row = kite.row(kite.place(product="CNC"))
    assert row["status"] == "REJECTED"
    assert row["status_message"] == (
        "Insufficient funds. Required margin is 13900.00 but available margin is 10000.00."
    )
    assert row["status_message_raw"].startswith("RMS:")
    assert (row["pending_quantity"], kite.told()) == (0, ["REJECTED"])
    kite.core.configure(margin_refusal="answer")
    assert kite.failure("POST", "/orders/regular", {**_fields(product="CNC")})[:2] == (400, "MarginException")
    kite.core.configure(check_funds=False)
    assert kite.status(kite.place(product="CNC")) == "OPEN"


def test_a_price_outside_the_days_range_is_refused_in_the_book() -> None:
    kite = Kite()
    row = kite.row(kite.place(price=1000))
    assert (row["status"], "range" in row["status_message"]) == ("REJECTED", True)


def test_shares_are_sold_for_delivery_only_where_they_are() -> None:
    kite = Kite()
    sell = {"transaction_type": "SELL", "product": "CNC", "price": 1390}
    assert "Insufficient stock" in kite.row(kite.place(**sell))["status_message"]
    kite.core.desk.portfolio.hold(kite.core.dump.by_token[RELIANCE], 12, Decimal(900))
    assert kite.status(kite.place(**sell)) == "COMPLETE"
    assert kite.status(kite.place(**sell)) == "REJECTED"
    assert kite.status(kite.place(**{**sell, "quantity": 2})) == "COMPLETE"
    assert kite.status(kite.place(**{**sell, "quantity": 1})) == "REJECTED"


def test_shares_that_wait_to_be_sold_are_not_sold_twice() -> None:
    kite = Kite()
    kite.core.desk.portfolio.hold(kite.core.dump.by_token[RELIANCE], 10, Decimal(900))
    sell = {"transaction_type": "SELL", "product": "CNC", "price": 1410}
    assert kite.status(kite.place(**sell)) == "OPEN"
    assert kite.status(kite.place(**{**sell, "quantity": 1})) == "REJECTED"


def test_after_market_orders_wait_for_the_opening() -> None:
    opening = Kite().now + 60 * SECOND_NS
    kite = Kite(sessions=((opening, opening + 60 * SECOND_NS),))
    assert "Markets are closed" in kite.refusal()
    order = kite.place("amo", price=1400)
    assert (kite.status(order), kite.told()) == ("AMO REQ RECEIVED", [])
    kite.wait(60)
    row = kite.row(order)
    assert (row["status"], row["variety"]) == ("COMPLETE", "amo")
    assert kite.status(kite.place()) == "OPEN"


def test_an_after_market_order_can_be_cancelled_before() -> None:
    kite = Kite()
    order = kite.place("amo")
    kite.call("DELETE", f"/orders/amo/{order}")
    assert kite.status(order) == "CANCELLED"
    late = kite.place("amo", price=1400)
    kite.core.end_session(kite.now)
    assert kite.status(late) == "AMO REQ RECEIVED"
    kite.core.desk.release_amo(kite.now)
    assert kite.status(late) == "COMPLETE"


def test_an_after_market_order_is_changed_as_a_regular_one_once_the_market_is_open() -> None:
    kite = Kite()
    order = kite.place("amo")
    kite.core.desk.release_amo(kite.now)
    for method in ("DELETE", "PUT"):
        assert kite.failure(method, f"/orders/amo/{order}")[:2] == (504, "NetworkException")
    assert kite.status(order) == "OPEN"
    kite.call("DELETE", f"/orders/regular/{order}")
    assert kite.status(order) == "CANCELLED"


def test_a_session_ends_what_is_open_after_intraday_positions_were_closed() -> None:
    begin = Kite().now
    kite = Kite(sessions=((begin, begin + 100 * SECOND_NS),), square_off_seconds=20)
    kite.place(**market())
    kite.place(**market(tradingsymbol="INFY", transaction_type="SELL", quantity=7))
    kite.place(**market(tradingsymbol="SBIN", product="CNC"))
    resting, delivered = kite.place(), kite.place(product="CNC")
    kite.wait(79)
    assert kite.core.positions() == {RELIANCE: 10, INFY: -7, SBIN: 10}
    kite.wait(1)
    assert kite.core.positions() == {SBIN: 10}
    assert (kite.status(resting), kite.status(delivered)) == ("CANCELLED", "OPEN")
    own = [row for row in kite.call("GET", "/orders") if row["placed_by"] != "AB1234"]
    assert [(row["tag"], row["transaction_type"], row["status"]) for row in own] == [
        (None, "SELL", "COMPLETE"),
        (None, "BUY", "COMPLETE"),
    ]
    kite.wait(20)
    assert kite.status(delivered) == "CANCELLED"


def test_sessions_that_were_replaced_count_no_more() -> None:
    begin = Kite().now
    kite = Kite(sessions=((begin, begin + 10 * SECOND_NS),))
    order = kite.place()
    kite.core.configure(sessions=((begin, begin + 20 * SECOND_NS),))
    kite.wait(15)
    assert kite.status(order) == "OPEN"
    kite.wait(5)
    assert kite.status(order) == "CANCELLED"


def test_orders_from_kites_own_app_carry_no_tag_and_are_not_this_apps() -> None:
    kite = Kite()
    placed = kite.core.trade_elsewhere(IOC, Side.BUY, 5, kite.now, "CNC")
    row = kite.row(placed.order_id)
    assert (row["tag"], row["status"], row["average_price"]) == (None, "COMPLETE", 140)
    assert [update.by_app for update in kite.updates] == [False]


def test_iceberg_legs_follow_one_another_and_share_the_tag() -> None:
    kite = Kite()
    order = kite.place("iceberg", quantity=25, iceberg_legs=3, iceberg_quantity=10)
    kite.price(RELIANCE, "1390")
    rows = kite.call("GET", "/orders")
    assert [(row["quantity"], row["tag"], row["meta"]["iceberg"]["leg"]) for row in rows] == [
        (10, "ap1", 1),
        (10, "ap1", 2),
        (5, "ap1", 3),
    ]
    assert rows[0]["order_id"] == order
    assert [row["meta"]["iceberg"]["remaining_quantity"] for row in rows] == [15, 5, 0]
    assert kite.core.positions() == {RELIANCE: 25}


def test_autoslice_makes_slices_of_the_freeze_quantity() -> None:
    kite = Kite(check_funds=False)
    fields = {"quantity": "250000", "autoslice": "True"}
    data = kite.call("POST", "/orders/regular", _fields(**fields))
    rows = kite.call("GET", "/orders")
    assert [row["quantity"] for row in rows] == [100_000, 100_000, 50_000]
    assert [child["order_id"] for child in data["children"]] == [row["order_id"] for row in rows]
    assert all(row["tag"] is None and f"autoslice:{data['order_id']}" in row["tags"] for row in rows)
    assert data["order_id"] not in {row["order_id"] for row in rows}


def test_a_cover_order_gets_its_stop_once_it_is_filled() -> None:
    kite = Kite()
    order = kite.place("co", price=1400, product=None, trigger_price=1380)
    _, stop = kite.call("GET", "/orders")
    assert (stop["parent_order_id"], stop["status"], stop["product"]) == (order, "TRIGGER PENDING", "CO")
    kite.price(RELIANCE, "1380")
    assert kite.core.positions() == {}


def test_quantities_of_mcx_are_lots() -> None:
    kite = Kite()
    gold = next(item for item in kite.core.dump if item.token & 0xFF == MCX)
    kite.place(**market(exchange="MCX", tradingsymbol=gold.tradingsymbol, quantity=1, product="NRML"))
    position = kite.call("GET", "/portfolio/positions")["net"][0]
    assert (position["quantity"], position["multiplier"], position["buy_value"]) == (1, 10, 1_250_000)


def test_ids_are_strings_that_never_come_again() -> None:
    kite = Kite(KiteConfig(id_digits=15))
    ids = [kite.place() for _ in range(3)]
    kite.core.change_day("2026-01-05", kite.now)
    ids.append(kite.place())
    assert {len(order) for order in ids} == {15}
    assert len(set(ids)) == 4
    assert len(Kite().place()) == 19


def test_a_new_day_begins_with_an_empty_book() -> None:
    kite = Kite()
    order, traded = kite.place(), kite.place(price=1400)
    kite.core.change_day("2026-01-05", kite.now)
    assert kite.call("GET", "/orders") == kite.call("GET", "/trades") == []
    assert kite.failure("GET", f"/orders/{order}")[0] == 404
    assert kite.core.orders[order].row["status"] == "CANCELLED"
    assert [trade.order_id for trade in kite.core.executed()] == [traded]
