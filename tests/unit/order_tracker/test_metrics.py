"""What the order-tracker counts, and what it tells of journal, states, store and token."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from alpha_panda.contracts.enums import EntryState, TradingState
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import Latch, Outcome
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.order_tracker.metrics import OrderFigures, is_unresolved
from alpha_panda.order_tracker.service import OrderTracker
from alpha_panda.runtime.metrics.catalogue import (
    JOURNAL_DURABLE,
    JOURNAL_ENTRIES,
    LATCHES,
    ORDERS,
    TOKEN_REMAINING,
    TRADING_STATE,
    UNRESOLVED_AGE,
    UNRESOLVED_ORDERS,
)
from contracts.samples import entry
from integration.kit import strategy
from unit.engine.desk import ACCOUNT, STRATEGY, Desk, documents
from unit.runtime.metrics.scraped import Scraped


async def watching(desk: Desk, durable: Callable[[], Awaitable[bool | None]] | None = None) -> OrderTracker:
    """Return a tracker whose figures are scraped; with a store that says whether it is durable."""
    tracker = await desk.tracker()
    tracker._ports = replace(tracker._ports, durable=durable)
    desk.metrics.at_scrape(tracker.figures)
    return tracker


def scraped(desk: Desk) -> Scraped:
    return Scraped.of(desk.metrics)


def answering(answer: Any) -> Callable[[], Awaitable[Any]]:
    async def durable() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return durable


async def test_before_the_first_look_nothing_is_told(desk: Desk) -> None:
    await watching(desk)
    told = scraped(desk).told()
    assert not told & {spec.name for spec in (JOURNAL_ENTRIES, UNRESOLVED_ORDERS, TRADING_STATE, LATCHES)}


async def test_what_is_alerted_on_begins_at_0_so_that_its_first_step_shows(desk: Desk) -> None:
    await desk.tracker()
    found = scraped(desk)
    assert found.value(ORDERS, account=ACCOUNT, outcome="LOST", reason="ORDER_LOST") == 0
    assert found.value(ORDERS, account=ACCOUNT, outcome="FAILED", reason="BROKER_REJECTED") == 0


async def test_entries_that_have_not_ended_are_told_by_state(desk: Desk) -> None:
    await desk.place(desk.limit(1))
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal(2))
    untold = entry(desk.signal(3), EntryState.FAILED)
    await desk.journal.adopt(desk.lease, await desk.journal.run_id(), [untold])
    await (await watching(desk)).count()
    await desk.clock.advance(40)
    found = scraped(desk)
    states = ("SENDING", "UNKNOWN", "PLACED", "PARTIALLY_FILLED", "UNTOLD")
    told = [found.value(JOURNAL_ENTRIES, account=ACCOUNT, state=state) for state in states]
    assert told == [0, 1, 1, 0, 1]
    assert found.value(UNRESOLVED_ORDERS, account=ACCOUNT) == 1
    assert found.value(UNRESOLVED_AGE, account=ACCOUNT) == 40


async def test_without_doubt_there_is_no_age(desk: Desk) -> None:
    await (await watching(desk)).count()
    await desk.clock.advance(40)
    found = scraped(desk)
    assert found.value(UNRESOLVED_ORDERS, account=ACCOUNT) == 0
    assert found.value(UNRESOLVED_AGE, account=ACCOUNT) == 0


def test_what_may_be_sent_right_now_is_not_unresolved(desk: Desk) -> None:
    sending = replace_entry(entry(desk.signal(), EntryState.SENDING), send_by=5 * SECOND_NS)
    assert not is_unresolved(sending, 5 * SECOND_NS)
    assert is_unresolved(sending, 5 * SECOND_NS + 1)
    assert is_unresolved(replace_entry(sending, state=EntryState.UNKNOWN), 0)


def replace_entry(made: Any, **changes: Any) -> Any:
    from msgspec.structs import replace as changed  # noqa: PLC0415 - dataclasses' own is meant above

    return changed(made, **changes)


async def test_the_strictest_of_each_scope_and_all_latches_are_told(desk: Desk) -> None:
    desk.resources = ResourceSet.from_documents([*documents(), strategy(STRATEGY, instruments=["NSE:TCS"])])
    await desk.state(TradingState.REDUCING, strategy_scope(STRATEGY))
    latch = Latch(
        latch_id="x",
        scope=account_scope(ACCOUNT),
        state=TradingState.HALTED,
        reason="",
        set_by="test",
        set_at=1,
    )
    await desk.control.set_latch(latch)
    await (await watching(desk)).look_around()
    found = scraped(desk)
    assert found.value(TRADING_STATE, scope=PLATFORM, account=ACCOUNT) == 0
    assert found.value(TRADING_STATE, scope=f"strategy/{STRATEGY}", account=ACCOUNT) == 1
    assert found.value(TRADING_STATE, scope=f"account/{ACCOUNT}", account=ACCOUNT) == 2
    assert found.value(LATCHES, account=ACCOUNT) == 1


@pytest.mark.parametrize(("answer", "told"), [(True, 1), (False, 0), (None, None)])
async def test_a_store_is_durable_not_durable_or_does_not_say(
    desk: Desk, answer: bool | None, told: int | None
) -> None:
    await (await watching(desk, answering(answer))).look_around()
    assert scraped(desk).value(JOURNAL_DURABLE, account=ACCOUNT) == told


async def test_what_can_not_be_asked_any_more_is_not_told_as_it_was(desk: Desk) -> None:
    tracker = await watching(desk, answering(True))
    await tracker.look_around()
    await tracker.count()
    away = DependencyUnavailableError("journal", "away")

    async def fail(*_: object) -> None:
        raise away

    tracker._ports = replace(tracker._ports, durable=answering(away))
    tracker._journal = tracker._count._journal = type("Away", (), {"epoch": fail})()
    tracker._counted_at = None
    for look in (tracker.look_around, tracker.count):
        with pytest.raises(DependencyUnavailableError):
            await look()
    told = scraped(desk).told()
    assert not told & {spec.name for spec in (TRADING_STATE, LATCHES, JOURNAL_DURABLE, JOURNAL_ENTRIES)}


class Holding:
    """A trader with an access token."""

    until: int | None = None

    def token_expires_at(self) -> int | None:
        return self.until


async def test_a_token_runs_out(desk: Desk) -> None:
    tracker = await watching(desk)
    await tracker.look_around()
    assert scraped(desk).value(TOKEN_REMAINING, account=ACCOUNT) is None
    tracker._trader = holding = Holding()  # type: ignore[assignment]
    await tracker.look_around()
    assert scraped(desk).value(TOKEN_REMAINING, account=ACCOUNT) is None
    holding.until = desk.clock.now() + 60 * SECOND_NS
    await tracker.look_around()
    await desk.clock.advance(20)
    assert scraped(desk).value(TOKEN_REMAINING, account=ACCOUNT) == 40
    await desk.clock.advance(60)
    assert scraped(desk).value(TOKEN_REMAINING, account=ACCOUNT) == 0


async def test_a_fill_of_a_resting_order_is_counted_once_and_a_repeat_not_at_all(desk: Desk) -> None:
    await desk.place(desk.limit(1, "2400"))
    tracker = await desk.tracker()
    await tracker.look_after()
    await desk.clock.advance(1)
    await desk.range(2390, 2395, 2392)
    ranges = await tracker.resting._next_ranges()
    await tracker.resting._match(desk.producer, ranges)
    for _ in range(3):
        await tracker.look_after()
    found = scraped(desk)
    assert found.value(ORDERS, account=ACCOUNT, outcome="PLACED", reason="") == 1  # the engine's
    assert found.value(ORDERS, account=ACCOUNT, outcome="FILLED", reason="") == 1


async def test_what_another_left_untold_is_told_and_not_counted(desk: Desk) -> None:
    untold = entry(desk.signal(3), EntryState.FAILED)
    await desk.journal.adopt(desk.lease, await desk.journal.run_id(), [untold])
    tracker = await desk.tracker()
    await tracker.look_after()
    await tracker.look_after()
    assert len(desk.told()) == 1
    assert scraped(desk).total(ORDERS) == 0


def test_figures_without_a_look_are_none() -> None:
    assert list(OrderFigures("paper").read(1)) == []
