import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import DependencyUnavailableError, FencedError, MisuseError, UnknownOutcomeError
from alpha_panda.testing.simulation.loop import Process, SimulatedLoop, abandon
from alpha_panda.testing.simulation.network import CLIENT_TIMEOUT, Fate, Network, Server, Weather, executed


class Store:
    """Counts what reaches it."""

    def __init__(self) -> None:
        self.applied = 0

    async def write(self) -> int:
        self.applied += 1
        return self.applied

    async def refuse(self) -> None:
        raise FencedError("stale")


class Bench:
    def __init__(self) -> None:
        self.loop = SimulatedLoop(Random(5))
        self.network = Network(self.loop, Random(5))
        self.store = Store()
        self.process = Process("p")

    async def call(self, *, writes: bool = True, server: str = Server.STORE) -> Any:
        return await self.network.call(self.process, server, "store.write", self.store.write, writes=writes)


def run(main: Callable[[Bench], Coroutine[Any, Any, Any]]) -> Any:
    bench = Bench()
    try:
        return bench.loop.run_until_complete(main(bench))
    finally:
        abandon(bench.loop)


def test_on_a_fine_day_a_call_is_applied_once_and_answered() -> None:
    async def main(bench: Bench) -> None:
        assert [await bench.call() for _ in range(20)] == list(range(1, 21))
        assert bench.loop.now_ns < SECOND_NS

    run(main)


@pytest.mark.parametrize(
    ("fate", "applied_at_once", "applied_at_last"),
    [(Fate.REFUSED, 0, 0), (Fate.REQUEST_LOST, 0, 0), (Fate.REPLY_LOST, 1, 1), (Fate.LATE, 0, 1)],
)
@pytest.mark.parametrize("writes", [True, False])
def test_each_misfortune_applies_what_it_says_and_raises_what_the_port_says(
    fate: Fate, applied_at_once: int, applied_at_last: int, *, writes: bool
) -> None:
    async def main(bench: Bench) -> None:
        unknown = writes and fate is not Fate.REFUSED
        bench.network.next_fates["store.write"] = [fate]
        with pytest.raises(UnknownOutcomeError if unknown else DependencyUnavailableError):
            await bench.call(writes=writes)
        await asyncio.sleep(0.01)
        assert bench.store.applied == applied_at_once
        await asyncio.sleep(10)
        assert bench.store.applied == applied_at_last
        assert await bench.call() == applied_at_last + 1

    run(main)


def test_an_unanswered_send_to_the_bus_is_unavailable_as_its_port_says() -> None:
    async def main(bench: Bench) -> None:
        bench.network.next_fates["store.write"] = [Fate.REPLY_LOST]
        with pytest.raises(DependencyUnavailableError):
            await bench.call(server=Server.BUS)

    run(main)


def test_a_refusal_of_the_server_reaches_the_caller() -> None:
    async def main(bench: Bench) -> None:
        with pytest.raises(FencedError):
            await bench.network.call(bench.process, Server.STORE, "x", bench.store.refuse, writes=True)

    run(main)


@pytest.mark.parametrize("all_of_it", [True, False])
def test_behind_a_split_or_an_outage_nothing_is_applied_until_it_heals(*, all_of_it: bool) -> None:
    async def main(bench: Bench) -> None:
        if all_of_it:
            bench.network.down[Server.STORE] = 2 * SECOND_NS
        else:
            bench.network.split["p", Server.STORE] = 2 * SECOND_NS
        for _ in range(5):
            with pytest.raises((DependencyUnavailableError, UnknownOutcomeError)):
                await bench.call()
        assert bench.store.applied == 0
        assert await bench.call(server=Server.CACHE) == 1  # another server
        await asyncio.sleep(2)
        assert await bench.call() == 2

    run(main)


def test_a_request_that_has_left_is_applied_although_its_sender_dies() -> None:
    async def main(bench: Bench) -> None:
        bench.network.weather = Weather(slow=1.0)
        bench.loop.create_task(bench.call(), context=bench.loop.context_of(bench.process))
        await asyncio.sleep(0)
        await asyncio.sleep(0.000001)
        bench.loop.kill(bench.process)
        await asyncio.sleep(5)
        assert bench.store.applied == 1

    run(main)


def test_who_is_stopped_before_the_request_leaves_sends_it_when_he_wakes() -> None:
    async def main(bench: Bench) -> None:
        bench.network.before = lambda process, _: bench.loop.pause(process)
        bench.loop.create_task(bench.call(), context=bench.loop.context_of(bench.process))
        await asyncio.sleep(1)
        assert bench.store.applied == 0
        bench.network.before = None
        bench.loop.resume(bench.process)
        await asyncio.sleep(1)
        assert bench.store.applied == 1

    run(main)


def test_bad_weather_brings_every_misfortune_about_as_often_as_it_says() -> None:
    async def main(bench: Bench) -> None:
        bench.network.weather = Weather(0.1, 0.1, 0.1, 0.1, 0.1)
        drawn = [bench.network.fate(bench.process, Server.STORE, "x")[0] for _ in range(4000)]
        for fate in (Fate.REFUSED, Fate.REQUEST_LOST, Fate.REPLY_LOST, Fate.LATE):
            assert 300 < drawn.count(fate) < 500
        slow = [bench.network.fate(bench.process, Server.STORE, "x")[1] for _ in range(4000)]
        assert max(slow) > CLIENT_TIMEOUT // 2

    run(main)


def test_a_step_that_would_wait_on_a_server_is_a_mistake() -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    async def main(_: Bench) -> None:
        with pytest.raises(MisuseError):
            executed(waits)

    run(main)
