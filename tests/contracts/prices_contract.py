"""What every PriceCache promises."""

import asyncio

import msgspec
import pytest

from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.stored import PriceRange, PriceReading, Quote
from alpha_panda.errors import DependencyUnavailableError, FencedError, UnknownOutcomeError
from contracts.harness import Lose, Stores

FEED, TOKEN, OTHER = "demo", 738561, 408065


def _quote(seq: int, price: float = 100.0, epoch: int = 1) -> Quote:
    return Quote(last_price=price, ts=seq * 10, feed=FEED, mode=FeedMode.REPLAY, feed_epoch=epoch, seq=seq)


def price_range(first: int, token: int = TOKEN, low: float = 99.0) -> PriceRange:
    return PriceRange(
        cursor=-1,
        token=token,
        low=low,
        high=101.0,
        last=100.0,
        ts=first * 10,
        first_seq=first,
        last_seq=first + 1,
        mode=FeedMode.REPLAY,
        first_ts=first,
    )


def _first_seqs(ranges: list[PriceRange]) -> list[tuple[int, int]]:
    return [(item.token, item.first_seq) for item in ranges]


class PriceCacheContract:
    """Subclass it with a fixture `stores`."""

    async def test_nothing_is_known_at_first(self, stores: Stores) -> None:
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(None, None)
        assert await stores.prices.read_many(FEED, [TOKEN]) == {}
        assert await stores.prices.watched(FEED) == frozenset()

    async def test_quote_and_heartbeat_are_read_together(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1, 2500.05)}, 77)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1, 2500.05), 77)
        assert await stores.prices.read(FEED, OTHER) == PriceReading(None, 77)

    async def test_feeds_are_apart(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 5, {TOKEN: _quote(1)}, 77)
        assert await stores.prices.read("other", TOKEN) == PriceReading(None, None)
        await stores.prices.write("other", 1, {}, 5)

    async def test_read_many_returns_what_exists(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1), 7: _quote(2)}, 77)
        assert await stores.prices.read_many(FEED, [TOKEN, OTHER, 7]) == {TOKEN: _quote(1), 7: _quote(2)}

    async def test_write_leaves_other_tokens(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, 77)
        await stores.prices.write(FEED, 1, {OTHER: _quote(1, 5.0)}, 78)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), 78)

    async def test_quote_that_is_not_newer_is_skipped(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(5, 105.0)}, 77)
        await stores.prices.write(FEED, 1, {TOKEN: _quote(5, 1.0), OTHER: _quote(1)}, 78)
        await stores.prices.write(FEED, 1, {TOKEN: _quote(4, 1.0)}, 79)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(5, 105.0), 79)
        assert await stores.prices.read(FEED, OTHER) == PriceReading(_quote(1), 79)

    async def test_newer_feed_epoch_takes_over_though_its_sequence_starts_anew(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(900), OTHER: _quote(9)}, 77)
        await stores.prices.write(FEED, 2, {TOKEN: _quote(1, 101.0, epoch=2)}, 78)
        assert (await stores.prices.read(FEED, TOKEN)).quote == _quote(1, 101.0, epoch=2)
        assert (await stores.prices.read(FEED, OTHER)).quote == _quote(9)

    async def test_older_feed_epoch_is_fenced_and_changes_nothing(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 2, {}, 77)
        with pytest.raises(FencedError):
            await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, 99)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(None, 77)

    async def test_quote_of_an_older_epoch_never_replaces_one_of_a_newer(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 2, {TOKEN: _quote(1, epoch=2)}, 77)
        await stores.prices.write(FEED, 2, {TOKEN: _quote(50, 1.0, epoch=1)}, 77)
        assert (await stores.prices.read(FEED, TOKEN)).quote == _quote(1, epoch=2)

    async def test_heartbeat_never_goes_back_within_an_epoch(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {}, 80)
        await stores.prices.write(FEED, 1, {}, 70)
        assert (await stores.prices.read(FEED, TOKEN)).heartbeat_ts == 80

    async def test_newer_epoch_brings_its_own_heartbeat(self, stores: Stores) -> None:
        """A replay that starts anew on an older time must not look alive by the heartbeat of the former."""
        await stores.prices.write(FEED, 1, {}, 80)
        await stores.prices.write(FEED, 2, {}, 70)
        assert (await stores.prices.read(FEED, TOKEN)).heartbeat_ts == 70

    async def test_refused_write_changes_nothing(self, stores: Stores) -> None:
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, 77)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(None, None)

    async def test_write_whose_reply_is_lost_was_done_and_can_be_repeated(self, stores: Stores) -> None:
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, 77)
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, 77)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), 77)

    async def test_lost_store_has_no_price(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, 77)
        await stores.harness.restart(Lose.EVERYTHING)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(None, None)

    # ------------------------------------------------------------------------------------------- watching

    async def test_watched_is_the_union_of_all_watchers(self, stores: Stores) -> None:
        await stores.prices.watch(FEED, "a", [1, 2])
        await stores.prices.watch(FEED, "b", [2, 3])
        assert await stores.prices.watched(FEED) == {1, 2, 3}
        assert await stores.prices.watched("other") == frozenset()

    async def test_watch_replaces_the_watchers_own_set(self, stores: Stores) -> None:
        await stores.prices.watch(FEED, "a", [1, 2])
        await stores.prices.watch(FEED, "b", [2])
        await stores.prices.watch(FEED, "a", [4])
        assert await stores.prices.watched(FEED) == {2, 4}
        await stores.prices.watch(FEED, "a", [])
        await stores.prices.watch(FEED, "b", [])
        assert await stores.prices.watched(FEED) == frozenset()

    # --------------------------------------------------------------------------------------------- ranges

    async def test_ranges_are_kept_whole_and_in_order(self, stores: Stores) -> None:
        await stores.prices.publish_ranges(FEED, [price_range(1), price_range(3, OTHER), price_range(5)])
        found = await stores.prices.ranges(FEED, {TOKEN: 0, OTHER: 0}, 0)
        assert _first_seqs(found) == [(TOKEN, 1), (OTHER, 3), (TOKEN, 5)]
        assert [msgspec.structs.replace(item, cursor=-1) for item in found] == [
            price_range(1),
            price_range(3, OTHER),
            price_range(5),
        ]

    async def test_cursors_grow_by_token(self, stores: Stores) -> None:
        await stores.prices.publish_ranges(FEED, [price_range(1), price_range(3)])
        first, second = await stores.prices.ranges(FEED, {TOKEN: 0}, 0)
        assert 0 < first.cursor < second.cursor

    async def test_only_ranges_after_each_tokens_cursor_are_returned(self, stores: Stores) -> None:
        await stores.prices.publish_ranges(FEED, [price_range(1), price_range(1, OTHER)])
        cursors = {
            item.token: item.cursor for item in await stores.prices.ranges(FEED, {TOKEN: 0, OTHER: 0}, 0)
        }
        await stores.prices.publish_ranges(FEED, [price_range(3), price_range(3, OTHER)])
        found = await stores.prices.ranges(FEED, {TOKEN: cursors[TOKEN], OTHER: 0}, 0)
        assert _first_seqs(found) == [(OTHER, 1), (TOKEN, 3), (OTHER, 3)]
        last = {item.token: item.cursor for item in found}
        assert await stores.prices.ranges(FEED, last, 0) == []

    async def test_tokens_without_a_cursor_are_left_out(self, stores: Stores) -> None:
        await stores.prices.publish_ranges(FEED, [price_range(1), price_range(1, OTHER)])
        assert _first_seqs(await stores.prices.ranges(FEED, {OTHER: 0}, 0)) == [(OTHER, 1)]
        assert await stores.prices.ranges("other", {TOKEN: 0}, 0) == []

    async def test_reading_takes_nothing_away(self, stores: Stores) -> None:
        await stores.prices.publish_ranges(FEED, [price_range(1)])
        assert await stores.prices.ranges(FEED, {TOKEN: 0}, 0) == await stores.prices.ranges(
            FEED, {TOKEN: 0}, 0
        )

    async def test_ranges_waits_for_the_first(self, stores: Stores) -> None:
        waiting = asyncio.ensure_future(stores.prices.ranges(FEED, {TOKEN: 0}, None))
        await asyncio.sleep(0)
        await stores.prices.publish_ranges(FEED, [price_range(1, OTHER)])
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        await stores.prices.publish_ranges(FEED, [price_range(1)])
        assert _first_seqs(await waiting) == [(TOKEN, 1)]

    async def test_ranges_ends_after_its_timeout(self, stores: Stores) -> None:
        waiting = asyncio.ensure_future(stores.prices.ranges(FEED, {TOKEN: 0}, 2.0))
        await asyncio.sleep(0)
        await stores.harness.advance(2.0)
        assert await waiting == []

    async def test_every_waiter_is_woken(self, stores: Stores) -> None:
        waiting = [asyncio.ensure_future(stores.prices.ranges(FEED, {TOKEN: 0}, 2.0)) for _ in range(3)]
        waiting[0].cancel()
        await asyncio.sleep(0)
        await stores.prices.publish_ranges(FEED, [price_range(1)])
        assert [_first_seqs(await task) for task in waiting[1:]] == [[(TOKEN, 1)]] * 2

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_cursor_of_an_earlier_run_hides_no_new_range(self, stores: Stores, lose: Lose) -> None:
        await stores.harness.mark()
        await stores.prices.publish_ranges(FEED, [price_range(1), price_range(3)])
        *_, last = await stores.prices.ranges(FEED, {TOKEN: 0}, 0)
        await stores.harness.restart(lose)
        await stores.prices.publish_ranges(FEED, [price_range(5)])
        assert _first_seqs(await stores.prices.ranges(FEED, {TOKEN: last.cursor}, 0)) == [(TOKEN, 5)]
