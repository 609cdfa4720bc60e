import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import (
    DependencyUnavailableError,
    FencedError,
    MisuseError,
    RecordError,
    TopicMismatchError,
    UndecodableRecordError,
)
from alpha_panda.ports import Outgoing, Producer, Record, Subscription
from unit.runtime.world import SUBSCRIPTION, TOPIC, Handler, World, headers_of

if TYPE_CHECKING:
    from alpha_panda.runtime.builder import StreamService

LEASE = "engine:paper"


class Diary:
    """Actions that write down when they ran."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def action(self, line: str) -> Callable[[], Any]:
        async def act() -> None:
            self.lines.append(line)

        return act

    async def acquired(self, epoch: int) -> None:
        self.lines.append(f"lease {epoch}")

    async def handle(self, records: Sequence[Record]) -> None:
        self.lines += [f"record {record.value.decode()}" for record in records]


async def fail_start() -> None:
    raise DependencyUnavailableError("redis", "down")


class TestLife:
    async def test_start_comes_before_consuming_and_stop_after(self, world: World) -> None:
        diary = Diary()
        service = (
            world.builder()
            .with_lease(LEASE, diary.acquired)
            .on_start(diary.action("start 1"))
            .on_start(diary.action("start 2"))
            .consume(SUBSCRIPTION, diary.handle)
            .on_stop(diary.action("stop 1"))
            .on_stop(diary.action("stop 2"))
            .build()
        )
        await world.produce("a")
        async with world.running(service) as run:
            assert service.ready.is_set()
            await service.stop()
            await run
        assert diary.lines == ["lease 1", "start 1", "start 2", "record a", "stop 1", "stop 2"]
        assert service.get_status().state == "stopped"

    async def test_the_producer_is_usable_from_on_start_on(self, world: World) -> None:
        service: StreamService

        async def announce() -> None:
            await service.producer.send([Outgoing(TOPIC, b"hello", key="k")])

        service = world.builder().on_start(announce).build()
        with pytest.raises(MisuseError, match="from on_start on"):
            _ = service.producer
        async with world.running(service):
            assert [record.value for record in await world.records(TOPIC)] == [b"hello"]

    async def test_a_failing_start_ends_the_service_before_it_consumes(self, world: World) -> None:
        handler = Handler()
        await world.produce("a")
        service = world.builder().on_start(fail_start).consume(SUBSCRIPTION, handler).build()
        async with world.running(service) as run:
            with pytest.raises(DependencyUnavailableError):
                await run
        assert handler.calls == []
        assert not service.ready.is_set()
        assert service.get_status().state == "failed"

    async def test_topics_are_ensured_and_a_mismatch_ends_it(self, world: World) -> None:
        await world.bus.ensure_topics([TopicSpec(TOPIC, 4)])
        async with world.running(world.builder().build()) as run:
            with pytest.raises(TopicMismatchError):
                await run

    async def test_it_runs_once(self, world: World) -> None:
        service = world.builder().build()
        async with world.running(service):
            with pytest.raises(MisuseError, match="has been run before"):
                await service.run()

    async def test_a_kill_commits_nothing_and_runs_no_stop_action(self, world: World) -> None:
        diary, gate = Diary(), asyncio.Event()

        async def slow(_records: Sequence[Record]) -> None:
            await gate.wait()

        await world.produce("a")
        service = world.builder().consume(SUBSCRIPTION, slow).on_stop(diary.action("stop")).build()
        async with world.running(service) as run:
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        assert diary.lines == []
        assert await world.committed() is None
        assert service.get_status().state == "killed"

    async def test_a_kill_during_the_drain_commits_nothing_either(self, world: World) -> None:
        done = []

        async def slow(records: Sequence[Record]) -> None:
            if len(records) > 1:
                raise RecordError("one by one, please")
            if records[0].value == b"b":
                await asyncio.Event().wait()
            done.append(records[0].value)

        await world.produce("a", "b")
        service = world.builder().consume(SUBSCRIPTION, slow).build()
        async with world.running(service) as run:
            stopping = asyncio.create_task(service.stop())
            await world.settle()
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            await stopping
        assert done == [b"a"]
        assert await world.committed() is None

    async def test_it_leaves_its_group_when_it_ends(self, world: World) -> None:
        async with world.running(world.builder().consume(SUBSCRIPTION, Handler()).build()) as run:
            generation = world.bus.generation(SUBSCRIPTION.group)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            assert world.bus.generation(SUBSCRIPTION.group) > generation


class TestStop:
    async def test_records_in_hand_are_finished_and_committed(self, world: World) -> None:
        gate = asyncio.Event()
        done: list[Record] = []

        async def slow(records: Sequence[Record]) -> None:
            await gate.wait()
            done.extend(records)

        await world.produce("a", "b")
        service = world.builder().consume(SUBSCRIPTION, slow).build()
        async with world.running(service) as run:
            stopping = asyncio.create_task(service.stop())
            await asyncio.sleep(0)
            assert service.get_status().state == "stopping"
            gate.set()
            await stopping
            await run
        assert len(done) == 2
        assert await world.committed() == 2

    async def test_a_retry_in_progress_is_finished_too(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: ZeroDivisionError("by zero")
        await world.produce("a")
        service = world.builder().consume(SUBSCRIPTION, handler).build()
        async with world.running(service) as run:
            with world.clock.hold():
                stopping = asyncio.create_task(service.stop())
                await asyncio.sleep(0)
            await stopping
            await run
        assert len(await world.letters()) == 1
        assert await world.committed() == 1

    async def test_what_takes_longer_than_the_drain_time_is_cut_off_uncommitted(
        self, make_world: Callable[..., World]
    ) -> None:
        world, diary = make_world(drain_timeout_seconds=0.05), Diary()

        async def endless(_records: Sequence[Record]) -> None:
            await asyncio.Event().wait()

        await world.produce("a")
        service = world.builder().consume(SUBSCRIPTION, endless).on_stop(diary.action("stop")).build()
        async with world.running(service) as run:
            await service.stop()
            await run
        assert await world.committed() is None
        assert diary.lines == []

    async def test_a_stop_before_the_run_lets_it_do_nothing(self, world: World) -> None:
        diary = Diary()
        service = world.builder().on_start(diary.action("start")).build()
        await service.stop()
        await service.run()
        assert diary.lines == []
        assert service.get_status().state == "stopped"

    async def test_a_stop_twice_is_one_stop(self, world: World) -> None:
        diary = Diary()
        service = world.builder().on_stop(diary.action("stop")).build()
        async with world.running(service) as run:
            await asyncio.gather(service.stop(), service.stop())
            await run
            await service.stop()
        assert diary.lines == ["stop"]

    async def test_an_error_of_a_stop_action_is_not_swallowed(self, world: World) -> None:
        service = world.builder().on_stop(fail_start).build()
        async with world.running(service) as run:
            await service.stop()
            with pytest.raises(DependencyUnavailableError):
                await run

    async def test_a_stop_while_it_waits_for_the_lease_ends_it(self, world: World) -> None:
        await world.lease.acquire(LEASE, "pod-0", 1e9)
        diary = Diary()
        service = world.builder().with_lease(LEASE, diary.acquired).on_stop(diary.action("stop")).build()
        task = asyncio.create_task(service.run())
        with world.clock.hold():
            for _ in range(10):
                await asyncio.sleep(0)
            assert service.get_status().state == "waiting-for-lease"
            await service.stop()
            await task
        assert diary.lines == []


class TestLease:
    async def test_losing_the_lease_ends_the_service_uncommitted(self, world: World) -> None:
        service = world.builder().with_lease(LEASE).consume(SUBSCRIPTION, Handler()).build()
        async with world.running(service) as run:
            world.database.faults.refuse("renew")
            await world.lease.release(LEASE, "pod-1", 1)
            await world.clock.advance(10)
            with pytest.raises(FencedError):
                await run

    async def test_the_lease_is_kept_while_it_runs_and_free_after_the_stop(self, world: World) -> None:
        service = world.builder().with_lease(LEASE).build()
        async with world.running(service) as run:
            await world.clock.advance(60)
            assert await world.lease.acquire(LEASE, "pod-2", 10) is None
            await service.stop()
            await run
        assert await world.lease.acquire(LEASE, "pod-2", 10) == 2

    async def test_a_killed_service_leaves_the_lease_to_run_out(self, world: World) -> None:
        async with world.running(world.builder().with_lease(LEASE).build()):
            pass
        assert await world.lease.acquire(LEASE, "pod-2", 10) is None

    async def test_the_lease_is_renewed_while_start_and_stop_actions_run(self, world: World) -> None:
        async def long() -> None:
            await world.clock.sleep(50)
            assert await world.lease.acquire(LEASE, "pod-2", 10) is None

        service = world.builder().with_lease(LEASE).on_start(long).on_stop(long).build()
        async with world.running(service) as run:
            await world.clock.advance(60)
            assert service.ready.is_set()
            await service.stop()
            await run

    async def test_losing_the_lease_interrupts_the_start(self, world: World) -> None:
        async def long() -> None:
            await world.lease.release(LEASE, "pod-1", 1)
            await world.clock.sleep(3600)

        async with world.running(world.builder().with_lease(LEASE).on_start(long).build()) as run:
            await world.clock.advance(10)
            with pytest.raises(FencedError):
                await run

    def test_a_service_has_one_lease(self, world: World) -> None:
        with pytest.raises(MisuseError, match="holds the lease 'engine:paper' already"):
            world.builder().with_lease(LEASE).with_lease("other")


class TestRunners:
    async def test_a_runner_has_the_producer_and_is_cancelled_at_the_stop(self, world: World) -> None:
        seen: list[object] = []

        async def runner(producer: Producer) -> None:
            seen.append(producer)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        service = world.builder().consume_with(runner, "loop").build()
        async with world.running(service) as run:
            assert seen == [service.producer]
            await service.stop()
            await run
        assert seen[1:] == ["cancelled"]

    async def test_a_runner_that_uses_intake_finishes_what_it_has_in_hand(self, world: World) -> None:
        service: StreamService
        gate, handled = asyncio.Event(), []

        async def runner(_producer: Producer) -> None:
            async with world.bus.consumer(Subscription("mine", topics=(TOPIC,))) as consumer:
                while True:
                    records = await service.intake(consumer.fetch(10))
                    await gate.wait()
                    handled.extend(records)
                    service.record_processed(len(records), records[-1].timestamp)

        service = world.builder().consume_with(runner, "loop").build()
        await world.produce("a")
        async with world.running(service) as run:
            stopping = asyncio.create_task(service.stop())
            await asyncio.sleep(0)
            assert service.stopping
            gate.set()
            await stopping
            await run
        assert len(handled) == 1
        assert service.get_status().processed == 1

    async def test_an_error_of_a_runner_ends_the_service(self, world: World) -> None:
        async def runner(_producer: Producer) -> None:
            raise ZeroDivisionError

        async with world.running(world.builder().consume_with(runner, "loop").build()) as run:
            with pytest.raises(ZeroDivisionError):
                await run

    async def test_a_runner_can_set_a_record_aside(self, world: World) -> None:
        await world.bus.ensure_topics([TopicSpec(f"{TOPIC}.dlq", 1)])
        await world.produce("a")
        (record,) = await world.records(TOPIC)
        service = world.builder().build()
        with pytest.raises(MisuseError, match="not running yet"):
            await service.dead_letter(record, RecordError("bad"))
        async with world.running(service):
            await service.dead_letter(record, UndecodableRecordError("bad"), attempts=2)
        (letter,) = await world.letters()
        assert headers_of(letter)["dlq.code"] == "UNDECODABLE"
        assert headers_of(letter)["dlq.attempts"] == "2"
        assert service.get_status().dead_lettered == 1


class TestEvery:
    async def test_an_action_runs_each_period(self, world: World) -> None:
        diary = Diary()
        async with world.running(world.builder().every(2, diary.action("tick"), name="tick").build()):
            await world.pass_seconds(9)
        assert diary.lines == ["tick"] * 4

    async def test_a_transient_or_record_error_waits_for_the_next_turn(self, world: World) -> None:
        action = Failing(*[DependencyUnavailableError("redis", "down"), RecordError("bad")] * 5)
        service = world.builder().every(1, action, name="act").build()
        async with world.running(service):
            await world.pass_seconds(20)
            assert action.calls == 20
            assert service.get_status().errors == 10

    async def test_unexpected_errors_in_a_row_end_the_service(self, world: World) -> None:
        action = Failing(KeyError("1"), None, KeyError("2"), KeyError("3"))
        async with world.running(world.builder().every(1, action, name="act").build()) as run:
            await world.pass_seconds(20)
            with pytest.raises(KeyError, match="3"):
                await run
        assert action.calls == 4

    async def test_an_error_that_must_exit_ends_the_service_at_once(self, world: World) -> None:
        action = Failing(FencedError("stale"))
        async with world.running(world.builder().every(1, action, name="act").build()) as run:
            await world.clock.advance(2)
            with pytest.raises(FencedError):
                await run

    async def test_a_stop_lets_a_running_action_finish(self, world: World) -> None:
        gate, diary = asyncio.Event(), Diary()

        async def slow() -> None:
            await gate.wait()
            diary.lines.append("done")

        service = world.builder().every(1, slow, name="slow").build()
        async with world.running(service) as run:
            await world.clock.advance(1)
            stopping = asyncio.create_task(service.stop())
            await asyncio.sleep(0)
            gate.set()
            await stopping
            await run
        assert diary.lines == ["done"]


class Failing:
    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


class TestStatus:
    async def test_every_service_tells_the_same_figures_and_its_own(self, world: World) -> None:
        service = world.builder().details(lambda: {"open": 3}).details(lambda: {"mode": "x"}).build()
        begun = world.clock.now()
        service.record_processed(2, 200)
        service.record_processed(1, 100)
        service.record_error()
        assert service.get_status() == ServiceStatus(
            service="engine",
            resource="paper",
            instance="pod-1",
            state="created",
            processed=3,
            errors=1,
            dead_lettered=0,
            last_event_ts=200,
            started_at=begun,
            details={"open": 3, "mode": "x"},
        )

    async def test_it_is_written_at_once_and_renewed_before_it_expires(self, world: World) -> None:
        async with world.running(world.builder().build()):
            for _ in range(10):
                assert [status.state for status in await world.statuses.all()] == ["running"]
                await world.clock.advance(7)
        await world.clock.advance(20)
        assert await world.statuses.all() == []

    async def test_a_status_that_can_not_be_written_stops_nothing(self, world: World) -> None:
        service = world.builder().build()
        world.database.faults.refuse("put")
        world.database.faults.lose_reply("put")
        async with world.running(service) as run:
            await world.clock.advance(60)
            assert not run.done()
            assert service.get_status().errors == 2

    async def test_details_that_raise_stop_nothing(self, world: World) -> None:
        def broken() -> dict[str, Any]:
            raise ZeroDivisionError

        async with world.running(world.builder().details(broken).build()) as run:
            await world.clock.advance(11)
            assert not run.done()


async def test_lines_of_a_service_carry_its_name_in_all_its_tasks(world: World) -> None:
    structlog.contextvars.clear_contextvars()  # of a test before: one that was killed unbinds nothing
    log = structlog.get_logger()

    async def handler(_records: Sequence[Record]) -> None:
        log.info("handled")

    await world.produce("a")
    service = world.builder().log_fields(account="paper").consume(SUBSCRIPTION, handler).build()
    processors = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(processors=processors) as lines:
        async with world.running(service):
            pass
        log.info("outside")
    handled = next(line for line in lines if line["event"] == "handled")
    outside = next(line for line in lines if line["event"] == "outside")
    assert {key: handled[key] for key in ("service_name", "resource", "instance", "account")} == {
        "service_name": "engine",
        "resource": "paper",
        "instance": "pod-1",
        "account": "paper",
    }
    assert "service_name" not in outside


class TestLivenessOfTheStart:
    """Nothing of the start may count as stuck that only waits, or that says that it goes on."""

    async def test_waiting_for_the_lease_is_not_being_stuck(self, make_world: Callable[..., World]) -> None:
        world = make_world(stall_seconds=0.02)
        await world.lease.acquire(LEASE, "pod-0", 1e9)
        service = world.builder().with_lease(LEASE).build()
        task = asyncio.create_task(service.run())
        with world.clock.hold():
            for _ in range(3):
                await asyncio.sleep(0.02)
                assert service.get_status().state == "waiting-for-lease"
                assert service.stuck() == []
            await service.stop()
            await task

    @pytest.mark.parametrize("tells", [True, False])
    async def test_long_work_at_the_start_is_stuck_unless_it_tells_that_it_goes_on(
        self, make_world: Callable[..., World], *, tells: bool
    ) -> None:
        world, stuck = make_world(stall_seconds=0.1), list[list[str]]()

        async def long_work(_epoch: int = 0) -> None:
            for _ in range(8):
                await asyncio.sleep(0.02)
                if tells:
                    service.progressed()
            stuck.append(service.stuck())

        async def also() -> None:
            await long_work()

        service = world.builder().with_lease(LEASE, long_work).on_start(also).build()
        with world.clock.hold():
            task = asyncio.create_task(service.run())
            await service.ready.wait()
            await service.stop()
            await task
        told = [[], []] if tells else [["engine: 'start' busy for 0 s"]] * 2
        assert stuck == told
