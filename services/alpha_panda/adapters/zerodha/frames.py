"""Kite's binary frames of prices.

A frame is `u16 count`, then count times (`u16 length`, a packet of that length), all big-endian; one of four bytes or
fewer is a heartbeat. A packet's length says what it is: `Kind`. `parse` gives the columns that a feed needs and makes
nothing for a single tick but its numbers; `packets` gives all that a frame holds.

As the official Python client reads them, with these differences: prices are signed (a contract may trade below zero,
and the official client would show 42,949,635.33), times are UTC (there naive local time), a packet that is cut short
is never taken for a smaller kind, and nothing here raises for what a frame holds.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple

INDICES: Final = 9
"""Segment of what can't be traded; a token's last byte is its segment."""

LONGEST_HEARTBEAT: Final = 4

_SEGMENTS: Final = 256
_DEFAULT_DIVISOR: Final = 100.0
_DIVISORS: Final = {3: 10_000_000.0, 6: 10_000.0, 12: 10_000.0}  # CDS, BCD, NCO
DIVISOR_OF: Final = tuple(_DIVISORS.get(segment, _DEFAULT_DIVISOR) for segment in range(_SEGMENTS))
"""What a price in a packet is divided by, by segment."""


class Kind(IntEnum):
    """What a packet is, by its length in bytes."""

    LTP = 8
    INDEX_QUOTE = 28
    INDEX_FULL = 32
    QUOTE = 44
    FULL = 184


class Row(NamedTuple):
    """What a feed needs of a packet. `volume`: traded this day; `stamp`: the exchange's time in s; 0: not in the packet."""

    kind: int
    token: int
    price: float
    volume: int
    bid: float | None
    ask: float | None
    stamp: int


@dataclass(slots=True)
class Columns:
    """The rows of a frame, by column; `bad`: packets that were cut short or are of no known kind."""

    kinds: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)
    volumes: list[int] = field(default_factory=list)
    bids: list[float | None] = field(default_factory=list)
    asks: list[float | None] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    bad: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self) -> Iterator[Row]:
        """Yield the rows."""
        columns = (self.kinds, self.tokens, self.prices, self.volumes, self.bids, self.asks, self.stamps)
        return map(Row._make, zip(*columns, strict=True))

    def picked(self, indices: Sequence[int]) -> "Columns":
        """Return some of the rows."""
        return Columns(
            kinds=[self.kinds[index] for index in indices],
            tokens=[self.tokens[index] for index in indices],
            prices=[self.prices[index] for index in indices],
            volumes=[self.volumes[index] for index in indices],
            bids=[self.bids[index] for index in indices],
            asks=[self.asks[index] for index in indices],
            stamps=[self.stamps[index] for index in indices],
        )


# The kinds as plain numbers: to look an enum's member up costs more than to read a packet.
_LTP_SIZE: Final = Kind.LTP.value
_INDEX_QUOTE_SIZE: Final = Kind.INDEX_QUOTE.value
_INDEX_FULL_SIZE: Final = Kind.INDEX_FULL.value
_QUOTE_SIZE: Final = Kind.QUOTE.value
_FULL_SIZE: Final = Kind.FULL.value

# Token and price; of a quote the day's volume; of a full packet the exchange's time and the quantity and price of the
# best bid and ask too; of an index's full one the time.
_PLAIN: Final = struct.Struct(">Ii")
_QUOTE: Final = struct.Struct(">Ii8xI24x")
_FULL: Final = struct.Struct(">Ii8xI40xIIi52xIi52x")
_INDEX_FULL: Final = struct.Struct(">Ii20xI")
_COUNT: Final = struct.Struct(">H")
_STAMP: Final = struct.Struct(">I")

_UNIFORM: Final = {
    _LTP_SIZE: struct.Struct(">HIi"),
    _INDEX_QUOTE_SIZE: struct.Struct(">HIi20x"),
    _INDEX_FULL_SIZE: struct.Struct(f">H{_INDEX_FULL.format[1:]}"),
    _QUOTE_SIZE: struct.Struct(f">H{_QUOTE.format[1:]}"),
    _FULL_SIZE: struct.Struct(f">H{_FULL.format[1:]}"),
}
"""The same with the length before it, to read a frame of one kind at once."""


