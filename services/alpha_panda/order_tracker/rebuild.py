"""What Kafka's events say of the orders that a store may have forgotten. Pure: events in, journal entries out.

Each validated id takes the outcome of its events; without one it is UNKNOWN: it may or may not have been sent
(DESIGN section 4, "Redis comes back").
"""

from collections.abc import Sequence

from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus, OrderType, SignalClass
from alpha_panda.contracts.events import Envelope, OrderUpdate, RejectedSignal, Signal, ValidatedSignal
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.domain.ids import broker_tag

_STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)


class Rebuild:
    """Collects the events of `signals.validated`, `signals.rejected` and `orders.*`.

    To hold little: add the outcomes (`orders.*`, `signals.rejected`) first, then a page of `signals.validated` at a
    time, and take its `entries`; `refusals` come last. Of an order there is then one event in memory, and its id.
    """

    def __init__(self) -> None:
        self._validated: dict[str, tuple[Envelope, ValidatedSignal, Signal]] = {}
        self._decided: set[str] = set()
        self._rejected: dict[str, RejectedSignal] = {}
        self._updates: dict[str, OrderUpdate] = {}
        self._told_at: dict[str, int] = {}

    def add(self, event: Envelope) -> None:
        """Take note of an event; cancel requests and orders that are not ours tell nothing."""
        data = event.data
        if isinstance(data, ValidatedSignal):
            if isinstance(data.original_signal, Signal):
                self._validated[data.original_signal.signal_id] = (event, data, data.original_signal)
                self._decided.add(data.original_signal.signal_id)
        elif isinstance(data, RejectedSignal):
            self._rejected[data.original_signal.signal_id] = data
        elif isinstance(data, OrderUpdate) and not data.external:
            before = self._updates.get(data.signal_id)
            if before is None or telling(data) > telling(before):
                self._updates[data.signal_id], self._told_at[data.signal_id] = data, event.ts

    def entries(self, now: int, send_by: int) -> list[JournalEntry]:
        """Return one entry for each signal validated since the last call; `send_by` (UTC ns): of the ones in doubt."""
        validated, self._validated = self._validated, {}
        return [
            self._with_outcome(_unknown(event, decision, signal, now, send_by))
            for event, decision, signal in validated.values()
        ]

    def refusals(self, now: int) -> list[JournalEntry]:
        """Return one entry for each signal that was rejected and never validated."""
        return [_refused(self._rejected[signal_id], now) for signal_id in self.refused]

    def told(self, entries: Sequence[JournalEntry]) -> frozenset[str]:
        """Return the ids of those entries whose state is that of an event: the order's, or risk's rejection.

        An order's event without a revision was of no entry: whoever told it had no journal to ask.
        """
        return frozenset(entry.signal_id for entry in entries if self._is_told(entry.signal_id))

    def _is_told(self, signal_id: str) -> bool:
        update = self._updates.get(signal_id)
        if signal_id in self._decided:
            return update is not None and update.revision > 0
        return signal_id in self._rejected

    @property
    def refused(self) -> list[str]:
        """The ids that risk rejected: were they unknown, risk would decide on them anew, and now might pass them."""
        return [
            signal_id
            for signal_id, rejected in self._rejected.items()
            if signal_id not in self._decided and isinstance(rejected.original_signal, Signal)
        ]

    def _with_outcome(self, entry: JournalEntry) -> JournalEntry:
        update = self._updates.get(entry.signal_id)
        if update is not None:
            # The event's own times: should it be told again, it is the very same.
            begun = update.begun_at or entry.created_at
            told_at = self._told_at[entry.signal_id]
            return replace(as_told(entry, update), updated_at=told_at, created_at=begun)
        rejected = self._rejected.get(entry.signal_id)
        if rejected is not None:
            return replace(entry, state=EntryState.FAILED, code=rejected.code, message=rejected.message)
        return entry


def telling(update: OrderUpdate) -> tuple[bool, int, int]:
    """Order the events of one order by how much they tell: a correction most, then stage, then revision."""
    return update.correction, int(update.status.rank), update.revision


def _unknown(
    event: Envelope, decision: ValidatedSignal, signal: Signal, now: int, send_by: int
) -> JournalEntry:
    """Return the entry of a signal nothing else is known of. It is as old as its decision: a DAY order ages on."""
    return JournalEntry(
        signal=signal,
        state=EntryState.UNKNOWN,
        signal_class=decision.signal_class,
        tag=broker_tag(signal.signal_id),
        revision=0,
        send_by=send_by,
        updated_at=now,
        created_at=decision.decided_at,
        correlation_id=event.correlation_id,
        causation_id=event.id,
    )


def _refused(rejected: RejectedSignal, now: int) -> JournalEntry:
    """Return the entry of a signal that never became an order; the stricter class, since none is told."""
    signal = rejected.original_signal
    assert isinstance(signal, Signal)  # noqa: S101 - `refused` names only such
    return JournalEntry(
        signal=signal,
        state=EntryState.FAILED,
        signal_class=SignalClass.INCREASING,
        tag=broker_tag(signal.signal_id),
        revision=0,
        send_by=now,
        updated_at=now,
        created_at=rejected.decided_at,
        correlation_id=signal.signal_id,
        causation_id="",
        code=rejected.code,
        message=rejected.message,
    )


def as_told(entry: JournalEntry, update: OrderUpdate) -> JournalEntry:
    """Return the entry with what the event says; events don't tell a trigger, but a stop that filled was reached."""
    lost = Code.ORDER_LOST if update.status is OrderStatus.LOST else None
    return replace(
        entry,
        state=EntryState(update.status.value),
        revision=update.revision,
        filled_quantity=update.filled_quantity,
        average_price=update.price or entry.average_price,
        amount=update.amount,
        fees=update.fees,
        broker_order_id=update.broker_order_id,
        triggered=bool(update.filled_quantity) and entry.signal.order_type in _STOPS,
        late=update.correction,
        quote_price=update.quote_price,
        quote_ts=update.quote_ts,
        code=update.code or lost,
        message=update.message,
    )
