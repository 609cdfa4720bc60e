"""Found by tag, token, side and quantity, or LOST after enough complete reads (DESIGN section 4)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus
from alpha_panda.contracts.stored import BookReading, BrokerRow, JournalEntry, Outcome
from alpha_panda.domain.order_events import outcome_of_row
from alpha_panda.errors import FencedError
from alpha_panda.order_tracker.resolver import Resolver, matching_row
from unit.engine.desk import ACCOUNT, SECOND, TOKEN, Desk

S, D = 5 * SECOND, 30 * SECOND


def row(entry: JournalEntry, **changes: Any) -> BrokerRow:
    fields: dict[str, Any] = {
        "broker_order_id": "b1",
        "tag": entry.tag,
        "instrument_token": TOKEN,
        "side": "BUY",
        "quantity": Decimal(10),
        "status": OrderStatus.FILLED,
        "filled_quantity": Decimal(10),
        "average_price": Decimal("2500.5"),
        "fees": Decimal(7),
    }
    return BrokerRow(**(fields | changes))


def book(begun_at: int, rows: Sequence[BrokerRow] = (), **changes: Any) -> BookReading:
    fields: dict[str, Any] = {"complete": True, "user": "AB1234", "trading_day": "2026-01-02"}
    return BookReading(begun_at=begun_at, rows=tuple(rows), **(fields | changes))


class Bench:
    """A resolver with D = 30 s and three reads, and one order in doubt."""

    def __init__(self, desk: Desk, signal: Any) -> None:
        self.desk, self.signal = desk, signal
        self.resolver = Resolver(ACCOUNT, desk.journal, D, 3)

    @classmethod
    async def doubtful(cls, desk: Desk, state: EntryState = EntryState.UNKNOWN) -> "Bench":
        signal = desk.signal()
        if state is EntryState.UNKNOWN:
            desk.broker.answers.append(Outcome(state=state))
        await desk.place(signal)
        return cls(desk, signal)

    async def read(self, at: int, rows: Sequence[BrokerRow] = (), **changes: Any) -> EntryState:
        """Resolve by a reading begun `at` ns after the permission to send has ended."""
        entry = await self.desk.entry(self.signal)
        begun = entry.send_by + at
        self.desk.clock._now = max(self.desk.clock._now, begun)
        doubtful = await self.desk.journal.in_doubt()
        await self.resolver.resolve(self.desk.lease, doubtful, book(begun, rows, **changes))
        return (await self.desk.entry(self.signal)).state


async def test_lost_needs_three_complete_reads_begun_after_send_by_and_d(desk: Desk) -> None:
    """[G_D, NR]"""
    bench = await Bench.doubtful(desk)
    states = [await bench.read(D + n * SECOND) for n in range(3)]
    assert states == [EntryState.UNKNOWN, EntryState.UNKNOWN, EntryState.LOST]
    assert (await desk.entry(bench.signal)).code is Code.ORDER_LOST


async def test_reads_begun_too_early_do_not_count(desk: Desk) -> None:
    """[G_D]"""
    bench = await Bench.doubtful(desk)
    for n in range(5):
        assert await bench.read(D - SECOND + n) is EntryState.UNKNOWN
    assert [await bench.read(D + n) for n in range(3)][1:] == [EntryState.UNKNOWN, EntryState.LOST]


async def test_incomplete_reads_never_count(desk: Desk) -> None:
    bench = await Bench.doubtful(desk)
    for n in range(10):
        assert await bench.read(D + n, complete=False) is EntryState.UNKNOWN


async def test_an_incomplete_read_between_two_complete_ones_takes_nothing_away(desk: Desk) -> None:
    bench = await Bench.doubtful(desk)
    await bench.read(D)
    await bench.read(D + 1, complete=False)
    await bench.read(D + 2)
    assert await bench.read(D + 3) is EntryState.LOST


@pytest.mark.parametrize("change", [{"user": "XY9876"}, {"trading_day": "2026-01-03"}])
async def test_reads_of_another_user_or_day_begin_a_new_count(desk: Desk, change: dict[str, Any]) -> None:
    bench = await Bench.doubtful(desk)
    assert [await bench.read(D), await bench.read(D + 1)] == [EntryState.UNKNOWN] * 2
    assert [await bench.read(D + n, **change) for n in (2, 3)] == [EntryState.UNKNOWN] * 2
    assert await bench.read(D + 4, **change) is EntryState.LOST


@pytest.mark.parametrize(
    ("sent", "until", "counts"),
    [
        ("2026-01-02", "2026-01-02", True),
        ("2026-01-01", "2026-01-02", False),
        ("2026-01-02", "2026-01-03", False),
    ],
)
async def test_only_the_book_of_an_orders_own_day_speaks_against_it(
    desk: Desk, sent: str, until: str, counts: bool
) -> None:
    bench = await Bench.doubtful(desk)
    entry = await desk.entry(bench.signal)
    days = {entry.created_at: sent, entry.send_by: until}
    bench.resolver = Resolver(ACCOUNT, desk.journal, D, 3, days.__getitem__)
    states = [await bench.read(D + n) for n in range(5)]
    assert (states[-1] is EntryState.LOST) is counts
    found = [row(entry)]
    if not counts:
        assert await bench.read(D + 9, found) is EntryState.FILLED  # but what it shows counts on any day


async def test_reads_from_before_a_new_permission_do_not_count(desk: Desk) -> None:
    """[F_RBS] The store came back and the entry was made anew with a later send_by."""
    bench = await Bench.doubtful(desk)
    await bench.read(D)
    await bench.read(D + 1)
    entry = await desk.entry(bench.signal)
    later = replace(entry, send_by=entry.send_by + 2 * D)
    desk.journal._state().put(later)
    assert [await bench.read(D + n) for n in range(2)] == [EntryState.UNKNOWN] * 2
    assert await bench.read(D + 2) is EntryState.LOST


async def test_a_row_with_tag_token_side_and_quantity_resolves(desk: Desk) -> None:
    bench = await Bench.doubtful(desk)
    entry = await desk.entry(bench.signal)
    assert await bench.read(0, [row(entry)]) is EntryState.FILLED
    found = await desk.entry(bench.signal)
    told = (found.filled_quantity, found.average_price, found.fees, found.broker_order_id)
    assert told == (10, Decimal("2500.5"), 7, "b1")
    assert found.amount is None  # the book tells averages only: price times quantity
    assert not found.late


async def test_of_two_orders_of_a_tag_the_one_that_was_taken_is_ours(desk: Desk) -> None:
    """A repeat that the broker refused for being one may stand first in its book."""
    bench = await Bench.doubtful(desk)
    entry = await desk.entry(bench.signal)
    refused = row(entry, broker_order_id="b2", status=OrderStatus.FAILED, filled_quantity=Decimal(0))
    for rows in ([refused, row(entry)], [row(entry), refused]):
        found = matching_row(entry, rows)
        assert found is not None
        assert found.broker_order_id == "b1"
    assert matching_row(entry, [refused]) == refused
    assert await bench.read(0, [refused, row(entry)]) is EntryState.FILLED


async def test_a_row_counts_at_any_time_and_in_an_incomplete_read(desk: Desk) -> None:
    bench = await Bench.doubtful(desk, EntryState.SENDING)
    entry = await desk.entry(bench.signal)
    assert entry.state is EntryState.FILLED  # the paper broker answered: put it back into doubt
    desk.journal._state().put(replace(entry, state=EntryState.SENDING, filled_quantity=Decimal(0)))
    rows = [row(entry, status=OrderStatus.PLACED, filled_quantity=Decimal(0))]
    assert await bench.read(-S, rows, complete=False) is EntryState.PLACED


@pytest.mark.parametrize(
    "other",
    [
        {"tag": "apaaaaaaaaaaaaaaaaaa"},
        {"instrument_token": 1},
        {"side": "SELL"},
        {"quantity": Decimal(9)},
    ],
)
async def test_a_row_that_differs_is_another_order(desk: Desk, other: dict[str, Any]) -> None:
    bench = await Bench.doubtful(desk)
    entry = await desk.entry(bench.signal)
    assert matching_row(entry, [row(entry, **other)]) is None
    assert await bench.read(0, [row(entry, **other)]) is EntryState.UNKNOWN


async def test_the_matching_row_is_found_among_others(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    rows = [row(entry, side="SELL"), row(entry, broker_order_id="b2"), row(entry, tag="")]
    found = matching_row(entry, rows)
    assert found is not None
    assert found.broker_order_id == "b2"


async def test_a_row_the_broker_rejected_is_failed(desk: Desk) -> None:
    bench = await Bench.doubtful(desk)
    entry = await desk.entry(bench.signal)
    nothing = {"filled_quantity": Decimal(0), "average_price": Decimal(0), "message": "margin"}
    assert await bench.read(0, [row(entry, status=OrderStatus.FAILED, **nothing)]) is EntryState.FAILED
    found = await desk.entry(bench.signal)
    assert (found.code, found.message) == (Code.BROKER_REJECTED, "margin")


@pytest.mark.parametrize("status", list(OrderStatus))
async def test_every_status_of_a_row_has_an_outcome(desk: Desk, status: OrderStatus) -> None:
    outcome = outcome_of_row(row(await desk.place(desk.signal()), status=status))
    assert outcome.state in (EntryState.FAILED, EntryState(status.value))
    assert not outcome.state.in_doubt
    assert outcome.state is not EntryState.LOST


async def test_an_overdue_sending_becomes_unknown(desk: Desk) -> None:
    """Whoever was to settle it is gone; until a person or the book decides, it is in doubt for all to see."""
    bench = await Bench.doubtful(desk, EntryState.SENDING)
    entry = await desk.entry(bench.signal)
    desk.journal._state().put(replace(entry, state=EntryState.SENDING))
    assert await bench.read(D - 1) is EntryState.SENDING
    assert await bench.read(D, complete=False) is EntryState.UNKNOWN
    assert await desk.open_ids() == [bench.signal.signal_id]


async def test_a_stale_lease_resolves_nothing(desk: Desk) -> None:
    """[G_LEASE]"""
    bench = await Bench.doubtful(desk)
    for n in range(2):
        await bench.read(D + n)
    old = desk.lease
    await desk.take_over()
    desk.lease = old
    with pytest.raises(FencedError):
        await bench.read(D + 2)
    assert (await desk.entry(bench.signal)).state is EntryState.UNKNOWN


async def test_what_was_settled_meanwhile_stays(desk: Desk) -> None:
    """[G_CAST] The engine's answer came while the book was read."""
    bench = await Bench.doubtful(desk)
    for n in range(2):
        await bench.read(D + n)
    doubtful = await desk.journal.in_doubt()
    placed = Outcome(state=EntryState.PLACED, broker_order_id="b1")
    await desk.journal.resolve(desk.lease, bench.signal.signal_id, placed)
    begun = doubtful[0].send_by + D + 2
    assert await bench.resolver.resolve(desk.lease, doubtful, book(begun)) == []
    assert (await desk.entry(bench.signal)).state is EntryState.PLACED


async def test_counts_of_orders_no_longer_in_doubt_are_forgotten(desk: Desk) -> None:
    bench = await Bench.doubtful(desk)
    await bench.read(D)
    assert list(bench.resolver._misses) == [bench.signal.signal_id]
    await bench.resolver.resolve(desk.lease, [], book(0))
    assert bench.resolver._misses == {}
