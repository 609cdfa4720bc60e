"""Manifests are followed while a service runs; what can't be used changes nothing, and is told."""

import asyncio
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.live_manifests import (
    LIVE_ACCOUNT_FIELDS,
    RETRY_LOOKS,
    LiveManifests,
    mark_of,
    pinned,
)
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.manifests import ResourceSet, load_manifests
from alpha_panda.contracts.resources.broker_account import BrokerAccountSpec
from alpha_panda.errors import ManifestError, UserInputError
from alpha_panda.runtime.manifests import Derived

API = "alphapanda.io/v1alpha1"
FEED: dict[str, Any] = {
    "apiVersion": API,
    "kind": "MarketFeed",
    "metadata": {"name": "demo"},
    "spec": {
        "source": {"simulated": {}},
        "partitions": 2,
        "instruments": [{"token": 1, "symbol": "NSE:A", "tickSize": 0.05, "referencePrice": 100}],
    },
}
ACCOUNT: dict[str, Any] = {
    "apiVersion": API,
    "kind": "BrokerAccount",
    "metadata": {"name": "paper"},
    "spec": {"marketFeed": "demo", "paper": {"cash": 1000}, "risk": {"maxPosition": 5}},
}
STRATEGY: dict[str, Any] = {
    "apiVersion": API,
    "kind": "Strategy",
    "metadata": {"name": "momentum", "uid": "uid-1"},
    "spec": {
        "type": "momentum",
        "marketFeed": "demo",
        "accounts": ["paper", "elsewhere"],
        "instruments": ["NSE:A"],
    },
}


