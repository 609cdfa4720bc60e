"""What is done by the clock: fresh reads before keys are renewed, the platform's state in order, one fault hurting no other."""

import asyncio
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from alpha_panda.contracts.enums import TradingState
from alpha_panda.errors import (
    ApiRefusedError,
    DependencyUnavailableError,
    FencedError,
    UnknownOutcomeError,
)
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.control import ControlDesk
from alpha_panda_operator.intake import Intake, Lag
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import Key, Kind
from alpha_panda_operator.ownership import Ownership
from alpha_panda_operator.queue import KeyedQueue
from alpha_panda_operator.reconcile.board import StatusBoard
from alpha_panda_operator.sync import Sync
from unit.operator.kit import FakeClock, account, config, feed, settle, strategy, with_metadata
from unit.operator.stores import FakeControl, FakeStatuses

ACTIVE, HALTED = TradingState.ACTIVE, TradingState.HALTED


class Api:
    """Lists what it is given; answers about the platform's ConfigMap when a test lets it."""

    def __init__(self, *resources: dict[str, Any]) -> None:
        self.resources = list(resources)
        self.platform: Any = {"data": {"tradingState": "Active"}}
        self.gates: list[asyncio.Future[None]] | None = None
        self.down = False

    async def list(
        self, kind: Kind, _: Iterable[str], *, take: Callable[[Iterable[Any]], None], **__: Any
    ) -> Any:
        if self.down:
            raise DependencyUnavailableError("kubernetes", "no answer")
        take(item for item in self.resources if item["kind"] == kind.kind)
        return SimpleNamespace(version="9999999")

    async def get(self, *_: Any) -> Any:
        found = self.platform
        if self.gates is not None:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            await gate
        return found


class Bench:
    """A Sync on an API and a Redis that only remember; a namespace may have a store of its own."""

    def __init__(self, *resources: dict[str, Any]) -> None:
        self.clock, self.api, self.cache = FakeClock(), Api(*resources), Cache()
        self.control: dict[str, FakeControl] = {}
        self.statuses: dict[str, FakeStatuses] = {}
        self.told: list[Key] = []
        settings = config()
        work: KeyedQueue[Key] = KeyedQueue(self.clock)
        self.desk = ControlDesk(
            store=self.store,  # type: ignore[arg-type]
            clock=self.clock,
            metrics=Metrics(),
            ttl=60,
            in_use=lambda _: False,
            latest=lambda item: self.cache.resources.get(item.key),
        )
        self.board = StatusBoard(
            lambda name: self.statuses.setdefault(name, FakeStatuses()),  # type: ignore[arg-type,return-value]
            self.desk,
        )
        self.sync = Sync(
            config=settings,
            cluster=self.api,  # type: ignore[arg-type]
            cache=self.cache,
            intake=Intake(settings, self.cache, self.clock, work, KeyedQueue(self.clock), Lag(self.clock)),
            desk=self.desk,
            board=self.board,
            ownership=Ownership(self.store, "alpha-panda"),
            clock=self.clock,
            home="home",
            tell=self.tell,
        )

    def store(self, namespace: str) -> FakeControl:
        return self.control.setdefault(namespace, FakeControl())

    async def tell(self, key: Key) -> None:
        self.told.append(key)


def elsewhere(resource: dict[str, Any]) -> dict[str, Any]:
    return with_metadata(resource, namespace="other", uid="elsewhere")


async def test_keys_are_renewed_after_a_fresh_read_alone() -> None:
    bench = Bench(feed(), account(), strategy())
    await bench.sync.renew()
    assert {scope: state for scope, (state, _) in bench.store("desk").specs.items()} == {
        "platform": ACTIVE,
        "account/paper": ACTIVE,
        "strategy/momo": ACTIVE,
    }
    bench.store("desk").specs.clear()
    bench.api.down = True
    with pytest.raises(DependencyUnavailableError):
        await bench.sync.renew()
    assert bench.store("desk").specs == {}  # what is not known to be allowed runs out


async def test_a_halt_of_the_platform_is_not_written_over_by_an_older_read() -> None:
    bench = Bench(account())
    await bench.sync.renew()
    bench.api.gates = []
    older = asyncio.create_task(bench.sync.read_platform())  # a renewal's: it has seen Active
    await settle()
    bench.api.platform = {"data": {"tradingState": "Halted"}}
    newer = asyncio.create_task(bench.sync.read_platform())  # the watch's
    for number in (1, 0, 1):  # the newer answer first, if it was asked for at all
        await settle()
        if number < len(bench.api.gates) and not bench.api.gates[number].done():
            bench.api.gates[number].set_result(None)
    await asyncio.gather(older, newer)
    assert bench.store("desk").specs["platform"][0] is HALTED
    assert bench.desk.platform is HALTED


