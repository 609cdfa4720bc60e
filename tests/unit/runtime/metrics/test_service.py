"""What the runtime counts of a service: through the service itself, so that each place that counts is seen to."""

import asyncio

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.topics import dlq
from alpha_panda.errors import (
    DependencyUnavailableError,
    RecordError,
    UndecodableRecordError,
    UnknownOutcomeError,
)
from alpha_panda.runtime.builder import StreamService
from alpha_panda.runtime.dead_letter import REASONS
from alpha_panda.runtime.metrics.catalogue import (
    BREAKER_STATE,
    DEAD_LETTERS,
    ERRORS,
    LAG,
    PROGRESS_AGE,
    QUEUE,
    RETRIES,
    SERVICE_READY,
    SERVICE_START,
)
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.metrics.service import ServiceMetrics
from unit.runtime.metrics.scraped import Scraped
from unit.runtime.world import SUBSCRIPTION, TOPIC, Handler, World


def scraped(service: StreamService) -> Scraped:
    return Scraped.of(service.metrics)


def away() -> DependencyUnavailableError:
    return DependencyUnavailableError("journal", "away")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "INTERNAL_ERROR"),
        (ValueError("x"), "INTERNAL_ERROR"),
        (away(), "DEPENDENCY_UNAVAILABLE"),
        (UnknownOutcomeError("journal.begin"), "DEPENDENCY_UNAVAILABLE"),
        (UndecodableRecordError("t/0/1"), "UNDECODABLE"),
        (asyncio.CancelledError(), "INTERNAL_ERROR"),
    ],
)
def test_an_error_is_counted_by_the_code_of_its_class(error: BaseException | None, reason: str) -> None:
    metrics = Metrics()
    ServiceMetrics(metrics, "risk").failed(error, 2)
    assert Scraped.of(metrics).value(ERRORS, service="risk", reason=reason) == 2


async def test_dead_letters_begin_at_0_for_each_topic_and_reason(world: World) -> None:
    service = world.builder().consume(SUBSCRIPTION, Handler()).build()
    async with world.running(service):
        for code in REASONS:
            assert scraped(service).value(DEAD_LETTERS, service="engine", topic=TOPIC, reason=code.value) == 0


async def test_a_record_that_can_not_be_used_is_an_error_and_a_dead_letter_and_no_retry(world: World) -> None:
    handler = Handler()
    handler.poison["bad"] = lambda: RecordError("bad")
    await world.produce("bad")
    service = world.builder().consume(SUBSCRIPTION, handler).build()
    async with world.running(service):
        found = scraped(service)
    reason = Code.SCHEMA_INVALID.value
    assert found.value(DEAD_LETTERS, service="engine", topic=TOPIC, reason=reason) == 1
    assert found.value(ERRORS, service="engine", reason=reason) == 1
    assert found.total(RETRIES) == 0
    assert found.total(DEAD_LETTERS) == 1


async def test_what_is_tried_again_is_counted_by_its_dependency_until_the_breaker_is_open(
    world: World,
) -> None:
    handler = Handler()
    handler.poison["x"] = away
    await world.produce("x")
    service = world.builder().consume(SUBSCRIPTION, handler).build()
    async with world.running(service):
        assert scraped(service).value(BREAKER_STATE, service="engine", dependency="journal") == 0
        await world.pass_seconds(5)
        found = scraped(service)
        assert found.value(BREAKER_STATE, service="engine", dependency="journal") == 2
        assert found.value(RETRIES, service="engine", dependency="journal") == service.counters.errors == 5
        del handler.poison["x"]
        await world.pass_seconds(15)
        assert scraped(service).value(BREAKER_STATE, service="engine", dependency="journal") == 0


async def test_a_letter_by_a_runner_of_its_own_counts_too(world: World) -> None:
    service = world.builder().consume(SUBSCRIPTION, Handler()).build()
    await world.produce("x")
    (record,) = await world.records(TOPIC)
    async with world.running(service):
        await service.dead_letter(record, UndecodableRecordError("x"))
        found = scraped(service)
    assert found.value(DEAD_LETTERS, service="engine", topic=TOPIC, reason="UNDECODABLE") == 1
    assert [letter.topic for letter in await world.letters()] == [dlq(TOPIC)]


async def test_ready_while_it_runs_and_gone_when_it_has_ended(world: World) -> None:
    lacking: list[str | None] = [None]

    async def need() -> str | None:
        return lacking[0]

    service = world.builder().consume(SUBSCRIPTION, Handler()).needs("key", need).build()
    assert scraped(service).value(SERVICE_READY, service="engine") is None
    async with world.running(service):
        await service._checks.ask()
        assert scraped(service).value(SERVICE_READY, service="engine") == 1
        lacking[0] = "no key"
        await service._checks.ask()
        assert scraped(service).value(SERVICE_READY, service="engine") == 0
    assert scraped(service).value(SERVICE_READY, service="engine") is None


async def test_each_start_is_another_so_that_who_crashes_again_and_again_is_seen(world: World) -> None:
    begun = []
    for _ in range(2):
        service = world.builder().consume(SUBSCRIPTION, Handler()).build()
        now = world.clock.now()
        async with world.running(service):
            await world.clock.advance(60)
            begun.append(scraped(service).value(SERVICE_START, service="engine"))
        assert begun[-1] == now / 1e9
        assert scraped(service).value(SERVICE_START, service="engine") is None
    assert begun[0] != begun[1]


async def test_a_batch_that_hangs_is_queued_and_ages(world: World) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def hang(_: object) -> None:
        entered.set()
        await release.wait()

    await world.produce("a", "b")
    service = world.builder().consume(SUBSCRIPTION, hang).build()
    async with world.running(service):
        await entered.wait()
        await world.clock.advance(7)
        found = scraped(service)
        assert found.value(QUEUE, service="engine", topic=TOPIC) == 2
        assert found.value(PROGRESS_AGE, service="engine") == 7
        release.set()
        await world.settle()
        found = scraped(service)
        assert found.total(QUEUE) == 0
        assert found.value(PROGRESS_AGE, service="engine") == 0


async def test_in_lanes_a_record_that_hangs_is_queued_alone(world: World) -> None:
    release = asyncio.Event()

    async def hang_on_a(records: list[object]) -> None:
        if records[0].key == "a":  # type: ignore[attr-defined]
            await release.wait()

    await world.produce("a", "b", "c")
    service = world.builder().consume(SUBSCRIPTION, hang_on_a, lanes=4).build()  # type: ignore[arg-type]
    async with world.running(service):
        await world.settle()
        assert scraped(service).value(QUEUE, service="engine", topic=TOPIC) == 1
        release.set()
        await world.settle()
        assert scraped(service).total(QUEUE) == 0


@pytest.mark.parametrize("lanes", [0, 4])
async def test_each_piece_of_work_that_ends_is_progress(world: World, lanes: int) -> None:
    service = world.builder().consume(SUBSCRIPTION, Handler(), lanes=lanes).build()
    async with world.running(service):
        for _ in range(2):
            await world.clock.advance(5)
            assert scraped(service).value(PROGRESS_AGE, service="engine") == 5
            await world.produce("x")
            await world.settle()
            assert scraped(service).value(PROGRESS_AGE, service="engine") == 0


async def test_a_service_without_input_has_no_progress_to_tell(world: World) -> None:
    service = world.builder().build()
    async with world.running(service):
        assert scraped(service).value(PROGRESS_AGE, service="engine") is None
        assert scraped(service).total(LAG) == 0
