"""An order that rests by the broker's word and that its book lacks: marked and latched once, then a person's."""

from collections.abc import Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus, TradingState, Validity
from alpha_panda.contracts.events import ControlChanged
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import BrokerRow, JournalEntry, Outcome
from alpha_panda.order_tracker.missing import Missing, MissingTerms, is_missing, marked, shown
from alpha_panda.order_tracker.strays import Strays
from alpha_panda.runtime.records import event_of
from contracts.samples import entry as sample
from contracts.samples import signal
from unit.engine.desk import ACCOUNT, SECOND, Calls, Desk, Through
from unit.order_tracker.test_resolver import D, book, row
from unit.order_tracker.test_strays import latches

DAYS = 24 * 3600 * SECOND
TODAY, TOMORROW, YESTERDAY = "2026-01-02", "2026-01-03", "2026-01-01"


class Bench:
    """One order at rest, D = 30 s, three reads; days change `turns` ns after the order was made."""

    def __init__(self, desk: Desk, entry: JournalEntry, journal: Any = None) -> None:
        self.desk, self.id = desk, entry.signal_id
        self.midnight = entry.created_at + DAYS
        self.producer: Any = desk.producer
        self.missing = Missing(
            desk.topics,
            journal or desk.journal,
            desk.control,
            desk.clock,
            MissingTerms(D, 3, self.day),
        )

    @classmethod
    async def resting(cls, desk: Desk, filled: int = 0, **changes: Any) -> "Bench":
        state = EntryState.PARTIALLY_FILLED if filled else EntryState.PLACED
        price = Decimal(2400) if filled else Decimal(0)
        desk.broker.answers.append(
            Outcome(state=state, broker_order_id="b1", filled_quantity=Decimal(filled), average_price=price)
        )
        return cls(desk, await desk.place(desk.limit(**changes)))

    def day(self, ts: int) -> str:
        return TODAY if ts < self.midnight else TOMORROW

    async def entry(self) -> JournalEntry:
        entry = await self.desk.journal.get(self.id)
        assert entry is not None
        return entry

    async def read(self, at: int = D, rows: Sequence[BrokerRow] = (), **changes: Any) -> bool:
        """Judge a reading begun `at` ns after the permission to send has ended; say whether it is missing now."""
        begun = (await self.entry()).send_by + at
        self.desk.clock._now = max(self.desk.clock._now, begun)
        await self.missing.judge(
            await self.desk.journal.resting(), book(begun, rows, **changes), self.producer
        )
        return is_missing(await self.entry())

    async def reads(self, times: int, **changes: Any) -> list[bool]:
        return [await self.read(D + n * SECOND, **changes) for n in range(times)]


