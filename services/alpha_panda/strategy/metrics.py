"""What a strategy runner counts and times."""

from collections.abc import Callable, Iterable

from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import PendingEvent
from alpha_panda.runtime.metrics.catalogue import (
    SIGNALS,
    STRATEGY,
    TICK_TO_SIGNAL,
    TICKS_DROPPED,
    TICKS_RECEIVED,
)
from alpha_panda.runtime.metrics.metrics import Metrics, seconds_between
from alpha_panda.runtime.metrics.values import Trace

DUPLICATE = "duplicate"
OLD_EPOCH = "old_epoch"

STATES = {
    EventType.TRADING_SIGNAL: "sent",
    EventType.CANCEL_REQUEST: "cancel",
    EventType.REJECTED_SIGNAL: "suppressed",
}
"""Label `state` by the type of what a cell has produced."""


class RunnerMetrics:
    """Counters of the runner's feed, moved once a record."""

    def __init__(self, metrics: Metrics, feed: str) -> None:
        self.received = metrics.counter(TICKS_RECEIVED, service=STRATEGY, feed=feed)
        self.duplicates = metrics.counter(TICKS_DROPPED, service=STRATEGY, feed=feed, reason=DUPLICATE)
        self.old_epoch = metrics.counter(TICKS_DROPPED, service=STRATEGY, feed=feed, reason=OLD_EPOCH)


class CellMetrics:
    """Counters of one strategy on one account."""

    def __init__(self, metrics: Metrics, strategy: str, account: str) -> None:
        self._signals = {
            kind: metrics.counter(SIGNALS, account=account, strategy=strategy, state=state)
            for kind, state in STATES.items()
        }
        self._latency = metrics.timer(TICK_TO_SIGNAL, strategy=strategy)

    def produced(
        self, pending: Iterable[PendingEvent], now: int, exemplar: Callable[[str], Trace | None]
    ) -> None:
        """Count what Kafka has acknowledged at `now` (UTC ns); `exemplar` of a correlation id."""
        for item in pending:
            self._signals[item.event.type].inc()
            signal = item.event.data
            if isinstance(signal, Signal) and signal.tick_ts:
                trace = exemplar(item.event.correlation_id)
                self._latency.observe(seconds_between(signal.tick_ts, now), trace)
