"""What a run leaves behind."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from alpha_panda.testing.simulation import run
from alpha_panda.testing.simulation.profiles import CALM
from alpha_panda.testing.simulation.world import World


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> list["weakref.ref[World]"]:
    made: list[weakref.ref[World]] = []

    class Watched(World):
        def start(self) -> None:
            made.append(weakref.ref(self))
            assert not gc.isenabled()
            super().start()

    monkeypatch.setattr(run, "World", Watched)
    return made


@pytest.fixture(params=[True, False], ids=["collecting", "not collecting"])
def collecting(request: pytest.FixtureRequest) -> Iterator[bool]:
    """How a user may have set the collector."""
    before = gc.isenabled()
    wanted: bool = request.param
    (gc.enable if wanted else gc.disable)()
    yield wanted
    (gc.enable if before else gc.disable)()


@pytest.mark.usefixtures("collecting")
def test_no_world_outlives_its_run(worlds: list["weakref.ref[World]"]) -> None:
    reports = [run.simulate(seed, CALM) for seed in range(2)]
    assert [report.violations for report in reports] == [[]] * 2
    assert [world() for world in worlds] == [None] * 2


@pytest.mark.usefixtures("worlds")
def test_the_collector_is_as_before(collecting: bool) -> None:
    run.simulate(1, CALM)
    assert gc.isenabled() is collecting


def test_the_collector_is_as_before_when_a_run_breaks(
    monkeypatch: pytest.MonkeyPatch,
    collecting: bool,
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "World", broken)
    with pytest.raises(ZeroDivisionError):
        run.simulate(1, CALM)
    assert gc.isenabled() is collecting
