"""What the order-tracker counts, and its last look at journal, trading states and venue, as a scrape reads it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import BrokerFacts, ControlReading, JournalEntry
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.runtime.metrics.catalogue import (
    JOURNAL_DURABLE,
    JOURNAL_ENTRIES,
    LATCHES,
    ORDERS,
    RECONCILED,
    RECONCILIATION_DIFFERENCES,
    TOKEN_REMAINING,
    TRADING_STATE,
    UNRESOLVED_AGE,
    UNRESOLVED_ORDERS,
)
from alpha_panda.runtime.metrics.metrics import Metrics, Reading

UNTOLD: Final = "UNTOLD"
"""Value of `state` for orders that have ended, and of which Kafka has not acknowledged the event."""

_LIVING: Final = tuple(state for state in EntryState if not state.terminal)


class OrderMetrics:
    """The states that orders come to by the tracker's doing."""

    def __init__(self, metrics: Metrics, account: str) -> None:
        self._metrics = metrics
        self._account = account
        # They are alerted on, and Prometheus sees no increase in a counter that begins at 1.
        self._orders(EntryState.LOST, Code.ORDER_LOST, 0)
        self._orders(EntryState.FAILED, Code.BROKER_REJECTED, 0)

    def changed(self, entries: Iterable[JournalEntry]) -> None:
        """Count the states of entries that have just changed."""
        for entry in entries:
            self._orders(entry.state, entry.code, 1)

    def _orders(self, state: EntryState, code: Code | None, count: int) -> None:
        reason = "" if code is None else code.value
        self._metrics.counter(ORDERS, account=self._account, outcome=state.value, reason=reason).inc(count)


def is_unresolved(entry: JournalEntry, now: int) -> bool:
    """Whether nobody knows what became of an order in doubt: one that may be sent right now is no reason to worry."""
    return entry.state is EntryState.UNKNOWN or entry.send_by < now


@dataclass(slots=True)
class OrderFigures:
    """The last look. Nothing is told before the first."""

    account: str
    states: Mapping[str, int] = field(default_factory=dict)
    unresolved_since: int | None = None
    unresolved: int = 0
    controls: Sequence[ControlReading] = ()
    durable: bool | None = None
    token_until: int | None = None
    broker: BrokerFacts | None = None
    looked: bool = False

    def look(self, entries: Sequence[JournalEntry], untold: int, now: int) -> None:
        """Take note of the entries that have not ended, and of how many that have are untold."""
        found = Counter(entry.state.value for entry in entries)
        self.states = {**{state.value: found[state.value] for state in _LIVING}, UNTOLD: untold}
        unresolved = [entry for entry in entries if entry.state.in_doubt and is_unresolved(entry, now)]
        self.unresolved = len(unresolved)
        since = (entry.created_at or entry.updated_at for entry in unresolved)
        self.unresolved_since = min(since, default=None)
        self.looked = True

    def read(self, now: int) -> Iterator[Reading]:
        """Return the figures as of `now` (UTC ns)."""
        account = (self.account,)
        if self.looked:
            for state, count in self.states.items():
                yield Reading(JOURNAL_ENTRIES, (self.account, state), count)
            yield Reading(UNRESOLVED_ORDERS, account, self.unresolved)
            yield Reading(UNRESOLVED_AGE, account, _since(self.unresolved_since, now))
        if self.controls:
            for control in self.controls:
                yield Reading(TRADING_STATE, (control.scope, self.account), control.state.strictness)
            yield Reading(LATCHES, account, sum(len(control.latches) for control in self.controls))
        if self.durable is not None:
            yield Reading(JOURNAL_DURABLE, account, self.durable)
        if self.broker is not None:
            yield Reading(RECONCILED, account, float(self.broker.reconciled))
            yield Reading(RECONCILIATION_DIFFERENCES, account, len(self.broker.differences))
        if self.token_until is not None:
            yield Reading(TOKEN_REMAINING, account, max(0, self.token_until - now) / SECOND_NS)


def _since(moment: int | None, now: int) -> float:
    return 0.0 if moment is None else max(0, now - moment) / SECOND_NS