@pytest.mark.parametrize(
    "error",
    [
        ApiRefusedError(410, "Expired", "too old"),
        DependencyUnavailableError("redis", "no answer"),
        UnknownOutcomeError("redis", "no answer"),
        KeyError("garbage"),
    ],
)
async def test_a_turn_that_fails_is_taken_again(error: Exception) -> None:
    bench = Bench()
    turns: list[float] = []

    async def turn() -> None:
        turns.append(bench.clock.time)
        if len(turns) == 1:
            raise error

    looping = asyncio.create_task(bench.sync.every(5, turn, "test"))
    await bench.clock.pass_(11)
    looping.cancel()
    assert turns == [0, 5, 10]


async def test_a_turn_of_who_does_not_lead_any_more_ends_all() -> None:
    async def turn() -> None:
        raise FencedError("somebody else leads")

    with pytest.raises(FencedError):
        await Bench().sync.every(5, turn, "test")


@pytest.mark.parametrize("fault", [ValueError("garbage in a key"), DependencyUnavailableError("redis", "no")])
async def test_what_can_not_be_read_of_one_namespace_hides_no_other(fault: Exception) -> None:
    bench = Bench(account(), elsewhere(account()))
    await bench.sync.renew()
    await bench.sync.read_statuses()
    assert set(bench.desk.readings) == {"desk", "other"}
    bench.told.clear()

    async def breaks(_: Any) -> Any:
        raise fault

    bench.store("desk").read = breaks  # type: ignore[method-assign,assignment]
    await bench.sync.read_statuses()
    assert set(bench.desk.readings) == {"other"}
    assert {key.namespace for key in bench.told} == {"desk", "other"}


async def test_a_status_that_somebody_wrote_meanwhile_is_looked_at_again() -> None:
    bench = Bench(account())
    await bench.sync.renew()

    async def conflict(_: Key) -> None:
        raise ApiRefusedError(409, "Conflict", "it has changed")

    bench.sync.tell = conflict
    while bench.sync.intake.work.depth:
        bench.sync.intake.work.done(await bench.sync.intake.work.get())
    await bench.sync.read_statuses()
    assert bench.sync.intake.work.depth == 1


async def test_what_went_unseen_is_forgotten_in_redis_too() -> None:
    bench = Bench(account(), strategy())
    await bench.sync.renew()
    bench.api.resources = [item for item in bench.api.resources if item["kind"] == "BrokerAccount"]
    await bench.sync.renew()
    assert set(bench.store("desk").specs) == {"platform", "account/paper"}
    bench.api.resources = []
    await bench.sync.renew()
    assert bench.store("desk").owned_by == ""


async def test_before_anything_is_told_all_is_written_and_read_once() -> None:
    bench = Bench(feed(), account(), strategy())
    await bench.sync.inform()
    assert set(bench.desk.readings["desk"]) == {"platform", "account/paper", "strategy/momo"}
    assert bench.desk.problem(Key("Strategy", "desk", "momo")) == ""
    assert bench.board.seen("desk").readings["strategy/momo"].spec is ACTIVE


@pytest.mark.parametrize("fault", ["down", "hangs", "garbage"])
async def test_without_redis_a_new_leader_begins_all_the_same(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpha_panda_operator.sync.INFORM_SECONDS", 0.05)
    bench = Bench(account())

    async def breaks(*_: Any) -> Any:
        if fault == "garbage":
            raise ValueError("garbage")
        await asyncio.Event().wait()

    bench.store("desk").down = fault == "down"
    if fault != "down":
        bench.store("desk").put_spec = breaks  # type: ignore[method-assign,assignment]
    await bench.sync.inform()
    assert Key("BrokerAccount", "desk", "paper") in bench.cache.resources


async def test_who_does_not_lead_any_more_begins_nothing() -> None:
    bench = Bench(account())

    def no() -> None:
        raise FencedError("somebody else leads")

    bench.desk.may_write = no
    with pytest.raises(FencedError):
        await bench.sync.inform()


async def test_a_renewal_that_finds_another_leader_ends_the_loop() -> None:
    bench = Bench(account())
    await bench.sync.renew()

    def no() -> None:
        raise FencedError("somebody else leads")

    async def renew() -> None:
        bench.desk.may_write = no
        await bench.desk.renew(list(bench.cache.resources.values()))

    with pytest.raises(FencedError):
        await bench.sync.every(5, renew, "control")
