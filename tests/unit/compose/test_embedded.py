"""The run in one process: who takes part, in which order, and on which clock."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.compose.embedded import (
    EmbeddedRun,
    RunOptions,
    check,
    make_clock,
    members,
    needs_virtual_time,
    run_embedded,
)
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.errors import ManifestError
from alpha_panda.runtime.metrics.catalogue import SERVICE_READY
from alpha_panda.runtime.settings import Settings
from unit.cli.kit import Document, account, feed, platform, resource, rows, strategy, wall_clock_feed
from unit.compose.test_health_server import free_port
from unit.runtime.metrics.scraped import Scraped

Load = Callable[..., ResourceSet]


def load(*documents: Document, directory: Path | None = None) -> ResourceSet:
    return ResourceSet.from_documents(documents, directory=directory)


def named(document: Document, name: str) -> Document:
    return document | {"metadata": {"name": name}}


def test_readers_start_before_writers_and_feeds_last() -> None:
    names = [member.name for member in members(load(*platform()))]
    assert names[-1] == "market-feed/demo"
    assert sorted(names) == [
        "engine/paper-0",
        "engine/paper-1",
        "feed-cacher/demo",
        "market-feed/demo",
        "order-tracker/paper",
        "risk/paper",
        "strategy/alpha",
    ]


def test_strategies_of_one_feed_share_a_runner() -> None:
    resources = load(*platform(), named(strategy(), "beta"))
    runners = [member for member in members(resources) if member.definition.name == "strategy"]
    assert [member.resource for member in runners] == ["alpha,beta"]


def test_each_replica_has_an_instance_of_its_own() -> None:
    run = EmbeddedRun(load(*platform(feed=wall_clock_feed())), Settings(), RunOptions())
    instances = [run.context_of(member).instance for member in run.members]
    assert len(set(instances)) == len(instances) == 7
    assert "engine-paper-1" in instances


def test_only_feeds_at_speed_0_need_virtual_time(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(rows(3), encoding="utf-8")
    replay = load(feed({"replay": {"path": "rows.csv"}}), directory=tmp_path)
    assert needs_virtual_time(replay)
    assert not needs_virtual_time(load(wall_clock_feed()))
    clock = make_clock(replay, Settings())
    assert isinstance(clock, VirtualClock)
    assert clock.now() == 1_704_167_100 * 10**9  # the first row's time
    assert isinstance(make_clock(load(wall_clock_feed()), Settings()), RealClock)


def test_all_files_that_can_not_be_read_are_faults_of_their_manifests(tmp_path: Path) -> None:
    documents = [named(feed({"replay": {"path": f"{name}.csv"}}), name) for name in ("one", "two")]
    with pytest.raises(ManifestError) as caught:
        check(load(*documents, directory=tmp_path), Settings())
    assert [(fault.resource, fault.field) for fault in caught.value.faults] == [
        ("MarketFeed/one", "spec.source.replay.path"),
        ("MarketFeed/two", "spec.source.replay.path"),
    ]
    assert "two.csv: no such file" in caught.value.faults[1].problem


def test_a_replay_is_the_same_from_run_to_run(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(rows(300), encoding="utf-8")
    resources = load(*platform(feed=feed({"replay": {"path": "rows.csv"}})), directory=tmp_path)

    def outcome() -> Any:
        summary = run_embedded(resources, Settings(), RunOptions(seed=1))
        return summary.ticks, summary.signals, summary.orders, summary.accounts

    first = outcome()
    assert first == outcome()
    assert first[0] == 300
    assert first[2].filled > 0


def test_beside_is_cancelled_when_the_run_ends() -> None:
    seen: list[str] = []

    async def beside(run: EmbeddedRun) -> None:
        try:
            await run.clock.sleep(10**6)
        finally:
            seen.append("cancelled")

    resources = load(wall_clock_feed())
    run_embedded(resources, Settings(), RunOptions(max_ticks=3), beside=beside)
    assert seen == ["cancelled"]


def test_figures_of_all_services_are_served_at_one_port_of_the_run() -> None:
    async def beside(run: EmbeddedRun) -> None:
        await run.supervisor.wait_ready()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{settings.metrics_port}/metrics") as answer,
        ):
            found.append(Scraped(await answer.text()))
        run.request_stop()

    found: list[Scraped] = []
    settings = Settings(metrics_host="127.0.0.1", metrics_port=free_port())
    run_embedded(load(*platform(feed=wall_clock_feed())), settings, RunOptions(), beside=beside)
    told = {dict(labels)["service"] for name, labels in found[0].samples if name == SERVICE_READY.name}
    assert told == {"market-feed", "feed-cacher", "strategy", "risk", "engine", "order-tracker"}


def test_two_accounts_have_books_of_their_own() -> None:
    other = resource("BrokerAccount", "other", {"marketFeed": "demo", "paper": {"cash": "5"}})
    summary = run_embedded(load(feed(), account(), other), Settings(), RunOptions(max_ticks=10))
    assert {name: book.cash for name, book in summary.accounts.items()} == {"other": "5", "paper": "1000000"}


def test_every_replica_s_status_is_kept() -> None:
    async def beside(run: EmbeddedRun) -> None:
        await run.supervisor.wait_ready()
        found.extend((item.service, item.instance) for item in await run.ports.statuses.all())
        run.request_stop()

    found: list[tuple[str, str]] = []
    run_embedded(load(*platform(feed=wall_clock_feed())), Settings(), RunOptions(), beside=beside)
    assert [instance for service, instance in found if service == "engine"] == [
        "engine-paper-0",
        "engine-paper-1",
    ]