def is_heartbeat(frame: bytes) -> bool:
    """Whether the frame holds no packet, and only says that the connection lives."""
    return len(frame) <= LONGEST_HEARTBEAT


def parse(frame: bytes) -> Columns:
    """Return the rows of a frame in its order; never raises."""
    if is_heartbeat(frame):
        return Columns()
    count, length = frame[0] << 8 | frame[1], frame[2] << 8 | frame[3]
    if length in _UNIFORM and len(frame) == _COUNT.size + count * (_COUNT.size + length):
        columns = _uniform(frame, count, length)
        if columns is not None:
            return columns
    return _mixed(frame)


def _uniform(frame: bytes, count: int, kind: int) -> Columns | None:
    """Read a frame of packets of one kind, the usual one, column by column; None if another kind is among them."""
    lengths, tokens, prices, *rest = zip(
        *_UNIFORM[kind].iter_unpack(memoryview(frame)[_COUNT.size :]), strict=True
    )
    if lengths.count(kind) != count:
        return None
    by = [DIVISOR_OF[token & 255] for token in tokens]
    columns = Columns(
        kinds=[kind] * count,
        tokens=list(tokens),
        prices=[price / divisor for price, divisor in zip(prices, by, strict=True)],
        volumes=[0] * count,
        bids=[None] * count,
        asks=[None] * count,
        stamps=[0] * count,
    )
    if kind == _INDEX_FULL_SIZE:
        columns.stamps = list(rest[0])
    elif kind in {_QUOTE_SIZE, _FULL_SIZE}:
        columns.volumes = list(rest[0])
    if kind == _FULL_SIZE:
        _, stamps, bid_sizes, bids, ask_sizes, asks = rest
        columns.stamps = list(stamps)
        columns.bids = [
            bid / divisor if size else None for bid, size, divisor in zip(bids, bid_sizes, by, strict=True)
        ]
        columns.asks = [
            ask / divisor if size else None for ask, size, divisor in zip(asks, ask_sizes, by, strict=True)
        ]
    return columns


def _mixed(frame: bytes) -> Columns:
    """Read a frame packet by packet."""
    columns = Columns()
    rows = []
    for at, length in _spans(frame):
        row = _row(frame, at, length)
        if row is None:
            columns.bad += 1
        else:
            rows.append(row)
    if rows:
        kinds, tokens, prices, volumes, bids, asks, stamps = map(list, zip(*rows, strict=True))
        return Columns(kinds, tokens, prices, volumes, bids, asks, stamps, columns.bad)
    return columns


_Plain = tuple[int, int, float, int, float | None, float | None, int]


def _row(frame: bytes, at: int, length: int) -> _Plain | None:
    if length == _FULL_SIZE:
        token, price, volume, stamp, bid_size, bid, ask_size, ask = _FULL.unpack_from(frame, at)
        by = DIVISOR_OF[token & 255]
        best = bid / by if bid_size else None, ask / by if ask_size else None
        return length, token, price / by, volume, *best, stamp
    if length == _QUOTE_SIZE:
        token, price, volume = _QUOTE.unpack_from(frame, at)
        return length, token, price / DIVISOR_OF[token & 255], volume, None, None, 0
    if length == _INDEX_FULL_SIZE:
        token, price, stamp = _INDEX_FULL.unpack_from(frame, at)
        return length, token, price / DIVISOR_OF[token & 255], 0, None, None, stamp
    if length in _UNIFORM:  # no more than a price
        token, price = _PLAIN.unpack_from(frame, at)
        return length, token, price / DIVISOR_OF[token & 255], 0, None, None, 0
    return None


