"""What risk remembers: decisions, folds, open orders, the book, the days. No I/O, no clock.

Everything here follows from what is stored: decisions and folds by id, and `encode()`; a restart gets the same.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

import msgspec

from alpha_panda.contracts.enums import SignalClass, Verdict
from alpha_panda.contracts.events import ZERO, OrderUpdate, Signal
from alpha_panda.contracts.stored import Decision, OrderFold, RiskClaim, order_id_of
from alpha_panda.domain.book import Book, Prices
from alpha_panda.domain.fold import FoldStep, fold_order
from alpha_panda.domain.risk.facts import OpenOrder, PnlReading
from alpha_panda.domain.risk.losses import DayPnl

ACCOUNT = ""
"""Name of the account's own scope among the strategies'."""


class LedgerState(msgspec.Struct):
    """What `RiskSnapshot.state` holds."""

    book: Book
    days: dict[str, DayPnl]


class Ledger:
    """The account's memory between records."""

    def __init__(self, opening_cash: Decimal) -> None:
        self.book = Book.opened(opening_cash)
        self.days: dict[str, DayPnl] = {}
        self.decisions: dict[str, Decision] = {}
        self.changed_folds: dict[str, OrderFold] = {}
        self._opening_cash = opening_cash
        self._folds: dict[str, OrderFold] = {}
        self._open: dict[str, OpenOrder] = {}

    def load(self, claim: RiskClaim) -> None:
        """Take over what is stored."""
        if claim.snapshot is not None:
            state = msgspec.msgpack.decode(claim.snapshot.state, type=LedgerState)
            self.book, self.days = state.book, state.days
        self._folds = dict(claim.folds)
        for decision in sorted(claim.decisions.values(), key=lambda item: (item.decided_at, item.signal_id)):
            self.add(decision)

    def encode(self) -> bytes:
        """Return the state for the snapshot."""
        return msgspec.msgpack.encode(LedgerState(self.book, self.days))

    # ---------------------------------------------------------------------------------------- decisions

    def add(self, decision: Decision) -> None:
        """Remember a stored decision; a validated order is open until its fold is terminal."""
        self.decisions[decision.signal_id] = decision
        self._reserve(decision)

    def order(self, signal_id: str) -> Signal | None:
        """Return the signal of a validated order."""
        decision = self.decisions.get(signal_id)
        if (
            decision is None
            or decision.verdict is not Verdict.VALIDATED
            or not isinstance(decision.signal, Signal)
        ):
            return None
        return decision.signal

    def open_orders(self) -> Collection[OpenOrder]:
        """Return all validated orders that have not ended: placed, being sent, in doubt."""
        return self._open.values()

    def _reserve(self, decision: Decision) -> None:
        """Derive what the order still holds: the decision's quantity less its fold, nothing once terminal."""
        signal = self.order(decision.signal_id)
        if signal is None:
            return
        fold = self._folds.get(signal.signal_id, OrderFold())
        if fold.terminal:
            self._open.pop(signal.signal_id, None)
            return
        self._open[signal.signal_id] = OpenOrder(
            signal_id=signal.signal_id,
            strategy_id=signal.strategy_id,
            instrument_token=signal.instrument_token,
            side=signal.side,
            open_quantity=max(signal.quantity - fold.filled_quantity, ZERO),
            reference_price=decision.reference_price or ZERO,
            signal_class=decision.signal_class,
        )

    # -------------------------------------------------------------------------------------------- fills

    def fold(self, update: OrderUpdate) -> FoldStep:
        """Fold an order event into the book; the step's deltas are zero for one that was seen before."""
        key = order_id_of(update)
        decision = self.decisions.get(key)
        refused = decision is not None and decision.verdict is Verdict.REJECTED
        step = fold_order(self._folds.get(key, OrderFold()), update, rejected=refused)
        self._folds[key] = self.changed_folds[key] = step.fold
        if step.quantity_delta or step.amount_delta or step.fees_delta:
            self.book.apply(
                update.strategy_id,
                update.instrument_token,
                update.symbol,
                update.side,
                step.quantity_delta,
                step.amount_delta,
                step.fees_delta,
            )
        if decision is not None:
            self._reserve(decision)
        return step

    # --------------------------------------------------------------------------------------------- days

    def observe(self, day: str, prices: Prices) -> None:
        """Take note of the account's equity and each strategy's P&L on the trading day."""
        self._day(ACCOUNT, self._opening_cash).observe(day, self.book.equity(prices))
        for name, strategy in self.book.strategies.items():
            self._day(name, ZERO).observe(day, strategy.net_pnl(prices))

    def pnl(self, scope: str) -> PnlReading:
        """Return the scope's day as of the last `observe`."""
        day = self.days.get(scope)
        return (
            PnlReading()
            if day is None
            else PnlReading(day_pnl=day.last - day.start, drawdown=day.peak - day.last)
        )

    def _day(self, scope: str, before: Decimal) -> DayPnl:
        if scope not in self.days:
            self.days[scope] = DayPnl(last=before)
        return self.days[scope]

    # ------------------------------------------------------------------------------------------- others

    def held_tokens(self) -> tuple[int, ...]:
        """Return the tokens that need a price to mark the book."""
        return tuple(token for token, position in self.book.positions.items() if position.quantity) + tuple(
            token
            for strategy in self.book.strategies.values()
            for token, position in strategy.positions.items()
            if position.quantity
        )

    def closing_decisions(self) -> Iterable[Decision]:
        """Yield risk's own closing decisions that have not ended."""
        for signal_id in self._open:
            decision = self.decisions[signal_id]
            if decision.closing and decision.signal_class is SignalClass.REDUCING:
                yield decision

    def fold_of(self, signal_id: str) -> OrderFold:
        """Return the fold of an order."""
        return self._folds.get(signal_id, OrderFold())
