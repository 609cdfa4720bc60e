"""What the records of a run tell of one account, gathered in one pass."""

from collections.abc import Iterable

from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import EventType, OrderStatus
from alpha_panda.contracts.events import (
    CancelRequest,
    ControlChanged,
    Envelope,
    OrderUpdate,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)
from alpha_panda.contracts.stored import OrderFold, order_id_of
from alpha_panda.contracts.topics import DLQ_SUFFIX
from alpha_panda.domain.fold import fold_order
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import RecordError
from alpha_panda.ports import Record
from alpha_panda.runtime.records import event_of


class Told:
    """Signals, decisions, outcomes and latches of an account, by signal id.

    `raw`: what each id said first. `ends`: terminal words of an order, REJECTED among them. `orders`: the last event
    of each fold key. `letters`: ids in the dead letters of `signals.raw`.
    """

    def __init__(self, account: str, records: Iterable[Record]) -> None:
        self.account = account
        self.events: list[tuple[Record, Envelope]] = []
        self.raw: dict[str, Signal] = {}
        self.cancels: dict[str, CancelRequest] = {}
        self.validated: dict[str, None] = {}
        self.rejected: dict[str, None] = {}
        self.statuses: dict[str, set[OrderStatus]] = {}
        self.corrected: set[str] = set()
        self.latches: set[str] = set()
        self.letters: set[str] = set()
        self.folds: dict[str, OrderFold] = {}
        self.orders: dict[str, OrderUpdate] = {}
        for record in records:
            self._add(record)

    def _add(self, record: Record) -> None:
        account, _, rest = record.topic.partition(".")
        if account != self.account or rest == "portfolio":
            return
        if rest == f"signals.raw{DLQ_SUFFIX}":
            self._add_letter(record)
        elif not rest.endswith(DLQ_SUFFIX):
            try:
                event = event_of(record)
            except RecordError:
                return  # a poisoned one
            self.events.append((record, event))
            self._note(event)

    def _add_letter(self, record: Record) -> None:
        try:
            data = decode_event(record.value).data
        except RecordError:
            return
        self.letters.add(getattr(data, "signal_id", ""))

    def _note(self, event: Envelope) -> None:
        data = event.data
        if isinstance(data, OrderUpdate):
            self._note_update(data)
        elif isinstance(data, Signal):
            self.raw.setdefault(data.signal_id, data)
        elif isinstance(data, CancelRequest):
            self.cancels.setdefault(data.signal_id, data)
        elif isinstance(data, ValidatedSignal):
            self.validated[data.original_signal.signal_id] = None
            if isinstance(data.original_signal, Signal) and data.original_signal.closing:
                self.raw.setdefault(
                    data.original_signal.signal_id, data.original_signal
                )  # it is said here first
        elif isinstance(data, RejectedSignal):
            self.rejected[data.original_signal.signal_id] = None
        elif isinstance(data, ControlChanged):
            self.latches.add(data.latch_id)

    def _note_update(self, update: OrderUpdate) -> None:
        key = order_id_of(update)
        self.folds[key] = fold_order(self.folds.get(key, OrderFold()), update).fold
        self.orders[key] = update
        if update.correction:
            self.corrected.add(update.signal_id)
        if update.status.terminal:
            self.statuses.setdefault(update.signal_id, set()).add(update.status)

    def ends(self, signal_id: str) -> list[str]:
        """Return the different ends that were told of a signal."""
        ends = [str(status) for status in sorted(self.statuses.get(signal_id, ()))]
        return [*ends, "REJECTED"] if signal_id in self.rejected else ends

    def strays(self) -> set[str]:
        """Return the tags of orders that were booked without an entry, and latched: their store had forgotten them."""
        return {
            update.order_id
            for update in self.orders.values()
            if update.external and f"stray-{update.broker_order_id}" in self.latches
        }

    def contradicted(self, signal_id: str) -> bool:
        """Whether risk has latched the account because two words of the order can't both be true."""
        return f"contradiction-{broker_tag(signal_id)}" in self.latches

    @property
    def late_latch(self) -> bool:
        """Whether a correction has latched the account."""
        return any(latch.startswith(("late-", "stray-")) for latch in self.latches)


def decides(event: Envelope) -> bool:
    """Whether the event must say the same whenever it comes again: answers to cancel requests change nothing."""
    if isinstance(getattr(event.data, "original_signal", None), CancelRequest):
        return False
    update = event.data
    idle = event.type is EventType.ORDER_UPDATED and isinstance(update, OrderUpdate) and not update.correction
    return not idle
