"""Frames as Kite sends them, made by hand: an encoder of the tests' own, so that no two mistakes agree."""

import struct
from collections.abc import Sequence

INFY = 408065
NIFTY_50 = 256265
USDINR = 412675  # CDS: segment 3
BCD_FUTURE = 1000 * 256 + 6
NCO_FUTURE = 1000 * 256 + 12

Level = tuple[int, int, int]
"""Quantity, price, orders."""


def frame(*packets: bytes) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(one)) + one for one in packets)


def ltp(token: int, price: int) -> bytes:
    return struct.pack(">Ii", token, price)


def quote(token: int, price: int, volume: int = 0) -> bytes:
    return struct.pack(">IiIiIIIiiii", token, price, 1, price, volume, 2, 3, price, price, price, price)


def index_quote(token: int, price: int) -> bytes:
    return struct.pack(">Iiiiiii", token, price, price, price, price, price, 0)


def index_full(token: int, price: int, stamp: int = 0) -> bytes:
    return index_quote(token, price) + struct.pack(">I", stamp)


def full(  # noqa: PLR0917 - a packet's fields
    token: int,
    price: int,
    volume: int = 0,
    stamp: int = 0,
    bids: Sequence[Level] = (),
    asks: Sequence[Level] = (),
) -> bytes:
    return (
        quote(token, price, volume)
        + struct.pack(">IIIII", stamp, 0, 0, 0, stamp)
        + b"".join(struct.pack(">IiHxx", *level) for level in (*_five(bids), *_five(asks)))
    )


def _five(levels: Sequence[Level]) -> Sequence[Level]:
    return (*levels, *[(0, 0, 0)] * (5 - len(levels)))
