import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.errors import (
    AlphaPandaError,
    DependencyUnavailableError,
    FencedError,
    MisuseError,
    SettingsError,
    StrategyError,
    TopicMismatchError,
)
from alpha_panda.ports import Clock, Record
from alpha_panda.runtime.builder import StreamService
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.supervisor import Supervisor
from unit.runtime.world import SUBSCRIPTION, Handler, World


class Factory:
    """Builds services that consume the world's topic; each start may fail as ordered."""

    def __init__(self, world: World, name: str = "engine", diary: list[str] | None = None) -> None:
        self.world, self.name = world, name
        self.diary = [] if diary is None else diary
        self.handler = Handler()
        self.failures: list[Exception] = []
        self.built: list[StreamService] = []

    def __call__(self) -> StreamService:
        async def start() -> None:
            self.diary.append(f"start {self.name}")
            if self.failures:
                raise self.failures.pop(0)

        async def stop() -> None:
            self.diary.append(f"stop {self.name}")

        builder = self.world.builder(instance=self.name).on_start(start).on_stop(stop)
        service = builder.consume(SUBSCRIPTION, self.handler).build()
        self.built.append(service)
        return service


@asynccontextmanager
async def running(world: World, supervisor: Supervisor) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(supervisor.run())
    try:
        await world.settle()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def supervise(world: World, *factories: Factory) -> Supervisor:
    supervisor = Supervisor(world.clock, world.settings)
    for factory in factories:
        supervisor.add(factory.name, factory)
    return supervisor


class TestRestart:
    @pytest.mark.parametrize(
        "error",
        [
            FencedError("stale"),
            DependencyUnavailableError("redis", "down"),
            ZeroDivisionError("surprise"),
        ],
    )
    async def test_a_failed_service_is_built_anew_after_a_back_off(
        self, world: World, error: Exception
    ) -> None:
        factory = Factory(world)
        factory.failures = [error]
        supervisor = supervise(world, factory)
        async with running(world, supervisor):
            assert len(factory.built) == 1
            await world.clock.advance(0.1)
            first, second = factory.built
            assert first is not second
            assert first.get_status().state == "failed"
            assert second.get_status().state == "running"
            assert supervisor.services == {"engine": second}
            assert supervisor.restarts("engine") == 1

    async def test_a_user_s_strategy_that_can_not_even_start_is_given_up_at_once(self, world: World) -> None:
        factory = Factory(world)
        factory.failures = [StrategyError("on_start raised")]
        async with running(world, supervise(world, factory)) as task:
            await world.settle()
            assert task.done()
            with pytest.raises(StrategyError, match="on_start raised"):
                await task
        assert len(factory.built) == 1

    async def test_a_user_s_strategy_that_breaks_later_is_started_again(self, world: World) -> None:
        factory = Factory(world)
        factory.handler.failures = [StrategyError("on_tick raised")]
        await world.produce("a")
        async with running(world, supervise(world, factory)):
            await world.clock.advance(1)
            assert len(factory.built) == 2

    async def test_who_failed_and_has_not_been_ready_since_is_down(self, world: World) -> None:
        factory, sound = Factory(world), Factory(world, "risk")
        error = FencedError("stale")
        factory.failures = [error]
        supervisor = supervise(world, factory, sound)
        async with running(world, supervisor):
            assert supervisor.down == {"engine": error}
            await world.clock.advance(1)
            assert supervisor.down == {}

    async def test_who_was_killed_on_purpose_is_not_down(self, world: World) -> None:
        supervisor = supervise(world, Factory(world))
        async with running(world, supervisor):
            await supervisor.kill("engine", restart=False)
            assert supervisor.down == {}

    async def test_a_member_on_hold_stops_and_is_not_started_again(self, world: World) -> None:
        diary: list[str] = []
        factory = Factory(world, diary=diary)
        supervisor = supervise(world, factory)
        async with running(world, supervisor):
            await supervisor.hold("engine")
            await world.clock.advance(60)
            assert diary == ["start engine", "stop engine"]

    async def test_a_member_on_hold_is_not_started_for_the_first_time_either(self, world: World) -> None:
        factory = Factory(world)
        supervisor = supervise(world, factory)
        await supervisor.hold("engine")
        async with running(world, supervisor):
            await world.clock.advance(60)
            assert factory.built == []

    async def test_the_waits_grow_to_their_cap(self, make_world: Callable[..., World]) -> None:
        world = make_world(restart_max_attempts=12, restart_initial_seconds=1, restart_max_seconds=4)
        factory = Factory(world)
        starts: list[int] = []
        factory.failures = [FencedError("stale")] * 6
        build = factory.__call__

        def timed() -> StreamService:
            starts.append(world.clock.monotonic())
            return build()

        supervisor = Supervisor(world.clock, world.settings)
        supervisor.add("engine", timed)
        async with running(world, supervisor):
            await world.clock.advance(60)
        waits = [(later - earlier) / 1e9 for earlier, later in pairwise(starts)]
        assert len(waits) == 6
        for wait, ceiling in zip(waits, [1, 2, 4, 4, 4, 4], strict=True):
            assert ceiling / 2 <= wait <= ceiling

    async def test_a_record_that_killed_the_service_comes_again_to_the_next(self, world: World) -> None:
        factory = Factory(world)
        factory.handler.failures = [FencedError("stale")]
        await world.produce("a")
        async with running(world, supervise(world, factory)):
            await world.clock.advance(1)
            assert factory.handler.calls == [["a"], ["a"]]
            assert await world.committed() == 1

    async def test_a_service_that_cancels_itself_is_restarted(self, world: World) -> None:
        factory = Factory(world)
        factory.handler.failures = [cast("Exception", asyncio.CancelledError())]
        await world.produce("a")
        async with running(world, supervise(world, factory)):
            await world.clock.advance(1)
            assert len(factory.built) == 2

    async def test_other_services_go_on_meanwhile(self, world: World) -> None:
        sick, well = Factory(world, "sick"), Factory(world, "well")
        sick.failures = [FencedError("stale")] * 3
        async with running(world, supervise(world, sick, well)):
            await world.clock.advance(10)
            assert len(sick.built) == 4
            assert len(well.built) == 1

    async def test_a_build_that_fails_counts_as_a_failed_start(self, world: World) -> None:
        factory, calls = Factory(world), []

        def flaky() -> StreamService:
            calls.append(1)
            if len(calls) < 3:
                raise DependencyUnavailableError("redis", "down")
            return factory()

        supervisor = Supervisor(world.clock, world.settings)
        supervisor.add("engine", flaky)
        async with running(world, supervisor):
            await world.clock.advance(5)
            assert supervisor.services["engine"].get_status().state == "running"