async def test_three_complete_reads_without_it_mark_and_latch_the_account(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    assert await bench.reads(2) == [False, False]
    assert await latches(desk) == []
    assert await bench.read(D + 3 * SECOND)
    entry = await bench.entry()
    assert (entry.state, entry.code, entry.broker_order_id) == (
        EntryState.PLACED,
        Code.ORDER_MISSING,
        "b1",
    )
    assert entry.message == "PLACED, but not in 3 complete reads of the broker's book of 2026-01-02"
    (control,) = await desk.control.read([account_scope(ACCOUNT)])
    assert [latch.latch_id for latch in control.latches] == [f"missing-{entry.tag}"]
    assert control.state is TradingState.HALTED
    assert entry.tag in control.latches[0].reason


async def test_a_part_that_has_filled_stays_filled(desk: Desk) -> None:
    bench = await Bench.resting(desk, filled=4)
    await bench.reads(3)
    entry = await bench.entry()
    assert (entry.state, entry.filled_quantity, entry.average_price) == (EntryState.PARTIALLY_FILLED, 4, 2400)


async def test_a_latch_that_a_person_has_cleared_does_not_come_back(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    await bench.reads(3)
    (latch_id,) = await latches(desk)
    await desk.control.clear_latch(account_scope(ACCOUNT), latch_id)
    await bench.reads(9)
    again = Bench(desk, await bench.entry())  # another tracker: what it knows is in the entry
    await again.reads(9)
    assert await latches(desk) == []


UNTOLD: dict[str, dict[str, Any]] = {
    "incomplete": {"complete": False},
    "another day's": {"trading_day": YESTERDAY},
}


@pytest.mark.parametrize("name", UNTOLD)
async def test_a_reading_that_does_not_speak_of_it_counts_for_nothing(desk: Desk, name: str) -> None:
    bench = await Bench.resting(desk)
    assert not any(await bench.reads(9, **UNTOLD[name]))
    assert await bench.reads(2) == [False, False]
    await bench.read(**UNTOLD[name])
    assert await bench.read(D + 9 * SECOND)


async def test_readings_of_two_users_are_not_added_up(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    await bench.reads(2)
    assert await bench.reads(2, user="XY") == [False, False]
    assert await bench.reads(3) == [False, False, True]


async def test_readings_begun_before_send_by_and_d_do_not_count(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    assert not any([await bench.read(D - SECOND + n) for n in range(9)])
    assert await bench.reads(3) == [False, False, True]


async def test_a_reading_that_shows_it_begins_the_count_anew(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    await bench.reads(2)
    there = row(await bench.entry(), status=OrderStatus.PLACED, filled_quantity=Decimal(0))
    assert not await bench.read(rows=[there])
    assert await bench.reads(3) == [False, False, True]


async def test_a_day_order_that_a_later_book_lacks_is_missing_too(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    assert await bench.reads(3, trading_day=TOMORROW) == [False, False, True]
    assert len(await latches(desk)) == 1


async def test_reads_of_two_days_are_not_added_up(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    await bench.reads(2)
    assert await bench.reads(3, trading_day=TOMORROW) == [False, False, True]


async def test_an_order_sent_over_midnight_is_of_either_day(desk: Desk) -> None:
    """The day's book that it may not have reached tells nothing; the later one must show it, or it is over."""
    bench = await Bench.resting(desk)
    entry = await bench.entry()
    bench.midnight = entry.created_at + (entry.send_by - entry.created_at) // 2
    assert not any(await bench.reads(9))
    assert await bench.reads(3, trading_day=TOMORROW) == [False, False, True]


async def test_what_has_ended_is_nobodys_to_miss(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    bench = Bench(desk, entry)
    assert entry.state is EntryState.FILLED
    assert not any(await bench.reads(9, trading_day=TOMORROW))
    assert await latches(desk) == []


async def test_an_order_that_moves_meanwhile_is_not_marked(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    stale = await desk.journal.resting()
    entry = await bench.entry()
    await bench.reads(2)
    await desk.journal.fill(entry.signal_id, entry.revision, Outcome(state=EntryState.CANCELLED))
    assert await bench.missing.judge(stale, book(entry.send_by + 2 * D), desk.producer) == []
    assert await latches(desk) == []


async def test_the_latch_is_in_kafka_then_in_the_store_and_then_the_mark(desk: Desk) -> None:
    """Who dies between two of these does it again: too many latches, never too few."""
    calls = Calls()
    bench = await Bench.resting(desk)
    bench.missing._journal = Through("journal", desk.journal, calls)
    bench.missing._control = Through("control", desk.control, calls)
    bench.producer = Through("producer", desk.producer, calls)
    await bench.reads(3)
    assert calls.names == ["journal.get", "producer.send", "control.set_latch", "journal.fill"]
    change = event_of(desk.records[-1]).data
    assert isinstance(change, ControlChanged)
    assert (change.latch_id, change.action) == (f"missing-{(await bench.entry()).tag}", "set")


async def test_a_row_that_comes_back_takes_the_mark_off_and_leaves_the_latch(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    await bench.reads(3)
    instruments = desk.resources.feeds["demo"].instruments
    strays = Strays(desk.topics, desk.journal, desk.clock, lambda: instruments)
    there = row(await bench.entry(), status=OrderStatus.PLACED, filled_quantity=Decimal(0))
    for _ in range(2):
        await strays.settle(desk.lease, book(desk.clock.now(), [there]), desk.producer)
    entry = await bench.entry()
    assert (entry.state, entry.code, entry.message) == (EntryState.PLACED, None, "")
    assert len(await latches(desk)) == 1
    assert not await bench.read(rows=[there])
    assert await bench.reads(3) == [False, False, True]


async def test_it_is_told_by_the_service(desk: Desk) -> None:
    bench = await Bench.resting(desk)
    tracker = await desk.tracker(live=True)
    await desk.clock.sleep(36)
    for _ in range(4):
        await tracker.look_after()
    assert is_missing(await bench.entry())
    assert desk.updates()[-1][1].code is Code.ORDER_MISSING
    assert await desk.open_ids() == []


@pytest.mark.parametrize("moment", ["when marked", "before it is marked"])
async def test_a_halt_asks_for_its_cancellation_once_and_leaves_the_rest_to_a_person(
    desk: Desk, moment: str
) -> None:
    """The broker may know it after all; what it says has filled is no better than the book that lacks it."""
    bench = await Bench.resting(desk)
    tracker = await desk.tracker(live=True)
    asked: list[str] = []

    async def cancel(entry: JournalEntry) -> Outcome:
        asked.append(entry.signal_id)
        return Outcome(state=EntryState.CANCELLED, broker_order_id="b1")

    async def swept_at_once(_: str, call: Any) -> Any:
        done = await call()
        await tracker.sweep()
        return done

    tracker._trader = SimpleNamespace(cancel=cancel, order_book=desk.broker.order_book)
    if moment == "before it is marked":
        tracker._missing._control = Through("control", desk.control, swept_at_once)
    await desk.clock.sleep(36)
    for _ in range(3):
        await tracker.look_after()
    for _ in range(3):
        await tracker.sweep()
    assert is_missing(await bench.entry())
    assert asked == [bench.id]


async def test_a_paper_order_is_never_missing(desk: Desk) -> None:
    """Its venue has no book: it rests in the journal itself. The one in doubt makes the tracker read all the same."""
    signal = desk.limit()
    await desk.place(signal)
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal(2))
    tracker = await desk.tracker()
    await desk.clock.sleep(40)
    for _ in range(9):
        await tracker.look_after()
    assert (await desk.entry(signal)).code is None
    assert await latches(desk) == []


def test_the_very_order_is_looked_for() -> None:
    mine = sample(signal("s1"), EntryState.PLACED, broker_order_id="b1")
    same = {"instrument_token": mine.signal.instrument_token, "side": mine.signal.side.value}
    rows = {of: row(mine, broker_order_id=of, **same) for of in ("b1", "b2")}
    assert shown(mine, book(0, [rows["b2"], rows["b1"]]))
    assert not shown(mine, book(0, [rows["b2"]]))  # the second of two orders of one tag is not the first
    nameless = sample(signal("s1"), EntryState.PLACED)
    assert shown(nameless, book(0, [row(nameless, **same)]))
    assert not shown(nameless, book(0, [row(nameless, **same, tag="ap")]))


@given(
    state=st.sampled_from([EntryState.PLACED, EntryState.PARTIALLY_FILLED]),
    filled=st.integers(0, 9).map(Decimal),
    triggered=st.booleans(),
    validity=st.sampled_from(Validity),
)
def test_a_mark_changes_code_and_message_alone(
    state: EntryState, filled: Decimal, triggered: bool, validity: Validity
) -> None:
    entry = sample(
        signal("s1", validity=validity),
        state,
        filled_quantity=filled,
        triggered=triggered,
        broker_order_id="b",
    )
    mark = marked(entry, "gone")
    told = ("state", "filled_quantity", "average_price", "amount", "fees", "broker_order_id", "triggered")
    assert [getattr(mark, name) for name in told] == [getattr(entry, name) for name in told]
    assert (mark.code, mark.message) == (Code.ORDER_MISSING, "gone")
