"""Encodes quotes into Kite's binary frames: big-endian; packets of 8, 28, 32, 44 and 184 bytes.

A frame is u16 count, then count times u16 length and the packet. Prices are written signed: the documentation calls
all fields int32, though official clients read them unsigned. Quantities, volumes, times and tokens are unsigned.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final, Literal

from .market import Quote

Mode = Literal["ltp", "quote", "full"]

HEARTBEAT: Final = b"\x00"
"""One byte says that the line lives. Its value is a guess; clients look at the length alone."""

STRANGE: Final = b"\x00\x01\x00\x0c" + bytes(12)
"""A frame with one packet of a length that no kind has: clients must skip it."""

PACKETS: Final = 500
"""Most packets that are put into a frame."""

_LTP: Final = Struct(">Ii")
_QUOTE: Final = Struct(">IiIiIIIiiii")
_FULL: Final = Struct(">IiIiIIIiiiiIIIII" + "IiHxx" * 10)
_INDEX_QUOTE: Final = Struct(">Iiiiiii")
_INDEX_FULL: Final = Struct(">IiiiiiiI")
_COUNT: Final = Struct(">H")
_MOST: Final = 0xFFFFFFFF


def packet(quote: Quote, mode: Mode) -> bytes:
    """Return one instrument's packet; an index has packets of its own."""
    token = quote.instrument.token
    if mode == "ltp":
        return _LTP.pack(token, quote.last)
    if not quote.instrument.tradable:
        return _index(quote, mode)
    lot, last, tick = quote.instrument.lot_size, quote.last, quote.tick
    head = (
        token, last, quote.quantity & _MOST, quote.average, quote.volume & _MOST, 80 * lot, 80 * lot,
        quote.open, quote.high, quote.low, quote.close,
    )  # fmt: skip
    if mode == "quote":
        return _QUOTE.pack(*head)
    return _FULL.pack(
        *head, quote.traded_at, quote.interest, quote.interest_high, quote.interest_low, quote.ts,
        10 * lot, last, 1, 13 * lot, last - tick, 2, 16 * lot, last - 2 * tick, 3,
        19 * lot, last - 3 * tick, 4, 22 * lot, last - 4 * tick, 5,
        12 * lot, last + tick, 2, 14 * lot, last + 2 * tick, 3, 16 * lot, last + 3 * tick, 4,
        18 * lot, last + 4 * tick, 5, 20 * lot, last + 5 * tick, 6,
    )  # fmt: skip


def _index(quote: Quote, mode: Mode) -> bytes:
    fields = (
        quote.instrument.token, quote.last, quote.high, quote.low, quote.open, quote.close, quote.last - quote.close,
    )  # fmt: skip
    return _INDEX_QUOTE.pack(*fields) if mode == "quote" else _INDEX_FULL.pack(*fields, quote.ts)


def frame(packets: Iterable[bytes]) -> bytes:
    """Return the packets as one frame."""
    parts = list(packets)
    body = b"".join(_COUNT.pack(len(part)) + part for part in parts)
    return _COUNT.pack(len(parts)) + body
