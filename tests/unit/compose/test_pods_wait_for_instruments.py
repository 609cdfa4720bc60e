"""A pod waits, unready, until its feed's symbols are known; and starts anew when they are other ones."""

import asyncio
import copy
from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose import process
from alpha_panda.compose.instruments import feed_of, needed_of
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.status_details import PROBLEM
from alpha_panda.contracts.stored import InstrumentList, ServiceStatus
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import ListedSymbols
from alpha_panda.runtime.settings import Settings
from cases.wrong_manifests import ACCOUNT, FEED, KITE, KITE_FEED, STRATEGY, Manifest, changed
from unit.compose import test_process
from unit.compose.test_process import Pod

SETTINGS = Settings(
    manifests_poll_seconds=0.01,
    status_interval_seconds=0.01,
    status_ttl_seconds=5,
    instruments_poll_seconds=0.01,
)
TICK = Decimal("0.05")
PAPER = changed(ACCOUNT, {"spec/marketFeed": "nse"})
MOMENTUM = changed(STRATEGY, {"spec/marketFeed": "nse"})
ALL: tuple[Manifest, ...] = (KITE_FEED, KITE, PAPER, MOMENTUM)


def instruments(**tokens: int) -> tuple[Instrument, ...]:
    known = {"RELIANCE": 738561, "INFY": 408065, "M&M": 519937, **tokens}
    return tuple(
        Instrument(token=token, symbol=f"NSE:{name}", tick_size=TICK) for name, token in known.items()
    )


def listed(version: str = "1", *, faults: dict[str, str] | None = None, **tokens: int) -> InstrumentList:
    usable = tuple(item for item in instruments(**tokens) if item.symbol not in (faults or {}))
    return InstrumentList(
        feed="nse", day="2026-11-23", version=version, instruments=usable, faults=faults or {}
    )


class Lists:
    """A broker's list that isn't there at first."""

    def __init__(self) -> None:
        self.there = False
        self.tokens: dict[str, int] = {}
        self.today = "2026-11-23"

    def day(self) -> str:
        return self.today

    async def find(self, symbols: Collection[str], lot_sizes: Mapping[str, Decimal]) -> ListedSymbols:
        assert lot_sizes == {}
        if not self.there:
            raise DependencyUnavailableError("zerodha instruments", "no session: log in")
        found = {item.symbol: item for item in instruments(**self.tokens)}
        return ListedSymbols(self.today, True, {symbol: found[symbol] for symbol in symbols}, {})


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    monkeypatch.setattr(test_process, "SETTINGS", SETTINGS)
    made = Pod(tmp_path, monkeypatch)
    made.write(*(copy.deepcopy(item) for item in ALL))
    return made


async def told(pod: Pod, problem: str | None, *, started_after: int = 0) -> ServiceStatus:
    """Wait for a status whose problem begins so; None: for one of a service that waits for nothing."""
    async for _ in RealClock().every(0.01):
        for status in await pod.ports.statuses.all():
            said = str(status.details.get(PROBLEM) or "")
            fits = said.startswith(problem) if problem is not None else not said and status.state == "running"
            if fits and status.started_at > started_after:
                return status
    raise AssertionError


@pytest.mark.parametrize(
    ("service", "resource"),
    [("engine", "BrokerAccount/paper"), ("risk", "BrokerAccount/paper"), ("strategy", "Strategy/momentum")],
)
async def test_a_service_waits_and_says_for_what_and_starts_as_soon_as_it_is_there(
    pod: Pod, service: str, resource: str
) -> None:
    assert pod.ports.instruments is not None
    async with pod.running(service, resource) as task:
        waiting = await told(pod, "the market-feed of nse has not said yet")
        assert not task.done()
        await pod.ports.instruments.put(listed())
        started = await told(pod, None, started_after=waiting.started_at)
        assert started.service == service
    assert task.exception() is None


