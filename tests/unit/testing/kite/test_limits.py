"""Kite's limits on calls, by its own calendar seconds, minutes and days; and the list of addresses."""

import pytest

from alpha_panda.testing.kite.config import Limits
from alpha_panda.testing.kite.faults import IP_UNKNOWN

from .desk_kit import Kite, order

TOO_MANY = (429, "NetworkException", "Too many requests")


def place(kite: Kite) -> int:
    return kite.reply("POST", "/orders/regular", order()).status


def test_ten_calls_on_orders_go_into_a_calendar_second() -> None:
    kite = Kite(limits=Limits())
    kite.wait(0.9)
    first = kite.place()
    assert [place(kite) for _ in range(8)] == [200] * 8
    kite.call("DELETE", f"/orders/regular/{first}")
    assert kite.failure("POST", "/orders/regular", order()) == TOO_MANY
    assert kite.failure("DELETE", f"/orders/regular/{first}") == TOO_MANY
    kite.wait(0.1)  # a tenth of a second later the clock says another second
    assert place(kite) == 200
    assert len(kite.core.orders) == 10


def test_after_the_minutes_limit_every_order_is_refused_until_the_minute_ends() -> None:
    kite = Kite(limits=Limits(orders_per_minute=15))
    answers = []
    for _ in range(10):
        answers += [place(kite) for _ in range(2)]
        kite.wait(1)
    assert answers == [200] * 15 + [429] * 5
    kite.wait(50)
    assert place(kite) == 200


def test_the_days_limit_counts_refused_orders_but_no_cancellations() -> None:
    kite = Kite(limits=Limits(orders_per_day=3))
    first = kite.place()
    assert kite.reply("POST", "/orders/regular", order(price="1.01")).status == 400
    kite.call("DELETE", f"/orders/regular/{first}")
    assert place(kite) == 200
    kite.wait(120)
    assert kite.failure("POST", "/orders/regular", order()) == (
        429,
        "NetworkException",
        "Maximum allowed order requests exceeded",
    )
    kite.now += 24 * 3600 * 10**9
    kite.token = kite.core.new_session(kite.now)
    assert place(kite) == 200


@pytest.mark.parametrize(
    ("path", "query", "most"),
    [
        ("/quote/ltp", {"i": ["NSE:INFY"]}, 1),
        ("/instruments/historical/408065/minute", {"from": ["2026-01-02"], "to": ["2026-01-02"]}, 3),
        ("/orders", {}, 10),
        ("/portfolio/positions", {}, 10),
    ],
)
def test_other_calls_have_limits_of_their_own(path: str, query: dict[str, list[str]], most: int) -> None:
    kite = Kite(limits=Limits())
    answers = [kite.reply("GET", path, query=query).status for _ in range(most + 2)]
    assert answers == [200] * most + [429, 429]
    assert place(kite) == 200
    kite.wait(1)
    assert kite.reply("GET", path, query=query).status == 200


def test_there_are_no_limits_unless_they_are_set() -> None:
    kite = Kite()
    assert {place(kite) for _ in range(50)} == {200}


def test_orders_come_from_listed_addresses_and_reads_from_anywhere() -> None:
    kite = Kite(allowed_ips=("192.0.2.7",))
    status, error, text = kite.failure("POST", "/orders/regular", order(), remote="192.0.2.8")
    assert (status, error) == (403, "PermissionException")
    assert text.startswith("IP (192.0.2.8) is not allowed to place orders for this app.")
    assert kite.failure("DELETE", "/orders/regular/1", remote="::1")[1] == "PermissionException"
    assert kite.call("GET", "/orders", remote="192.0.2.8") == []
    assert kite.call("POST", "/orders/regular", order(), remote="192.0.2.7")["order_id"]
    kite.core.configure(allowed_ips=())
    assert kite.failure("POST", "/orders/regular", order())[2] == IP_UNKNOWN
    kite.core.configure(allowed_ips=None)
    assert place(kite) == 200
