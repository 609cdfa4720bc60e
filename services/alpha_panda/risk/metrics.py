"""What risk counts and times, and the figures of the account's book."""

from collections.abc import Callable, Iterable, Iterator

from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.stored import Decision
from alpha_panda.domain.risk.facts import ScopeFacts
from alpha_panda.domain.risk.limits import Limits
from alpha_panda.domain.risk.open_orders import OrderGroup
from alpha_panda.domain.risk.usage import limit_use
from alpha_panda.runtime.metrics.catalogue import (
    DAY_PNL,
    DECISIONS,
    EXPOSURE_GROSS,
    EXPOSURE_NET,
    LIMIT_USE,
    POSITIONS,
    SIGNAL_TO_DECISION,
    STRATEGY_DAY_PNL,
    STRATEGY_LIMIT_USE,
)
from alpha_panda.runtime.metrics.metrics import Metrics, Reading, seconds_between
from alpha_panda.runtime.metrics.values import Trace

from .ledger import ACCOUNT, Ledger
from .pace import Pace
from .terms import AccountTerms


class DecisionMetrics:
    """The decisions on one account."""

    def __init__(self, metrics: Metrics, account: str) -> None:
        self._metrics = metrics
        self._account = account
        self._latency = metrics.timer(SIGNAL_TO_DECISION, account=account)
        self._count(Verdict.VALIDATED.value, 0)

    def told(self, decision: Decision, signal_ts: int | None, now: int, trace: Trace | None = None) -> None:
        """Count a decision that Kafka has acknowledged at `now`, on a signal that was made at `signal_ts` (UTC ns)."""
        code = decision.code if decision.verdict is Verdict.REJECTED else None
        self._count(Verdict.VALIDATED.value if code is None else code.value, 1)
        if signal_ts is not None:
            self._latency.observe(seconds_between(signal_ts, now), trace)

    def _count(self, code: str, count: int) -> None:
        self._metrics.counter(DECISIONS, account=self._account, code=code).inc(count)


class BookFigures:
    """Reads the account's book at a scrape: at the marks that risk has, not at newer prices."""

    def __init__(
        self,
        account: str,
        ledger: Ledger,
        pace: Pace,
        terms: Callable[[], AccountTerms],
        now: Callable[[], int],
    ) -> None:
        self._account = account
        self._ledger = ledger
        self._pace = pace
        self._terms = terms
        self._now = now

    def read(self) -> Iterator[Reading]:
        """Return positions, exposure, P&L and the use of each limit."""
        ledger, terms, now = self._ledger, self._terms(), self._now()
        day = terms.rules.trading_day(now)
        marking = ledger.book.mark(ledger.marks)
        of_account = (self._account,)
        held = sum(1 for position in ledger.book.positions.values() if position.quantity)
        yield Reading(POSITIONS, of_account, held)
        yield Reading(EXPOSURE_GROSS, of_account, float(marking.gross_exposure))
        yield Reading(EXPOSURE_NET, of_account, float(marking.net_exposure))
        yield Reading(DAY_PNL, of_account, float(ledger.pnl(ACCOUNT, day).day_pnl))
        for limit, share in self._use(ACCOUNT, terms.account_limits, now, day):
            yield Reading(LIMIT_USE, (self._account, limit), share)
        for name in dict.fromkeys((*terms.strategies, *ledger.book.strategies)):
            yield Reading(STRATEGY_DAY_PNL, (self._account, name), float(ledger.pnl(name, day).day_pnl))
        for name, limits in terms.limits.items():
            for limit, share in self._use(name, limits, now, day):
                yield Reading(STRATEGY_LIMIT_USE, (self._account, name, limit), share)

    def _use(self, scope: str, limits: Limits, now: int, day: str) -> Iterable[tuple[str, float]]:
        ledger = self._ledger
        book = ledger.book.strategies.get(scope)
        positions = ledger.book.positions if scope == ACCOUNT else {} if book is None else book.positions
        facts = ScopeFacts(
            scope=scope,
            limits=limits,
            positions=positions,
            counts=self._pace.counts(scope, now, day),
            pnl=ledger.pnl(scope, day),
        )
        return limit_use(facts, ledger.marks, self._orders(scope)).items()

    def _orders(self, scope: str) -> OrderGroup:
        orders = self._ledger.open_orders()
        return orders.account if scope == ACCOUNT else orders.strategy(scope)