async def test_what_is_there_already_is_not_waited_for(pod: Pod) -> None:
    assert pod.ports.instruments is not None
    await pod.ports.instruments.put(listed())
    async with pod.running("engine", "BrokerAccount/paper"):
        status = await told(pod, None)
        assert PROBLEM not in status.details


async def test_a_cacher_knows_tokens_alone_and_waits_for_nothing(pod: Pod) -> None:
    async with pod.running("feed-cacher", "MarketFeed/nse"):
        await told(pod, None)


async def test_a_strategy_that_names_an_expired_contract_waits_with_its_reason_and_others_run(
    pod: Pod,
) -> None:
    assert pod.ports.instruments is not None
    gone = {"NSE:RELIANCE": "NSE:RELIANCE expired on 2026-11-20; nearest: NSE:R2"}
    await pod.ports.instruments.put(listed(faults=gone))
    async with pod.running("strategy", "Strategy/momentum"):
        await told(pod, "NSE:RELIANCE expired on 2026-11-20; nearest: NSE:R2")
        pod.write(*ALL[:3], changed(MOMENTUM, {"spec/instruments": ["NSE:INFY"]}))
        await told(pod, None)


async def test_a_strategy_is_built_anew_when_a_token_of_its_own_changes_and_not_for_others(pod: Pod) -> None:
    assert pod.ports.instruments is not None
    await pod.ports.instruments.put(listed())
    async with pod.running("strategy", "Strategy/momentum") as task:
        first = await told(pod, None)
        await pod.ports.instruments.put(listed("2", INFY=9))
        await asyncio.sleep(0.1)  # a look or several: nothing of its own has changed
        assert (await told(pod, None)).started_at == first.started_at
        await pod.ports.instruments.put(listed("3", RELIANCE=7))
        again = await told(pod, None, started_after=first.started_at)
        assert again.service == "strategy"
        assert not task.done()


async def test_a_market_feed_asks_waits_stores_and_starts_anew_when_tokens_change(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = Lists()
    settings = SETTINGS.model_copy(update={"instruments_retry_seconds": 0.01})
    monkeypatch.setattr(test_process, "SETTINGS", settings)
    pod.ports = replace(pod.ports, lists=lambda _: lists, source=lambda _: Silent())
    store = pod.ports.instruments
    assert store is not None
    async with pod.running("market-feed", "MarketFeed/nse"):
        waiting = await told(pod, "zerodha instruments: no session: log in")
        lists.there = True
        first = await told(pod, None, started_after=waiting.started_at)
        found = await store.read("nse")
        assert found is not None
        assert found.instruments == instruments()
        lists.tokens, lists.today = {"RELIANCE": 9}, "2026-11-24"
        await told(pod, None, started_after=first.started_at)
        found = await store.read("nse")
        assert found is not None
        assert found.instruments == instruments(RELIANCE=9)


class Silent:
    """A source that says nothing."""

    mode: Any = "live"
    exhausted = False

    def __init__(self) -> None:
        from alpha_panda.contracts.enums import FeedMode  # noqa: PLC0415 - one name alone

        self.mode = FeedMode.LIVE

    async def batches(self, _: object) -> Any:
        await asyncio.Event().wait()
        yield None


def test_who_needs_which_feed() -> None:
    resources = ResourceSet.from_documents([copy.deepcopy(item) for item in (*ALL, FEED)])
    assert feed_of("engine", "BrokerAccount", "paper", resources) == "nse"
    assert feed_of("market-feed", "MarketFeed", "nse", resources) == "nse"
    assert feed_of("market-feed", "MarketFeed", "demo", resources) == ""
    assert feed_of("feed-cacher", "MarketFeed", "nse", resources) == ""
    assert feed_of("strategy", "Strategy", "momentum", resources) == "nse"
    assert needed_of("Strategy", "momentum", resources) == ("NSE:RELIANCE",)
    assert needed_of("BrokerAccount", "paper", resources) == ()
    assert process.STRATEGY == "Strategy"
