"""Latest prices, heartbeats and price ranges in Redis: `ports.PriceCache`.

| key | holds |
|---|---|
| `{feed}:instrument:price:{token}` | the quote, a JSON object |
| `{feed}:heartbeat` | a JSON object: the feed's epoch, its partitions, each partition's last proof of life |
| `{feed}:watched` | a hash: watcher → its tokens |
| `{feed}:ranges:{token}` | a stream of price ranges, the oldest dropped; gone when none came for a while |
| `{feed}:ranges-cursor` | the last cursor that a range of the feed got |

A batch is one argument of one script: to pack a hundred short arguments costs the client more than the script costs
Redis. Measured with batches of 10 to 2,000: 73 to 95 % of the rate of a bare MSET of the same quotes.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from alpha_panda.adapters.redis.database import Argument, RedisDatabase, Reply
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.contracts.stored import PriceRange, PriceReading, Quote
from alpha_panda.contracts.topics import tick_partition
from alpha_panda.errors import UndecodableRecordError

_T = TypeVar("_T")

KEPT_RANGES: Final = 10_000
"""How many ranges of a token are kept, or a few more (Redis drops them by nodes of 100)."""

KEPT_SECONDS: Final = 86_400
"""Seconds after which the ranges of a token that nobody watches any more are gone."""

PAGE: Final = 1_000
"""Ranges of a token that one call returns at most: a reader that was away catches up in steps."""

LONGEST_WAIT: Final = 5.0
"""Seconds that one request waits for a range."""

LATE: Final = 5.0
"""Seconds by which the end of such a wait may be told late, before its connection counts as dead."""

_WRITE: Final = script("prices/write")
_PUBLISH: Final = script("prices/publish")
_AFTER: Final = script("prices/after", writes=False)

_quote_encoder: Final = msgspec.json.Encoder()
_quote_decoder: Final = msgspec.json.Decoder(Quote)
_range_decoder: Final = msgspec.json.Decoder(PriceRange)
_batch_encoder: Final = msgspec.msgpack.Encoder()


class Heartbeats(msgspec.Struct, frozen=True):
    """Value of a heartbeat key: proofs of life (UTC ns) by partition, as decimal text."""

    feed_epoch: int
    partitions: int
    heartbeats: dict[str, int]

    def of(self, token: int) -> int | None:
        """Return the proof that came by the token's partition."""
        return self.heartbeats.get(str(tick_partition(token, self.partitions)))


_heartbeats_decoder: Final = msgspec.json.Decoder(Heartbeats)


