"""What risk's snapshot holds, as others may read it: the book, and what goes with it."""

from decimal import Decimal

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import Side
from alpha_panda.domain.book import Book
from alpha_panda.domain.risk.losses import DayPnl


class PendingShare(msgspec.Struct, frozen=True, kw_only=True):
    """A step of an external order that is in the book, and has not been shared out among strategies.

    `filled`: the order's cumulative quantity with it; `quantity` and `amount`: what the step added. `ts`: of its event.
    """

    order_id: str
    filled: Decimal
    instrument_token: int
    symbol: str
    side: Side
    quantity: Decimal
    amount: Decimal
    code: Code
    message: str
    ts: int
    event_id: str
    correlation_id: str


class LedgerState(msgspec.Struct):
    """What `RiskSnapshot.state` holds. `marks`: the last known price of each token that is held.

    `told_to`: of each partition the offset up to which an earlier life of the store has shared out external trades
    (there may be no memory of how). `opened_at`: which opening of the broker's account the cash is of; `settled_at`: the
    one whose positions are in the book, from where days count.
    """

    book: Book
    days: dict[str, DayPnl]
    marks: dict[int, Decimal] = {}
    pending: list[PendingShare] = []
    told_to: dict[str, int] = {}
    opened_at: int = 0
    settled_at: int = 0


def decoded_ledger(state: bytes) -> LedgerState:
    """Return the state of a snapshot."""
    return msgspec.msgpack.decode(state, type=LedgerState)
