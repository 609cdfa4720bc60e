"""One duty that fails keeps no other from its turn, and the service learns of the worst."""

from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest
import structlog

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.errors import DependencyUnavailableError, FencedError, MisuseError, UndecodableRecordError
from alpha_panda.order_tracker.duties import QUIET, Duties, Duty, passes, raise_worst
from unit.engine.desk import SECOND, Calls, Desk, ServiceStub

PASSING, BAD_RECORD = DependencyUnavailableError("bus", "away"), UndecodableRecordError("t/0/1")
UNFORESEEN, FINAL = MisuseError("a mistake"), FencedError("somebody else")


class Turn:
    def __init__(self) -> None:
        self.done: list[str] = []

    def duty(self, name: str, error: Exception | None = None) -> Duty:
        async def work() -> None:
            self.done.append(name)
            if error is not None:
                raise error

        return work


@pytest.mark.parametrize("error", [PASSING, BAD_RECORD, UNFORESEEN], ids=repr)
async def test_the_others_have_their_turn(error: Exception, clock: VirtualClock) -> None:
    turn = Turn()
    with pytest.raises(type(error)):
        await Duties(clock).in_turn({"a": turn.duty("a"), "b": turn.duty("b", error), "c": turn.duty("c")})
    assert turn.done == ["a", "b", "c"]


async def test_a_service_that_must_end_ends_at_once(clock: VirtualClock) -> None:
    turn = Turn()
    with pytest.raises(FencedError):
        await Duties(clock).in_turn({"a": turn.duty("a", FINAL), "b": turn.duty("b")})
    assert turn.done == ["a"]


@pytest.mark.parametrize("order", [lambda errors: errors, lambda errors: errors[::-1]])
@pytest.mark.parametrize(
    ("errors", "worst"),
    [([PASSING, UNFORESEEN], UNFORESEEN), ([BAD_RECORD, UNFORESEEN, FINAL], FINAL), ([PASSING], PASSING)],
)
def test_the_worst_is_raised(
    errors: list[Exception], worst: Exception, order: Callable[[list[Exception]], list[Exception]]
) -> None:
    with pytest.raises(type(worst)) as raised:
        raise_worst(order(errors))
    assert raised.value is worst


def test_nothing_is_raised_if_nothing_failed() -> None:
    raise_worst([])


@pytest.mark.parametrize(
    ("error", "by_itself"), [(PASSING, True), (BAD_RECORD, True), (UNFORESEEN, False), (FINAL, False)]
)
def test_what_is_away_or_unreadable_passes_by_itself(error: Exception, *, by_itself: bool) -> None:
    assert passes(error) is by_itself


# ---------------------------------------------------------------------------------------------- its words


async def fail(duties: Duties, error: Exception | None) -> None:
    with suppress(DependencyUnavailableError, UndecodableRecordError):
        await duties.in_turn({"book": Turn().duty("book", error)})


async def test_a_duty_that_fails_for_hours_is_told_of_once_a_minute(clock: VirtualClock) -> None:
    duties, turns = Duties(clock), 3 * QUIET // SECOND
    with structlog.testing.capture_logs() as said:
        for number in range(turns):
            await fail(duties, DependencyUnavailableError("bus", f"away for {number} s"))
            await clock.sleep(1)
    assert [(line["event"], line["duty"]) for line in said] == [("duty_failed", "book")] * 3


async def test_each_change_is_told_at_once(clock: VirtualClock) -> None:
    duties = Duties(clock)
    with structlog.testing.capture_logs() as said:
        for error in (None, PASSING, PASSING, BAD_RECORD, None, None, PASSING):
            await fail(duties, error)
    events = [line["event"] for line in said]
    assert events == ["duty_failed", "duty_failed", "duty_works_again", "duty_failed"]


# ---------------------------------------------------------------------------------------- by the service


@pytest.mark.parametrize("broken", ["trader.order_book", "journal.epoch"])
async def test_what_is_not_told_yet_is_told_beside_a_book_that_can_not_be_read(
    desk: Desk, broken: str
) -> None:
    calls = Calls()
    tracker = await desk.tracker(calls, live=True)
    producer = Calls()
    producer.plan("refuse", "producer.send")
    with pytest.raises(DependencyUnavailableError):
        await desk.engine(producer).handle([await desk.validated(desk.signal())])
    assert desk.told() == []
    for _ in range(2):
        calls.plan("refuse", broken)
        with pytest.raises(DependencyUnavailableError):
            await tracker.look_after()
    assert len(desk.told()) == 1
    assert await desk.open_ids() == []


async def test_without_an_epoch_the_book_is_left_alone(desk: Desk) -> None:
    """A journal that has just come back may have forgotten what the book shows."""
    calls = Calls()
    tracker = await desk.tracker(calls, live=True)
    calls.plan("refuse", "journal.epoch")
    with pytest.raises(DependencyUnavailableError):
        await tracker.look_after()
    assert calls.count("trader.order_book") == 0


async def test_a_producer_that_fails_keeps_no_order_from_expiring(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    await desk.clock.sleep(2 * 24 * 3600)
    calls = Calls()
    tracker = await desk.tracker(calls)
    calls.plan("refuse", "journal.in_doubt")
    with pytest.raises(DependencyUnavailableError):
        await tracker.look_after()
    assert (await desk.entry(signal)).state.terminal


@pytest.mark.parametrize("error", [PASSING, BAD_RECORD], ids=repr)
async def test_what_passes_by_itself_is_counted_and_not_logged_twice(desk: Desk, error: Exception) -> None:
    tracker = await desk.tracker()
    await tracker.counting(Turn().duty("turn", error))()
    assert cast("ServiceStub", tracker.service).errors == 1


@pytest.mark.parametrize("error", [UNFORESEEN, FINAL], ids=repr)
async def test_anything_else_reaches_the_service(desk: Desk, error: Exception) -> None:
    tracker = await desk.tracker()
    with pytest.raises(type(error)):
        await tracker.counting(Turn().duty("turn", error))()
    assert cast("ServiceStub", tracker.service).errors == 0
