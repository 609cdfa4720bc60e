"""Random kills at every await point of the runner, against the same ticks undisturbed."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any, cast

from hypothesis import event, given, settings
from hypothesis import strategies as st

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.events import Envelope, Signal
from alpha_panda.ports import Consumer, EventBus, Producer, Subscription
from alpha_panda.testing.virtual_time import run_virtual
from unit.strategy.kit import LIVES, A, B, C, S, World, strategy

ROUNDS = 20
"""Most kills in one run: more than any example draws, so that every run ends."""

OPERATIONS = ("claim", "save", "send", "fetch", "commit")


class Reaper:
    """Counts the runner's calls and kills it at some of them: at an even one before, at an odd one after it."""

    def __init__(self, deaths: Collection[int]) -> None:
        self.deaths = deaths
        self.calls = 0
        self.killed: list[str] = []

    def guard(self, target: object) -> Any:
        return _Guarded(self, target)

    async def meet(self, name: str, call: Any) -> Any:
        self.calls += 1
        due = self.calls in self.deaths
        if due and self.calls % 2 == 0:
            self.die(f"before {name}")
        result = await call()
        if due:
            self.die(f"after {name}")
        return result

    def die(self, where: str) -> None:
        self.killed.append(where)
        raise asyncio.CancelledError


class _Guarded:
    def __init__(self, reaper: Reaper, target: object) -> None:
        self._reaper = reaper
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name not in OPERATIONS:
            return value
        return lambda *args, **kwargs: self._reaper.meet(name, lambda: value(*args, **kwargs))


class GuardedBus:
    """The bus; its producers and consumers are guarded."""

    def __init__(self, reaper: Reaper, bus: EventBus) -> None:
        self._reaper = reaper
        self._bus = bus
        self.ensure_topics, self.topic_id, self.offsets = bus.ensure_topics, bus.topic_id, bus.offsets

    @asynccontextmanager
    async def producer(self, client: str) -> AsyncIterator[Producer]:
        async with self._bus.producer(client) as producer:
            yield self._reaper.guard(producer)

    @asynccontextmanager
    async def consumer(self, subscription: Subscription) -> AsyncIterator[Consumer]:
        async with self._bus.consumer(subscription) as consumer:
            yield self._reaper.guard(consumer)


class Run:
    """What one run came to."""

    def __init__(self, world: World, raw: list[Envelope], reaper: Reaper) -> None:
        self.raw = raw
        self.killed = reaper.killed
        self.calls = reaper.calls
        self.state = {
            key: (lives[-1].seen, [str(lives[-1].position(token)) for token in (A, B, C)])
            for key, lives in LIVES.items()
        }
        self.open = {
            key: [lives[-1].has_open_order(token) for token in (A, B, C)] for key, lives in LIVES.items()
        }
        self.counters = {key: world.stored(*key).counter for key in LIVES}

    @property
    def by_id(self) -> dict[str, set[Envelope]]:
        found: dict[str, set[Envelope]] = {}
        for item in self.raw:
            found.setdefault(item.id, set()).add(item)
        return found

    def meanings(self) -> list[tuple[object, ...]]:
        """Return what the signals say, each id once, sorted within their strategy by when they came first."""
        first = {item.id: item for item in reversed(self.raw)}
        told = [first[name] for name in dict.fromkeys(item.id for item in self.raw)]
        return sorted(
            ((s.strategy_id, s.symbol, s.side, s.reason, item.causation_id))
            for item in told
            if isinstance(s := item.data, Signal)
        )


async def go(clock: VirtualClock, hosted: list[dict[str, Any]], ticks: list[Any], reaper: Reaper) -> Run:
    LIVES.clear()
    world = World(clock, *hosted, checkpoint_max_records=4)
    world.checkpoints = reaper.guard(world.checkpoints)
    world.event_bus = cast("EventBus", GuardedBus(reaper, cast("EventBus", world.bus)))
    await world.start()
    await revive(world)
    filled: set[str] = set()
    for token, prices in ticks:
        await world.tick(token, *prices)
        await revive(world)
        for signal in await world.signals():
            if signal.signal_id not in filled:
                filled.add(signal.signal_id)
                await world.order(signal, S.FILLED, "1")
                await revive(world)
    reaper.deaths = ()
    await world.stop()
    return Run(world, await world.raw(), reaper)


async def revive(world: World) -> None:
    for _ in range(ROUNDS):
        if not world.task.done():
            return
        await asyncio.gather(world.task, return_exceptions=True)
        await world.start()
    raise AssertionError(f"it does not come up: {world.task}")


PRICES = st.sampled_from([100.0, 100.25, 100.5])
TICKS = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.lists(PRICES, min_size=1, max_size=3)), min_size=1, max_size=8
)
ONE = [strategy(tokens=(A, B, C))]
TWO = [strategy("one", (A,)), strategy("two", (A, B)), strategy("three", (C, B))]


@settings(max_examples=40)
@given(
    hosted=st.sampled_from([ONE, TWO]), ticks=TICKS, gaps=st.lists(st.integers(1, 14), min_size=1, max_size=8)
)
def test_killed_anywhere_it_ends_as_if_undisturbed(
    hosted: list[dict[str, Any]], ticks: list[Any], gaps: list[int]
) -> None:
    deaths = set(accumulate(gaps))
    calm = run_virtual(lambda clock: go(clock, hosted, ticks, Reaper(())))
    wild = run_virtual(lambda clock: go(clock, hosted, ticks, Reaper(deaths)))
    for where in wild.killed:
        event(where)
    assert all(len(meanings) == 1 for meanings in wild.by_id.values())  # no id means two things
    assert wild.meanings() == calm.meanings()  # nothing is lost, nothing is sent under two ids
    assert (wild.state, wild.open, wild.counters) == (calm.state, calm.open, calm.counters)


def test_killed_at_each_call_and_soon_again() -> None:
    ticks = [(A, [100.0]), (B, [100.5]), (C, [100.25])]
    calm = run_virtual(lambda clock: go(clock, TWO, ticks, Reaper(())))
    places = set()
    for deaths in [{n, n + again} for n in range(1, calm.calls + 1) for again in range(0, 15, 2)]:
        wild = run_virtual(lambda clock, deaths=deaths: go(clock, TWO, ticks, Reaper(deaths)))  # type: ignore[misc]
        places.update(wild.killed)
        assert all(len(meanings) == 1 for meanings in wild.by_id.values()), wild.killed
        assert wild.meanings() == calm.meanings(), wild.killed
        assert (wild.state, wild.open, wild.counters) == (calm.state, calm.open, calm.counters), wild.killed
    assert {name for place in places for name in place.split()} >= set(OPERATIONS)