class TestGivingUp:
    async def test_too_many_quick_failures_end_the_run_with_that_error(
        self, make_world: Callable[..., World]
    ) -> None:
        world = make_world(restart_max_attempts=3)
        sick, well = Factory(world, "sick"), Factory(world, "well")
        sick.failures = [FencedError(str(number)) for number in range(9)]
        async with running(world, supervise(world, sick, well)) as run:
            await world.clock.advance(10)
            with pytest.raises(FencedError, match="2"):
                await run
        assert len(sick.built) == 3
        assert well.diary == ["start well", "stop well"]
        assert well.built[0].get_status().state == "stopped"

    @pytest.mark.parametrize("error", [SettingsError("X is 'y'"), TopicMismatchError("4, not 1")])
    async def test_what_a_person_must_put_right_is_not_tried_again(
        self, world: World, error: Exception
    ) -> None:
        factory = Factory(world)
        factory.failures = [error]
        async with running(world, supervise(world, factory)) as run:
            with pytest.raises(type(error)):
                await run
        assert len(factory.built) == 1

    async def test_a_service_that_lived_long_enough_begins_to_count_anew(self) -> None:
        clock = SteppedClock()
        settings = Settings(restart_max_attempts=2, restart_initial_seconds=0.1, restart_max_seconds=0.2)
        lives = [1.0, 1.0, 1.0, 0.0, 0.0]
        run = run_mortals(clock, settings, lives)
        with pytest.raises(FencedError):
            await run
        assert lives == []

    async def test_under_virtual_time_every_failure_counts_as_quick(self) -> None:
        clock = SteppedClock(virtual=True)
        settings = Settings(restart_max_attempts=2, restart_initial_seconds=0.1, restart_max_seconds=0.2)
        lives = [1.0, 1.0, 1.0]
        with pytest.raises(FencedError):
            await run_mortals(clock, settings, lives)
        assert lives == [1.0]


