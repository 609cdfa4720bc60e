"""A service as a pod: it follows its manifests, and a strategy that can't be run says so and waits."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from alpha_panda.adapters.clock import RealClock
from alpha_panda.cli.loading import load_for_pod
from alpha_panda.compose import process
from alpha_panda.compose.live_manifests import LiveManifests
from alpha_panda.compose.ports import memory_ports
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.status_details import (
    BAD_PARAMETERS,
    CODE_RAISED,
    INVALID,
    REFUSED,
    STOPPED,
    UNKNOWN_INSTRUMENT,
    UNKNOWN_TYPE,
    RunnerFigures,
    manifests_problem,
)
from alpha_panda.contracts.stored import CheckpointClaim, ServiceStatus
from alpha_panda.errors import (
    DependencyUnavailableError,
    MisuseError,
    SettingsError,
    UnknownOutcomeError,
    UserInputError,
)
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.manifests import Manifests
from alpha_panda.runtime.registry import find_services
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.servers.ports import free_ports
from unit.compose.test_live_manifests import ACCOUNT, FEED, STRATEGY, changed

SETTINGS = Settings(manifests_poll_seconds=0.01, status_interval_seconds=0.01, status_ttl_seconds=5)
BAD_CODE = (
    "from alpha_panda.sdk import Strategy\nclass Bad(Strategy):\n    def on_start(self):\n        raise {}\n"
)


class Pod:
    """One service in this process, over stores that a test can look at."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.file = path / "manifests.yaml"
        self.ports: Ports = memory_ports(ResourceSet(), SETTINGS, RealClock(), seed=1)[1]
        monkeypatch.setattr(process, "service_ports", self._service_ports)

    def write(self, *documents: dict[str, Any]) -> None:
        fresh = self.path / "fresh"
        fresh.write_text(yaml.safe_dump_all(documents))
        fresh.rename(self.file)

    @asynccontextmanager
    async def _service_ports(
        self, _: ResourceSet, __: Settings, ___: Manifests | None = None
    ) -> AsyncIterator[Ports]:
        yield self.ports

    @asynccontextmanager
    async def running(self, service: str, resource: str) -> AsyncIterator["asyncio.Task[None]"]:
        definition = find_services()[service]
        own = definition.kind == process.STRATEGY
        manifests = LiveManifests([self.path], partial(load_for_pod, [self.path], own), resource)
        task = asyncio.create_task(process._pod(definition, manifests, resource, SETTINGS))
        try:
            async with asyncio.timeout(20):
                yield task
        finally:
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.gather(task, return_exceptions=True)

    async def status(self, state: str, *, figures: str = "", problem: bool | None = None) -> ServiceStatus:
        """Wait for a status like this."""
        async for _ in RealClock().every(0.01):
            for status in await self.ports.statuses.all():
                told = RunnerFigures.of(status.details).state if figures else ""
                told_problem = manifests_problem(status.details) is not None
                if (status.state, told) == (state, figures) and problem in (None, told_problem):
                    return status
        raise AssertionError


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    return Pod(tmp_path, monkeypatch)


WRONG = [
    (changed(STRATEGY, accounts=["paper"], parameters={"lookback": -1}), "lookback", BAD_PARAMETERS),
    (changed(STRATEGY, accounts=["paper"], type="no-such"), "no-such", UNKNOWN_TYPE),
    (changed(STRATEGY, accounts=["paper"], instruments=["NSE:NO"]), "NSE:NO", UNKNOWN_INSTRUMENT),
    (changed(STRATEGY, accounts=["paper"], signalTtlSeconds=-1), "signalTtlSeconds", INVALID),
]


@pytest.mark.parametrize(
    ("wrong", "told", "reason"), WRONG, ids=lambda item: item if isinstance(item, str) else ""
)
async def test_a_strategy_that_its_manifest_makes_impossible_waits_for_another(
    pod: Pod, wrong: dict[str, Any], told: str, reason: str
) -> None:
    pod.write(FEED, ACCOUNT, wrong)
    async with pod.running("strategy", "Strategy/momentum") as task:
        status = await pod.status("running", figures=REFUSED)
        assert (status.service, status.resource) == ("strategy", "momentum")
        figures = RunnerFigures.of(status.details)
        assert told in figures.message
        assert figures.reason == reason
        assert not task.done()
        pod.write(FEED, ACCOUNT, changed(STRATEGY, accounts=["paper"]))
        assert (await pod.status("running", figures="running")).resource == "momentum"
    assert task.exception() is None


