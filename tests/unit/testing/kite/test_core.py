"""Time, days, commands and pushes of the state machine."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import MisuseError
from alpha_panda.testing.kite.agenda import Agenda
from alpha_panda.testing.kite.config import UNHURRIED, KiteConfig
from alpha_panda.testing.kite.core import KiteCore, postback
from alpha_panda.testing.kite.instruments import RELIANCE
from alpha_panda.testing.kite.orders import TERMINAL, Status
from alpha_panda.testing.kite.tokens import checksum
from alpha_panda.testing.virtual_time import START

from .desk_kit import Kite, market, order


def test_what_is_due_happens_at_its_own_time_and_in_order() -> None:
    agenda = Agenda()
    seen: list[tuple[str, int]] = []
    agenda.at(30, 0, lambda due: seen.append(("late", due)))
    agenda.at(20, 0, lambda due: agenda.at(25, due, lambda then: seen.append(("planned", then))))
    agenda.at(0, 0, lambda due: seen.append(("now", due)))
    assert (seen, agenda.next_due) == ([("now", 0)], 20)
    agenda.settle(40)
    assert seen == [("now", 0), ("planned", 25), ("late", 30)]
    assert (agenda.now, agenda.next_due) == (40, None)
    with pytest.raises(MisuseError, match="can't go back"):
        agenda.settle(39)


def test_the_day_follows_the_clock_unless_it_is_set() -> None:
    core = KiteCore()
    core.settle(START)
    assert core.trading_day == "2026-01-02"
    core.settle(START + 9 * 3600 * SECOND_NS + 2700 * SECOND_NS - 1)
    assert core.trading_day == "2026-01-02"
    core.settle(START + 9 * 3600 * SECOND_NS + 2700 * SECOND_NS)
    assert core.trading_day == "2026-01-03"  # midnight in India
    pinned = Kite().core
    pinned.settle(START + 48 * 3600 * SECOND_NS)
    assert pinned.trading_day == "2026-01-02"


def test_the_configuration_is_changed_by_values_or_by_json() -> None:
    core = KiteCore(KiteConfig(user_id="XY1234"))
    core.configure(opening_cash=Decimal(5), limits={"orders_per_day": 7}, allowed_ips=["192.0.2.1"])
    config = core.config
    assert (config.user_id, config.opening_cash, config.allowed_ips) == ("XY1234", 5, ("192.0.2.1",))
    assert config.limits is not None
    assert (config.limits.orders_per_day, config.limits.sockets) == (7, 3)
    with pytest.raises(ValueError, match="margin_refusal"):
        core.configure(margin_refusal="never")


def test_a_refused_order_is_told_and_a_finished_one_is_left_alone() -> None:
    kite = Kite()
    resting, done = kite.place(), kite.place(price=1400)
    kite.told()
    kite.core.refuse(resting, kite.now, "no")
    kite.core.refuse(done, kite.now, "no")
    kite.core.fill(resting, 5, Decimal(1), kite.now)
    kite.core.end_session(kite.now)
    assert (kite.status(resting), kite.status(done), kite.told()) == ("REJECTED", "COMPLETE", ["REJECTED"])
    assert len(kite.core.executed()) == 1


def test_a_postback_is_signed_and_a_push_is_not() -> None:
    kite = Kite()
    placed = kite.place(price=1400)
    (update,) = kite.updates
    config = kite.core.config
    signed, pushed = postback(update, config, signed=True), postback(update, config, signed=False)
    assert signed["checksum"] == checksum(placed, "2026-01-02 14:15:00", config.api_secret)
    assert (pushed["checksum"], pushed["status"], pushed["tag"]) == ("", "COMPLETE", "ap1")
    assert {name: value for name, value in signed.items() if name != "checksum"} == {
        name: value for name, value in pushed.items() if name != "checksum"
    }
    published = {
        "user_id", "unfilled_quantity", "app_id", "checksum", "placed_by", "order_id", "exchange_order_id",
        "parent_order_id", "status", "status_message", "status_message_raw", "order_timestamp",
        "exchange_update_timestamp", "exchange_timestamp", "variety", "exchange", "tradingsymbol", "instrument_token",
        "order_type", "transaction_type", "validity", "product", "quantity", "disclosed_quantity", "price",
        "trigger_price", "average_price", "filled_quantity", "pending_quantity", "cancelled_quantity",
        "market_protection", "meta", "tag", "guid",
    }  # fmt: skip
    assert set(signed) == published


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"), st.sampled_from(["BUY", "SELL"]), st.integers(1, 30), st.integers(1380, 1420)
        ),
        st.tuples(st.just("price"), st.just(""), st.just(0), st.integers(1380, 1420)),
        st.tuples(st.just("cancel"), st.just(""), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("modify"), st.just(""), st.integers(0, 9), st.integers(1380, 1420)),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 3), st.just(0)),
    ),
    max_size=20,
)


@given(steps)
def test_whatever_happens_rows_trades_and_positions_agree_and_ends_stay(
    steps: list[tuple[str, str, int, int]],
) -> None:
    kite = Kite(delays=UNHURRIED, liquidity=7)
    ended: dict[str, dict[str, object]] = {}
    for kind, side, number, price in steps:
        ids = list(kite.core.orders)
        if kind == "place":
            kite.reply("POST", "/orders/regular", order(transaction_type=side, quantity=number, price=price))
        elif kind == "price":
            kite.price(RELIANCE, str(price))
        elif kind == "wait":
            kite.wait(number * 0.04)
        elif number < len(ids):
            path = f"/orders/regular/{ids[number]}"
            kite.reply("DELETE" if kind == "cancel" else "PUT", path, {"price": str(price)})
        for row in kite.call("GET", "/orders"):
            assert row == ended.setdefault(row["order_id"], row) or Status(row["status"]) not in TERMINAL
            if Status(row["status"]) not in TERMINAL:
                del ended[row["order_id"]]
            assert row["filled_quantity"] <= row["quantity"]
            assert (row["status"] == "COMPLETE") is (row["filled_quantity"] == row["quantity"])
    by_order: dict[str, int] = {}
    for trade in kite.call("GET", "/trades"):
        by_order[trade["order_id"]] = by_order.get(trade["order_id"], 0) + trade["quantity"]
    assert by_order == {
        row["order_id"]: row["filled_quantity"]
        for row in kite.call("GET", "/orders")
        if row["filled_quantity"]
    }
    net = {
        row["instrument_token"]: row["quantity"] for row in kite.call("GET", "/portfolio/positions")["net"]
    }
    assert {token: units for token, units in net.items() if units} == kite.core.positions()


def test_every_trade_is_between_the_limit_and_better() -> None:
    kite = Kite(liquidity=2)
    buy, sell = (
        kite.place(quantity=6, price=1395),
        kite.place(transaction_type="SELL", quantity=6, price=1405),
    )
    for price in ("1390", "1410", "1395", "1405", "1394.95", "1405.05"):
        kite.price(RELIANCE, price)
    assert [trade.price for trade in kite.core.executed() if trade.order_id == buy] == [1395] * 3
    assert [trade.price for trade in kite.core.executed() if trade.order_id == sell] == [1405] * 3


def test_trades_elsewhere_are_of_all_days_in_truth() -> None:
    kite = Kite()
    kite.place(**market())
    kite.core.change_day("2026-01-05", kite.now)
    kite.place(**market(tradingsymbol="INFY"))
    assert len(kite.core.executed(kite.now)) == 2
    assert len(kite.call("GET", "/trades")) == 1
