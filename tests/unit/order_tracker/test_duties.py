"""One duty that fails keeps no other from its turn, and the service learns of the worst."""

from collections.abc import Callable

import pytest

from alpha_panda.errors import DependencyUnavailableError, FencedError, MisuseError, UndecodableRecordError
from alpha_panda.order_tracker.duties import Duty, in_turn, raise_worst
from unit.engine.desk import Calls, Desk

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
async def test_the_others_have_their_turn(error: Exception) -> None:
    turn = Turn()
    with pytest.raises(type(error)):
        await in_turn({"a": turn.duty("a"), "b": turn.duty("b", error), "c": turn.duty("c")})
    assert turn.done == ["a", "b", "c"]


async def test_a_service_that_must_end_ends_at_once() -> None:
    turn = Turn()
    with pytest.raises(FencedError):
        await in_turn({"a": turn.duty("a", FINAL), "b": turn.duty("b")})
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