async def test_a_strategy_whose_code_raises_as_it_starts_is_stopped_and_says_where(pod: Pod) -> None:
    (pod.path / "bad.py").write_text(BAD_CODE.format("RuntimeError('no luck')"))
    spec = {key: value for key, value in STRATEGY["spec"].items() if key != "type"}
    code = {"file": "bad.py", "class": "Bad"}
    pod.write(FEED, ACCOUNT, {**STRATEGY, "spec": {**spec, "accounts": ["paper"], "code": code}})
    async with pod.running("strategy", "Strategy/momentum") as task:
        figures = RunnerFigures.of((await pod.status("running", figures=STOPPED)).details)
        assert figures.reason == CODE_RAISED
        assert "no luck" in figures.message
        assert "bad.py, line 4" in figures.message
        assert not task.done()
    assert task.exception() is None


RAISES = "        raise TypeError('no luck')\n"
CONSTRUCTOR = f"class Bad(Strategy):\n    def __init__(self, *args):\n{RAISES}"
PARAMETERS = f"""
class P(StrategyParameters):
    @model_validator(mode='after')
    def check(self):
{RAISES}
class Bad(Strategy):
    Parameters = P
"""
IMPORT = "class Bad(Strategy):\n    luck.no\n"
RAISING = {
    "constructor": (CONSTRUCTOR, STOPPED, CODE_RAISED),
    "parameters": (PARAMETERS, REFUSED, BAD_PARAMETERS),
    "import": (IMPORT, REFUSED, UNKNOWN_TYPE),
}


@pytest.mark.parametrize("code", RAISING)
async def test_code_that_raises_before_it_starts_ends_no_process_either(pod: Pod, code: str) -> None:
    text, state, reason = RAISING[code]
    head = "from pydantic import model_validator\nfrom alpha_panda.sdk import Strategy, StrategyParameters\n"
    (pod.path / "bad.py").write_text(head + text)
    spec = {key: value for key, value in STRATEGY["spec"].items() if key != "type"}
    pod.write(
        FEED,
        ACCOUNT,
        {**STRATEGY, "spec": {**spec, "accounts": ["paper"], "code": {"file": "bad.py", "class": "Bad"}}},
    )
    async with pod.running("strategy", "Strategy/momentum") as task:
        figures = RunnerFigures.of((await pod.status("running", figures=state)).details)
        assert figures.reason == reason
        assert "luck" in figures.message
        assert not task.done()
    assert task.exception() is None


async def test_a_refused_service_is_alive_and_not_ready(pod: Pod) -> None:
    context = ServiceContext(SETTINGS, pod.ports, ResourceSet(), "momentum", "pod-1")
    figures = RunnerFigures(state=REFUSED, message="bad")
    service = process._idle_service("strategy", context, lambda: "refused: bad", figures.details)
    running = asyncio.create_task(service.run())
    await service.ready.wait()
    async with asyncio.timeout(5):
        async for _ in RealClock().every(0.01):
            if service.not_ready_because() == ["manifest: refused: bad"]:
                break
    assert service.stuck() == []
    await service.stop()
    await running


async def test_an_account_pod_needs_no_class_of_its_strategies_and_no_other_account(pod: Pod) -> None:
    pod.write(FEED, ACCOUNT, changed(STRATEGY, type="of-another-image"))
    async with pod.running("risk", "BrokerAccount/paper") as task:
        await pod.status("running")
        assert not task.done()
    assert task.exception() is None


async def test_a_running_service_tells_of_manifests_that_it_cannot_use(pod: Pod) -> None:
    pod.write(FEED, ACCOUNT)
    async with pod.running("engine", "BrokerAccount/paper"):
        await pod.status("running", problem=False)
        pod.file.write_text("kind: [")
        assert "manifests.yaml" in str(manifests_problem((await pod.status("running", problem=True)).details))
        pod.write(FEED, ACCOUNT)
        await pod.status("running", problem=False)


async def test_other_services_end_with_what_is_wrong(pod: Pod) -> None:
    pod.write(FEED, changed(ACCOUNT, paper=None))
    with pytest.raises(UserInputError, match="broker"):
        async with pod.running("risk", "BrokerAccount/paper") as task:
            await task


