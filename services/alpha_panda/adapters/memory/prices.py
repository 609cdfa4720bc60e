"""Latest prices and price ranges in memory. `write` and `read` are on the tick path: nothing is copied."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from alpha_panda.adapters.memory.database import MemoryDatabase, Section, reading, script
from alpha_panda.adapters.memory.waiting import wait_for
from alpha_panda.contracts.stored import PriceRange, PriceReading, Quote
from alpha_panda.contracts.topics import tick_partition
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.errors import FencedError

KEPT_RANGES: Final = 10_000
"""How many ranges of a token are kept; a reader that falls further behind sees a gap in the sequences."""


class FeedPrices(Section):
    """What is stored of one feed; `ranges` by token, oldest first."""

    def __init__(self) -> None:
        self.epoch = 0
        self.quotes: dict[int, Quote] = {}
        self.partitions = 0
        self.heartbeats: dict[int, int] = {}
        self.watchers: dict[str, frozenset[int]] = {}
        self.watched: frozenset[int] = frozenset()
        self.ranges: dict[int, deque[PriceRange]] = {}

    def enter_epoch(self, epoch: int) -> None:
        """Let the feed's newer epoch take over; its proofs of life start anew."""
        self.epoch, self.heartbeats = epoch, {}

    def beat(self, heartbeats: Mapping[int, int], partitions: int) -> None:
        """Take proofs of life; another count of partitions makes those of before worth nothing."""
        if partitions != self.partitions:
            self.partitions, self.heartbeats = partitions, {}
        for partition, ts in heartbeats.items():
            if ts > self.heartbeats.get(partition, ts - 1):
                self.heartbeats[partition] = ts

    def heartbeat_of(self, token: int) -> int | None:
        """Return the last proof of life that came by the token's partition."""
        return self.heartbeats.get(tick_partition(token, self.partitions))


class MemoryPriceCache:
    """`ports.PriceCache`. Quotes survive a change of the feed's epoch until newer ones replace them."""

    def __init__(self, database: MemoryDatabase, *, kept_ranges: int = KEPT_RANGES) -> None:
        self.database = database
        self._kept_ranges = kept_ranges

    @script
    def write(
        self,
        feed: str,
        feed_epoch: int,
        quotes: Mapping[int, Quote],
        heartbeats: Mapping[int, int],
        partitions: int,
    ) -> frozenset[int]:
        """See the port. A quote that is not newer than the stored one is skipped."""
        state = self._feed(feed)
        if feed_epoch != state.epoch:
            if feed_epoch < state.epoch:
                raise FencedError(
                    f"feed {feed}: epoch {feed_epoch} is stale, the present one is {state.epoch}"
                )
            state.enter_epoch(feed_epoch)
        stored = state.quotes
        for token, quote in quotes.items():
            old = stored.get(token)
            if old is None or (
                quote.seq > old.seq
                if quote.feed_epoch == old.feed_epoch
                else quote.feed_epoch > old.feed_epoch
            ):
                stored[token] = quote
        state.beat(heartbeats, partitions)
        return state.watched

    @reading
    def read(self, feed: str, token: int) -> PriceReading:
        """See the port."""
        state = self._feed(feed)
        return PriceReading(state.quotes.get(token), state.heartbeat_of(token))

    @reading
    def readings(self, feed: str, tokens: Sequence[int]) -> dict[int, PriceReading]:
        """See the port."""
        state = self._feed(feed)
        return {token: PriceReading(state.quotes.get(token), state.heartbeat_of(token)) for token in tokens}

    @reading
    def read_many(self, feed: str, tokens: Sequence[int]) -> dict[int, Quote]:
        """See the port."""
        quotes = self._feed(feed).quotes
        return {token: quotes[token] for token in tokens if token in quotes}

    @script
    def watch(self, feed: str, watcher: str, tokens: Iterable[int]) -> None:
        """See the port. No tokens: the watcher is forgotten."""
        state = self._feed(feed)
        state.watchers[watcher] = frozenset(tokens)
        if not state.watchers[watcher]:
            del state.watchers[watcher]
        state.watched = frozenset().union(*state.watchers.values())

    @reading
    def watched(self, feed: str) -> frozenset[int]:
        """See the port."""
        return self._feed(feed).watched

    @script
    def publish_ranges(self, feed: str, ranges: Sequence[PriceRange]) -> None:
        """See the port. Cursors grow over restarts too, so that a reader's cursor never hides new ranges."""
        kept = self._feed(feed).ranges
        for item in ranges:
            numbered = msgspec.structs.replace(item, cursor=self.database.count(_name(feed)))
            kept.setdefault(item.token, deque(maxlen=self._kept_ranges)).append(numbered)
        self.database.notify(_name(feed))

    async def ranges(self, feed: str, cursors: Mapping[int, int], timeout: float | None) -> list[PriceRange]:  # noqa: ASYNC109 - the port's
        """See the port. Ordered by cursor."""
        clock = self.database.clock
        deadline = None if timeout is None else clock.monotonic() + nanoseconds(timeout)
        while True:
            with self.database.waiter(_name(feed)) as published:
                found = await self._ranges_after(feed, cursors)
                left = None if deadline is None else (deadline - clock.monotonic()) / SECOND_NS
                if found or (left is not None and left <= 0):
                    return found
                await wait_for(published, clock, left)

    @reading
    def _ranges_after(self, feed: str, cursors: Mapping[int, int]) -> list[PriceRange]:
        kept = self._feed(feed).ranges
        found = [item for token, cursor in cursors.items() for item in _after(kept.get(token, ()), cursor)]
        return sorted(found, key=lambda item: item.cursor)

    def _feed(self, feed: str) -> FeedPrices:
        return self.database.section(self.database.keys.heartbeat(feed), FeedPrices)


def _name(feed: str) -> str:
    return f"{feed}:ranges"


def _after(ranges: deque[PriceRange] | tuple[()], cursor: int) -> list[PriceRange]:
    """Return the ranges after the cursor; readers are near the end, so look from there."""
    found: list[PriceRange] = []
    for item in reversed(ranges):
        if item.cursor <= cursor:
            break
        found.append(item)
    return found
