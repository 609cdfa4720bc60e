import asyncio
from random import Random

from alpha_panda.testing.simulation.clock import SkewedClock
from alpha_panda.testing.simulation.loop import SimulatedLoop, abandon
from alpha_panda.testing.virtual_time import START


def test_the_wall_clock_is_skewed_and_the_monotonic_one_begins_anywhere() -> None:
    async def main() -> None:
        await asyncio.sleep(1.5)
        assert exact.now() == START + 1_500_000_000
        assert fast.now() == exact.now() + 7
        assert fast.monotonic() == 1_500_000_000 + 11
        assert not fast.virtual

    loop = SimulatedLoop(Random(1))
    exact, fast = SkewedClock(loop), SkewedClock(loop, skew=7, uptime=11)
    try:
        loop.run_until_complete(main())
    finally:
        abandon(loop)


def test_sleeps_and_tickers_run_on_simulated_time() -> None:
    async def main() -> list[int]:
        await clock.sleep(0.25)
        seen = []
        async for _ in clock.every(0.5):
            seen.append(loop.now_ns)
            if len(seen) == 3:
                return seen
        raise AssertionError

    loop = SimulatedLoop(Random(1))
    clock = SkewedClock(loop)
    try:
        assert loop.run_until_complete(main()) == [750_000_000, 1_250_000_000, 1_750_000_000]
    finally:
        abandon(loop)