async def test_wrong_settings_are_no_fault_of_the_strategy(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.write(FEED, ACCOUNT, changed(STRATEGY, accounts=["paper"]))

    @asynccontextmanager
    async def refused(*_: object) -> AsyncIterator[Ports]:
        raise SettingsError("ALPHAPANDA_REDIS_URL is no address")
        yield

    monkeypatch.setattr(process, "service_ports", refused)
    with pytest.raises(SettingsError):
        async with pod.running("strategy", "Strategy/momentum") as task:
            await task


async def test_control_follows_the_trading_states(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.write(FEED, ACCOUNT, changed(STRATEGY, accounts=["paper"]))
    manifests = LiveManifests([pod.path], partial(load_for_pod, [pod.path], False))
    manifests.begin()
    ports = pod.ports
    task = asyncio.create_task(process._control(ports, manifests.resources, SETTINGS, manifests))

    async def states_are(*wanted: TradingState) -> None:
        async for _ in RealClock().every(0.01):
            readings = await ports.control.read(("account/paper", "strategy/momentum"))
            if tuple(reading.state for reading in readings) == wanted:
                return

    async with asyncio.timeout(10):
        await states_are(TradingState.ACTIVE, TradingState.ACTIVE)
        pod.write(FEED, changed(ACCOUNT, tradingState="Reducing"), changed(STRATEGY, accounts=["paper"]))
        await states_are(TradingState.REDUCING, TradingState.ACTIVE)
        pod.write(FEED, changed(ACCOUNT, tradingState="Reducing"))
        await states_are(TradingState.REDUCING, TradingState.HALTED)
        pod.file.write_text("kind: [")
        await states_are(TradingState.REDUCING, TradingState.HALTED)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await task


async def test_a_store_that_is_away_is_waited_for_in_the_process_and_all_is_claimed_anew(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.write(FEED, ACCOUNT, changed(STRATEGY, accounts=["paper"]))
    claim, claims = pod.ports.checkpoints.claim, list[str]()

    async def failing(strategy: str, account: str) -> CheckpointClaim:
        claims.append(strategy)
        if len(claims) == 1:
            raise DependencyUnavailableError("redis", "refused")
        if len(claims) == 2:
            raise UnknownOutcomeError("no reply to the claim")
        return await claim(strategy, account)

    monkeypatch.setattr(pod.ports.checkpoints, "claim", failing)
    async with pod.running("strategy", "Strategy/momentum") as task:
        assert (await pod.status("running", figures="running")).resource == "momentum"
        assert not task.done()
    assert claims == ["momentum"] * 3
    assert task.exception() is None


async def test_what_waiting_does_not_mend_ends_the_process(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.write(FEED, ACCOUNT, changed(STRATEGY, accounts=["paper"]))

    async def failing(*_: object) -> CheckpointClaim:
        raise MisuseError("a fault of ours")

    monkeypatch.setattr(pod.ports.checkpoints, "claim", failing)
    async with pod.running("strategy", "Strategy/momentum") as task:
        await asyncio.wait([task])
    assert isinstance(task.exception(), MisuseError)


async def test_a_pod_that_waits_for_a_store_answers_probes_and_goes_at_once_when_told_to() -> None:
    settings = SETTINGS.model_copy(update={"health_port": free_ports(1)[0]})
    definition, error = find_services()["risk"], DependencyUnavailableError("redis", "refused")
    waiting = asyncio.create_task(process._signalled_within(3600, definition, settings, error))
    async with asyncio.timeout(10), aiohttp.ClientSession() as client:
        answers = dict[str, int]()
        while len(answers) < 2:
            await asyncio.sleep(0.01)
            with suppress(aiohttp.ClientConnectionError):
                for probe in ("livez", "readyz"):
                    async with client.get(f"http://127.0.0.1:{settings.health_port}/{probe}") as answer:
                        answers[probe] = answer.status
        assert answers == {"livez": 200, "readyz": 503}
        os.kill(os.getpid(), signal.SIGTERM)  # the probes answer: so its handler is there
        assert await waiting is True


async def test_waiting_ends_by_itself() -> None:
    error = DependencyUnavailableError("redis", "refused")
    assert await process._signalled_within(0.01, find_services()["risk"], SETTINGS, error) is False
