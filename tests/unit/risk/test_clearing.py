"""Latches that manifests name are cleared once, Kafka first; no others, and none that was set later."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import ControlChanged
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import CLEARED, IGNORED, Latch
from alpha_panda.contracts.topics import platform_control
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Outgoing, Producer, RecordPosition
from alpha_panda.risk.clearing import REASON, Clearing
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.control_topics import Keeper
from unit.risk.world import ACCOUNT, RiskWorld

SCOPES = (PLATFORM, account_scope(ACCOUNT), strategy_scope("alpha"))


async def latched(world: RiskWorld, latch_id: str = "x", scope: str = account_scope(ACCOUNT)) -> Latch:
    latch = Latch(
        latch_id=latch_id,
        scope=scope,
        state=TradingState.HALTED,
        reason="",
        set_by="risk",
        set_at=world.clock.now(),
    )
    await world.ports.control.set_latch(latch)
    return latch


async def ask(world: RiskWorld, *latch_ids: str, scope: str = account_scope(ACCOUNT)) -> None:
    await world.ports.control.request_clears(scope, latch_ids, world.clock.now())


async def outcomes(world: RiskWorld, scope: str = account_scope(ACCOUNT)) -> list[str]:
    return [item.outcome for item in await world.ports.control.clear_requests([scope])]


def told(world: RiskWorld) -> list[tuple[str, str, str, str]]:
    found = [event.data for event in world.events(world.topics.control)]
    return [
        (item.scope, item.latch_id, item.action, item.set_by)
        for item in found
        if isinstance(item, ControlChanged) and item.action == "cleared"
    ]


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_latch_that_is_named_is_cleared_and_kafka_hears_of_it(
    clock: VirtualClock, scope: str
) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        await latched(world, scope=scope)
        await latched(world, "other", scope)
        await ask(world, "x", scope=scope)
        await world.pass_seconds(3)
        assert set(await world.latches(scope)) == {"other"}
        assert told(world) == [(scope, "x", "cleared", "manifest")]
        assert await outcomes(world, scope) == [CLEARED]


async def test_the_same_manifest_again_never_clears_again(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        await latched(world)
        await ask(world, "x")
        await world.pass_seconds(3)
        await latched(world)  # the loss stands: risk sets the day's latch anew, under the same id
        for _ in range(5):
            await ask(world, "x")
            await world.pass_seconds(1)
        assert set(await world.latches()) == {"x"}
        assert len(told(world)) == 1


async def test_an_id_that_does_not_stand_is_ignored_for_good(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        await ask(world, "x")
        await world.pass_seconds(3)
        assert await outcomes(world) == [IGNORED]
        await latched(world)
        await ask(world, "x")
        await world.pass_seconds(3)
        assert set(await world.latches()) == {"x"}
        assert told(world) == []


async def test_a_latch_that_was_set_after_it_was_asked_for_stands(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    await ask(world, "x")
    await clock.advance(1)
    await latched(world)
    async with world.running():
        await world.pass_seconds(3)
        assert (set(await world.latches()), await outcomes(world)) == ({"x"}, [IGNORED])


async def test_asked_anew_it_is_cleared_anew(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        await latched(world)
        await ask(world, "x")
        await world.pass_seconds(2)
        await latched(world)
        await ask(world)
        await ask(world, "x")
        await world.pass_seconds(2)
        assert await world.latches() == {}
        assert await outcomes(world) == [CLEARED]


class _Deaf:
    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        raise DependencyUnavailableError("kafka", "not acknowledged")


async def test_what_kafka_has_not_heard_is_not_cleared(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    await latched(world)
    await ask(world, "x")
    context = ServiceContext(world.settings, world.ports, world.resources, ACCOUNT, "risk")
    with pytest.raises(DependencyUnavailableError):
        await Clearing(context).turn(SCOPES, _Deaf())
    assert (set(await world.latches()), await outcomes(world)) == ({"x"}, [""])


async def test_another_accounts_request_is_not_ours(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    scope = account_scope("other")
    async with world.running():
        await latched(world, scope=scope)
        await ask(world, "x", scope=scope)
        await world.pass_seconds(3)
        assert await outcomes(world, scope) == [""]
        assert set(await world.latches(scope)) == {"x"}


class _Slow:
    """Sends; and before its first records are out, another account's risk has cleared, and the cause latched anew."""

    def __init__(self, world: RiskWorld, producer: Producer, again: Latch | None) -> None:
        self._world, self._producer, self._again = world, producer, again
        self._first = True

    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        if self._first:
            self._first = False
            control = self._world.ports.control
            await control.clear_latch(account_scope(ACCOUNT), "x")
            if self._again is not None:
                await control.set_latch(self._again)
                await self._producer.send([Keeper(self._world.topics.control, ACCOUNT).told(self._again)])
        return await self._producer.send(records)


@pytest.mark.parametrize("anew", [True, False])
async def test_one_who_is_slow_does_not_clear_what_was_set_since(clock: VirtualClock, *, anew: bool) -> None:
    world = await RiskWorld(clock).open()
    first = await latched(world)
    again = replace(first, set_at=first.set_at + 1, reason="anew") if anew else None
    await ask(world, "x")
    context = ServiceContext(world.settings, world.ports, world.resources, ACCOUNT, "risk")
    async with world.bus.producer("test") as producer:
        await producer.send([Keeper(world.topics.control, ACCOUNT).told(first)])
        await Clearing(context).turn(SCOPES, _Slow(world, producer, again))
    left = {"x": again} if again else {}
    assert await world.latches() == left
    last = world.events(world.topics.control)[-1].data  # what compaction keeps
    assert isinstance(last, ControlChanged)
    assert (last.action, last.reason) == (("set", "anew") if anew else ("cleared", REASON))


async def test_the_platforms_latch_is_cleared_for_every_prefix_of_the_installation(
    clock: VirtualClock,
) -> None:
    world = await RiskWorld(clock, installation="inst").open()
    async with world.running():
        await latched(world, scope=PLATFORM)
        await ask(world, "x", scope=PLATFORM)
        await world.pass_seconds(3)
        assert await outcomes(world, PLATFORM) == [CLEARED]
        assert told(world) == []
        ends = await world.bus.offsets(platform_control("inst").name)
        assert [end for _, end in ends.values()] == [1]
