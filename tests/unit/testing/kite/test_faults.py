"""Every misbehaviour: what the caller sees of it, and what became of the order."""

import inspect
from decimal import Decimal

import msgspec
import pytest

from alpha_panda.contracts.units import nanoseconds
from alpha_panda.testing.broker import faults as elsewhere
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.faults import BookFault, CallFault, CancelFault, KiteFault, PlaceFault, Wire
from alpha_panda.testing.kite.instruments import RELIANCE
from alpha_panda.testing.kite.plans import Plans

from .desk_kit import Kite, order

PLACED_AT_ONCE = [
    # (fault, orders that came of it at once, wire, status, content type, in the body)
    (faults.slow(3), 1, Wire.ANSWER, 200, "application/json", b"order_id"),
    (faults.hang(), 1, Wire.HANG, 200, "application/json", b""),
    (faults.hang(accepts=False), 0, Wire.HANG, 200, "application/json", b""),
    (faults.drop_reply(), 1, Wire.RESET, 200, "application/json", b""),
    (faults.drop_reply(accepts=False), 0, Wire.RESET, 200, "application/json", b""),
    (faults.cut_reply(), 1, Wire.CUT, 200, "application/json", b"order_id"),
    (faults.accept_twice(), 2, Wire.ANSWER, 200, "application/json", b"order_id"),
    (faults.accept_late(), 0, Wire.RESET, 200, "application/json", b""),
    (faults.refuse_connection(), 0, Wire.REFUSED, 200, "application/json", b""),
    (faults.reject(), 0, Wire.ANSWER, 400, "application/json", b"MarginException"),
    (faults.too_many_requests(), 0, Wire.ANSWER, 429, "application/json", b"Too many requests"),
    (faults.strange_too_many_requests(), 0, Wire.ANSWER, 429, "text/plain", b"slow down"),
    (faults.strange_too_many_requests(accepts=True), 1, Wire.ANSWER, 429, "text/plain", b"slow down"),
    (faults.server_error(accepts=True), 1, Wire.ANSWER, 500, "text/plain", b"internal"),
    (faults.garbage(accepts=True), 1, Wire.ANSWER, 200, "application/json", b"not what was asked"),
    (faults.timeout_400(accepts=True), 1, Wire.ANSWER, 400, "application/json", b"timed out"),
    (faults.timeout_400(accepts=False), 0, Wire.ANSWER, 400, "application/json", b"timed out"),
    (faults.timed_out_yet_placed(8), 0, Wire.ANSWER, 400, "application/json", b"timed out"),
    (faults.slow_book(8), 0, Wire.ANSWER, 200, "application/json", b"order_id"),
    (faults.bad_gateway(accepts=True), 1, Wire.ANSWER, 502, "text/html", b"<html>"),
    (faults.gateway_timeout(accepts=True), 1, Wire.ANSWER, 504, "text/plain", b""),
    (faults.oms_down(accepts=False), 0, Wire.ANSWER, 503, "application/json", b"kitetrade-oms"),
    (faults.oms_timeout(accepts=True), 1, Wire.ANSWER, 504, "application/json", b"timed out"),
    (faults.order_exception(accepts=True), 1, Wire.ANSWER, 500, "application/json", b"OrderException"),
    (faults.success_with_500(accepts=True), 1, Wire.ANSWER, 500, "application/json", b"success"),
    (faults.no_content_type(accepts=True), 1, Wire.ANSWER, 200, None, b"order_id"),
    (faults.error_without_type(accepts=True), 1, Wire.ANSWER, 400, "application/json", b"Something"),
    (faults.success_without_data(accepts=True), 1, Wire.ANSWER, 200, "application/json", b"null"),
    (faults.ip_refused(), 0, Wire.ANSWER, 403, "application/json", b"PermissionException"),
    (faults.token_refused(), 0, Wire.ANSWER, 403, "application/json", b"TokenException"),
]


@pytest.mark.parametrize(("fault", "orders", "wire", "status", "kind", "words"), PLACED_AT_ONCE)
def test_a_fault_of_an_order(  # noqa: PLR0917 - a row of the table
    fault: PlaceFault, orders: int, wire: Wire, status: int, kind: str | None, words: bytes
) -> None:
    kite = Kite()
    kite.core.plan(fault)
    reply = kite.reply("POST", "/orders/regular", order())
    assert (reply.wire, reply.status, reply.content_type, reply.delay) == (wire, status, kind, fault.delay)
    assert words in reply.body
    assert len(kite.core.orders_of("ap1")) == orders
    assert kite.core.placed() == {"ap1": 1}
    assert kite.core.calls[-1].reached is (wire is not Wire.REFUSED)
    assert kite.status(kite.place()) == "OPEN"  # the fault was for one call


