"""What an engine counts and times."""

from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.runtime.metrics.catalogue import BROKER_CALL, DECISION_TO_CALL, ORDERS, TICK_TO_ORDER
from alpha_panda.runtime.metrics.metrics import Metrics, Timer, seconds_between
from alpha_panda.runtime.metrics.values import Trace

OUTCOMES: Final = (
    *(EntryState.FILLED, EntryState.PARTIALLY_FILLED, EntryState.PLACED),
    *(EntryState.CANCELLED, EntryState.FAILED, EntryState.UNKNOWN),
)
"""What a broker call may lead to."""


class EngineMetrics:
    """The orders of one account, and how long each hop took."""

    def __init__(self, metrics: Metrics, account: str) -> None:
        self._metrics = metrics
        self._account = account
        self._to_call = metrics.timer(DECISION_TO_CALL, account=account)
        self._to_order = metrics.timer(TICK_TO_ORDER, account=account)
        self._calls: dict[EntryState, Timer] = {
            state: metrics.timer(BROKER_CALL, account=account, outcome=state.value) for state in OUTCOMES
        }
        for state in OUTCOMES:
            self._orders(state, None, 0)
        # A failure is alerted on, and Prometheus sees no increase in a counter that begins at 1.
        for code in Code:
            self._orders(EntryState.FAILED, code, 0)

    def calling(self, decided_at: int, now: int, trace: Trace | None = None) -> None:
        """Take note that the broker is called now; both in UTC ns."""
        self._to_call.observe(seconds_between(decided_at, now), trace)

    def called(self, state: EntryState, nanoseconds: int, trace: Trace | None = None) -> None:
        """Take note of the call's end: the state that it led to, and how long it took."""
        call = self._calls.get(state)
        if call is not None:  # an order must not be left unsettled for a figure
            call.observe(nanoseconds / SECOND_NS, trace)

    def settled(self, tick_ts: int, now: int, trace: Trace | None = None) -> None:
        """Take note that a called order has settled; `tick_ts` in UTC ns is 0 where no tick caused it."""
        if tick_ts:
            self._to_order.observe(seconds_between(tick_ts, now), trace)

    def ended(self, entry: JournalEntry) -> None:
        """Count the state that an order has come to."""
        self._orders(entry.state, entry.code, 1)

    def _orders(self, state: EntryState, code: Code | None, count: int) -> None:
        reason = "" if code is None else code.value
        self._metrics.counter(ORDERS, account=self._account, outcome=state.value, reason=reason).inc(count)