def _spans(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each packet begins and its length; 0 for one that the frame ends in, after which there is none."""
    at, end = _COUNT.size, len(frame)
    for _ in range(frame[0] << 8 | frame[1]):
        if at + _COUNT.size > end:
            yield at, 0
            return
        length = frame[at] << 8 | frame[at + 1]
        at += _COUNT.size
        if at + length > end:
            yield at, 0
            return
        yield at, length
        at += length


# ------------------------------------------------------------------------------------------ all of a packet

_MODES: Final = {
    Kind.LTP: "ltp",
    Kind.QUOTE: "quote",
    Kind.INDEX_QUOTE: "quote",
    Kind.FULL: "full",
    Kind.INDEX_FULL: "full",
}
_INDEX: Final = struct.Struct(">iiii")  # high, low, open, close
_TRADED: Final = struct.Struct(
    ">IiIIIiiii"
)  # last quantity, average, volume, buys, sells, open, high, low, close
_STAMPS: Final = struct.Struct(
    ">IIIII"
)  # last trade's time, open interest, its highest and lowest, exchange's time
_LEVEL: Final = struct.Struct(">IiHxx")  # quantity, price, orders
_LEVELS_AT: Final = 64
_SIDE: Final = 5


def packets(frame: bytes) -> list[dict[str, Any]]:
    """Return all that a frame holds, by the official client's names: to look into one, not for a feed.

    Times are aware datetimes in UTC.
    """
    if is_heartbeat(frame):
        return []
    known = frozenset(Kind)
    return [_packet(frame[at : at + length]) for at, length in _spans(frame) if length in known]


def _packet(packet: bytes) -> dict[str, Any]:
    kind = Kind(len(packet))
    token, price = _PLAIN.unpack_from(packet)
    by = DIVISOR_OF[token & 255]
    shown: dict[str, Any] = {
        "tradable": token & 255 != INDICES,
        "mode": _MODES[kind],
        "instrument_token": token,
        "last_price": price / by,
    }
    if kind in {Kind.INDEX_QUOTE, Kind.INDEX_FULL}:
        shown |= _index(packet, by)
    elif kind is not Kind.LTP:
        shown |= _traded(packet, by)
    if kind is Kind.FULL:
        shown |= _stamps(packet) | {"depth": _depth(packet, by)}
    if kind is not Kind.LTP:
        shown["change"] = _change(shown["last_price"], shown["ohlc"]["close"])
    return shown


def _index(packet: bytes, by: float) -> dict[str, Any]:
    prices = (price / by for price in _INDEX.unpack_from(packet, 8))
    shown: dict[str, Any] = {"ohlc": dict(zip(("high", "low", "open", "close"), prices, strict=True))}
    if len(packet) == Kind.INDEX_FULL:
        shown["exchange_timestamp"] = _time(*_STAMP.unpack_from(packet, 28))
    return shown


def _traded(packet: bytes, by: float) -> dict[str, Any]:
    quantity, average, volume, buys, sells, *prices = _TRADED.unpack_from(packet, 8)
    return {
        "last_traded_quantity": quantity,
        "average_traded_price": average / by,
        "volume_traded": volume,
        "total_buy_quantity": buys,
        "total_sell_quantity": sells,
        "ohlc": dict(zip(("open", "high", "low", "close"), (price / by for price in prices), strict=True)),
    }


def _stamps(packet: bytes) -> dict[str, Any]:
    traded, interest, highest, lowest, stamp = _STAMPS.unpack_from(packet, 44)
    return {
        "last_trade_time": _time(traded),
        "oi": interest,
        "oi_day_high": highest,
        "oi_day_low": lowest,
        "exchange_timestamp": _time(stamp),
    }


def _depth(packet: bytes, by: float) -> dict[str, list[dict[str, float]]]:
    levels = [
        {"quantity": quantity, "price": price / by, "orders": orders}
        for quantity, price, orders in _LEVEL.iter_unpack(packet[_LEVELS_AT:])
    ]
    return {"buy": levels[:_SIDE], "sell": levels[_SIDE:]}


def _change(price: float, close: float) -> float:
    return (price - close) * 100 / close if close else 0


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
