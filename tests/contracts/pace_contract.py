"""What every OrderPace promises."""

import asyncio

import pytest

from alpha_panda.contracts.stored import PaceWindow
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import DependencyUnavailableError, MisuseError
from contracts.harness import ACCOUNT, Lose, Stores

ROLLING = PaceWindow("second", 1, 3, rolling=True)
LONG = PaceWindow("long-one", 600_000, 4)
DAY, IST = 86_400, 19_800


class OrderPaceContract:
    """Subclass it with a fixture `stores`."""

    async def test_a_window_takes_its_limit_and_no_more(self, stores: Stores) -> None:
        taken = [await stores.pace.take(ACCOUNT, [LONG]) for _ in range(6)]
        assert taken[:4] == [0, 0, 0, 0]
        assert all(0 < wait <= 600_000 for wait in taken[4:])

    async def test_after_the_wait_that_was_told_there_is_a_place(self, stores: Stores) -> None:
        for window in (ROLLING, LONG):
            await self._fill(stores, window)
            await stores.harness.advance(await stores.pace.take(ACCOUNT, [window]))
            assert await stores.pace.take(ACCOUNT, [window]) == 0

    async def test_a_fixed_window_begins_at_multiples_of_its_length_moved_by_its_offset(
        self, stores: Stores
    ) -> None:
        day = PaceWindow("day", DAY, 2, offset=IST)
        await self._fill(stores, day)
        now = await stores.harness.now() / SECOND_NS
        wait = await stores.pace.take(ACCOUNT, [day])
        assert wait == pytest.approx(DAY - (now + IST) % DAY, abs=5)
        await stores.harness.advance(wait - 5)
        assert await stores.pace.take(ACCOUNT, [day]) > 0
        await stores.harness.advance(10)
        assert [await stores.pace.take(ACCOUNT, [day]) for _ in range(2)] == [0, 0]

    async def test_a_rolling_window_is_full_wherever_it_begins(self, stores: Stores) -> None:
        """Three at the end of a second leave no place at the beginning of the next one."""
        now = await stores.harness.now()
        await stores.harness.advance((SECOND_NS - now % SECOND_NS - SECOND_NS // 5) / SECOND_NS)
        slow = PaceWindow("slow", 10, 3, rolling=True)
        await self._fill(stores, slow)
        await stores.harness.advance(5)
        assert 0 < await stores.pace.take(ACCOUNT, [slow]) <= 5
        await stores.harness.advance(5)
        assert await stores.pace.take(ACCOUNT, [slow]) == 0

    async def test_a_rolling_window_frees_one_place_after_the_other(self, stores: Stores) -> None:
        slow = PaceWindow("slow", 100, 2, rolling=True)
        await stores.pace.take(ACCOUNT, [slow])
        await stores.harness.advance(60)
        await stores.pace.take(ACCOUNT, [slow])
        await stores.harness.advance(41)
        assert await stores.pace.take(ACCOUNT, [slow]) == 0
        assert await stores.pace.take(ACCOUNT, [slow]) == pytest.approx(59, abs=5)

    async def test_a_call_counts_in_every_window_or_in_none(self, stores: Stores) -> None:
        narrow = PaceWindow("narrow", 1000, 1, rolling=True)
        assert await stores.pace.take(ACCOUNT, [narrow]) == 0
        for _ in range(5):
            assert await stores.pace.take(ACCOUNT, [LONG, narrow]) > 0
        assert [await stores.pace.take(ACCOUNT, [LONG]) for _ in range(4)] == [0] * 4
        assert await stores.pace.take(ACCOUNT, [LONG]) > 0

    async def test_the_longest_wait_is_told(self, stores: Stores) -> None:
        long, short = PaceWindow("long", 5000, 1, rolling=True), PaceWindow("short", 50, 1, rolling=True)
        await stores.pace.take(ACCOUNT, [long, short])
        for windows in ([long, short], [short, long]):
            assert await stores.pace.take(ACCOUNT, windows) > 4000

    async def test_accounts_and_windows_are_independent(self, stores: Stores) -> None:
        await self._fill(stores, LONG)
        assert await stores.pace.take("other", [LONG]) == 0
        assert await stores.pace.take(ACCOUNT, [PaceWindow("another", 600_000, 1)]) == 0

    async def test_a_limit_may_be_lowered_and_raised(self, stores: Stores) -> None:
        for rolling in (False, True):
            name = f"w{rolling}"
            for _ in range(4):
                assert await stores.pace.take(ACCOUNT, [PaceWindow(name, 1000, 4, rolling=rolling)]) == 0
            assert await stores.pace.take(ACCOUNT, [PaceWindow(name, 1000, 2, rolling=rolling)]) > 0
            assert await stores.pace.take(ACCOUNT, [PaceWindow(name, 1000, 5, rolling=rolling)]) == 0

    async def test_of_many_at_once_as_many_pass_as_there_are_places(self, stores: Stores) -> None:
        windows = [PaceWindow("second", 1000, 8, rolling=True), PaceWindow("day", DAY, 100)]
        waits = await asyncio.gather(*(stores.pace.take(ACCOUNT, windows) for _ in range(30)))
        assert sum(wait == 0 for wait in waits) == 8

    async def test_a_clock_that_was_set_back_costs_no_more_than_its_windows(self, stores: Stores) -> None:
        minute = PaceWindow("minute", 60, 4)
        await stores.harness.advance(3600)
        for window in (ROLLING, minute):
            await self._fill(stores, window)
        await stores.harness.advance(-3600)
        assert await stores.pace.take(ACCOUNT, [ROLLING, minute]) == 0

    @pytest.mark.parametrize("window", [PaceWindow("none", 1, 0), PaceWindow("none", 1, 0, rolling=True)])
    async def test_a_window_that_takes_nothing_is_misuse(self, stores: Stores, window: PaceWindow) -> None:
        with pytest.raises(MisuseError):
            await stores.pace.take(ACCOUNT, [window])

    async def test_no_window_is_no_limit(self, stores: Stores) -> None:
        assert await stores.pace.take(ACCOUNT, []) == 0

    async def test_a_count_that_can_not_be_made_is_told_and_not_made(self, stores: Stores) -> None:
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.pace.take(ACCOUNT, [LONG])
        assert [await stores.pace.take(ACCOUNT, [LONG]) for _ in range(4)] == [0] * 4

    async def test_a_count_whose_reply_is_lost_is_made_and_ends_no_process(self, stores: Stores) -> None:
        stores.harness.lose_next_reply()
        with pytest.raises(DependencyUnavailableError):
            await stores.pace.take(ACCOUNT, [LONG])
        assert [await stores.pace.take(ACCOUNT, [LONG]) for _ in range(3)] == [0] * 3
        assert await stores.pace.take(ACCOUNT, [LONG]) > 0

    async def test_counts_outlive_a_restart(self, stores: Stores) -> None:
        day = PaceWindow("day", DAY * 1000, 2)
        await self._fill(stores, day)
        await stores.harness.restart(Lose.NOTHING)
        assert await stores.pace.take(ACCOUNT, [day]) > 0

    async def _fill(self, stores: Stores, window: PaceWindow) -> None:
        for _ in range(window.limit):
            assert await stores.pace.take(ACCOUNT, [window]) == 0
