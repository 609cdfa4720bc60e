"""What an order did to the account's book: its own fold, and the snapshots before and after."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO, Envelope, OrderUpdate, PortfolioSnapshot
from alpha_panda.contracts.stored import OrderFold
from alpha_panda.domain.exact import exact, tidy
from alpha_panda.domain.fold import fold_order
from alpha_panda.errors import RecordError

from .model import BookPart, FillPart, Holding

_DISPLAYED: Final = Decimal("0.0001")


def folded(updates: Sequence[OrderUpdate]) -> OrderFold:
    """Return what the order's events amount to; one that can't be folded is passed over, as risk sets it aside."""
    fold = OrderFold()
    for update in updates:
        try:
            fold = fold_order(fold, update).fold
        except RecordError:
            continue
    return fold


def fill_of(fold: OrderFold, side: Side, quote: Decimal | None) -> FillPart | None:
    """Return what has filled; None if nothing has."""
    if not fold.filled_quantity:
        return None
    worse = None if quote is None else side.sign * (fold.average_price - quote)
    return FillPart(
        quantity=fold.filled_quantity,
        price=fold.average_price,
        amount=fold.amount,
        fees=fold.fees,
        slippage=None if worse is None else tidy(worse.quantize(_DISPLAYED)),
    )


def effect(
    fill: FillPart, side: Side, symbol: str, last_before: Envelope | None, books_after: Sequence[Envelope]
) -> BookPart:
    """Return the effect of a fill, between the last snapshot from before it was told and those from after.

    The snapshot after is the first one that shows the order's own change in cash; else the first that any later change
    shows in, and then others have traded as well.
    """
    with exact():
        change = tidy(side.sign * fill.quantity)
        cash = tidy(-side.sign * fill.amount - fill.fees)
    before = next(iter(_holdings([] if last_before is None else [last_before], symbol)), None)
    after = _after(before, cash, _holdings(books_after, symbol))
    alone = before is not None and after is not None and after.cash - before.cash == cash
    return BookPart(position_change=change, cash_change=cash, before=before, after=after, alone=alone)


def _after(before: Holding | None, cash: Decimal, later: Sequence[Holding]) -> Holding | None:
    if before is None:
        return None  # which one is the first to know of the order can't be told
    exactly = next((book for book in later if book.cash - before.cash == cash), None)
    return exactly or next((book for book in later if book.cash != before.cash), None)


def _holdings(books: Sequence[Envelope], symbol: str) -> list[Holding]:
    distinct = sorted({event.id: event for event in books}.values(), key=lambda event: event.ts)
    return [
        _holding(event.ts, event.data, symbol)
        for event in distinct
        if isinstance(event.data, PortfolioSnapshot)
    ]


def _holding(ts: int, book: PortfolioSnapshot, symbol: str) -> Holding:
    view = book.positions.get(symbol)
    return Holding(
        ts=ts,
        cash=book.cash,
        position=ZERO if view is None else view.quantity,
        realized_pnl=book.realized_pnl,
    )
