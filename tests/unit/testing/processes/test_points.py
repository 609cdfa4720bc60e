from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.errors import MisuseError
from alpha_panda.testing.processes.harming import Harming, matches
from alpha_panda.testing.processes.points import Harm, Moment, PlanFile, Point

OPERATIONS = st.sampled_from(["journal.begin", "producer.send(signals.validated)", "prices.write"])


@given(
    st.builds(
        Point,
        OPERATIONS,
        st.sampled_from(Moment),
        st.sampled_from(Harm),
        st.integers(min_value=1, max_value=99),
    )
)
def test_a_point_is_read_as_it_was_written(point: Point) -> None:
    assert Point.parse(str(point)) == point


@pytest.mark.parametrize(
    "text",
    ["", "journal.begin", "journal.begin:during:1=kill", "journal.begin:after:0=kill", "begin:after:1=kill"],
)
def test_what_is_no_point_is_refused_with_its_shape(text: str) -> None:
    with pytest.raises(MisuseError, match="is no point"):
        Point.parse(text)


def test_an_ending_names_topics_whatever_their_prefix() -> None:
    assert matches("producer.send(orders.filled)", "producer.send(t1.main.orders.filled)")
    assert matches("producer.send(orders.filled)", "producer.send(t.a.orders.failed,t.a.orders.filled)")
    assert matches("producer.send", "producer.send(t1.main.orders.filled)")
    assert not matches("producer.send(orders.filled)", "producer.send(t1.main.orders.filled.dlq)")
    assert not matches("producer.send(orders.filled)", "journal.begin")
    assert not matches("journal.begin", "journal.begin_more")


def test_a_file_strikes_one_of_all_who_watch_it(tmp_path: Path) -> None:
    first, second = PlanFile(tmp_path / "plan"), PlanFile(tmp_path / "plan")
    point = Point("journal.begin", Moment.AFTER)
    assert first.read() == (None, False)
    first.write(point)
    assert first.read() == (point, True)
    assert first.read() == (point, False)
    assert second.read() == (point, True)
    assert [second.claim(), first.claim()] == [True, False]
    assert not first.armed
    assert first.read() == (None, False)


class Struck(Exception):  # noqa: N818 - what a test's strike raises
    pass


class Harmed:
    """A process whose harms are noted instead of done; `calls` are those that took effect."""

    def __init__(self, path: Path) -> None:
        self.plan = PlanFile(path)
        self.taps = Harming(self.plan, self._strike)
        self.calls: list[str] = []
        self.struck: list[Harm] = []

    async def _strike(self, harm: Harm) -> None:
        self.struck.append(harm)
        raise Struck

    async def call(self, operation: str) -> None:
        async def effect() -> None:
            self.calls.append(operation)

        await self.taps.meet("engine", operation, effect)


async def test_before_a_call_nothing_happened_and_after_it_all_did(tmp_path: Path) -> None:
    harmed = Harmed(tmp_path / "plan")
    await harmed.call("journal.begin")
    harmed.plan.write(Point("journal.begin", Moment.BEFORE))
    with pytest.raises(Struck):
        await harmed.call("journal.begin")
    assert harmed.calls == ["journal.begin"]
    harmed.plan.write(Point("journal.begin", Moment.AFTER, Harm.STOP))
    with pytest.raises(Struck):
        await harmed.call("journal.begin")
    assert harmed.calls == ["journal.begin"] * 2
    assert harmed.struck == [Harm.KILL, Harm.STOP]
    await harmed.call("journal.begin")  # once only


async def test_calls_are_counted_from_when_the_point_was_armed(tmp_path: Path) -> None:
    harmed = Harmed(tmp_path / "plan")
    await harmed.call("prices.read")
    harmed.plan.write(Point("prices.read", Moment.BEFORE, nth=3))
    await harmed.call("prices.read")
    await harmed.call("prices.write")
    await harmed.call("prices.read")
    with pytest.raises(Struck):
        await harmed.call("prices.read")


async def test_without_a_point_calls_pass(tmp_path: Path) -> None:
    harmed = Harmed(tmp_path / "plan")
    for _ in range(3):
        await harmed.call("journal.begin")
    assert harmed.calls == ["journal.begin"] * 3
    assert harmed.struck == []