class SteppedClock(RealClock):
    """A clock whose monotonic time a test moves; sleeping takes none."""

    def __init__(self, *, virtual: bool = False) -> None:
        self.ns = 0
        self._virtual = virtual

    @property
    def virtual(self) -> bool:
        return self._virtual

    def monotonic(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Mortal:
    """What the supervisor needs of a service; lives so many seconds."""

    def __init__(self, clock: SteppedClock, seconds: float) -> None:
        self.ready = asyncio.Event()
        self._clock, self._seconds = clock, seconds

    async def run(self) -> None:
        self._clock.ns += round(self._seconds * 1e9)
        raise FencedError(f"after {self._seconds} s")

    async def stop(self) -> None:
        return


async def run_mortals(clock: SteppedClock, settings: Settings, lives: list[float]) -> None:
    supervisor = Supervisor(cast("Clock", clock), settings)
    supervisor.add("mortal", lambda: cast("StreamService", cast("Any", Mortal(clock, lives.pop(0)))))
    await supervisor.run()


class TestStop:
    async def test_members_stop_gracefully_in_the_order_given_then_as_added(self, world: World) -> None:
        diary: list[str] = []
        factories = [Factory(world, name, diary) for name in ("tracker", "risk", "feed", "engine")]
        supervisor = supervise(world, *factories)
        async with running(world, supervisor) as run:
            await supervisor.stop(order=["feed", "risk"])
            await run
        assert diary[4:] == ["stop feed", "stop risk", "stop tracker", "stop engine"]

    async def test_a_member_that_waits_for_its_restart_is_not_started_again(self, world: World) -> None:
        factory = Factory(world)
        factory.failures = [FencedError("stale")]
        supervisor = supervise(world, factory)
        task = asyncio.create_task(supervisor.run())
        with world.clock.hold():
            for _ in range(30):
                await asyncio.sleep(0)
            await supervisor.stop()
            await task
        await world.clock.advance(10)
        assert len(factory.built) == 1

    async def test_a_stop_before_the_run_lets_it_end_at_once(self, world: World) -> None:
        factory = Factory(world)
        supervisor = supervise(world, factory)
        await supervisor.stop()
        await asyncio.wait_for(supervisor.run(), timeout=5)
        assert factory.diary == []

    async def test_a_failure_while_stopping_is_neither_restarted_nor_given_up(
        self, make_world: Callable[..., World]
    ) -> None:
        world = make_world(restart_max_attempts=1)

        async def fail() -> None:
            raise ZeroDivisionError

        built = []

        def build() -> StreamService:
            built.append(1)
            return world.builder().on_stop(fail).build()

        supervisor = Supervisor(world.clock, world.settings)

        async def linger() -> None:
            await world.clock.sleep(1)

        supervisor.add("engine", build)
        supervisor.add("tracker", lambda: world.builder().on_stop(linger).build())
        async with running(world, supervisor) as run:
            await supervisor.stop()
            await run
        assert built == [1]
        assert supervisor.services["tracker"].get_status().state == "stopped"

    async def test_cancelling_the_run_kills_all_members(self, world: World) -> None:
        factories = [Factory(world, "one"), Factory(world, "two")]
        async with running(world, supervise(world, *factories)) as run:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        assert [factory.built[0].get_status().state for factory in factories] == ["killed", "killed"]
        assert [factory.diary for factory in factories] == [["start one"], ["start two"]]

    async def test_an_order_of_unknown_names_is_refused(self, world: World) -> None:
        supervisor = supervise(world, Factory(world))
        async with running(world, supervisor):
            with pytest.raises(MisuseError, match="no member 'feed'; there are engine"):
                await supervisor.stop(order=["feed"])


class TestKill:
    async def test_a_killed_member_starts_afresh_at_once_and_its_records_come_again(
        self, world: World
    ) -> None:
        factory, gate = Factory(world), asyncio.Event()
        seen = []

        async def slow(records: Sequence[Record]) -> None:
            seen.append([record.value for record in records])
            await gate.wait()

        factory.handler = cast("Handler", slow)
        await world.produce("a")
        supervisor = supervise(world, factory)
        async with running(world, supervisor):
            await supervisor.kill("engine")
            await world.settle()
            gate.set()
            await world.settle()
            assert seen == [[b"a"], [b"a"]]
            assert await world.committed() == 1
            assert "stop engine" not in factory.diary

    async def test_kills_are_no_failures(self, make_world: Callable[..., World]) -> None:
        world = make_world(restart_max_attempts=2)
        factory = Factory(world)
        supervisor = supervise(world, factory)
        async with running(world, supervisor) as run:
            for _ in range(10):
                await supervisor.kill("engine")
                await world.settle()
            assert not run.done()
            assert len(factory.built) == 11

    async def test_a_member_killed_for_good_stays_dead_until_it_is_revived(self, world: World) -> None:
        factory = Factory(world)
        supervisor = supervise(world, factory)
        async with running(world, supervisor) as run:
            await supervisor.kill("engine", restart=False)
            await world.clock.advance(60)
            assert len(factory.built) == 1
            with pytest.raises(MisuseError, match="'engine' is not running"):
                await supervisor.kill("engine")
            supervisor.revive("engine")
            await world.settle()
            assert len(factory.built) == 2
            with pytest.raises(MisuseError, match="'engine' is running"):
                supervisor.revive("engine")
            await supervisor.stop()
            await run
        assert factory.diary[-1] == "stop engine"


class TestOrderOfStart:
    async def test_a_member_waits_until_those_before_it_have_been_ready(self, world: World) -> None:
        diary: list[str] = []
        engine, feed = Factory(world, "engine", diary), Factory(world, "feed", diary)
        engine.failures = [DependencyUnavailableError("redis", "down")] * 2
        supervisor = supervise(world, engine)
        supervisor.add("feed", feed, after=["engine"])
        async with running(world, supervisor):
            await supervisor.wait_ready()
            assert diary == ["start engine", "start engine", "start engine", "start feed"]

    async def test_its_restart_does_not_wait_again(self, world: World) -> None:
        engine, feed = Factory(world, "engine"), Factory(world, "feed")
        supervisor = supervise(world, engine)
        supervisor.add("feed", feed, after=["engine"])
        async with running(world, supervisor):
            await supervisor.wait_ready()
            await supervisor.kill("engine", restart=False)
            await supervisor.kill("feed")
            await world.settle()
            assert len(feed.built) == 2

    async def test_waiting_for_readiness_ends_with_the_run(self, world: World) -> None:
        factory = Factory(world)
        factory.failures = [TopicMismatchError("4, not 1")]
        supervisor = supervise(world, factory)
        async with running(world, supervisor) as run:
            await asyncio.wait_for(supervisor.wait_ready(), timeout=5)
            with pytest.raises(AlphaPandaError):
                await run

    @pytest.mark.parametrize(("name", "after"), [("engine", []), ("feed", ["risk"])])
    def test_names_are_unique_and_known(self, world: World, name: str, after: list[str]) -> None:
        supervisor = supervise(world, Factory(world))
        with pytest.raises(MisuseError):
            supervisor.add(name, Factory(world), after=after)


async def test_statuses_come_in_the_order_of_adding(world: World) -> None:
    supervisor = supervise(world, Factory(world, "b"), Factory(world, "a"))
    async with running(world, supervisor):
        assert [status.instance for status in supervisor.statuses()] == ["b", "a"]


async def test_a_renewed_member_is_stopped_gracefully_and_built_anew_at_once(world: World) -> None:
    diary: list[str] = []
    supervisor = Supervisor(world.clock, world.settings)
    factory = Factory(world, diary=diary)
    supervisor.add("engine", factory)
    async with running(world, supervisor) as task:
        await supervisor.renew("engine")
        await world.settle()
        assert diary == ["start engine", "stop engine", "start engine"]
        assert supervisor.services["engine"] is factory.built[1]
        assert supervisor.restarts("engine") == 0, "nothing had failed"
        await supervisor.renew("engine")
        await world.settle()
        await supervisor.stop()
        assert len(factory.built) == 3
        await asyncio.wait_for(task, 5)


async def test_nothing_is_renewed_that_does_not_run(world: World) -> None:
    supervisor = Supervisor(world.clock, world.settings)
    factory = Factory(world)
    supervisor.add("engine", factory)
    await supervisor.renew("engine")
    assert factory.built == []
