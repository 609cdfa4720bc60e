"""`alpha-panda status` as typed: fit for people and for scripts, also while half of it is down."""

import asyncio
from typing import Any

import pytest

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.status_details import FeedFigures, RunnerFigures, TrackerFigures
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Subscription, TopicPartition
from unit import story_kit as kit
from unit.cli.installed import SECOND, START
from unit.cli.kit import Alpha
from unit.cli.operating import Operator

ACCOUNTS = ("paper", "second")
TTL = 1e6


async def report(operator: Operator, service: str, resource: str, **details: Any) -> None:
    status = ServiceStatus(
        service=service,
        resource=resource,
        instance="i",
        state="running",
        processed=1,
        errors=0,
        dead_lettered=0,
        last_event_ts=None,
        started_at=START,
        details=details,
    )
    await operator.site.ports.statuses.put(status, TTL)


async def all_well(operator: Operator) -> None:
    fresh = FeedFigures(last_tick_ts=START, source_alive=True, session_open=True)
    await report(operator, "market-feed", "demo", **fresh.details())
    await report(operator, "feed-cacher", "demo")
    for account in ACCOUNTS:
        await report(operator, "risk", account)
        await report(operator, "engine", account)
        await report(operator, "order-tracker", account, **TrackerFigures(reconciled=True).details())
        journal = operator.site.ports.journal(account)
        epoch = await operator.site.ports.lease.acquire(tracker_lease(account), "tracker", TTL)
        assert epoch is not None
        await journal.write_epoch(epoch, await journal.run_id())
    await report(operator, "strategy", "alpha", **RunnerFigures(state="running").details())


@pytest.fixture
def well(operator: Operator) -> Operator:
    operator.run(all_well(operator))
    return operator


def says(operator: Operator, *words: str) -> tuple[int, str]:
    called = operator("status", *words)
    return called.code, called.out


def test_all_well_is_zero_and_a_line_each(well: Operator) -> None:
    code, out = says(well)
    lines = out.splitlines()
    assert code == 0, out
    assert lines[-1] == "all is well"
    assert all(line.startswith("ok  ") for line in lines[:-1])
    assert {"feed demo", "strategy alpha", "account paper", "account second"} == {
        " ".join(line.split()[1:3]) for line in lines[:-1]
    }


def test_as_json_it_says_the_same(well: Operator) -> None:
    told = well("status", "-o", "json").json
    assert (told["well"], told["at"]) == (True, "2023-11-14T22:13:20.000Z")
    assert all(item["remedy"] == "" for item in told["findings"])


def test_a_halt_is_one_and_says_who_and_why(well: Operator) -> None:
    well("halt", "paper", "--reason", "odd fills", "--by", "ann")
    code, out = says(well)
    assert code == 1
    assert out.splitlines()[0].startswith("!!  account paper")
    assert "Halted by ann" in out
    assert "→ when it may go on: alpha-panda resume paper --latch by-hand-" in out


def test_only_the_accounts_named_count(well: Operator) -> None:
    well("halt", "paper", "--reason", "odd fills")
    assert says(well, "second")[0] == 0
    assert says(well, "paper")[0] == 1


def test_an_account_that_there_is_not_is_two(well: Operator) -> None:
    called = well("status", "nobody")
    assert (called.code, called.out) == (2, "")
    assert "there is no account nobody" in called.err


def test_with_kafka_down_the_rest_is_told(well: Operator) -> None:
    well.site.bus.down = True
    code, out = says(well)
    assert code == 1
    assert "kafka does not answer" in out
    assert "account paper" in out  # by its services


def test_with_redis_down_it_says_so(well: Operator) -> None:
    async def away() -> list[ServiceStatus]:
        raise DependencyUnavailableError("redis", "no connection")

    well.site.ports.statuses.all = away  # type: ignore[method-assign]
    code, out = says(well)
    assert code == 1
    assert "redis does not answer: redis: no connection" in out
    assert "does not run" not in out  # nobody can tell; started anew by hand it would run twice


def test_one_that_is_mute_ends_by_the_time_out(well: Operator) -> None:
    asked = []

    async def never(topic: str) -> Any:
        asked.append(topic)
        await asyncio.Event().wait()

    well.site.bus.mute = True
    well.site.bus.offsets = never  # type: ignore[attr-defined] # it hands on what it lacks
    code, out = says(well)
    assert asked == []  # for its list of topics it was waited already, once for all
    assert code == 1
    assert out.count("no answer within 0.5 s") == 1


def test_nothing_running_is_told_of_each_service(operator: Operator) -> None:
    code, out = says(operator)
    assert code == 1
    for service in ("risk", "engine", "order-tracker"):
        assert f"{service} paper" in out


def test_how_far_a_group_is_behind_is_told_with_the_age_of_the_oldest(well: Operator) -> None:
    async def fall_behind() -> None:
        topic = well.site.topics().signals_validated
        await well.site.produce(*kit.outgoing(*[kit.validated()] * 3))
        ranges = await well.site.memory_bus.offsets(topic)
        place = next(p for p, (_, end) in ranges.items() if end)
        subscription = Subscription("paper.engine", partitions=(TopicPartition(*place),))
        async with well.site.memory_bus.consumer(subscription) as consumer:
            await consumer.fetch(1)
            await consumer.commit({place: 1})

    well.run(fall_behind())
    well.site.clock.time += 40 * SECOND
    code, out = says(well)
    assert code == 1
    assert "2 records of paper.signals.validated behind, the oldest 40.0 s old" in out


def test_a_group_that_has_never_committed_is_behind_with_all_there_is(well: Operator) -> None:
    well.run(well.site.produce(*kit.outgoing(*[kit.validated()] * 3)))
    well.site.clock.time += 40 * SECOND
    code, out = says(well)
    assert code == 1
    assert "group paper.engine" in out
    assert "3 records of paper.signals.validated behind" in out


def test_dead_letters_are_told(well: Operator) -> None:
    value = encode_event(kit.raw())
    well.run(well.site.set_aside("paper.signals.raw", value, DependencyUnavailableError("redis", "away")))
    code, out = says(well)
    assert code == 1
    assert "1 dead letter" in out
    assert "alpha-panda dlq show paper.signals.raw.dlq OFFSET" in out


def test_a_run_in_one_process_can_t_be_asked(alpha: Alpha) -> None:
    called = alpha("status")
    assert called.code == 2
    assert "keeps everything in its own process" in called.err