@pytest.mark.parametrize(
    "fault", [faults.accept_late(8), faults.timed_out_yet_placed(8), faults.slow_book(8)]
)
def test_what_is_taken_late_shows_up_late(fault: PlaceFault) -> None:
    kite = Kite()
    kite.core.plan(fault)
    kite.reply("POST", "/orders/regular", order())
    kite.wait(7.9)
    assert kite.call("GET", "/orders") == []
    kite.wait(0.1)
    (row,) = kite.call("GET", "/orders")
    assert (row["tag"], row["status"], row["order_timestamp"]) == ("ap1", "OPEN", "2026-01-02 14:15:08")


def test_a_repeated_order_comes_again_later() -> None:
    kite = Kite()
    kite.core.plan(faults.accept_twice(5))
    kite.place()
    assert len(kite.core.orders) == 1
    kite.wait(5)
    assert len({row["order_id"] for row in kite.call("GET", "/orders")}) == 2


@pytest.mark.parametrize("status", ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING"])
def test_an_order_may_be_stuck_for_ever_or_for_a_while(status: str) -> None:
    kite = Kite()
    kite.core.plan(faults.stuck(status))
    kite.core.plan(faults.stuck(status, 9))
    ever, later = kite.place(price=1400), kite.place(price=1400)
    kite.wait(8.9)
    assert (kite.status(ever), kite.status(later)) == (status, status)
    assert "being processed" in kite.failure("DELETE", f"/orders/regular/{ever}")[2]
    kite.wait(0.1)
    assert (kite.status(ever), kite.status(later)) == (status, "COMPLETE")


def test_a_fault_with_a_body_of_its_own_hides_a_refusal() -> None:
    kite = Kite()
    kite.core.plan(faults.garbage(accepts=False))
    reply = kite.reply("POST", "/orders/regular", order(price="1.01"))
    assert (reply.status, reply.body) == (200, faults.GARBAGE.encode())


def test_scripts_fill_what_they_say_whatever_the_market_does() -> None:
    kite = Kite()
    for fault in (
        faults.rest(),
        faults.rest_then_fill(2),
        faults.partial("0.35", rest_after=4),
        faults.refuse_later(3),
    ):
        kite.core.plan(fault)
    rests, fills, parts, refused = [kite.place(price=1400) for _ in range(4)]
    assert [kite.row(each)["filled_quantity"] for each in (rests, fills, parts, refused)] == [0, 0, 3, 0]
    kite.price(RELIANCE, "1300")
    kite.wait(4)
    assert [kite.status(each) for each in (rests, fills, parts, refused)] == [
        "OPEN", "COMPLETE", "COMPLETE", "REJECTED",
    ]  # fmt: skip
    assert kite.row(refused)["status_message"] == "refused by the exchange"


def test_the_risk_check_may_refuse_in_the_book() -> None:
    kite = Kite()
    kite.core.plan(faults.margin_row())
    row = kite.row(kite.place(price=1400))
    assert (row["status"], row["status_message"], row["filled_quantity"]) == ("REJECTED", faults.MARGIN, 0)


def test_cancellations_go_wrong_as_told() -> None:
    kite = Kite()
    cases: list[tuple[CancelFault, str, int, Wire]] = [
        (faults.cancel_in_process(), "OPEN", 400, Wire.ANSWER),
        (faults.cancel_error(), "OPEN", 500, Wire.ANSWER),
        (faults.cancel_unanswered(effective=False), "OPEN", 200, Wire.RESET),
        (faults.cancel_unanswered(effective=True), "CANCELLED", 200, Wire.RESET),
        (faults.cancel_loses_race(), "COMPLETE", 200, Wire.ANSWER),
        (CancelFault(wire=Wire.REFUSED), "OPEN", 200, Wire.REFUSED),
    ]
    for fault, after, status, wire in cases:
        placed = kite.place()
        kite.core.plan(fault)
        reply = kite.reply("DELETE", f"/orders/regular/{placed}")
        assert (kite.status(placed), reply.status, reply.wire) == (after, status, wire)


def test_the_book_goes_wrong_as_told() -> None:
    kite = Kite()
    first = kite.place()
    kite.wait(10)
    kite.place(price=1400)
    seen = []
    for fault in (
        faults.book_lag(5), faults.book_truncated(1), faults.book_of_day("2026-01-01"), faults.book_of_user("XY9999"),
    ):  # fmt: skip
        kite.core.plan(fault)
        seen.append([(row["order_id"], row["account_id"]) for row in kite.call("GET", "/orders")])
    assert seen[:3] == [[(first, "AB1234")], [(first, "AB1234")], []]
    assert {user for _, user in seen[3]} == {"XY9999"}
    broken: list[tuple[BookFault, int, Wire]] = [
        (faults.book_error(), 500, Wire.ANSWER),
        (faults.book_garbage(), 200, Wire.ANSWER),
        (faults.book_cut(), 200, Wire.CUT),
        (faults.book_unanswered(), 200, Wire.HANG),
    ]
    for fault, status, wire in broken:
        kite.core.plan(fault)
        reply = kite.reply("GET", "/orders")
        assert (reply.status, reply.wire) == (status, wire)
    assert len(kite.call("GET", "/orders")) == 2


def test_other_calls_go_wrong_by_their_address() -> None:
    kite = Kite()
    kite.place(price=1400)
    kite.core.plan(faults.call_fails("/portfolio/positions", 502))
    kite.core.plan(faults.slow_trades(5))
    kite.core.plan(faults.call_hangs("/user"))
    assert kite.call("GET", "/trades") == []
    assert kite.reply("GET", "/portfolio/positions").content_type == "text/html"
    assert kite.reply("GET", "/user/margins").wire is Wire.HANG
    assert len(kite.call("GET", "/trades")) == 1
    assert kite.call("GET", "/portfolio/positions")["net"]


def test_a_modification_may_be_lost_or_done_without_an_answer() -> None:
    kite = Kite()
    placed = kite.place()
    path = f"/orders/regular/{placed}"
    kite.core.plan(CallFault(method="PUT", path="/orders", effective=False))
    assert kite.call("PUT", path, {"price": "1380"}) == {"order_id": placed}
    assert kite.row(placed)["price"] == 1390
    kite.core.plan(CallFault(method="PUT", path="/orders", wire=Wire.RESET))
    assert kite.reply("PUT", path, {"price": "1380"}).wire is Wire.RESET
    assert kite.row(placed)["price"] == 1380


def test_faults_count_for_a_while_if_they_are_planned_so() -> None:
    kite = Kite()
    kite.core.plan_during(faults.book_error(), kite.now, kite.now + nanoseconds(5))
    assert [kite.reply("GET", "/orders").status for _ in range(3)] == [500] * 3
    kite.wait(5)
    assert kite.reply("GET", "/orders").status == 200
    kite.core.plan(faults.book_error(), 9)
    kite.core.behave()
    assert kite.reply("GET", "/orders").status == 200


def test_a_planned_fault_comes_before_that_of_the_while() -> None:
    plans = Plans()
    plans.plan_during(faults.slow(1), 0, 10)
    plans.plan(faults.slow(2))
    plans.plan(faults.book_lag(1))
    assert [plans.take(PlaceFault(), 5).delay for _ in range(2)] == [2, 1]
    assert plans.take(BookFault(), 5).lag == 1
    assert plans.take(PlaceFault(), 10) == PlaceFault()


def test_the_vocabulary_is_that_of_the_other_broker() -> None:
    """Whatever can be said there can be said here, by the same name and with the same arguments."""
    functions = [
        name
        for name, function in inspect.getmembers(elsewhere, inspect.isfunction)
        if function.__module__ == elsewhere.__name__ and not name.startswith("_")
    ]
    assert len(functions) > 20
    for name in functions:
        here, there = getattr(faults, name), getattr(elsewhere, name)
        assert inspect.signature(here).parameters == inspect.signature(there).parameters, name
    assert faults.PlaceFault is elsewhere.PlaceFault


@pytest.mark.parametrize(
    "fault",
    [
        *(row[0] for row in PLACED_AT_ONCE),
        faults.stuck("OPEN", 1),
        faults.slow_trades(2),
        faults.cancel_error(),
    ],
)
def test_faults_go_over_the_wire_and_back(fault: KiteFault) -> None:
    body = msgspec.json.encode(fault)
    kinds = PlaceFault | faults.KitePlaceFault | CancelFault | BookFault | CallFault
    assert msgspec.json.decode(body, type=kinds) == fault


def test_decimal_shares_of_odd_quantities_fill_whole_units() -> None:
    kite = Kite()
    kite.core.plan(faults.partial("0.5"))
    assert kite.row(kite.place(quantity=7, price=1400))["filled_quantity"] == 3
    kite.core.plan(faults.partial("0.01"))
    assert kite.row(kite.place(quantity=7, price=1400))["filled_quantity"] == 1
    assert kite.core.positions()[RELIANCE] == Decimal(4)
