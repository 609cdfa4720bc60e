"""The broker's own word: what it takes, trades, shows, and what it makes the caller see."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import OrderStatus, OrderType, Side, Validity
from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.errors import MisuseError
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.api import BookPage, OrderState, OrderTaken
from alpha_panda.testing.broker.core import BrokerCore, Reply
from alpha_panda.testing.broker.faults import BookFault, CancelFault, Part, PlaceFault, Wire

from .orders import SECOND, TOKEN, order

T = 1_000 * SECOND
S = OrderStatus


def page(reply: Reply) -> BookPage:
    return msgspec.json.decode(reply.body, type=BookPage)


def rows(core: BrokerCore, now: int) -> list[tuple[str, OrderStatus, Decimal]]:
    return [(row.tag, row.status, row.filled_quantity) for row in page(core.book(now)).orders]


def place(core: BrokerCore, request: object = None, now: int = T) -> str:
    reply = core.place(request or order(), now)  # type: ignore[arg-type]
    return msgspec.json.decode(reply.body, type=OrderTaken).order_id


def test_an_order_is_taken_traded_and_shown() -> None:
    core = BrokerCore(fees=Decimal(2))
    reply = core.place(order(), T)
    assert (reply.wire, reply.status, reply.delay) == (Wire.ANSWER, 200, 0)
    assert msgspec.json.decode(reply.body, type=OrderTaken).order_id == "B0"
    (trade,) = core.executed()
    told = (trade.tag, trade.side, trade.quantity, trade.price, trade.fees, trade.ts)
    assert told == ("ap1", Side.BUY, 10, 100, 2, T)
    assert page(core.book(T)).orders == (
        BrokerRow(
            broker_order_id="B0",
            tag="ap1",
            instrument_token=TOKEN,
            side="BUY",
            quantity=Decimal(10),
            status=S.FILLED,
            filled_quantity=Decimal(10),
            average_price=Decimal(100),
            amount=Decimal(1000),
            fees=Decimal(2),
        ),
    )
    assert core.positions() == {TOKEN: 10}


def test_positions_net_both_sides_and_forget_zero() -> None:
    core = BrokerCore()
    place(core)
    place(core, order("ap2", side=Side.SELL))
    assert core.positions() == {}
    place(core, order("ap3", side=Side.SELL, quantity=Decimal(3)))
    assert core.positions() == {TOKEN: -3}


def test_every_call_is_noted_and_a_refused_connection_was_no_arrival() -> None:
    core = BrokerCore()
    core.plan(faults.refuse_connection())
    for _ in range(2):
        core.place(order(), T)
    core.cancel("B0", T)
    core.book(T, 1)
    seen = [(call.kind, call.subject, call.reached) for call in core.calls]
    expected = [("place", "ap1", False), ("place", "ap1", True), ("cancel", "B0", True), ("book", "1", True)]
    assert seen == expected
    assert core.placed() == {"ap1": 2}
    assert len(core.orders) == 1


@pytest.mark.parametrize(
    ("fault", "orders", "wire", "status"),
    [
        (faults.hang(), 1, Wire.HANG, 200),
        (faults.hang(accepts=False), 0, Wire.HANG, 200),
        (faults.drop_reply(), 1, Wire.RESET, 200),
        (faults.drop_reply(accepts=False), 0, Wire.RESET, 200),
        (faults.cut_reply(), 1, Wire.CUT, 200),
        (faults.accept_twice(), 2, Wire.ANSWER, 200),
        (faults.refuse_connection(), 0, Wire.REFUSED, 200),
        (faults.reject(), 0, Wire.ANSWER, 400),
        (faults.too_many_requests(), 0, Wire.ANSWER, 429),
        (faults.strange_too_many_requests(accepts=True), 1, Wire.ANSWER, 429),
        (faults.server_error(accepts=False), 0, Wire.ANSWER, 500),
        (faults.server_error(accepts=True), 1, Wire.ANSWER, 500),
        (faults.garbage(accepts=False), 0, Wire.ANSWER, 200),
        (faults.garbage(accepts=True), 1, Wire.ANSWER, 200),
        (faults.timeout_400(accepts=False), 0, Wire.ANSWER, 400),
        (faults.timeout_400(accepts=True), 1, Wire.ANSWER, 400),
    ],
)
def test_what_the_broker_does_and_what_the_caller_sees_are_two_things(
    fault: PlaceFault, orders: int, wire: Wire, status: int
) -> None:
    core = BrokerCore()
    core.plan(fault)
    reply = core.place(order(), T)
    assert (len(core.orders), reply.wire, reply.status) == (orders, wire, status)
    assert len(core.executed()) == orders
    assert core.place(order("ap2"), T).wire is Wire.ANSWER  # once


def test_what_comes_late_happens_at_its_own_time() -> None:
    core = BrokerCore()
    core.plan(faults.accept_late(10))
    core.place(order(), T)
    assert rows(core, T + 9 * SECOND) == []
    assert rows(core, T + 60 * SECOND) == [("ap1", S.FILLED, 10)]
    assert core.executed()[0].ts == T + 10 * SECOND


def test_a_repeated_order_comes_after_the_first() -> None:
    core = BrokerCore()
    core.plan(PlaceFault(copies=3, accepted_after=1, repeat_after=5))
    core.place(order(), T)
    assert [trade.ts - T for trade in core.executed(T + 60 * SECOND)] == [SECOND, 6 * SECOND, 11 * SECOND]
    assert [o.order_id for o in core.orders_of("ap1")] == ["B0", "B0-1", "B0-2"]


def test_parts_fill_in_whole_numbers_and_never_too_much() -> None:
    core = BrokerCore()
    core.plan(PlaceFault(parts=(Part(0, Decimal("0.5")), Part(1, Decimal("0.5")), Part(2, Decimal(1)))))
    core.place(order(quantity=Decimal(3)), T)
    assert [trade.quantity for trade in core.executed(T + 5 * SECOND)] == [1, 1, 1]
    core.plan(faults.partial("0.3"))
    core.place(order("ap2", quantity=Decimal(1)), T + 5 * SECOND)
    core.plan(faults.partial("0.5"))
    core.place(order("ap3", quantity=Decimal("0.5")), T + 5 * SECOND)
    assert [trade.quantity for trade in core.executed()][3:] == [1, Decimal("0.25")]


def test_averages_are_of_all_fills() -> None:
    core = BrokerCore()
    core.plan(faults.rest())
    order_id = place(core)
    core.fill(order_id, Decimal(4), Decimal(100), T)
    core.fill(order_id, Decimal(100), Decimal(110), T + 1)
    core.fill(order_id, Decimal(1), Decimal(110), T + 2)
    (row,) = page(core.book(T + 2)).orders
    assert (row.status, row.filled_quantity, row.average_price) == (S.FILLED, 10, 106)


def test_an_order_may_be_refused_after_it_was_taken() -> None:
    core = BrokerCore()
    core.plan(faults.refuse_later(5))
    order_id = place(core)
    assert rows(core, T + 4 * SECOND) == [("ap1", S.PLACED, 0)]
    assert rows(core, T + 5 * SECOND) == [("ap1", S.FAILED, 0)]
    core.refuse(order_id, T + 6 * SECOND, "again")
    assert core.orders[order_id].row.message == "refused by the exchange"


# ------------------------------------------------------------------------------------------ the market


def test_a_limit_waits_for_its_price() -> None:
    core = BrokerCore()
    core.set_price(TOKEN, Decimal(101), T)
    place(core, order(order_type=OrderType.LIMIT, limit_price=Decimal(100)))
    assert rows(core, T) == [("ap1", S.PLACED, 0)]
    core.set_price(TOKEN, Decimal(99), T + 1)
    assert core.executed()[0].price == 99


def test_a_limit_without_a_market_trades_at_its_limit() -> None:
    core = BrokerCore()
    place(core, order(order_type=OrderType.LIMIT, limit_price=Decimal(42)))
    assert core.executed()[0].price == 42


@pytest.mark.parametrize(
    ("side", "prices"), [(Side.BUY, (99, 101)), (Side.SELL, (101, 99))], ids=["buy", "sell"]
)
def test_a_stop_waits_for_its_trigger(side: Side, prices: tuple[int, int]) -> None:
    core = BrokerCore()
    place(core, order(side=side, order_type=OrderType.STOP, trigger_price=Decimal(100)))
    core.set_price(TOKEN, Decimal(prices[0]), T + 1)
    assert core.executed() == ()
    core.set_price(TOKEN, Decimal(prices[1]), T + 2)
    assert core.executed()[0].price == prices[1]


def test_a_stop_limit_is_a_limit_once_triggered() -> None:
    core = BrokerCore()
    stop = order(order_type=OrderType.STOP_LIMIT, trigger_price=Decimal(100), limit_price=Decimal(101))
    place(core, stop)
    for price in (99, 102):
        core.set_price(TOKEN, Decimal(price), T + price)
        assert core.executed() == ()
    core.set_price(TOKEN, Decimal(101), T + 200)
    assert core.executed()[0].price == 101


def test_an_ioc_order_never_rests() -> None:
    core = BrokerCore()
    core.set_price(TOKEN, Decimal(101), T)
    ioc = order(order_type=OrderType.LIMIT, limit_price=Decimal(100), validity=Validity.IOC)
    place(core, ioc)
    assert rows(core, T) == [("ap1", S.CANCELLED, 0)]
    core.plan(faults.partial("0.5"))
    place(core, order("ap2", validity=Validity.IOC))
    assert rows(core, T)[1] == ("ap2", S.CANCELLED, 5)


def test_a_scripted_order_does_not_listen_to_the_market() -> None:
    core = BrokerCore()
    core.plan(faults.rest())
    place(core)
    core.set_price(TOKEN, Decimal(1), T)
    assert core.executed() == ()


# ------------------------------------------------------------------------------------------ cancelling


def cancelled(reply: Reply) -> tuple[OrderStatus, Decimal]:
    row = msgspec.json.decode(reply.body, type=OrderState).order
    return row.status, row.filled_quantity


@pytest.mark.parametrize(
    ("fault", "wire", "status", "becomes"),
    [
        (CancelFault(), Wire.ANSWER, 200, (S.CANCELLED, 5)),
        (faults.cancel_loses_race(), Wire.ANSWER, 200, (S.FILLED, 10)),
        (faults.cancel_unanswered(effective=True), Wire.RESET, 200, (S.CANCELLED, 5)),
        (faults.cancel_unanswered(effective=False, wire=Wire.HANG), Wire.HANG, 200, (S.PARTIALLY_FILLED, 5)),
        (faults.cancel_error(), Wire.ANSWER, 500, (S.PARTIALLY_FILLED, 5)),
        (CancelFault(wire=Wire.REFUSED), Wire.REFUSED, 200, (S.PARTIALLY_FILLED, 5)),
    ],
)
def test_a_cancel_does_one_thing_and_shows_another(
    fault: CancelFault, wire: Wire, status: int, becomes: tuple[OrderStatus, int]
) -> None:
    core = BrokerCore()
    core.plan(faults.partial("0.5"))
    order_id = place(core)
    core.plan(fault)
    reply = core.cancel(order_id, T)
    assert (reply.wire, reply.status) == (wire, status)
    row = core.orders[order_id].row
    assert (row.status, row.filled_quantity) == becomes
    if reply.status == 200 and wire is Wire.ANSWER:
        assert cancelled(reply) == becomes


def test_what_has_ended_stays_as_it_is() -> None:
    core = BrokerCore()
    order_id = place(core)
    assert cancelled(core.cancel(order_id, T)) == (S.FILLED, 10)
    assert core.cancel("nobody's", T).status == 404


# -------------------------------------------------------------------------------------------- the book


def test_a_lagging_book_shows_what_was_true_then() -> None:
    core = BrokerCore()
    core.plan(faults.partial("0.5", rest_after=5))
    place(core)
    core.plan(faults.book_lag(6), times=3)
    shown = [rows(core, T + n * SECOND) for n in (5, 7, 11)]
    assert shown == [[], [("ap1", S.PARTIALLY_FILLED, 5)], [("ap1", S.FILLED, 10)]]
    assert rows(core, T + 11 * SECOND) == [("ap1", S.FILLED, 10)]


def test_a_truncated_book_admits_it_or_not() -> None:
    core = BrokerCore()
    for n in range(3):
        place(core, order(f"ap{n}"))
    for admitted, total in ((True, 3), (False, 1)):
        core.plan(faults.book_truncated(1, admitted=admitted))
        shown = page(core.book(T))
        assert (len(shown.orders), shown.total) == (1, total)


def test_a_book_has_pages() -> None:
    core = BrokerCore(page_rows=2)
    for n in range(3):
        place(core, order(f"ap{n}"))
    pages = [page(core.book(T, n)) for n in (1, 2, 3)]
    assert [[row.tag for row in item.orders] for item in pages] == [["ap0", "ap1"], ["ap2"], []]
    assert {(item.pages, item.total) for item in pages} == {(2, 3)}
    assert [item.page for item in pages] == [1, 2, 3]


def test_a_book_is_of_one_user_and_one_day() -> None:
    core = BrokerCore()
    place(core)
    core.plan(faults.book_of_user("XY"))
    core.plan(faults.book_of_day("2026-01-01"))
    other_user, other_day, own = (page(core.book(T)) for _ in range(3))
    assert [(item.user, item.trading_day, len(item.orders)) for item in (other_user, other_day, own)] == [
        ("XY", "2026-01-02", 0),
        ("AB1234", "2026-01-01", 0),
        ("AB1234", "2026-01-02", 1),
    ]


def test_a_new_day_begins_with_an_empty_book_and_no_open_order() -> None:
    core = BrokerCore()
    core.plan(faults.partial("0.5", rest_after=100))
    place(core)
    core.end_session(T + 1)
    assert rows(core, T + 1) == [("ap1", S.CANCELLED, 5)]
    core.change_day("2026-01-03", T + 2)
    assert page(core.book(T + 2)).trading_day == "2026-01-03"
    assert rows(core, T + 200 * SECOND) == []
    assert len(core.executed()) == 1
    core.plan(faults.book_of_day("2026-01-02"))
    assert rows(core, T + 200 * SECOND) == [("ap1", S.CANCELLED, 5)]


# ----------------------------------------------------------------------------------------- commanding


def test_what_is_planned_comes_in_turn_then_what_holds_at_the_time() -> None:
    core = BrokerCore()
    core.plan_during(faults.hang(), T, T + 10)
    core.plan_during(faults.book_error(), T, T + 10)
    core.plan(faults.drop_reply(), times=2)
    core.plan(faults.reject())
    seen = [core.place(order(str(n)), now) for n, now in enumerate([T, T, T, T, T + 9, T + 10])]
    wires = [reply.wire for reply in seen]
    assert wires == [Wire.RESET, Wire.RESET, Wire.ANSWER, Wire.HANG, Wire.HANG, Wire.ANSWER]
    assert [seen[2].status, seen[5].status] == [400, 200]


def test_a_broker_told_to_behave_behaves_but_undoes_nothing() -> None:
    core = BrokerCore()
    core.plan(faults.accept_late(5))
    core.place(order(), T)
    core.plan(faults.hang())
    core.plan_during(faults.book_error(), T, T + 100 * SECOND)
    core.behave()
    assert core.place(order("ap2"), T).wire is Wire.ANSWER
    assert [tag for tag, *_ in rows(core, T + 5 * SECOND)] == ["ap2", "ap1"]


def test_time_does_not_go_back() -> None:
    core = BrokerCore()
    core.book(T)
    with pytest.raises(MisuseError):
        core.book(T - 1)


FAULTS = st.builds(
    PlaceFault,
    copies=st.integers(0, 3),
    accepted_after=st.sampled_from([0, 1, 7]),
    repeat_after=st.sampled_from([0, 3]),
    parts=st.one_of(
        st.none(),
        st.lists(st.builds(Part, st.integers(0, 9), st.just(Decimal("0.4"))), max_size=4).map(tuple),
    ),
    refused_after=st.one_of(st.none(), st.integers(0, 9)),
    wire=st.sampled_from(list(Wire)),
)


@given(st.lists(st.tuples(FAULTS, st.integers(0, 5), st.booleans()), max_size=8))
def test_its_book_is_always_the_sum_of_its_trades(steps: list[tuple[PlaceFault, int, bool]]) -> None:
    def play() -> BrokerCore:
        core, now = BrokerCore(), T
        for n, (fault, wait, cancels) in enumerate(steps):
            core.plan(fault)
            core.place(order(f"ap{n}"), now)
            now += wait * SECOND
            if cancels and core.orders:
                core.cancel(next(iter(core.orders)), now)
        core.settle(now + 100 * SECOND)
        return core

    core, again = play(), play()
    assert core.executed() == again.executed()
    for shown in page(core.book(T + 1000 * SECOND)).orders:
        trades = [trade for trade in core.executed() if trade.order_id == shown.broker_order_id]
        assert sum(trade.quantity for trade in trades) == shown.filled_quantity <= shown.quantity
        assert (shown.status is S.FILLED) == (shown.filled_quantity == shown.quantity)
    assert BookFault() == msgspec.json.decode(msgspec.json.encode(BookFault()), type=BookFault)
