"""What every PriceCache promises."""

import asyncio
import random

import msgspec
import pytest

from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.stored import PriceRange, PriceReading, Quote
from alpha_panda.contracts.topics import tick_partition
from alpha_panda.errors import DependencyUnavailableError, FencedError, UnknownOutcomeError
from contracts.harness import Lose, Stores

FEED, TOKEN, OTHER = "demo", 738561, 408065
PARTITIONS, FEWER = 4, 2
HERE, THERE = tick_partition(TOKEN, PARTITIONS), tick_partition(OTHER, PARTITIONS)


def everywhere(ts: int) -> dict[int, int]:
    return dict.fromkeys(range(PARTITIONS), ts)


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
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1, 2500.05)}, everywhere(77), PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1, 2500.05), 77)
        assert await stores.prices.read(FEED, OTHER) == PriceReading(None, 77)

    async def test_several_are_read_as_one_is(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1, 2500.05)}, everywhere(77), PARTITIONS)
        readings = await stores.prices.readings(FEED, [TOKEN, OTHER])
        assert readings == {TOKEN: PriceReading(_quote(1, 2500.05), 77), OTHER: PriceReading(None, 77)}
        assert await stores.prices.readings("other", [TOKEN]) == {TOKEN: PriceReading(None, None)}
        assert await stores.prices.readings(FEED, []) == {}

    async def test_feeds_are_apart(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 5, {TOKEN: _quote(1)}, everywhere(77), PARTITIONS)
        assert await stores.prices.read("other", TOKEN) == PriceReading(None, None)
        await stores.prices.write("other", 1, {}, everywhere(5), PARTITIONS)

    async def test_read_many_returns_what_exists(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1), 7: _quote(2)}, everywhere(77), PARTITIONS)
        assert await stores.prices.read_many(FEED, [TOKEN, OTHER, 7]) == {TOKEN: _quote(1), 7: _quote(2)}

    async def test_write_leaves_other_tokens(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, everywhere(77), PARTITIONS)
        await stores.prices.write(FEED, 1, {OTHER: _quote(1, 5.0)}, everywhere(78), PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), 78)

    async def test_quote_that_is_not_newer_is_skipped(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(5, 105.0)}, everywhere(77), PARTITIONS)
        await stores.prices.write(
            FEED, 1, {TOKEN: _quote(5, 1.0), OTHER: _quote(1)}, everywhere(78), PARTITIONS
        )
        await stores.prices.write(FEED, 1, {TOKEN: _quote(4, 1.0)}, everywhere(79), PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(5, 105.0), 79)
        assert await stores.prices.read(FEED, OTHER) == PriceReading(_quote(1), 79)

    async def test_newer_feed_epoch_takes_over_though_its_sequence_starts_anew(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(900), OTHER: _quote(9)}, everywhere(77), PARTITIONS)
        await stores.prices.write(FEED, 2, {TOKEN: _quote(1, 101.0, epoch=2)}, everywhere(78), PARTITIONS)
        assert (await stores.prices.read(FEED, TOKEN)).quote == _quote(1, 101.0, epoch=2)
        assert (await stores.prices.read(FEED, OTHER)).quote == _quote(9)

    async def test_older_feed_epoch_is_fenced_and_changes_nothing(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 2, {}, everywhere(77), PARTITIONS)
        with pytest.raises(FencedError):
            await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, everywhere(99), PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(None, 77)

    async def test_quote_of_an_older_epoch_never_replaces_one_of_a_newer(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 2, {TOKEN: _quote(1, epoch=2)}, everywhere(77), PARTITIONS)
        await stores.prices.write(FEED, 2, {TOKEN: _quote(50, 1.0, epoch=1)}, everywhere(77), PARTITIONS)
        assert (await stores.prices.read(FEED, TOKEN)).quote == _quote(1, epoch=2)

    async def test_a_partitions_heartbeat_proves_nothing_to_the_tokens_of_another(
        self, stores: Stores
    ) -> None:
        """A cacher that is stuck on its partition must not look alive by its neighbour's."""
        assert HERE != THERE
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, {HERE: 10}, PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), 10)
        assert await stores.prices.read(FEED, OTHER) == PriceReading(None, None)
        await stores.prices.write(FEED, 1, {OTHER: _quote(1)}, {THERE: 99}, PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), 10)
        assert await stores.prices.read(FEED, OTHER) == PriceReading(_quote(1), 99)

    async def test_a_write_may_bring_no_heartbeat(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, {}, PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), None)
        await stores.prices.write(FEED, 1, {}, {HERE: 5}, PARTITIONS)
        await stores.prices.write(FEED, 1, {TOKEN: _quote(2)}, {}, PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(2), 5)

    async def test_another_count_of_partitions_makes_the_heartbeats_anew(self, stores: Stores) -> None:
        """The tokens lie elsewhere then: nothing that was proven before says anything of them."""
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, everywhere(80), PARTITIONS)
        await stores.prices.write(FEED, 1, {}, {}, FEWER)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), None)
        mine = tick_partition(TOKEN, FEWER)
        await stores.prices.write(FEED, 1, {}, {mine: 70}, FEWER)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), 70)

    @pytest.mark.parametrize("partitions", [1, 3, 64])
    async def test_every_partition_keeps_its_own_heartbeat(self, stores: Stores, partitions: int) -> None:
        tokens = range(1, 200)
        beats = {partition: 1_700_000_000_000_000_001 + partition for partition in range(partitions)}
        for partition, ts in beats.items():
            await stores.prices.write(FEED, 1, {}, {partition: ts}, partitions)
        found = {token: (await stores.prices.read(FEED, token)).heartbeat_ts for token in tokens}
        assert found == {token: beats[tick_partition(token, partitions)] for token in tokens}

    async def test_numbers_beyond_a_doubles_53_bits_are_kept_and_compared_exactly(
        self, stores: Stores
    ) -> None:
        epoch, seq, ts = 1_700_000_000_000_000_001, 2**53 + 1, 1_700_000_000_000_000_003
        new = Quote(2500.05, ts, FEED, FeedMode.REPLAY, epoch, seq, bid=2500.0, ask=2500.1)
        await stores.prices.write(FEED, epoch, {TOKEN: new}, {HERE: ts}, PARTITIONS)
        for late in ({"seq": seq - 1}, {"feed_epoch": epoch - 1}):
            older = msgspec.structs.replace(new, last_price=1.0, **late)
            await stores.prices.write(FEED, epoch, {TOKEN: older}, {HERE: ts - 1}, PARTITIONS)
            assert await stores.prices.read(FEED, TOKEN) == PriceReading(new, ts)
        with pytest.raises(FencedError):
            await stores.prices.write(FEED, epoch - 1, {}, {}, PARTITIONS)
        newer = msgspec.structs.replace(new, last_price=1.0, seq=seq + 1)
        await stores.prices.write(FEED, epoch, {TOKEN: newer}, {HERE: ts + 1}, PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(newer, ts + 1)
        next_life = msgspec.structs.replace(new, feed_epoch=epoch + 1, seq=1)
        await stores.prices.write(FEED, epoch + 1, {TOKEN: next_life}, {HERE: ts}, PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(next_life, ts)

    async def test_sequences_are_compared_as_numbers(self, stores: Stores) -> None:
        for seq in (9, 10, 99, 100, 101):
            await stores.prices.write(FEED, 1, {TOKEN: _quote(seq)}, {}, PARTITIONS)
            await stores.prices.write(FEED, 1, {TOKEN: _quote(seq - 1, 1.0)}, {}, PARTITIONS)
            assert (await stores.prices.read(FEED, TOKEN)).quote == _quote(seq)

    async def test_a_large_batch_is_written_whole_and_only_where_it_is_newer(self, stores: Stores) -> None:
        tokens = range(1, 5001)
        stored = {token: _quote(5, 105.0) for token in tokens}
        await stores.prices.write(FEED, 1, stored, everywhere(1), PARTITIONS)
        mixed = {token: _quote(6 if token % 3 else 4, 1.0) for token in tokens}
        await stores.prices.write(FEED, 1, mixed, everywhere(1), PARTITIONS)
        expected = {token: mixed[token] if token % 3 else stored[token] for token in tokens}
        assert await stores.prices.read_many(FEED, tokens) == expected

    @pytest.mark.parametrize("seed", range(10))
    async def test_it_holds_the_newest_of_what_no_newer_epoch_refused(
        self, stores: Stores, seed: int
    ) -> None:
        """In whatever order writes of several cachers and epochs arrive."""
        draw, epoch = random.Random(seed), 0
        quotes: dict[int, Quote] = {}
        beats: dict[int, int] = {}
        for _ in range(20):
            at = draw.randint(max(1, epoch - 1), epoch + 1) if draw.random() < 0.4 else max(1, epoch)
            batch = {
                token: _quote(draw.randint(8, 12), draw.random(), draw.randint(1, at))
                for token in draw.sample([TOKEN, OTHER], draw.randint(0, 2))
            }
            proofs = {draw.randrange(PARTITIONS): draw.randint(1, 20) for _ in range(draw.randint(0, 3))}
            if at < epoch:
                with pytest.raises(FencedError):
                    await stores.prices.write(FEED, at, batch, proofs, PARTITIONS)
                continue
            await stores.prices.write(FEED, at, batch, proofs, PARTITIONS)
            beats = {} if at > epoch else beats
            epoch = at
            for token, quote in batch.items():
                quotes[token] = max(quotes.get(token, quote), quote, key=lambda q: (q.feed_epoch, q.seq))
            for partition, ts in proofs.items():
                beats[partition] = max(ts, beats.get(partition, ts))
            for token in (TOKEN, OTHER):
                beat = beats.get(tick_partition(token, PARTITIONS))
                assert await stores.prices.read(FEED, token) == PriceReading(quotes.get(token), beat)

    async def test_heartbeat_never_goes_back_within_an_epoch(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {}, everywhere(80), PARTITIONS)
        await stores.prices.write(FEED, 1, {}, everywhere(70), PARTITIONS)
        assert (await stores.prices.read(FEED, TOKEN)).heartbeat_ts == 80

    async def test_newer_epoch_brings_its_own_heartbeat(self, stores: Stores) -> None:
        """A replay that starts anew on an older time must not look alive by the heartbeat of the former."""
        await stores.prices.write(FEED, 1, {}, everywhere(80), PARTITIONS)
        await stores.prices.write(FEED, 2, {}, everywhere(70), PARTITIONS)
        assert (await stores.prices.read(FEED, TOKEN)).heartbeat_ts == 70

    async def test_refused_write_changes_nothing(self, stores: Stores) -> None:
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, everywhere(77), PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(None, None)

    async def test_write_whose_reply_is_lost_was_done_and_can_be_repeated(self, stores: Stores) -> None:
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, everywhere(77), PARTITIONS)
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, everywhere(77), PARTITIONS)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(_quote(1), 77)

    async def test_lost_store_has_no_price(self, stores: Stores) -> None:
        await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, everywhere(77), PARTITIONS)
        await stores.harness.restart(Lose.EVERYTHING)
        assert await stores.prices.read(FEED, TOKEN) == PriceReading(None, None)

    # ------------------------------------------------------------------------------------------- watching

    async def test_watched_is_the_union_of_all_watchers(self, stores: Stores) -> None:
        await stores.prices.watch(FEED, "a", [1, 2])
        await stores.prices.watch(FEED, "b", [2, 3])
        assert await stores.prices.watched(FEED) == {1, 2, 3}
        assert await stores.prices.watched("other") == frozenset()

    async def test_write_returns_what_is_watched_when_the_quotes_stand(self, stores: Stores) -> None:
        assert await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, {}, PARTITIONS) == frozenset()
        await stores.prices.watch(FEED, "a", [TOKEN, 2])
        await stores.prices.watch(FEED, "b", [2, OTHER])
        assert await stores.prices.write(FEED, 1, {}, everywhere(5), PARTITIONS) == {TOKEN, 2, OTHER}
        assert await stores.prices.write("other", 1, {}, {}, PARTITIONS) == frozenset()
        await stores.prices.watch(FEED, "a", [])
        assert await stores.prices.write(FEED, 1, {TOKEN: _quote(1)}, {}, PARTITIONS) == {2, OTHER}

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
