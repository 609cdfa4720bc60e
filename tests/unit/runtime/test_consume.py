import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.topics import TopicSpec, dlq
from alpha_panda.errors import (
    BreakerOpenError,
    DependencyUnavailableError,
    FencedError,
    RebalancedError,
    RecordError,
    TransientError,
    UndecodableRecordError,
    UnknownOutcomeError,
)
from alpha_panda.ports import Record, Subscription, TopicPartition
from alpha_panda.runtime.builder import BreakerAction, StreamService
from unit.runtime.world import GROUP, SUBSCRIPTION, TOPIC, Handler, World, headers_of

DLQ = dlq(TOPIC)


def down(dependency: str = "redis") -> DependencyUnavailableError:
    return DependencyUnavailableError(dependency, "no answer")


def consuming(
    world: World, handler: Callable[[Sequence[Record]], Awaitable[None]], **options: Any
) -> StreamService:
    return world.builder().consume(SUBSCRIPTION, handler, **{"lanes": world.lanes, **options}).build()


@pytest.fixture(params=[0, 4], ids=["batches", "lanes"])
def either_mode(request: pytest.FixtureRequest, world: World) -> None:
    """Consume in batches, and in lanes: the promises are the same."""
    world.lanes = request.param


class Told:
    """An `on_dead_letter` that records what it was told, and fails as ordered."""

    def __init__(self, *failures: Exception) -> None:
        self.calls: list[tuple[str, Code, str]] = []
        self.failures = list(failures)

    async def __call__(self, record: Record, code: Code, message: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append((record.value.decode(), code, message))


class TestBatches:
    async def test_a_handler_gets_a_whole_batch_and_it_is_committed_after(self, world: World) -> None:
        handler = Handler()
        await world.produce("a", "b", "c")
        async with world.running(consuming(world, handler)):
            assert handler.calls == [["a", "b", "c"]]
            assert await world.committed() == 3

    async def test_a_batch_is_never_larger_than_asked_for(self, world: World) -> None:
        handler = Handler()
        await world.produce("a", "b", "c")
        async with world.running(consuming(world, handler, max_records=2)):
            assert handler.calls == [["a", "b"], ["c"]]

    async def test_the_settings_limit_a_batch_by_default(self, make_world: Callable[..., World]) -> None:
        world, handler = make_world(fetch_max_records=1), Handler()
        await world.produce("a", "b")
        async with world.running(consuming(world, handler)):
            assert handler.calls == [["a"], ["b"]]

    async def test_nothing_is_committed_before_the_handler_is_done(self, world: World) -> None:
        gate = asyncio.Event()

        async def slow(_records: Sequence[Record]) -> None:
            await gate.wait()

        await world.produce("a")
        async with world.running(world.builder().consume(SUBSCRIPTION, slow).build()):
            assert await world.committed() is None
            gate.set()
            await world.settle()
            assert await world.committed() == 1

    async def test_without_commit_nothing_is_ever_committed(self, world: World) -> None:
        handler = Handler()
        await world.produce("a")
        service = consuming(world, handler, commit=False)
        async with world.running(service):
            await service.stop()
        assert handler.calls == [["a"]]
        assert await world.committed() is None

    async def test_a_batch_that_failed_is_repeated_record_by_record(self, world: World) -> None:
        handler = Handler()
        handler.poison["b"] = lambda: UndecodableRecordError("b is no JSON")
        await world.produce("a", "b", "c")
        service = consuming(world, handler)
        async with world.running(service):
            assert handler.calls == [["a", "b", "c"], ["a"], ["b"], ["c"]]
            assert await world.committed() == 3
            assert [letter.value for letter in await world.letters()] == [b"b"]
            assert (service.get_status().errors, service.get_status().dead_lettered) == (2, 1)

    async def test_a_stop_ends_the_wait_and_commits_what_was_done_before_it(self, world: World) -> None:
        handler = Handler()
        handler.poison["b"] = down
        await world.produce("a", "b", "c")
        service = consuming(world, handler)
        async with world.running(service) as run:
            await world.clock.advance(5)
            await service.stop()
            await run
        assert await world.committed() == 1
        assert await world.letters() == []
        assert ["c"] not in handler.calls

    async def test_a_batch_is_not_tried_as_a_whole_while_a_dependency_is_in_doubt(self, world: World) -> None:
        handler = Handler()
        handler.failures = [down()] * 5
        await world.produce("a")
        async with world.running(consuming(world, handler)):
            await world.clock.advance(5)
            await world.produce("b", "c")
            await world.clock.advance(10)
            assert handler.calls == [["a"]] * 6 + [["b", "c"]]


@pytest.mark.usefixtures("either_mode")
class TestRetries:
    async def test_a_record_error_is_not_retried_and_its_letter_tells_all(self, world: World) -> None:
        handler, told = Handler(), Told()
        handler.poison["a"] = lambda: UndecodableRecordError("not JSON")
        await world.produce("a")
        async with world.running(consuming(world, handler, on_dead_letter=told)):
            assert handler.calls == [["a"]]
            (letter,) = await world.letters()
        assert (letter.key, letter.value) == ("a", b"a")
        assert {**headers_of(letter), "dlq.timestamp": "-"} == {
            "traceparent": "00-1",
            "dlq.topic": TOPIC,
            "dlq.partition": "0",
            "dlq.offset": "0",
            "dlq.timestamp": "-",
            "dlq.code": "UNDECODABLE",
            "dlq.message": "not JSON",
            "dlq.error": "UndecodableRecordError",
            "dlq.service": "engine",
            "dlq.attempts": "1",
        }
        assert told.calls == [("a", Code.UNDECODABLE, "not JSON")]

    async def test_a_transient_error_that_passes_leaves_no_letter(self, world: World) -> None:
        handler = Handler()
        handler.failures = [TransientError("busy"), TransientError("busy")]
        await world.produce("a")
        async with world.running(consuming(world, handler)):
            await world.clock.advance(1)
            assert handler.calls == [["a"]] * 3
            assert await world.letters() == []
            assert await world.committed() == 1

    async def test_the_waits_between_attempts_grow(self, world: World) -> None:
        begun = world.clock.monotonic()
        times = []

        async def fail(_records: Sequence[Record]) -> None:
            times.append((world.clock.monotonic() - begun) / 1e9)
            raise TransientError("busy")

        await world.produce("a")
        async with world.running(world.builder().consume(SUBSCRIPTION, fail, lanes=world.lanes).build()):
            await world.clock.advance(10)
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert len(waits) == 4
        for wait, ceiling in zip(waits, [0.1, 0.2, 0.4, 0.8], strict=True):
            assert ceiling / 2 <= wait <= ceiling

    async def test_a_transient_error_that_stays_is_set_aside_after_its_attempts(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: TransientError("busy")
        await world.produce("a", "b")
        async with world.running(consuming(world, handler, max_records=1)):
            await world.clock.advance(10)
            assert handler.calls == [["a"]] * 5 + [["b"]]
            (letter,) = await world.letters()
        assert headers_of(letter)["dlq.code"] == "RETRIES_EXHAUSTED"
        assert headers_of(letter)["dlq.attempts"] == "5"

    async def test_an_unexpected_error_has_its_own_small_number(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: ZeroDivisionError("by zero")
        await world.produce("a", "b")
        async with world.running(consuming(world, handler, max_records=1)):
            await world.clock.advance(10)
            assert handler.calls == [["a"]] * 2 + [["b"]]
            (letter,) = await world.letters()
        assert headers_of(letter)["dlq.code"] == "INTERNAL_ERROR"
        assert headers_of(letter)["dlq.error"] == "ZeroDivisionError"

    async def test_retries_wait_the_same_time_in_each_run(self, make_world: Callable[..., World]) -> None:
        ends: list[list[int]] = [[], []]
        for times in ends:
            world = make_world()

            async def fail(
                _records: Sequence[Record], world: World = world, times: list[int] = times
            ) -> None:
                times.append(world.clock.monotonic())
                raise TransientError("busy")

            await world.produce("a")
            async with world.running(world.builder().consume(SUBSCRIPTION, fail, lanes=world.lanes).build()):
                await world.clock.advance(5)
        waits = [[later - times[0] for later in times] for times in ends]
        assert len(waits[0]) == 5
        assert waits[0] == waits[1]


@pytest.mark.usefixtures("either_mode")
class TestMustExit:
    @pytest.mark.parametrize("error", [FencedError("stale"), UnknownOutcomeError("reply lost")])
    @pytest.mark.parametrize("batch", [("a",), ("a", "b")])
    async def test_it_ends_the_service_uncommitted_and_without_a_letter(
        self, world: World, error: Exception, batch: tuple[str, ...]
    ) -> None:
        handler = Handler()
        handler.failures = [error]
        await world.produce(*batch)
        service = consuming(world, handler)
        async with world.running(service) as run:
            with pytest.raises(type(error)):
                await run
        assert len(handler.calls) == 1
        assert await world.committed() is None
        assert await world.letters() == []
        assert service.get_status().state == "failed"

    async def test_a_handler_that_cancels_itself_ends_the_service_uncommitted(self, world: World) -> None:
        handler = Handler()
        handler.failures = [asyncio.CancelledError()]
        await world.produce("a")
        async with world.running(consuming(world, handler)) as run:
            with pytest.raises(asyncio.CancelledError):
                await run
        assert await world.committed() is None

    async def test_what_was_uncommitted_comes_again_to_the_next_service(self, world: World) -> None:
        first, second = Handler(), Handler()
        first.failures = [FencedError("stale")]
        await world.produce("a", "b")
        async with world.running(consuming(world, first)) as run:
            await asyncio.gather(run, return_exceptions=True)
        async with world.running(consuming(world, second)):
            assert sum(second.calls, []) == ["a", "b"]  # noqa: RUF017 - two


@pytest.mark.usefixtures("either_mode")
class TestPause:
    async def test_while_the_breaker_is_open_it_waits_and_loses_nothing(self, world: World) -> None:
        handler = Handler()
        handler.failures = [down()] * 5
        await world.produce("a", "b")
        service = consuming(world, handler, max_records=1)
        async with world.running(service):
            await world.clock.advance(2)
            assert handler.calls == [["a"]] * 5
            assert service.get_status().details["breaker.redis"] == "open"
            await world.clock.advance(7)
            assert handler.calls == [["a"]] * 5
            await world.clock.advance(3)
            assert handler.calls == [["a"]] * 6 + [["b"]]
            assert service.get_status().details["breaker.redis"] == "closed"
            assert await world.letters() == []
            assert await world.committed() == 2

    async def test_one_probe_at_a_time_however_long_it_takes(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = down
        await world.produce("a")
        async with world.running(consuming(world, handler)):
            await world.clock.advance(101.5)
            assert 5 + 9 <= len(handler.calls) <= 5 + 10
            assert await world.letters() == []
            handler.poison.clear()
            await world.clock.advance(10)
            assert await world.committed() == 1

    async def test_below_the_threshold_a_dependency_costs_no_record_either(
        self, make_world: Callable[..., World]
    ) -> None:
        world, handler = make_world(breaker_failure_threshold=100, retry_transient_attempts=2), Handler()
        handler.failures = [down()] * 20
        await world.produce("a")
        async with world.running(consuming(world, handler)):
            await world.clock.advance(120)
            assert len(handler.calls) == 21
            assert await world.letters() == []

    async def test_a_stop_ends_the_waiting_for_a_handlers_own_breaker(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: BreakerOpenError("elsewhere", "open")
        await world.produce("a")
        service = consuming(world, handler)
        async with world.running(service) as run:
            await world.clock.advance(60)
            assert service.get_status().details["breaker.elsewhere"] == "closed"
            await service.stop()
            await run
        assert await world.committed() is None


@pytest.mark.usefixtures("either_mode")
class TestDeadLetterAction:
    def service(self, world: World, handler: Handler, told: Told) -> StreamService:
        return consuming(
            world, handler, when_open=BreakerAction.DEAD_LETTER, on_dead_letter=told, max_records=1
        )

    async def test_while_open_records_go_straight_to_the_letters(self, world: World) -> None:
        handler, told = Handler(), Told()
        handler.failures = [down()] * 5
        await world.produce("a", "b", "c")
        async with world.running(self.service(world, handler, told)):
            await world.clock.advance(5)
            assert handler.calls == [["a"]] * 5
            letters = [headers_of(letter) for letter in await world.letters()]
            assert await world.committed() == 3
        assert [letter["dlq.code"] for letter in letters] == ["BREAKER_OPEN"] * 3
        assert [letter["dlq.attempts"] for letter in letters] == ["5", "0", "0"]
        assert told.calls[2] == ("c", Code.BREAKER_OPEN, "circuit breaker open: redis")

    async def test_the_first_record_after_the_reset_time_is_the_probe(self, world: World) -> None:
        handler, told = Handler(), Told()
        handler.failures = [down()] * 6
        await world.produce("a")
        async with world.running(self.service(world, handler, told)):
            await world.clock.advance(15)
            await world.produce("probe", "aside")
            await world.settle()
            assert handler.calls[5:] == [["probe"]]
            await world.clock.advance(15)
            await world.produce("good", "next")
            await world.settle()
            assert handler.calls[6:] == [["good"], ["next"]]
        assert [value for value, _, _ in told.calls] == ["a", "probe", "aside"]

    async def test_a_whole_batch_goes_to_the_letters_without_being_tried(self, world: World) -> None:
        handler, told = Handler(), Told()
        handler.failures = [down()] * 5
        service = consuming(world, handler, when_open=BreakerAction.DEAD_LETTER, on_dead_letter=told)
        await world.produce("a")
        async with world.running(service):
            await world.clock.advance(5)
            await world.produce("b", "c")
            await world.settle()
        assert handler.calls == [["a"]] * 5
        assert [value for value, _, _ in told.calls] == ["a", "b", "c"]

    async def test_failures_below_the_threshold_exhaust_the_record_itself(
        self, make_world: Callable[..., World]
    ) -> None:
        world, handler, told = make_world(breaker_failure_threshold=50), Handler(), Told()
        handler.poison["a"] = down
        await world.produce("a")
        async with world.running(self.service(world, handler, told)):
            await world.clock.advance(5)
        assert told.calls == [("a", Code.DEPENDENCY_UNAVAILABLE, "redis: no answer")]


@pytest.mark.usefixtures("either_mode")
class TestPassingTheBreaker:
    """`passes_breaker`: what an open breaker must not refuse."""

    def service(self, world: World, handler: Handler, when_open: BreakerAction, told: Told) -> StreamService:
        def urgent(record: Record) -> bool:
            return record.value.startswith(b"!")

        return consuming(world, handler, when_open=when_open, on_dead_letter=told, passes_breaker=urgent)

    async def test_it_is_handled_while_others_are_set_aside(self, world: World) -> None:
        handler, told = Handler(), Told()
        handler.failures = [down()] * 5
        await world.produce("a")
        async with world.running(self.service(world, handler, BreakerAction.DEAD_LETTER, told)):
            await world.clock.advance(5)
            await world.produce("b", "!c", "d")
            await world.settle()
            assert await world.committed() == 4
        assert handler.calls == [["a"]] * 5 + [["!c"]]
        assert [value for value, _, _ in told.calls] == ["a", "b", "d"]

    async def test_its_success_closes_no_breaker_and_its_failure_opens_none(self, world: World) -> None:
        handler, told = Handler(), Told()
        handler.failures = [down()] * 5
        handler.poison["!bad"] = lambda: down("other")
        await world.produce("a")
        service = self.service(world, handler, BreakerAction.DEAD_LETTER, told)
        async with world.running(service):
            await world.clock.advance(15)
            await world.produce("!good", "!bad")  # the breaker is ready for a probe, and these are none
            await world.clock.advance(5)
            assert service.breakers.states() == {"redis": "half-open"}, "neither closed nor opened anew"
            await world.produce("probe")
            await world.settle()
            assert service.breakers.states() == {"redis": "closed"}
        assert told.calls[1:] == [("!bad", Code.DEPENDENCY_UNAVAILABLE, "other: no answer")]

    async def test_it_is_retried_for_its_own_failures_and_then_set_aside(self, world: World) -> None:
        handler, told = Handler(), Told()
        handler.failures = [down()] * 5
        handler.poison["!bad"] = down
        await world.produce("a")
        async with world.running(self.service(world, handler, BreakerAction.DEAD_LETTER, told)):
            await world.clock.advance(5)
            await world.produce("!bad")
            await world.clock.advance(5)
            assert await world.committed() == 2
        assert handler.calls.count(["!bad"]) > 1
        assert told.calls[1:] == [("!bad", Code.DEPENDENCY_UNAVAILABLE, "redis: no answer")]

    async def test_where_others_pause_it_goes_on(self, world: World) -> None:
        handler = Handler()
        handler.failures = [down()] * 6
        await world.produce("a")
        async with world.running(self.service(world, handler, BreakerAction.PAUSE, Told())):
            await world.clock.advance(5)
            await world.produce("!b")
            await world.clock.advance(30)
            assert await world.committed() == 2
        assert handler.calls[-2:] == [["a"], ["!b"]]


@pytest.mark.usefixtures("either_mode")
class TestSettingAside:
    async def test_a_record_whose_letter_can_not_be_written_waits_uncommitted(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: RecordError("bad")
        await world.produce("a", "b")
        world.bus.faults.fail_sends(8, topic=DLQ)
        async with world.running(consuming(world, handler, max_records=1)):
            await world.clock.advance(1)
            assert await world.committed() is None
            assert await world.letters() == []
            await world.clock.advance(60)
            assert [letter.value for letter in await world.letters()] == [b"a"]
            assert await world.committed() == 2
            assert handler.calls == [["a"], ["b"]]

    async def test_a_stop_while_the_letter_can_not_be_written_leaves_the_record_to_the_next(
        self, world: World
    ) -> None:
        handler, again = Handler(), Handler()
        handler.poison["a"] = lambda: RecordError("bad")
        await world.produce("a")
        world.bus.faults.fail_sends(1000, topic=DLQ)
        service = consuming(world, handler)
        async with world.running(service) as run:
            await world.clock.advance(5)
            await service.stop()
            await run
        async with world.running(consuming(world, again)):
            assert again.calls == [["a"]]

    async def test_a_letter_whose_acknowledgement_was_lost_is_written_again(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: RecordError("bad")
        await world.produce("a")
        world.bus.faults.fail_sends(written=True, topic=DLQ)
        async with world.running(consuming(world, handler)):
            await world.clock.advance(1)
            origins = [headers_of(letter)["dlq.offset"] for letter in await world.letters()]
        assert origins == ["0", "0"]

    async def test_the_hook_is_repeated_while_its_dependency_is_down(self, world: World) -> None:
        handler, told = Handler(), Told(down(), down(), down())
        handler.poison["a"] = lambda: RecordError("bad")
        await world.produce("a")
        async with world.running(consuming(world, handler, on_dead_letter=told)):
            assert await world.committed() is None
            await world.clock.advance(10)
            assert told.calls == [("a", Code.SCHEMA_INVALID, "bad")]
            assert await world.committed() == 1
            assert len(await world.letters()) == 1

    async def test_a_hook_that_can_make_nothing_of_the_record_does_not_block(self, world: World) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: RecordError("bad")
        await world.produce("a")
        async with world.running(consuming(world, handler, on_dead_letter=Told(RecordError("really")))):
            assert await world.committed() == 1

    @pytest.mark.parametrize("error", [UnknownOutcomeError("reply lost"), ZeroDivisionError("surprise")])
    async def test_any_other_error_of_the_hook_ends_the_service_uncommitted(
        self, world: World, error: Exception
    ) -> None:
        handler = Handler()
        handler.poison["a"] = lambda: RecordError("bad")
        await world.produce("a")
        async with world.running(consuming(world, handler, on_dead_letter=Told(error))) as run:
            with pytest.raises(type(error)):
                await run
        assert await world.committed() is None


class FaultyConsumer:
    """A consumer whose commits and fetches fail as ordered."""

    def __init__(self, inner: Any, bus: "FaultyBus") -> None:
        self._inner, self._bus = inner, bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, offsets: Any) -> None:
        self._bus.commits.append(offsets)
        if self._bus.failing_commits:
            raise self._bus.failing_commits.pop(0)
        await self._inner.commit(offsets)

    async def fetch(self, max_records: int) -> list[Record]:
        if self._bus.failing_fetches:
            raise self._bus.failing_fetches.pop(0)
        return await self._inner.fetch(max_records)  # type: ignore[no-any-return]


class FaultyBus:
    def __init__(
        self,
        inner: Any,
        commits: Sequence[Exception] = (),
        fetches: Sequence[Exception] = (),
        kind: type[FaultyConsumer] = FaultyConsumer,
    ) -> None:
        self.kind = kind
        self._inner, self.failing_commits, self.failing_fetches = inner, list(commits), list(fetches)
        self.commits: list[dict[TopicPartition, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def consumer(self, subscription: Subscription) -> Any:
        return _Opened(self._inner.consumer(subscription), self)


class _Opened:
    def __init__(self, manager: Any, bus: FaultyBus) -> None:
        self._manager, self._bus = manager, bus

    async def __aenter__(self) -> FaultyConsumer:
        return self._bus.kind(await self._manager.__aenter__(), self._bus)

    async def __aexit__(self, *error: object) -> None:
        await self._manager.__aexit__(*error)


@pytest.mark.usefixtures("either_mode")
class TestFaultsOfTheBus:
    async def test_a_partition_that_moved_away_is_dropped_and_reading_goes_on(self, world: World) -> None:
        handler = Handler()
        bus = FaultyBus(world.bus, commits=[RebalancedError("moved")])
        await world.produce("a")
        async with world.running(
            world.builder(bus=bus).consume(SUBSCRIPTION, handler, lanes=world.lanes).build()
        ):
            assert await world.committed() is None
            await world.produce("b")
            await world.settle()
            assert handler.calls == [["a"], ["b"]]
            assert await world.committed() == 2

    async def test_offsets_of_a_partition_that_moved_away_are_never_offered_again(self, world: World) -> None:
        bus = FaultyBus(world.bus, commits=[RebalancedError("moved")])
        subscription = Subscription(GROUP, topics=(TOPIC, "other"))
        await world.produce("a")
        await world.bus.ensure_topics([TopicSpec("other", 1)])
        async with world.running(
            world.builder(bus=bus).consume(subscription, Handler(), lanes=world.lanes).build()
        ):
            await world.produce("x", topic="other")
            await world.settle()
        assert bus.commits == [{TopicPartition(TOPIC, 0): 1}, {TopicPartition("other", 0): 1}]

    async def test_one_partition_that_moved_away_does_not_cost_the_commit_of_the_others(
        self, world: World
    ) -> None:
        """One is not assigned any more; another went away and came back, so that its offset is refused too."""
        gone, back, ours = (TopicPartition(topic, 0) for topic in ("gone", "back", "ours"))

        class Rebalanced(FaultyConsumer):
            def assignment(self) -> frozenset[TopicPartition]:
                return frozenset({back, ours})

            async def commit(self, offsets: dict[TopicPartition, int]) -> None:
                self._bus.commits.append(offsets)
                if gone in offsets or back in offsets:
                    raise RebalancedError("moved")

        begun, go_on = asyncio.Event(), asyncio.Event()

        async def hold(_records: Sequence[Record]) -> None:
            begun.set()
            await go_on.wait()

        bus = FaultyBus(world.bus, kind=Rebalanced)
        for topic in ("gone", "back", "ours"):
            await world.produce(topic, topic=topic)
        subscription = Subscription(GROUP, topics=("gone", "back", "ours"))
        service = world.builder(bus=bus).consume(subscription, hold, lanes=world.lanes).build()
        async with world.running(service):
            await begun.wait()
            go_on.set()
            await world.settle()
        everything = {gone: 1, back: 1, ours: 1}
        assert bus.commits == [everything, {back: 1}, {ours: 1}]

    async def test_a_commit_that_failed_is_covered_by_the_one_at_the_stop(self, world: World) -> None:
        handler = Handler()
        bus = FaultyBus(world.bus, commits=[down("kafka")])
        await world.produce("a")
        service = world.builder(bus=bus).consume(SUBSCRIPTION, handler, lanes=world.lanes).build()
        async with world.running(service) as run:
            assert await world.committed() is None
            assert service.get_status().errors == 1
            await service.stop()
            await run
        assert await world.committed() == 1

    async def test_a_fetch_that_failed_is_repeated(self, world: World) -> None:
        handler = Handler()
        bus = FaultyBus(world.bus, fetches=[down("kafka")] * 7)
        await world.produce("a")
        service = world.builder(bus=bus).consume(SUBSCRIPTION, handler, lanes=world.lanes).build()
        async with world.running(service):
            await world.clock.advance(60)
            assert handler.calls == [["a"]]
            assert service.get_status().errors == 7

    @pytest.mark.parametrize(("from_latest", "expected"), [(False, [["c"]]), (True, [])])
    async def test_reading_goes_on_behind_a_gap_and_the_loss_is_counted(
        self, world: World, from_latest: bool, expected: list[list[str]]
    ) -> None:
        handler = Handler()
        subscription = Subscription(GROUP, topics=(TOPIC,), from_latest=from_latest)
        service = world.builder().consume(subscription, handler, lanes=world.lanes).build()
        await world.produce("first")
        async with world.bus.consumer(SUBSCRIPTION) as consumer:
            await consumer.fetch(1)
            await consumer.commit({TopicPartition(TOPIC, 0): 1})
        await world.produce("a", "b", "c")
        await world.bus.delete_records(TopicPartition(TOPIC, 0), before=3)
        async with world.running(service):
            assert handler.calls == expected
            assert service.get_status().errors == 1
            await world.produce("d")
            await world.settle()
            assert handler.calls == [*expected, ["d"]]


async def test_the_letters_topic_is_there_before_anything_is_consumed(world: World) -> None:
    async with world.running(consuming(world, Handler())):
        assert await world.letters() == []


async def test_topics_of_a_reader_by_itself_have_letters_too(world: World) -> None:
    await world.bus.ensure_topics([TopicSpec(TOPIC, 1)])
    subscription = Subscription(GROUP, partitions=(TopicPartition(TOPIC, 0),))
    async with world.running(world.builder().consume(subscription, Handler(), lanes=world.lanes).build()):
        assert await world.letters() == []


async def test_two_consumers_of_one_service_share_the_breaker_of_a_dependency(world: World) -> None:
    one, two = Handler(), Handler()
    one.failures = [down()] * 3
    two.failures = [down()] * 3
    await world.produce("a")
    await world.produce("x", topic="other")
    service = (
        world.builder()
        .consume(SUBSCRIPTION, one)
        .consume(Subscription("other", topics=("other",)), two)
        .build()
    )
    async with world.running(service):
        await world.clock.advance(2)
        assert service.get_status().details["breaker.redis"] == "open"
        assert len(one.calls) + len(two.calls) == 5
        await world.clock.advance(10)
        assert service.get_status().details["breaker.redis"] == "closed"
        assert await world.letters() == []


class TestLanes:
    """A handler that takes one record at a time: a stop waits for the one in hand alone."""

    async def test_the_handler_gets_each_record_by_itself(self, world: World) -> None:
        handler = Handler()
        await world.produce("a", "b", "c")
        async with world.running(consuming(world, handler, lanes=1)):
            assert handler.calls == [["a"], ["b"], ["c"]]
            assert await world.committed() == 3

    async def test_a_stop_finishes_and_commits_the_record_in_hand_and_leaves_the_rest(
        self, world: World
    ) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()
        seen: list[str] = []

        async def handle(records: Sequence[Record]) -> None:
            seen.extend(record.value.decode() for record in records)
            begun.set()
            await go_on.wait()

        await world.produce("a", "b", "c")
        service = consuming(world, handle, lanes=1)
        async with world.running(service) as task:
            await begun.wait()
            stopping = asyncio.create_task(service.stop())
            await world.settle()
            go_on.set()
            await stopping
            await task
        assert seen == ["a"]
        assert await world.committed() == 1

    async def test_records_of_different_keys_go_beside_one_another_and_of_one_key_in_turn(
        self, world: World
    ) -> None:
        """Keys are the values here; the second `a` must wait for the first, `b` must not."""
        first_a, seen = asyncio.Event(), list[str]()

        async def handle(records: Sequence[Record]) -> None:
            (record,) = records
            seen.append(f"{record.key} begins")
            if seen.count("a begins") == 1 and record.key == "a":
                await first_a.wait()
            seen.append(f"{record.key} ends")

        await world.produce("a", "b", "a")
        async with world.running(consuming(world, handle, lanes=2)):
            assert seen == ["a begins", "b begins", "b ends"]
            assert await world.committed() is None
            first_a.set()
            await world.settle()
            assert seen[3:] == ["a ends", "a begins", "a ends"]
            assert await world.committed() == 3

    async def test_no_more_go_at_once_than_there_are_lanes(self, world: World) -> None:
        under_way = most = 0

        async def handle(_records: Sequence[Record]) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

        await world.produce(*"abcdefgh")
        async with world.running(consuming(world, handle, lanes=3)):
            await world.settle()
            assert most == 3
            assert await world.committed() == 8

    async def test_an_error_that_ends_the_service_lets_the_others_in_hand_finish_and_commits_none_behind_it(
        self, world: World
    ) -> None:
        go_on, seen = asyncio.Event(), list[str]()

        async def handle(records: Sequence[Record]) -> None:
            key = records[0].key or ""
            if key == "b":
                raise FencedError("another one has taken over")
            await go_on.wait()
            seen.append(key)

        await world.produce("a", "c", "b", "d")
        service = consuming(world, handle, lanes=3)
        async with world.running(service) as task:
            await world.settle()
            assert not task.done()
            go_on.set()
            await world.settle()
            with pytest.raises(FencedError):
                await task
        assert seen == ["a", "c"]  # and `d` was never begun
        assert await world.committed() is None

    async def test_a_record_that_hangs_holds_up_its_key_alone_and_no_input(self, world: World) -> None:
        """Only what lies behind it in its partition is not committed meanwhile."""
        go_on, seen = asyncio.Event(), list[str]()

        async def handle(records: Sequence[Record]) -> None:
            seen.append(records[0].value.decode())
            if seen == ["a"]:
                await go_on.wait()

        await world.produce("a", "b")
        async with world.running(consuming(world, handle, lanes=2)):
            assert seen == ["a", "b"]
            await world.produce("c", "a", "d", "x")
            await world.settle()
            assert seen == ["a", "b", "c", "d", "x"]
            assert await world.committed() is None
            go_on.set()
            await world.settle()
            assert seen == ["a", "b", "c", "d", "x", "a"]
            assert await world.committed() == 6

    async def test_no_more_is_taken_than_may_come_again(self, make_world: Callable[..., World]) -> None:
        world, begun = make_world(), list[str]()

        async def hang(records: Sequence[Record]) -> None:
            begun.append(records[0].value.decode())
            await asyncio.Event().wait()

        await world.produce(*"abcdef")
        async with world.running(consuming(world, hang, lanes=4, max_records=2)):
            assert begun == ["a", "b"]

    async def test_a_lane_that_insists_does_not_keep_a_service_that_must_end(self, world: World) -> None:
        world.bus.faults.fail_sends(10_000, topic=DLQ)

        async def handle(records: Sequence[Record]) -> None:
            if records[0].value == b"bad":
                raise RecordError("bad")
            await world.clock.sleep(3)
            raise FencedError("another one has taken over")

        await world.produce("bad", "b")
        async with world.running(consuming(world, handle, lanes=2)) as task:
            await world.clock.advance(3)
            await world.settle()
            assert task.done()
            with pytest.raises(FencedError):
                await task
        assert await world.committed() is None

    async def test_a_stop_interrupts_lanes_that_only_wait_and_commits_what_is_done(
        self, world: World
    ) -> None:
        handler = Handler()
        handler.poison["c"] = down
        await world.produce("a", "b", "c")
        service = consuming(world, handler, lanes=3)
        async with world.running(service) as run:
            await world.clock.advance(2)
            begun = world.clock.monotonic()
            await service.stop()
            await run
            assert world.clock.monotonic() == begun
        assert await world.committed() == 2

    async def test_when_the_probe_has_closed_the_breaker_all_lanes_work_again(self, world: World) -> None:
        failing, under_way, most = True, 0, 0

        async def handle(_records: Sequence[Record]) -> None:
            nonlocal under_way, most
            if failing:
                raise down()
            under_way += 1
            most = max(most, under_way)
            await world.clock.sleep(1)
            under_way -= 1

        await world.produce(*"abcdefghijklmnopqrstuvwxyz")
        async with world.running(consuming(world, handle, lanes=3)):
            await world.clock.advance(5)
            failing = False
            await world.clock.advance(60)
            assert await world.committed() == 26
            assert most == 3

    async def test_a_kill_cuts_off_every_lane(self, world: World) -> None:
        ended: list[str] = []

        async def handle(records: Sequence[Record]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(records[0].key or "")

        await world.produce("a", "b")
        async with world.running(consuming(world, handle, lanes=2)) as task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert sorted(ended) == ["a", "b"]
        assert await world.committed() is None


class TestHealth:
    async def test_it_is_ready_while_it_runs_and_says_why_not_before_and_after(self, world: World) -> None:
        service = consuming(world, Handler())
        assert service.not_ready_because() == ["engine is created"]
        async with world.running(service):
            assert service.not_ready_because() == []
            assert service.stuck() == []
            await service.stop()
        assert service.not_ready_because() == ["engine is stopped"]

    async def test_a_lane_that_hangs_is_stuck_whatever_the_others_do(self, world: World) -> None:
        async def handle(records: Sequence[Record]) -> None:
            if records[0].value == b"hangs":
                await asyncio.Event().wait()

        impatient = World(world.clock, stall_seconds=0.05)
        service = consuming(impatient, handle, lanes=2)
        async with impatient.running(service):
            await impatient.produce("hangs")
            for value in "abcdefgh":
                await impatient.produce(value)
                await impatient.settle()
                await asyncio.sleep(0.01)
            (line,) = service.stuck()
            assert line.startswith(f"engine: 'consume {GROUP}' busy for ")

    @pytest.mark.parametrize("lanes", [1, 4])
    async def test_a_lane_that_gets_on_is_not_stuck_however_much_there_is_of_its_key(
        self, world: World, lanes: int
    ) -> None:
        impatient, done = World(world.clock, stall_seconds=0.1), asyncio.Event()
        stuck: list[str] = []

        async def handle(_records: Sequence[Record]) -> None:
            await asyncio.sleep(0.02)
            stuck.extend(service.stuck())
            if service.get_status().processed == 8:
                done.set()
            service.record_processed(1, 0)

        await impatient.produce(*["a"] * 9)
        service = consuming(impatient, handle, lanes=lanes)
        with impatient.clock.hold():
            run = asyncio.create_task(service.run())
            await done.wait()
            await service.stop()
            await run
        assert stuck == []

    @pytest.mark.parametrize("lanes", [0, 4])
    async def test_waiting_for_a_bus_or_a_dependency_that_is_down_is_not_being_stuck(
        self, world: World, lanes: int
    ) -> None:
        """Neither for the breaker nor while a dead letter can't be written: a new start would not help."""
        impatient, handler = World(world.clock, stall_seconds=0.02), Handler()
        handler.poison = {"waits": down, "bad": lambda: RecordError("bad")}
        impatient.bus.faults.fail_sends(10_000, topic=DLQ)
        service = consuming(impatient, handler, lanes=lanes)
        async with impatient.running(service):
            with impatient.clock.hold():  # what sleeps goes on sleeping, however long the test takes
                for value in ("bad", "waits"):
                    await impatient.produce(value)
                    await asyncio.sleep(0.05)
                assert handler.calls[0] == ["bad"]
                assert service.stuck() == []

    async def test_a_handler_that_hangs_is_stuck_and_waiting_for_records_is_not(self, world: World) -> None:
        async def hang(_records: Sequence[Record]) -> None:
            await asyncio.Event().wait()

        impatient = World(world.clock, stall_seconds=0.01)
        service = consuming(impatient, hang)
        async with impatient.running(service):
            await asyncio.sleep(0.03)
            assert service.stuck() == []
            await impatient.produce("a")
            await impatient.settle()
            await asyncio.sleep(0.03)
            (line,) = service.stuck()
            assert line.startswith(f"engine: 'consume {GROUP}' busy for ")
