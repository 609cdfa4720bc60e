"""What is Zerodha's own of its trader: dry runs, limits, tokens of others, cancellations that take their time."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.zerodha.pace import PaceLimits
from alpha_panda.adapters.zerodha.trader import ZerodhaTrader, india_day
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, Side
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.ports import PortfolioReader, TokenHolder, Trader
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.config import Delays, KiteConfig, Limits
from alpha_panda.testing.kite.core import KiteCore
from alpha_panda.testing.kite.instruments import MAHINDRA, RELIANCE

from .benches import TIMEOUT, KiteBench
from .rest_kit import SECOND, START, write_files

F = EntryState.FAILED


@pytest.fixture
def core() -> KiteCore:
    return KiteCore()


@pytest.fixture
def bench(tmp_path: Path, clock: VirtualClock, core: KiteCore) -> KiteBench:
    return KiteBench(tmp_path, core, clock)


async def rests(bench: KiteBench, number: int = 1) -> JournalEntry:
    entry = bench.resting(number)
    outcome = await bench.place(entry)
    return msgspec.structs.replace(entry, state=outcome.state, broker_order_id=outcome.broker_order_id)


def test_it_has_all_the_ports(bench: KiteBench) -> None:
    trader: Trader = bench.trader
    assert isinstance(trader, TokenHolder)
    assert isinstance(trader, PortfolioReader)


async def test_a_dry_run_sends_nothing_and_tells_what_it_would_have_sent(bench: KiteBench) -> None:
    bench.trader = bench.with_terms(live=False, algo_id="A1")
    entry = bench.entry()
    outcome = await bench.place(entry)
    assert (outcome.state, outcome.code) == (F, Code.DRY_RUN)
    assert outcome.message.startswith("POST /orders/regular exchange=NSE&tradingsymbol=RELIANCE&")
    for part in (f"tag={entry.tag}", "algo_id=A1", "market_protection=-1", "product=MIS"):
        assert part in outcome.message
    session = bench.session.current()
    assert session is not None
    assert session.access_token not in outcome.message
    assert not bench.sent()


async def test_a_dry_run_does_all_but_the_call(bench: KiteBench) -> None:
    bench.trader = bench.with_terms(live=False, limits=PaceLimits(1, 10, 10, 10))
    assert (await bench.place(bench.entry(1), 0.5)).code is Code.DRY_RUN
    assert (await bench.place(bench.entry(2), 0.5)).code is Code.RATE_LIMIT
    assert (await bench.place(bench.entry(3, quantity=Decimal("0.5")))).code is Code.LOT_SIZE
    bench.session.mark_dead(bench.session.current().access_token)  # type: ignore[union-attr]
    assert (await bench.place(bench.entry(4))).code is Code.ACCESS_TOKEN_EXPIRED


async def test_on_a_dry_run_nothing_is_cancelled(bench: KiteBench) -> None:
    entry = await rests(bench)
    bench.trader = bench.with_terms(live=False)
    assert (await bench.trader.cancel(entry)).state is EntryState.PLACED
    assert not [call for call in bench.core.calls if call.kind == "cancel"]


async def test_orders_beyond_the_limit_wait_and_kite_refuses_none(
    tmp_path: Path, clock: VirtualClock
) -> None:
    """Kite counts by its own seconds; whatever they are, none holds more than the limit."""
    bench = KiteBench(tmp_path, KiteCore(KiteConfig(limits=Limits())), clock)
    bench.trader = bench.with_terms(limits=PaceLimits())
    for number in range(40):
        outcome = await bench.place(bench.resting(number), seconds=5)
        assert outcome.state is EntryState.PLACED, outcome
    assert clock.now() - START >= 4 * SECOND
    assert sum(bench.sent().values()) == 40


async def test_without_room_before_the_deadline_nothing_is_sent(bench: KiteBench) -> None:
    bench.trader = bench.with_terms(limits=PaceLimits(3, 400, 5000, 8))
    states = [await bench.place(bench.resting(number), seconds=0.3) for number in range(4)]
    assert [outcome.code for outcome in states] == [None, None, Code.RATE_LIMIT, Code.RATE_LIMIT]
    assert sum(bench.sent().values()) == 2


async def test_a_store_that_does_not_count_sends_nothing(bench: KiteBench) -> None:
    bench.pace.database.faults.refuse()
    outcome = await bench.place(bench.entry())
    assert (outcome.state, outcome.code) == (F, Code.DEPENDENCY_UNAVAILABLE)
    assert "nothing was sent" in outcome.message
    assert not bench.sent()


async def test_a_token_of_another_user_reads_nothing_and_says_so(bench: KiteBench) -> None:
    """The file says it is ours; Kite says whose it is."""
    bench.core.configure(user_id="XY9876")
    assert not (await bench.trader.order_book()).complete
    assert not (await bench.trader.portfolio()).complete
    assert "XY9876" in bench.trader.token_problem()
    assert bench.trader.token_expires_at() == 0
    assert (await bench.place(bench.entry())).code is Code.ACCESS_TOKEN_EXPIRED
    assert not bench.sent()


async def test_whose_token_it_is_is_asked_once(bench: KiteBench) -> None:
    for _ in range(3):
        assert (await bench.trader.order_book()).complete
    assert sum(call.subject == "/user/profile" for call in bench.core.calls) == 1


async def test_a_token_that_has_expired_by_itself_is_not_even_tried(
    bench: KiteBench, clock: VirtualClock
) -> None:
    expires_at = bench.trader.token_expires_at()
    assert expires_at is not None
    await clock.sleep((expires_at - clock.now()) / SECOND)
    calls = len(bench.core.calls)
    outcome = await bench.place(bench.entry())
    assert (outcome.state, outcome.code) == (F, Code.ACCESS_TOKEN_EXPIRED)
    assert bench.trader.token_expires_at() == expires_at
    assert "expired" in bench.trader.token_problem()
    assert len(bench.core.calls) == calls


async def test_without_files_there_is_no_token(bench: KiteBench, clock: VirtualClock) -> None:
    (bench.folder / "session" / "session.json").unlink()
    await clock.sleep(1)
    assert bench.trader.token_expires_at() == 0
    assert bench.trader.token_problem()
    assert (await bench.place(bench.entry())).code is Code.ACCESS_TOKEN_EXPIRED


async def test_an_address_that_is_not_registered_is_told_as_that_and_costs_no_login(
    tmp_path: Path, clock: VirtualClock
) -> None:
    bench = KiteBench(tmp_path, KiteCore(KiteConfig(allowed_ips=("192.0.2.9",))), clock)
    outcome = await bench.place(bench.entry())
    assert (outcome.state, outcome.code) == (F, Code.EGRESS_IP_REFUSED)
    assert bench.trader.token_problem() == ""
    assert (await bench.trader.order_book()).complete


async def test_whoever_is_refused_as_a_caller_calls_less_and_less_often(
    tmp_path: Path, clock: VirtualClock
) -> None:
    """Kite counts what it refuses, and blocks who goes on."""
    bench = KiteBench(tmp_path, KiteCore(KiteConfig(allowed_ips=("192.0.2.9",))), clock)
    codes = set()
    for number in range(120):
        codes.add((await bench.place(bench.resting(number))).code)
        await clock.sleep(1)
    assert codes == {Code.EGRESS_IP_REFUSED}
    assert sum(call.kind == "place" for call in bench.core.calls) <= 9
    assert (await bench.trader.order_book()).complete  # other calls go on
    bench.core.configure(allowed_ips=None)
    await clock.sleep(30)
    assert (await bench.place(bench.entry())).state is EntryState.PLACED
    assert (await bench.place(bench.resting(200))).state is EntryState.PLACED


async def test_an_ampersand_travels(bench: KiteBench) -> None:
    entry = bench.entry(instrument_token=MAHINDRA, symbol="NSE:M&M", side=Side.SELL)
    assert (await bench.place(entry)).state is EntryState.PLACED
    (order,) = bench.core.orders.values()
    assert (order.terms.instrument.token, order.terms.side) == (MAHINDRA, Side.SELL)


@pytest.mark.parametrize("product", ["MIS", "CNC"])
async def test_the_accounts_product_is_that_of_its_orders(bench: KiteBench, product: str) -> None:
    bench.trader = bench.with_terms(product=product)
    await bench.place(bench.entry())
    assert [order.terms.product for order in bench.core.orders.values()] == [product]


async def test_a_cancel_that_is_pending_is_looked_at_until_it_is_done(bench: KiteBench) -> None:
    entry = await rests(bench)
    bench.core.configure(delays=Delays(cancel_pending=0.3))
    outcome = await bench.trader.cancel(entry)
    assert (outcome.state, outcome.broker_order_id) == (EntryState.CANCELLED, entry.broker_order_id)


async def test_an_order_that_is_being_processed_is_looked_at_and_rests_on(bench: KiteBench) -> None:
    entry = await rests(bench)
    bench.core.plan(faults.cancel_in_process())
    assert (await bench.trader.cancel(entry)).state is EntryState.PLACED
    assert (await bench.trader.cancel(entry)).state is EntryState.CANCELLED


async def test_a_cancel_that_kite_counts_as_too_many_is_not_looked_at(bench: KiteBench) -> None:
    entry = await rests(bench)
    body = '{"status":"error","message":"Too many requests","error_type":"NetworkException"}'
    bench.core.plan(faults.CancelFault(effective=False, status=429, body=body))
    before = len(bench.core.calls)
    assert (await bench.trader.cancel(entry)).state is EntryState.PLACED
    assert len(bench.core.calls) == before + 1


async def test_a_cancel_never_takes_a_fill_back(bench: KiteBench) -> None:
    """The history that it looks at may be older than what we know."""
    entry = msgspec.structs.replace(
        await rests(bench), filled_quantity=Decimal(1), average_price=Decimal(1400)
    )
    outcome = await bench.trader.cancel(entry)
    assert outcome.filled_quantity == 1


async def test_cancels_have_their_own_patience(bench: KiteBench, clock: VirtualClock) -> None:
    entry = await rests(bench)
    bench.core.plan(faults.cancel_unanswered(effective=False, wire=faults.Wire.HANG))
    bench.core.plan(faults.call_hangs("/orders/"), times=50)
    before = clock.monotonic()
    assert (await bench.trader.cancel(entry)).state is EntryState.PLACED
    assert clock.monotonic() - before <= (3 * TIMEOUT + 1) * SECOND


async def test_a_postponed_opening_is_cancelled_as_what_it_is(tmp_path: Path, clock: VirtualClock) -> None:
    """A person's order for tomorrow, which a halt wants gone: it is of variety amo."""
    core = KiteCore(KiteConfig(sessions=((START + 9 * 10**14, START + 10**15),)))
    bench = KiteBench(tmp_path, core, clock)
    form = {
        "exchange": "NSE", "tradingsymbol": "RELIANCE", "transaction_type": "BUY", "order_type": "LIMIT",
        "quantity": "1", "product": "CNC", "price": "1390", "tag": "x",
    }  # fmt: skip
    from alpha_panda.adapters.zerodha.orders import Request  # noqa: PLC0415 - of this test alone

    placed = await bench.client.write(
        Request("POST", "/orders/amo", tuple(form.items())), clock.monotonic() + SECOND
    )
    assert getattr(placed, "status", None) == 200
    (row,) = (await bench.trader.order_book()).rows
    entry = msgspec.structs.replace(
        bench.entry(), state=EntryState.PLACED, broker_order_id=row.broker_order_id
    )
    assert (await bench.trader.cancel(entry)).state is EntryState.CANCELLED
    assert core.orders[row.broker_order_id].status == "CANCELLED"


def test_the_day_is_indias() -> None:
    assert india_day(START) == "2026-01-02"
    assert india_day(START + 10 * 3600 * SECOND) == "2026-01-03"


async def test_two_processes_share_one_count(bench: KiteBench) -> None:
    limits = PaceLimits(4, 400, 5000, 8)
    first, second = bench.with_terms(limits=limits), bench.with_terms(limits=limits)
    taken = []
    for number in range(6):
        bench.trader = (first, second)[number % 2]
        taken.append((await bench.place(bench.resting(number), seconds=0.2)).state)
    assert taken.count(EntryState.PLACED) == 3


def test_a_trader_may_be_made_without_any_file(tmp_path: Path, clock: VirtualClock) -> None:
    bench = KiteBench(tmp_path, KiteCore(), clock)
    write_files(tmp_path, api_key="another")
    trader: ZerodhaTrader = bench.with_terms()
    assert trader.token_problem()
    assert RELIANCE in trader.instruments().by_token
