"""Lag and queue of a service, over all that reads for it."""

from collections.abc import Mapping

import pytest

from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.runtime.metrics.catalogue import LAG, QUEUE
from alpha_panda.runtime.metrics.input import InputFigures, total
from alpha_panda.runtime.metrics.metrics import Reading


class Stub:
    """A reader, and a loop around it."""

    def __init__(self, lag: Mapping[str, int], handed: Mapping[str, int]) -> None:
        self.handed = handed
        self.behind = lag
        self.away = False

    @property
    def reader(self) -> "Stub":
        return self

    async def lag(self) -> Mapping[str, int]:
        if self.away:
            raise DependencyUnavailableError("bus", "away")
        return self.behind

    def in_hand(self) -> Mapping[str, int]:
        return {topic: number + 100 for topic, number in self.handed.items()}


def readings(figures: InputFigures) -> set[Reading]:
    return set(figures.read())


async def test_readers_and_loops_are_added_up_by_topic() -> None:
    figures = InputFigures("risk")
    figures.add(Stub({"raw": 3, "filled": 0}, {"raw": 2}))
    figures.add_loop(Stub({"raw": 4}, {"raw": 5}))
    await figures.measure()
    assert readings(figures) == {
        Reading(LAG, ("risk", "raw"), 7),
        Reading(LAG, ("risk", "filled"), 0),
        Reading(QUEUE, ("risk", "raw"), 107),
        Reading(QUEUE, ("risk", "filled"), 0),
    }


async def test_before_the_first_measure_only_the_queue_is_told() -> None:
    figures = InputFigures("risk")
    assert not figures.any
    figures.add(Stub({"raw": 3}, {"raw": 2}))
    assert figures.any
    assert readings(figures) == {Reading(QUEUE, ("risk", "raw"), 2)}


async def test_what_can_not_be_measured_is_told_no_more() -> None:
    figures, reader = InputFigures("risk"), Stub({"raw": 3}, {})
    figures.add(reader)
    await figures.measure()
    reader.away = True
    with pytest.raises(DependencyUnavailableError):
        await figures.measure()
    assert readings(figures) == {Reading(QUEUE, ("risk", "raw"), 0)}
    reader.away = False
    await figures.measure()
    assert Reading(LAG, ("risk", "raw"), 3) in readings(figures)


def test_what_is_0_stays_in_a_total() -> None:
    assert total([{"a": 0, "b": 1}, {"b": 2}]) == {"a": 0, "b": 3}
