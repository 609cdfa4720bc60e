"""What a deletion waits for is counted: orders that rest, are in doubt, or of which Kafka has not heard all."""

import pytest

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.scopes import strategy_scope
from alpha_panda.contracts.status_details import StrategyOrders, TrackerFigures, left_out, tracker_strategies
from alpha_panda.contracts.stored import JournalEntry, Outcome, TeardownRequest
from alpha_panda.order_tracker.counting import OrderCount
from contracts.samples import entry
from unit.engine.desk import ACCOUNT, STRATEGY, Desk


def request(name: str = STRATEGY, uid: str = "uid") -> TeardownRequest:
    return TeardownRequest(scope=strategy_scope(name), uid=uid, policy="CancelOrders", requested_at=1)


async def counted(desk: Desk, *names: str) -> OrderCount:
    count = OrderCount(ACCOUNT, desk.journal, desk.clock)
    await count.count(desk.resources, {name: request(name) for name in names})
    return count


def test_before_the_first_count_nothing_is_claimed(desk: Desk) -> None:
    details = OrderCount(ACCOUNT, desk.journal, desk.clock).details()
    assert TrackerFigures.of(details) == TrackerFigures()
    assert tracker_strategies(details) == {}


async def test_nothing_to_count(desk: Desk) -> None:
    details = (await counted(desk)).details()
    assert TrackerFigures.of(details) == TrackerFigures(reconciled=True, counted_ts=desk.clock.now())
    assert (tracker_strategies(details), left_out(details)) == ({}, 0)


async def test_a_strategy_that_is_torn_down_is_told_of_with_its_uid_even_of_nothing(desk: Desk) -> None:
    details = (await counted(desk, STRATEGY)).details()
    assert tracker_strategies(details) == {STRATEGY: StrategyOrders(uid="uid")}


async def test_each_kind_is_counted_by_itself(desk: Desk) -> None:
    await desk.place(desk.limit(1))
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal(2))
    details = (await counted(desk)).details()
    found = TrackerFigures.of(details)
    assert (found.resting, found.in_doubt, found.open) == (1, 1, 0)
    own = tracker_strategies(details)[STRATEGY]
    assert (own.resting, own.doubt, own.open, own.none) == (1, 1, 0, False)


async def test_an_untold_order_is_open(desk: Desk) -> None:
    untold = entry(desk.signal(), EntryState.FAILED)
    await desk.journal.adopt(desk.lease, await desk.journal.run_id(), [untold])
    details = (await counted(desk)).details()
    assert tracker_strategies(details)[STRATEGY].open == 1
    assert TrackerFigures.of(details).open == 1


async def test_a_journal_without_an_epoch_is_not_reconciled(desk: Desk) -> None:
    desk.database.restart()
    assert not TrackerFigures.of((await counted(desk)).details()).reconciled


async def test_a_store_that_forgets_while_it_is_counted_is_not_reconciled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What rests would be counted as none, and a deletion end that left it resting."""
    await desk.place(desk.limit(1))
    in_doubt = desk.journal.in_doubt

    async def and_then_it_restarts(*args: str) -> list[JournalEntry]:
        found = await in_doubt(*args)
        desk.database.restart(EMPTY_IMAGE)
        return found

    monkeypatch.setattr(desk.journal, "in_doubt", and_then_it_restarts)
    assert not TrackerFigures.of((await counted(desk, STRATEGY)).details()).reconciled
