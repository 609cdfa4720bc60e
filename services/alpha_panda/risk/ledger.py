"""What risk remembers: decisions, folds, open orders, the book, the days. No I/O, no clock.

Of a decision that was told only what further decisions need: its text is in the store (`short`).

Everything here follows from what is stored: decisions and folds by id, and `encode()`; a restart gets the same.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from alpha_panda.contracts.enums import SignalClass, Verdict
from alpha_panda.contracts.events import ZERO, OrderUpdate, Signal
from alpha_panda.contracts.stored import BrokerFacts, Decision, OrderFold, RiskClaim, order_id_of
from alpha_panda.domain.book import Book, Prices
from alpha_panda.domain.fold import FoldStep, fold_order
from alpha_panda.domain.ledger_state import LedgerState, PendingShare, decoded_ledger
from alpha_panda.domain.order_events import EXTERNAL
from alpha_panda.domain.risk.facts import OpenOrder, PnlReading
from alpha_panda.domain.risk.losses import DayPnl
from alpha_panda.domain.risk.open_orders import OpenOrders
from alpha_panda.domain.risk.shorts import Shorts, shorts_at
from alpha_panda.domain.sharing import group_of, opening_id

ACCOUNT = ""
"""Name of the account's own scope among the strategies'."""


class Ledger:
    """The account's memory between records."""

    def __init__(self, opening_cash: Decimal) -> None:
        self.book = Book.opened(opening_cash)
        self.days: dict[str, DayPnl] = {}
        self.marks: dict[int, Decimal] = {}
        self.decisions: dict[str, Decision] = {}
        self.changed_folds: dict[str, OrderFold] = {}
        self._opening_cash = opening_cash
        self._folds: dict[str, OrderFold] = {}
        self._open = OpenOrders()
        self._shorts: Shorts | None = None
        self._short: bool | None = None
        self._held: tuple[int, ...] | None = None
        self._closings: dict[tuple[str, int], int] = {}
        self.pending: list[PendingShare] = []
        self.told_to: dict[str, int] = {}
        self.opened_at = self.settled_at = 0
        self._shares: dict[str, list[str]] = {}

    def load(self, claim: RiskClaim) -> None:
        """Take over what is stored; `decisions` then are in the order in which they were made."""
        if claim.snapshot is not None:
            state = decoded_ledger(claim.snapshot.state)
            self.book, self.days, self.marks = state.book, state.days, state.marks
            self.pending, self.told_to = state.pending, state.told_to
            self.opened_at, self.settled_at = state.opened_at, state.settled_at
            if self.opened_at:
                self._opening_cash = self.book.opening_cash
            self._short = self._shorts = self._held = None
        self._folds = dict(claim.folds)
        for decision in sorted(claim.decisions.values(), key=lambda item: (item.decided_at, item.signal_id)):
            self.add(short(decision))

    def encode(self) -> bytes:
        """Return the state for the snapshot."""
        rest = (self.pending, self.told_to, self.opened_at, self.settled_at)
        return msgspec.msgpack.encode(LedgerState(self.book, self.days, self.marks, *rest))

    # ---------------------------------------------------------------------------------------- decisions

    def add(self, decision: Decision) -> None:
        """Remember a stored decision; a validated order is open until its fold is terminal."""
        if (
            decision.closing
            and decision.signal_id not in self.decisions
            and isinstance(decision.signal, Signal)
        ):
            self.skip_closing(decision.signal.strategy_uid, decision.signal.instrument_token)
        group = group_of(decision.signal_id)
        if group is not None and decision.signal_id not in self.decisions:
            self._shares.setdefault(group, []).append(decision.signal_id)
        self.decisions[decision.signal_id] = decision
        self._reserve(decision)

    def shorten(self, signal_id: str) -> None:
        """Keep of a decision that is stored and told what is needed further on."""
        self.decisions[signal_id] = short(self.decisions[signal_id])

    def closings(self, strategy_uid: str, token: int) -> int:
        """Return n of the next closing signal: how many closing decisions on the position are stored."""
        return self._closings.get((strategy_uid, token), 0)

    def skip_closing(self, strategy_uid: str, token: int) -> None:
        """Use an n up: its decision is stored, or was, and its order is known."""
        self._closings[strategy_uid, token] = self.closings(strategy_uid, token) + 1

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

    def open_orders(self) -> OpenOrders:
        """Return all validated orders that have not ended: placed, being sent, in doubt. They change with each fold."""
        return self._open

    def _reserve(self, decision: Decision) -> None:
        """Derive what the order still holds: the decision's quantity less its fold, nothing once terminal."""
        signal = self.order(decision.signal_id)
        if signal is None:
            return
        fold = self._folds.get(signal.signal_id, OrderFold())
        if fold.terminal:
            self._open.drop(signal.signal_id)
            return
        self._open.put(
            OpenOrder(
                signal_id=signal.signal_id,
                strategy_id=signal.strategy_id,
                instrument_token=signal.instrument_token,
                side=signal.side,
                open_quantity=max(signal.quantity - fold.filled_quantity, ZERO),
                reference_price=decision.reference_price or ZERO,
                signal_class=decision.signal_class,
            )
        )

    # -------------------------------------------------------------------------------------------- fills

    def fold(self, update: OrderUpdate) -> FoldStep:
        """Fold an order event into the book; the step's deltas are zero for one that was seen before."""
        key = order_id_of(update)
        decision = self.decisions.get(key)
        refused = decision is not None and decision.verdict is Verdict.REJECTED
        step = fold_order(self._folds.get(key, OrderFold()), update, rejected=refused)
        self._folds[key] = self.changed_folds[key] = step.fold
        if update.share_of:
            self._transfer(update, step)
        elif step.quantity_delta or step.amount_delta or step.fees_delta:
            self._short = self._shorts = self._held = None
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

    def _transfer(self, update: OrderUpdate, step: FoldStep) -> None:
        """Make a part of what is booked as `external` the strategy's: the account itself has not changed."""
        if step.quantity_delta or step.amount_delta:
            self._short = self._shorts = self._held = None
            self.book.transfer(
                EXTERNAL,
                update.strategy_id,
                update.instrument_token,
                update.symbol,
                update.side,
                step.quantity_delta,
                step.amount_delta,
            )

    def shares(self, group: str) -> list[Decision]:
        """Return the stored decisions on strategies' shares in one step of an external order."""
        return [self.decisions[signal_id] for signal_id in self._shares.get(group, ())]

    def is_placed(self, signal_id: str) -> bool:
        """Whether an event has told that the order reached the broker, or ended."""
        return self._folds.get(signal_id, OrderFold()).rank > 0

    # ------------------------------------------------------------------------------------------ opening

    def open(self, facts: BrokerFacts, day: str) -> bool:
        """Take over what the account began with at its broker; False if that is known, or not told yet.

        Cash at once. When all opening positions are folded the day begins anew: what they made or lost before is
        nobody's profit. Until then there is none.
        """
        if not facts.opened_at or self.settled_at == facts.opened_at:
            return False
        fresh = self.opened_at != facts.opened_at
        if fresh:
            self.opened_at = facts.opened_at
            more = self.book.reopen(facts.opening_cash)
            self._opening_cash = self.book.opening_cash
            if ACCOUNT in self.days:
                self.days[ACCOUNT].shift(more)
        ids = (opening_id(facts.opened_at, item.instrument_token) for item in facts.opening)
        if all(signal_id in self._folds for signal_id in ids):
            self._settle(facts, day)
            return True
        return fresh

    def _settle(self, facts: BrokerFacts, day: str) -> None:
        self.settled_at = facts.opened_at
        worth = {item.instrument_token: item.last_price for item in facts.opening if item.last_price}
        self.mark({**worth, **self.marks})
        self.days = {}
        equity = self.book.equity(self.marks)
        self.days[ACCOUNT] = DayPnl(last=equity, day=day, start=equity, peak=equity)
        for name, strategy in self.book.strategies.items():
            made = strategy.net_pnl(self.marks)
            self.days[name] = DayPnl(last=made, day=day, start=made, peak=made)

    # --------------------------------------------------------------------------------------------- days

    def mark(self, prices: Prices) -> None:
        """Take note of the prices of what is held. One that is not told now stays what it was.

        Falling back to the cost instead would make a loss, or a peak, out of a price cache that doesn't answer.
        """
        known = {**self.marks, **prices}
        self.marks = {token: known[token] for token in self.held_tokens() if token in known}
        self._shorts = None

    def observe(self, day: str) -> None:
        """Take note of the account's equity and each strategy's P&L on the trading day."""
        self._day(ACCOUNT, self._opening_cash).observe(day, self.book.equity(self.marks))
        for name, strategy in self.book.strategies.items():
            self._day(name, ZERO).observe(day, strategy.net_pnl(self.marks))

    def pnl(self, scope: str, day: str) -> PnlReading:
        """Return the scope's reading of a trading day as of the last `observe`; a new day begins at zero."""
        known = self.days.get(scope)
        if known is None or known.day != day or self.opened_at != self.settled_at:
            return PnlReading()
        return PnlReading(day_pnl=known.last - known.start, drawdown=known.peak - known.last)

    def _day(self, scope: str, before: Decimal) -> DayPnl:
        if scope not in self.days:
            self.days[scope] = DayPnl(last=before)
        return self.days[scope]

    # ------------------------------------------------------------------------------------------- others

    @property
    def shorts(self) -> Shorts:
        """What the short positions are worth at the marks; asked for each signal, changed by fills and marks alone."""
        if self._shorts is None:
            books = tuple(item.positions for item in self.book.strategies.values())
            self._shorts = shorts_at(self.book.positions, books, self.marks)
        return self._shorts

    @property
    def holds_short(self) -> bool:
        """Whether there is a short position, the account's or a strategy's: cash must back its value of now."""
        if self._short is None:  # asked for each signal, and changed by fills alone
            books = (self.book.positions, *(item.positions for item in self.book.strategies.values()))
            self._short = any(position.quantity < 0 for positions in books for position in positions.values())
        return self._short

    def held_tokens(self) -> tuple[int, ...]:
        """Return the tokens that need a price to mark the book."""
        if self._held is None:  # changed by fills alone
            books = (self.book.positions, *(item.positions for item in self.book.strategies.values()))
            held = [token for positions in books for token, item in positions.items() if item.quantity]
            self._held = tuple(dict.fromkeys(held))
        return self._held

    def closing_decisions(self) -> Iterable[Decision]:
        """Yield risk's own closing decisions that have not ended."""
        for order in self._open:
            decision = self.decisions[order.signal_id]
            if decision.closing and decision.signal_class is SignalClass.REDUCING:
                yield decision


def short(decision: Decision) -> Decision:
    """Return a decision without its checks and message: most of its bytes, and only needed to tell it."""
    return msgspec.structs.replace(decision, checks=[], message="")