class Folder:
    """A mounted ConfigMap: its file is switched over by a link, as the kubelet does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = 0
        path.mkdir()
        (path / "manifests.yaml").symlink_to("..data/manifests.yaml")

    def write(self, *documents: dict[str, Any]) -> None:
        self.write_text(yaml.safe_dump_all(documents))

    def write_text(self, text: str) -> None:
        self._turn += 1
        fresh = self.path / f"..turn_{self._turn}"
        fresh.mkdir()
        (fresh / "manifests.yaml").write_text(text)
        (self.path / "..new").symlink_to(fresh.name)
        (self.path / "..new").rename(self.path / "..data")


def changed(document: dict[str, Any], **spec: Any) -> dict[str, Any]:
    new = deepcopy(document)
    new["spec"].update(spec)
    return new


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "manifests")
    folder.write(FEED, ACCOUNT, STRATEGY)
    return folder


def live(folder: Folder, served: str = "BrokerAccount/paper") -> LiveManifests:
    manifests = LiveManifests([folder.path], lambda: load_manifests([folder.path], complete=False), served)
    manifests.begin()
    return manifests


async def test_live_fields_change_without_a_restart(folder: Folder) -> None:
    manifests = live(folder)
    assert manifests.resources.accounts["paper"].spec.risk.max_position == 5
    folder.write(
        FEED,
        changed(
            ACCOUNT, risk={"maxPosition": 7}, tradingState="Halted", acceptStrategies=[], orderTypes=["LIMIT"]
        ),
    )
    assert await manifests.look()
    spec = manifests.resources.accounts["paper"].spec
    assert (spec.risk.max_position, spec.trading_state) == (7, TradingState.HALTED)
    assert (spec.accept_strategies, spec.order_types) == ((), ("LIMIT",))
    assert manifests.resources.strategies == {}


async def test_strategies_come_go_and_become_others(folder: Folder) -> None:
    manifests = live(folder)
    other = deepcopy(STRATEGY)
    other["metadata"] = {"name": "momentum", "uid": "uid-2"}
    second = deepcopy(STRATEGY)
    second["metadata"]["name"] = "second"
    folder.write(FEED, ACCOUNT, other, second)
    assert await manifests.look()
    found = manifests.resources.strategies
    assert (found["momentum"].metadata.uid, list(found)) == ("uid-2", ["momentum", "second"])


async def test_start_up_fields_stay_until_the_next_start(folder: Folder) -> None:
    manifests = live(folder)
    more = {"token": 2, "symbol": "NSE:B", "tickSize": 0.05, "referencePrice": 100}
    feed = changed(FEED, partitions=9, instruments=[*FEED["spec"]["instruments"], more])
    folder.write(feed, changed(ACCOUNT, paper={"cash": 5}, risk={"maxPosition": 6}))
    assert await manifests.look()
    account, feeds = manifests.resources.accounts["paper"], manifests.resources.feeds
    assert account.spec.paper is not None
    assert (account.spec.paper.cash, account.spec.risk.max_position) == (1000, 6)
    assert feeds["demo"].spec.partitions == 2
    assert set(feeds["demo"].instruments.by_symbol) == {"NSE:A", "NSE:B"}


def test_every_field_that_is_called_live_exists() -> None:
    assert LIVE_ACCOUNT_FIELDS - {"clear_latch"} <= set(BrokerAccountSpec.model_fields)


async def test_nothing_is_read_while_nothing_has_changed(folder: Folder) -> None:
    reads: list[int] = []

    def read() -> ResourceSet:
        reads.append(1)
        return load_manifests([folder.path], complete=False)

    manifests = LiveManifests([folder.path], read)
    manifests.begin()
    before = manifests.resources
    for _ in range(3):
        assert not await manifests.look()
    assert (len(reads), manifests.resources is before) == (1, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: [", "manifests.yaml"),
        (yaml.safe_dump_all([FEED, changed(ACCOUNT, risk={"maxPosition": -1})]), "maxPosition"),
        (yaml.safe_dump_all([FEED]), "BrokerAccount/paper is not among the manifests any more"),
        ("", "empty"),
    ],
)
async def test_what_cannot_be_used_leaves_the_last_good_and_is_told_once(
    folder: Folder, text: str, told: str
) -> None:
    manifests = live(folder)
    before = manifests.resources
    folder.write_text(text)
    with capture_logs() as logs:
        assert not await manifests.look()
        assert not await manifests.look()
    assert manifests.resources is before
    assert manifests.problem is not None
    assert told in manifests.problem
    assert [entry["event"] for entry in logs] == ["manifests_refused"]
    folder.write(FEED, changed(ACCOUNT, risk={"maxPosition": 8}), STRATEGY)
    assert await manifests.look()
    assert manifests.problem is None
    assert manifests.resources.accounts["paper"].spec.risk.max_position == 8


async def test_a_folder_that_is_gone_leaves_the_last_good(folder: Folder, tmp_path: Path) -> None:
    manifests = live(folder)
    folder.path.rename(tmp_path / "elsewhere")
    for _ in range(2):
        assert not await manifests.look()
    assert manifests.problem is not None
    assert len(manifests.resources) == 3


async def test_an_error_that_nobody_foresaw_is_told_too(folder: Folder) -> None:
    broken = False

    def read() -> ResourceSet:
        if broken:
            raise RuntimeError("unforeseen")
        return load_manifests([folder.path], complete=False)

    manifests = LiveManifests([folder.path], read)
    manifests.begin()
    broken = True
    folder.write(FEED)
    assert not await manifests.look()
    assert manifests.problem == "unforeseen"
    assert len(manifests.resources) == 3


async def test_what_failed_once_is_read_again_though_it_has_not_changed(folder: Folder) -> None:
    failing = False

    def read() -> ResourceSet:
        if failing:
            raise OSError(24, "too many open files")
        return load_manifests([folder.path], complete=False)

    manifests = LiveManifests([folder.path], read)
    manifests.begin()
    failing = True
    folder.write(FEED, changed(ACCOUNT, risk={"maxPosition": 1}))
    with capture_logs() as logs:
        for _ in range(2 * RETRY_LOOKS):
            assert not await manifests.look()
    assert [entry["event"] for entry in logs] == ["manifests_unreadable", "manifests_refused"]
    failing = False
    looks = [await manifests.look() for _ in range(RETRY_LOOKS)]
    assert looks.count(True) == 1
    assert manifests.problem is None
    assert manifests.resources.accounts["paper"].spec.risk.max_position == 1


def _cut_off_before_the_limits() -> str:
    """The first half of a manifest, which is a manifest too: the account without its limits."""
    whole = yaml.safe_dump_all([FEED, ACCOUNT], sort_keys=False)
    half = whole[: whole.index("  risk:")]
    assert yaml.safe_load_all(half)
    return half


async def test_half_of_a_file_that_is_being_written_in_place_loosens_no_limit(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([FEED, ACCOUNT], sort_keys=False))
    manifests = LiveManifests(
        [tmp_path], lambda: load_manifests([tmp_path], complete=False), "BrokerAccount/paper"
    )
    manifests.begin()
    file.write_text(_cut_off_before_the_limits())
    assert not await manifests.look()
    file.write_text(yaml.safe_dump_all([FEED, changed(ACCOUNT, risk={"maxPosition": 4})], sort_keys=False))
    assert not await manifests.look()
    assert manifests.resources.accounts["paper"].spec.risk.max_position == 5
    assert await manifests.look()
    assert manifests.resources.accounts["paper"].spec.risk.max_position == 4


async def test_what_is_written_to_while_it_is_read_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([FEED, ACCOUNT], sort_keys=False))
    writes = iter(["kind: BrokerAccount"])

    def read() -> ResourceSet:
        found = load_manifests([tmp_path], complete=False)
        if file.read_text() == half:
            file.write_text(next(writes))
        return found

    half = _cut_off_before_the_limits()
    manifests = LiveManifests([tmp_path], read)
    manifests.begin()
    file.write_text(half)
    for _ in range(4):
        assert not await manifests.look()
    assert manifests.resources.accounts["paper"].spec.risk.max_position == 5
    assert manifests.problem is not None


async def test_hours_that_no_session_can_have_leave_the_last_good(folder: Folder) -> None:
    """Each manifest holds by itself; that its hours overlap shows only when rules are made of them."""
    manifests = live(folder)
    hours = [{"open": "10:00", "close": "12:00"}, {"open": "11:00", "close": "13:00"}]
    folder.write(
        changed(FEED, calendar="XBOM", sessions=hours), changed(ACCOUNT, risk={"maxPosition": 9}), STRATEGY
    )
    assert not await manifests.look()
    assert "overlap" in str(manifests.problem)
    assert manifests.resources.accounts["paper"].spec.risk.max_position == 5


def test_a_folder_that_goes_while_it_is_walked_is_another_state(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mark_of([folder.path])

    def gone(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "rglob", gone)
    assert mark_of([folder.path]) != before


def test_the_first_reading_raises_what_is_wrong(folder: Folder) -> None:
    folder.write(changed(FEED, partitions=0))
    with pytest.raises(ManifestError):
        live(folder)


async def test_a_text_that_says_the_same_is_no_change(folder: Folder) -> None:
    manifests = live(folder)
    before = manifests.resources
    folder.write_text("# a comment\n" + yaml.safe_dump_all([FEED, ACCOUNT, STRATEGY]))
    assert not await manifests.look()
    assert manifests.resources is before


def test_an_account_whose_feed_went_away_is_refused(folder: Folder) -> None:
    now = load_manifests([folder.path], complete=False)
    with pytest.raises(UserInputError, match="MarketFeed demo"):
        pinned(ResourceSet(accounts=now.accounts), now)


def test_marks_tell_a_file_that_was_written_in_place(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a")
    before = mark_of([file])
    assert mark_of([file]) == before
    os.utime(file, ns=(1, 1))
    assert mark_of([file]) != before
    file.unlink()
    assert mark_of([file]) == (("", 0, 0, 0),)


async def test_following_tells_of_each_change(folder: Folder) -> None:
    manifests = live(folder)
    told: asyncio.Queue[int] = asyncio.Queue()

    async def on_change() -> None:
        told.put_nowait(len(manifests.resources))

    following = asyncio.create_task(manifests.follow(RealClock(), 0.01, on_change))
    async with asyncio.timeout(5):
        folder.write(FEED, ACCOUNT)
        assert await told.get() == 2
        folder.write(FEED, ACCOUNT, STRATEGY)
        assert await told.get() == 3
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert told.empty()


async def test_what_follows_from_manifests_is_made_anew_when_they_change(folder: Folder) -> None:
    manifests = live(folder)
    made: list[int] = []

    def make(resources: ResourceSet) -> int:
        made.append(len(resources))
        return len(resources)

    derived = Derived(manifests, make)
    assert (derived(), derived(), made) == (3, 3, [3])
    folder.write(FEED, ACCOUNT)
    await manifests.look()
    assert (derived(), derived(), made) == (2, 2, [3, 2])
