"""What risk tells of the account and of its strategies in the service's status."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.status_details import (
    FLAT,
    BookFigures,
    Detail,
    StrategyFigures,
    strategy_details,
)
from alpha_panda.domain.book import Positions

from .ledger import ACCOUNT, Ledger
from .pace import DayCounts
from .requests import Teardowns
from .terms import AccountTerms

MOST_POSITIONS = 5
"""Positions that a strategy's summary names."""


def book_details(  # noqa: PLR0913 - what the figures are of, by keyword
    ledger: Ledger,
    counts: DayCounts,
    day: str,
    *,
    equity: Decimal | None,
    judged_ts: int | None,
    terms: AccountTerms,
    teardowns: Teardowns,
) -> dict[str, Detail]:
    """Return the details of a trading day; `equity` is None before the book was first marked."""
    signals, orders = counts.of(ACCOUNT, day)
    account = BookFigures(
        day_pnl=_text(ledger.pnl(ACCOUNT, day).day_pnl),
        equity=_text(equity),
        cash=_text(ledger.book.cash),
        signals_today=signals,
        orders_today=orders,
        positions=_count(ledger.book.positions),
        open_orders=len(ledger.open_orders()),
        judged_ts=judged_ts,
    )
    names = dict.fromkeys((*teardowns, *terms.strategies, *ledger.book.strategies))
    strategies = {name: _strategy(ledger, counts, day, name, terms, teardowns) for name in names}
    busy = [name for name, figures in strategies.items() if figures.positions or figures.signals_today]
    return {**account.details(), **strategy_details(strategies, (*teardowns, *busy))}


def _strategy(  # noqa: PLR0913, PLR0917 - as above
    ledger: Ledger,
    counts: DayCounts,
    day: str,
    name: str,
    terms: AccountTerms,
    teardowns: Teardowns,
) -> StrategyFigures:
    positions = ledger.book.strategy(name).positions
    signals, orders = counts.of(name, day)
    resource = terms.strategies.get(name)
    uid = "" if resource is None else resource.metadata.uid or ""
    words = ""
    if name in teardowns:
        request, words = teardowns[name]
        uid = request.uid
    return StrategyFigures(
        uid=uid,
        signals_today=signals,
        orders_today=orders,
        day_pnl=_text(ledger.pnl(name, day).day_pnl),
        positions=_count(positions),
        position=summary_of({item.symbol: item.quantity for item in positions.values()}),
        flat=words == FLAT,
        teardown=words,
    )


def _count(positions: Positions) -> int:
    return sum(1 for position in positions.values() if position.quantity)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount or ZERO:f}"


def summary_of(positions: Mapping[str, Decimal]) -> str:
    """Return `NSE:X 5, NSE:Y -3`, of a few positions and the number of the others."""
    held: Iterable[tuple[str, Decimal]] = sorted((item, held) for item, held in positions.items() if held)
    texts = [f"{symbol} {quantity:f}" for symbol, quantity in held]
    more = f" and {len(texts) - MOST_POSITIONS} more" if len(texts) > MOST_POSITIONS else ""
    return ", ".join(texts[:MOST_POSITIONS]) + more
