"""Finds the facts on a signal: from the stores, the manifests, the calendar and the ledger. Then the gate rules."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import CancelRequest, Envelope, Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.scopes import account_scope, scopes_of, strategy_scope
from alpha_panda.contracts.stored import BrokerFacts, ControlReading, Decision, PriceReading, Quote
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.domain.book import StrategyBook
from alpha_panda.domain.risk.facts import CancelFacts, RiskFacts, ScopeFacts, runaway_of
from alpha_panda.domain.risk.gate import Ruling, decide
from alpha_panda.domain.risk.limits import AccountLimits, Limits, StrategyLimits
from alpha_panda.domain.risk.losses import LatchRequest
from alpha_panda.domain.sharing import group_of
from alpha_panda.errors import DependencyUnavailableError, RecordError
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.manifests import Derived

from .broker import cash_left, standing, wanted
from .ledger import ACCOUNT, Ledger
from .pace import DayCounts, Pace
from .reserve import Reserve
from .terms import AccountTerms

log = structlog.get_logger()

T = TypeVar("T")

NO_LIMITS = StrategyLimits()
NO_BOOK = StrategyBook()
NO_PRICE = PriceReading(quote=None, heartbeat_ts=None)


@dataclass(slots=True)
class LookedUp:
    """What the stores said at one look, for all signals of a batch. `controls` None: to be read again."""

    journal_epoch: str
    known: frozenset[str]
    prices: Mapping[int, PriceReading]
    doubtful: Mapping[str, frozenset[str]]
    scopes: tuple[str, ...]
    controls: Mapping[str, ControlReading] | None = None
    marked: bool = False


NOTHING: Final = LookedUp("", frozenset(), {}, {}, ())


class FactFinder:
    """Asks everybody who knows something about a signal."""

    def __init__(self, context: ServiceContext, ledger: Ledger, terms: Derived[AccountTerms]) -> None:
        self._name = context.resource
        self._terms = terms
        self._ports = context.ports
        self._clock = context.ports.clock
        self._journal = context.ports.journal(context.resource)
        self._ledger = ledger
        self.pace = Pace()
        self.counts = DayCounts()
        self._looked_up = NOTHING
        self._stale_after = nanoseconds(context.settings.reconcile_stale_seconds)
        within = context.settings.signal_ttl_seconds + context.settings.send_within_seconds
        self.reserve = Reserve(nanoseconds(within))
        self.broker: BrokerFacts | None = None

    @property
    def account_limits(self) -> AccountLimits:
        """The account's limits as they are now."""
        return self._terms().account_limits

    async def look_up(
        self, signals: Sequence[Signal | CancelRequest], journal_epoch: str, *, mark: bool
    ) -> str | None:
        """Ask the stores once for all that decisions on these signals need; `mark`: mark the ledger too.

        A batch is decided in milliseconds, and the engine looks at price, state and doubt again before it sends.
        Returns the journal's epoch as it is: what was found counts only if it is `journal_epoch`.
        """
        orders = [signal for signal in signals if isinstance(signal, Signal)]
        strategies = dict.fromkeys(order.strategy_id for order in orders)
        scopes = tuple(dict.fromkeys(scope for name in strategies for scope in scopes_of(self._name, name)))
        # Made in one turn of the loop, so that they leave together: one write and one wait, not several.
        epoch, known, doubtful, prices, controls, _ = await asyncio.gather(
            self._journal.epoch(),
            self._journal.known(*(signal.signal_id for signal in signals)),
            self._journal.in_doubt(),
            self._prices(tuple(dict.fromkeys(order.instrument_token for order in orders))),
            self._controls_of(scopes),
            self._look_further(mark=mark),
        )
        keys: dict[str, set[str]] = {}
        for entry in doubtful:
            keys.setdefault(entry.signal.key, set()).add(entry.signal_id)
        self._looked_up = LookedUp(
            journal_epoch,
            known,
            prices,
            {key: frozenset(ids) for key, ids in keys.items()},
            scopes,
            controls,
            marked=mark,
        )
        return epoch

    async def _look_further(self, *, mark: bool) -> None:
        await asyncio.gather(self.look_at_broker(), self.mark() if mark else _nothing())

    async def look_at_broker(self) -> None:
        """Ask what the order-tracker knows of the account at its broker, if that is one that keeps positions."""
        if wanted(self._terms().account):
            self.broker = await self._journal.facts()

    def known_to_the_journal(self, signal_id: str) -> bool:
        """Whether the journal had the id when it was looked up."""
        return signal_id in self._looked_up.known

    def forget_controls(self) -> None:
        """Read the trading states again before the next decision: one was changed."""
        self._looked_up.controls = None

    def limits_of(self, strategy: str) -> StrategyLimits | None:
        """Return the limits of a strategy that the manifests name."""
        return self._terms().limits.get(strategy)

    def note(self, decision: Decision) -> None:
        """Take note of a stored decision's time. A share in what somebody else has traded is no order of anybody's."""
        if group_of(decision.signal_id) is not None:
            return
        terms = self._terms()
        if wanted(terms.account):  # nobody else's is ever read, nor would it be emptied
            self.reserve.note(decision)
        runaway = runaway_of(terms.limits.get(decision.signal.strategy_id, NO_LIMITS), terms.account_limits)
        keep = SECOND_NS if runaway is None else nanoseconds(runaway.seconds)
        day = terms.rules.trading_day(decision.decided_at)
        self.pace.note(decision, day, keep)
        self.counts.note(decision, day)

    async def mark(self) -> None:
        """Mark the ledger at the latest prices of what is held; at the last known one where there is none to read."""
        try:
            quotes = await self._readable(self._ports.prices.read_many, self._ledger.held_tokens())
        except DependencyUnavailableError as error:
            log.warning("book_not_marked", account=self._name, error=str(error))
            quotes = {}
        usable = {token: quote for token, quote in quotes.items() if math.isfinite(quote.last_price)}
        self._ledger.mark({token: self._mark_of(token, quote) for token, quote in usable.items()})

    def _mark_of(self, token: int, quote: Quote) -> Decimal:
        """Return the price to value a position at, one in an instrument that left the manifest included."""
        instrument = self._instrument(token)
        return (
            Decimal(repr(quote.last_price)) if instrument is None else instrument.quantize(quote.last_price)
        )

    async def rule(
        self,
        event: Envelope,
        signal: Signal | CancelRequest,
        digest: str,
        risk_epoch: str,
    ) -> tuple[Decision, list[LatchRequest]]:
        """Return the decision on a signal that was looked up, not yet stored, and the latches it calls for."""
        if isinstance(signal, CancelRequest):
            ruling = decide(CancelFacts(request=signal, order=self._ledger.order(signal.order_signal_id)))
        else:
            ruling = decide(await self._facts(event.ts, signal))
        decision = self._decision(signal, ruling, digest, risk_epoch, (event.correlation_id, event.id))
        return decision, list(ruling.latches)

    async def rule_closing(self, signal: Signal, digest: str, risk_epoch: str, cause: str) -> Decision:
        """Return the decision on a closing signal of risk's own that was looked up: no other rules than for others'."""
        ruling = decide(await self._facts(self._clock.now(), signal))
        decision = self._decision(signal, ruling, digest, risk_epoch, (signal.signal_id, cause))
        return replace(decision, closing=True)

    def _decision(
        self,
        signal: Signal | CancelRequest,
        ruling: Ruling,
        digest: str,
        risk_epoch: str,
        origin: tuple[str, str],
    ) -> Decision:
        """Return the decision; `origin`: correlation and causation id."""
        return Decision(
            signal=signal,
            verdict=ruling.verdict,
            signal_class=ruling.signal_class,
            payload_hash=digest,
            risk_epoch=risk_epoch,
            journal_epoch=self._looked_up.journal_epoch,
            decided_at=self._clock.now(),
            correlation_id=origin[0],
            causation_id=origin[1],
            code=ruling.code,
            message=ruling.message,
            checks=list(ruling.checks),
            reference_price=ruling.reference_price,
        )

    def price_met(self, token: int, side: Side) -> float | None:
        """Return the price that an order meets, as it was looked up: the other side's, else the last one."""
        quote = self._looked_up.prices.get(token, NO_PRICE).quote
        if quote is None:
            return None
        other_side = quote.ask if side is Side.BUY else quote.bid
        return quote.last_price if other_side is None else other_side

    async def _facts(self, signal_ts: int, signal: Signal) -> RiskFacts:
        now, name, terms = self._clock.now(), signal.strategy_id, self._terms()
        day = terms.rules.trading_day(now)
        strategy = terms.strategies.get(name)
        limits = terms.limits.get(name, NO_LIMITS)
        runaway = runaway_of(limits, terms.account_limits)
        book = self._ledger.book.strategies.get(name, NO_BOOK)
        books = tuple(item.positions for item in self._ledger.book.strategies.values())
        valued = _limits_exposure(limits) or _limits_exposure(terms.account_limits)
        looked_up = self._looked_up
        if (valued or self._ledger.holds_short) and not looked_up.marked:
            await self.mark()
            looked_up.marked = True
        controls = await self._controls(looked_up)
        token = signal.instrument_token
        stands = standing(
            self.broker,
            wants=wanted(terms.account),
            epoch=looked_up.journal_epoch,
            day=day,
            token=token,
            now=now,
            stale_after=self._stale_after,
        )
        return RiskFacts(
            signal=signal,
            signal_ts=signal_ts,
            now=now,
            trading_day=day,
            instrument=self._instrument(signal.instrument_token),
            allowed_symbols=() if strategy is None else strategy.spec.instruments,
            strategy_accepted=strategy is not None and terms.account.accepts(name),
            venue=terms.venue,
            price=looked_up.prices.get(signal.instrument_token, NO_PRICE),
            price_rules=terms.price_rules,
            session=terms.rules.status(now),
            strategy=ScopeFacts(
                scope=strategy_scope(name),
                limits=limits,
                positions=book.positions,
                counts=self.pace.counts(name, now, day),
                pnl=self._ledger.pnl(name, day),
            ),
            account=ScopeFacts(
                scope=account_scope(self._name),
                limits=terms.account_limits,
                positions=self._ledger.book.positions,
                counts=self.pace.counts(ACCOUNT, now, day),
                pnl=self._ledger.pnl(ACCOUNT, day),
            ),
            cash=self._ledger.book.cash,
            marks=self._ledger.marks,
            open_orders=self._ledger.open_orders(),
            repeats=0 if runaway is None else self.pace.repeats(signal, now, nanoseconds(runaway.seconds)),
            controls=tuple(controls[scope] for scope in scopes_of(self._name, name)),
            account_reconciled=stands.reconciled,  # a paper account's book is its own broker's
            token_valid=stands.token_valid,  # paper needs none
            reconcile_problem=stands.problem,
            reconciled_lately=stands.lately,
            difference=stands.difference,
            unjudged=stands.unjudged,
            sharing=any(item.instrument_token == token for item in self._ledger.pending),
            broker_cash=cash_left(self.broker, self.reserve, terms.account_limits, self._ledger.is_placed),
            key_in_doubt=bool(looked_up.doubtful.get(signal.key, frozenset()) - {signal.signal_id}),
            books=books,
            shorts=self._ledger.shorts,
        )

    def _instrument(self, token: int) -> Instrument | None:
        return self._terms().instruments.by_token.get(token)

    async def _prices(self, tokens: Sequence[int]) -> Mapping[int, PriceReading]:
        """Return the prices; one that is not answered or can't be read is as good as none: fail closed."""
        if not tokens:
            return {}
        try:
            return await self._readable(self._ports.prices.readings, tokens)
        except DependencyUnavailableError as error:
            log.warning("prices_unreadable", account=self._name, tokens=len(tokens), error=str(error))
            return {}

    async def _readable(
        self, read: Callable[[str, Sequence[int]], Awaitable[Mapping[int, T]]], tokens: Sequence[int]
    ) -> Mapping[int, T]:
        """Return what can be read of the tokens; one bad value takes no other along.

        The cache says of many only that one is bad, so it is looked for by halves.
        """
        try:
            return await read(self._terms().feed, tokens)
        except RecordError as error:
            if len(tokens) <= 1:
                log.warning("price_unreadable", account=self._name, tokens=list(tokens), error=str(error))
                return {}
        half = len(tokens) // 2
        return {**await self._readable(read, tokens[:half]), **await self._readable(read, tokens[half:])}

    async def _controls(self, looked_up: LookedUp) -> Mapping[str, ControlReading]:
        if looked_up.controls is None:
            looked_up.controls = await self._controls_of(looked_up.scopes)
        return looked_up.controls

    async def _controls_of(self, scopes: Sequence[str]) -> Mapping[str, ControlReading]:
        readings = await self._ports.control.read(scopes) if scopes else ()
        return {reading.scope: reading for reading in readings}


def _limits_exposure(limits: Limits) -> bool:
    """Whether anything is limited that takes the value of all that is held."""
    return limits.max_gross_exposure is not None or limits.max_net_exposure is not None


async def _nothing() -> None:
    """Ask nobody."""