class RedisPriceCache:
    """`ports.PriceCache`. Quotes survive a change of the feed's epoch until newer ones replace them.

    Args:
        database: where the prices are.
        waiting: the same Redis over other connections, for `ranges`: each reader that waits holds one.
        kept_ranges: see `KEPT_RANGES`.
        longest_wait: see `LONGEST_WAIT`.
        late: see `LATE`.

    """

    def __init__(
        self,
        database: RedisDatabase,
        *,
        waiting: RedisDatabase | None = None,
        kept_ranges: int = KEPT_RANGES,
        longest_wait: float = LONGEST_WAIT,
        late: float = LATE,
    ) -> None:
        self.database = database
        self._waiting = waiting or database
        self._kept_ranges = kept_ranges
        self._longest_wait = longest_wait
        self._late = late
        self._watched: tuple[list[bytes], frozenset[int]] = ([], frozenset())

    # ------------------------------------------------------------------------------------------- quotes

    async def write(
        self,
        feed: str,
        feed_epoch: int,
        quotes: Mapping[int, Quote],
        heartbeats: Mapping[int, int],
        partitions: int,
    ) -> frozenset[int]:
        """See the port. A quote that is not newer than the stored one is skipped."""
        keys = self.database.keys
        proofs = [str(number) for proof in heartbeats.items() for number in proof]
        reply = await self.database.run(
            _WRITE,
            [keys.heartbeat(feed)],
            [
                keys.price_prefix(feed),
                keys.watched(feed),
                feed_epoch,
                partitions,
                _batch_encoder.encode(proofs),
                *_packed(quotes),
            ],
        )
        return self._tokens(reply)

    async def read(self, feed: str, token: int) -> PriceReading:
        """See the port."""
        return (await self.readings(feed, (token,)))[token]

    async def readings(self, feed: str, tokens: Sequence[int]) -> dict[int, PriceReading]:
        """See the port: one MGET is one moment."""
        keys = self.database.keys
        names = [*(keys.price(feed, token) for token in tokens), keys.heartbeat(feed)]
        *quotes, beats = await self.database.command("MGET", *names)
        alive = None if beats is None else _decoded(_heartbeats_decoder, names[-1], beats)
        return {
            token: PriceReading(
                None if quote is None else _decoded(_quote_decoder, name, quote),
                None if alive is None else alive.of(token),
            )
            for token, name, quote in zip(tokens, names, quotes, strict=False)
        }

    async def read_many(self, feed: str, tokens: Sequence[int]) -> dict[int, Quote]:
        """See the port."""
        if not tokens:
            return {}
        names = [self.database.keys.price(feed, token) for token in tokens]
        found = zip(tokens, names, await self.database.command("MGET", *names), strict=True)
        return {
            token: _decoded(_quote_decoder, name, value) for token, name, value in found if value is not None
        }

    # ------------------------------------------------------------------------------------------- watching

    async def watch(self, feed: str, watcher: str, tokens: Iterable[int]) -> None:
        """See the port. No tokens: the watcher is forgotten."""
        key, text = self.database.keys.watched(feed), " ".join(map(str, dict.fromkeys(tokens)))
        request = ("HSET", key, watcher, text) if text else ("HDEL", key, watcher)
        await self.database.command(*request, writes=True)

    async def watched(self, feed: str) -> frozenset[int]:
        """See the port."""
        return self._tokens(await self.database.command("HVALS", self.database.keys.watched(feed)))

    def _tokens(self, watchers: list[bytes]) -> frozenset[int]:
        """Return the union of the watchers' tokens; they hardly ever change, and every write asks."""
        if watchers != self._watched[0]:
            tokens = frozenset(int(token) for text in watchers for token in text.split())
            self._watched = (watchers, tokens)
        return self._watched[1]

    # ------------------------------------------------------------------------------------------- ranges

    async def publish_ranges(self, feed: str, ranges: Sequence[PriceRange]) -> None:
        """See the port. Cursors grow over restarts too, so that a reader's cursor never hides new ranges."""
        if not ranges:
            return
        keys = self.database.keys
        place = {token: 2 + at for at, token in enumerate(dict.fromkeys(item.token for item in ranges))}
        arguments: list[Argument] = [self._kept_ranges, KEPT_SECONDS]
        for item in ranges:
            arguments += (place[item.token], msgspec.json.encode(item))
        streams = [keys.ranges(feed, token) for token in place]
        await self.database.run(_PUBLISH, [keys.ranges_cursor(feed), *streams], arguments)

    async def ranges(self, feed: str, cursors: Mapping[int, int], timeout: float | None) -> list[PriceRange]:  # noqa: ASYNC109 - the port's
        """See the port. Ordered by cursor, at most `PAGE` of a token. Waits on real time."""
        clock = asyncio.get_running_loop()
        deadline = None if timeout is None else clock.time() + timeout
        while True:
            found, last = await self._ranges_after(feed, cursors)
            left = self._longest_wait if deadline is None else deadline - clock.time()
            if found or left <= 0:
                return found
            await self._wait_for_more(feed, cursors, last, min(left, self._longest_wait))

    async def _ranges_after(self, feed: str, cursors: Mapping[int, int]) -> tuple[list[PriceRange], str]:
        """Return the ranges after the cursors, and the feed's last cursor at that moment."""
        keys = self.database.keys
        names = [keys.ranges_cursor(feed), *(keys.ranges(feed, token) for token in cursors)]
        last, *streams = await self.database.run(_AFTER, names, [PAGE, *cursors.values()])
        found = [
            _range(name, entry) for name, stream in zip(names[1:], streams, strict=True) for entry in stream
        ]
        return sorted(found, key=lambda item: item.cursor), last.decode()

    async def _wait_for_more(self, feed: str, cursors: Mapping[int, int], last: str, seconds: float) -> None:
        """Wait until one of the tokens gets a range after `last`, but no longer than so many seconds."""
        if not cursors:
            await asyncio.sleep(seconds)
            return
        streams = [self.database.keys.ranges(feed, token) for token in cursors]
        block = max(1, round(seconds * 1000))  # 0 would mean for ever
        request: tuple[Argument, ...] = (
            "XREAD",
            "COUNT",
            1,
            "BLOCK",
            block,
            "STREAMS",
            *streams,
            *[f"{last}-0"] * len(streams),
        )
        await self._waiting.command(*request, timeout=seconds + self._late)


def _packed(quotes: Mapping[int, Quote]) -> list[Argument]:
    """Return each epoch among the quotes (nearly always one) with its quotes: token, sequence, JSON, packed."""
    by_epoch: dict[int, list[str]] = {}
    encode = _quote_encoder.encode
    for token, quote in quotes.items():
        items = by_epoch.get(quote.feed_epoch)
        if items is None:
            items = by_epoch[quote.feed_epoch] = []
        items += (str(token), str(quote.seq), encode(quote).decode())
    packed: list[Argument] = []
    for epoch, items in by_epoch.items():
        packed += (epoch, _batch_encoder.encode(items))
    return packed


def _range(name: str, entry: Reply) -> PriceRange:
    """Return a stream entry as a range: its id is the cursor."""
    identity, fields = entry
    item = _decoded(_range_decoder, name, fields[1])
    return msgspec.structs.replace(item, cursor=int(identity.partition(b"-")[0]))


def _decoded(decoder: "msgspec.json.Decoder[_T]", key: str, value: bytes) -> _T:
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableRecordError(f"redis: what {key} holds is not ours: {error}") from error
