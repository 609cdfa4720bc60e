"""Workers go on whatever one resource does; probes say why not; the table of rights says what for."""

import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer

from alpha_panda.errors import DependencyUnavailableError, FencedError, SettingsError
from alpha_panda_operator.clock import rfc3339, rfc3339_micro
from alpha_panda_operator.events import AGAIN_SECONDS, Events
from alpha_panda_operator.health import make_app, serving
from alpha_panda_operator.loop import apart, work
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import Key
from alpha_panda_operator.queue import KeyedQueue
from alpha_panda_operator.rights import HOME, WATCHED
from unit.operator.kit import FakeClock, FakeCluster, cache_of, feed, settle, view

BAD, GOOD = Key("Strategy", "desk", "bad"), Key("Strategy", "desk", "good")


async def test_one_that_fails_or_crashes_comes_back_later_and_the_others_have_their_turn() -> None:
    clock, metrics = FakeClock(), Metrics()
    queue: KeyedQueue[Key] = KeyedQueue(clock)
    done: list[Key] = []
    errors: list[Exception] = [DependencyUnavailableError("x", "y"), ZeroDivisionError()]

    async def reconcile(key: Key) -> float | None:
        if key == BAD and errors:
            raise errors.pop()
        done.append(key)
        return 30.0 if key == GOOD else None

    working = asyncio.create_task(work(queue, reconcile, metrics, 2))
    queue.add(BAD)
    queue.add(GOOD)
    await settle()
    assert done == [GOOD]
    await clock.pass_(2)
    assert done == [GOOD, BAD]
    assert queue.failures(BAD) == 0
    await clock.pass_(30)
    assert done == [GOOD, BAD, GOOD]
    text = metrics.text().decode()
    assert 'reconciles_total{kind="Strategy",result="crashed"} 1.0' in text
    assert 'reconciles_total{kind="Strategy",result="failed"} 1.0' in text
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_who_may_not_write_any_more_ends() -> None:
    queue: KeyedQueue[Key] = KeyedQueue(FakeClock())
    metrics = Metrics()

    async def reconcile(_: Key) -> float | None:
        raise FencedError("lost")

    queue.add(BAD)
    with pytest.raises(ExceptionGroup) as caught:
        await work(queue, reconcile, metrics, 1)
    assert caught.group_contains(FencedError)
    assert 'reconciles_total{kind="Strategy",result="done"} 0.0' in metrics.text().decode()
    assert 'result=""' not in metrics.text().decode()
    with pytest.raises(FencedError):
        await apart(BAD, lambda: reconcile(BAD))  # type: ignore[arg-type,return-value]


async def test_probes_say_why_not() -> None:
    dead: list[str] = []
    refreshed: list[int] = []
    metrics = Metrics()
    app = make_app(metrics, lambda: dead, lambda: ["starting"], lambda: refreshed.append(1))
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/livez")
        assert (answer.status, await answer.text()) == (200, "ok\n")
        dead.append("watch: stale")
        answer = await client.get("/livez")
        assert (answer.status, await answer.text()) == (503, "watch: stale\n")
        assert (await client.get("/readyz")).status == 503
        answer = await client.get("/metrics")
        assert "alphapanda_operator_queue_depth" in await answer.text()
        assert refreshed == [1]


async def test_a_port_that_is_taken_is_named() -> None:
    app = make_app(Metrics(), list, list, lambda: None)
    async with TestServer(app) as server:
        other = make_app(Metrics(), list, list, lambda: None)
        with pytest.raises(SettingsError, match="choose a free one"):
            async with serving(other, "127.0.0.1", int(server.port or 0)):
                pass
    async with serving(make_app(Metrics(), list, list, lambda: None), "127.0.0.1", 0):
        pass


async def test_the_same_event_is_told_once_in_a_while() -> None:
    clock, cluster = FakeClock(), FakeCluster()
    events = Events(cluster, clock, Metrics(), "pod")  # type: ignore[arg-type]
    item = view(cache_of(feed()), "MarketFeed", "demo")
    for _ in range(3):
        await events.tell(item, "Warning", "Stale", "no ticks")
    await events.tell(item, "Warning", "Stale", "other words" * 500)
    assert len(cluster.events) == 2
    assert all(len(str(told["note"])) <= 1024 for told in cluster.events)
    await clock.pass_(AGAIN_SECONDS)
    await events.tell(item, "Warning", "Stale", "no ticks")
    assert len(cluster.events) == 3
    assert len({told["metadata"]["name"] for told in cluster.events}) == 3


def test_rights_are_few_each_has_a_reason_and_none_is_on_secrets() -> None:
    everything = [*WATCHED, *HOME]
    assert all(len(right.why) > 10 for right in everything)
    named = {(right.group, resource) for right in everything for resource in right.resources}
    assert not {resource for _, resource in named} & {
        "secrets",
        "nodes",
        "namespaces",
        "customresourcedefinitions",
    }
    assert all("*" not in (*right.verbs, *right.resources, right.group) for right in everything)
    assert HOME[1].rule()["resourceNames"] == ["{leader.leaseName}"]
    assert "resourceNames" not in WATCHED[0].rule()


def test_times_are_written_as_kubernetes_does() -> None:
    assert rfc3339(1_767_600_000.9) == "2026-01-05T08:00:00Z"
    assert rfc3339_micro(1_767_600_000.000_25) == "2026-01-05T08:00:00.000250Z"
    assert rfc3339_micro(1_767_599_999.999_999_9) in (
        "2026-01-05T08:00:00.000000Z",
        "2026-01-05T07:59:59.999999Z",
    )


async def test_a_note_is_never_longer_than_the_api_takes_in_whatever_script() -> None:
    cluster, clock = FakeCluster(), FakeClock()
    events = Events(cluster, clock, Metrics(), "pod")  # type: ignore[arg-type]
    await events.tell(view(cache_of(feed()), "MarketFeed", "demo"), "Warning", "Reason", "é" * 2_000)
    (told,) = cluster.events
    assert told["note"] == "é" * 512
