"""Sees every record of a run as it is appended: counts for the summary, lines for the events file, the live view.

Counts are of distinct ids, so that a repeated event counts once.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import msgspec

from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import (
    PRICES_MOVED,
    VERSION,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    TickBatch,
)
from alpha_panda.contracts.stored import order_id_of
from alpha_panda.contracts.topics import DLQ_SUFFIX
from alpha_panda.errors import RecordError
from alpha_panda.ports import Record
from alpha_panda.runtime.records import event_of, ticks_of

TICKS_SUFFIX: Final = ".market.ticks"
_KEPT_EVENTS: Final = 50  # as many as a tall terminal shows

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True)
class Counts:
    """Distinct ids by what happened to them."""

    ticks: int = 0
    dlq: int = 0
    raw: set[str] = field(default_factory=set)
    validated: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    submitted: set[str] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)


_BY_TYPE: Final = {
    EventType.TRADING_SIGNAL: "raw",
    EventType.CANCEL_REQUEST: "raw",
    EventType.VALIDATED_SIGNAL: "validated",
    EventType.REJECTED_SIGNAL: "rejected",
    EventType.ORDER_PLACED: "submitted",
    EventType.ORDER_FAILED: "failed",
    EventType.ORDER_CANCELLED: "cancelled",
}


class Recorder:
    """An observer of the bus (`MemoryBus.observe`).

    A file that can't be written is no fault of whoever sent the record: it is kept in `write_error`, told once to
    `on_write_error`, and nothing more is written.
    """

    def __init__(
        self, events_file: BinaryIO | None = None, on_write_error: Callable[[], None] | None = None
    ) -> None:
        self.counts = Counts()
        self.records = 0
        self.portfolios: dict[str, PortfolioSnapshot] = {}
        self.recent: deque[Envelope] = deque(maxlen=_KEPT_EVENTS)
        self.last_tick_ts: dict[str, int] = {}
        self.write_error: OSError | None = None
        self._file = events_file
        self._on_write_error = on_write_error

    def __call__(self, record: Record) -> None:
        """Take note of a record."""
        self.records += 1
        if record.topic.endswith(DLQ_SUFFIX):
            self.counts.dlq += 1
            self._write(record, dead_letter_line)
            return
        try:
            if record.topic.endswith(TICKS_SUFFIX):
                self._ticks(record)
            else:
                self._event(event_of(record))
                self._write(record, event_line)
        except RecordError:
            self._write(record, dead_letter_line)

    def _ticks(self, record: Record) -> None:
        batch = ticks_of(record)
        self.counts.ticks += len(batch.ticks)
        self.last_tick_ts[batch.feed] = batch.ts
        self._write(record, tick_line)

    def _event(self, event: Envelope) -> None:
        data = event.data
        if isinstance(data, PortfolioSnapshot):
            self.portfolios[event.account] = data
            if data.reason.startswith(PRICES_MOVED):
                return  # one each second: among the recent events it would push out everything else
        self.recent.append(event)
        if isinstance(data, PortfolioSnapshot):
            return
        identity = order_id_of(data) if isinstance(data, OrderUpdate) else event.id
        name = _BY_TYPE.get(event.type)
        if name is not None:
            getattr(self.counts, name).add(identity)
        if isinstance(data, OrderUpdate) and data.filled_quantity:
            self.counts.filled.add(identity)

    def _write(self, record: Record, line: Callable[[Record], bytes]) -> None:
        file = self._file
        if file is not None:
            self._guarded(lambda: file.write(line(record) + b"\n"))

    def flush(self) -> None:
        """Write what is buffered."""
        if self._file is not None:
            self._guarded(self._file.flush)

    def _guarded(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            self._file, self.write_error = None, error
            if self._on_write_error is not None:
                self._on_write_error()


def _place(record: Record) -> dict[str, str | int]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}


def event_line(record: Record) -> bytes:
    """Return the envelope, followed by where the record is."""
    place = _encode(_place(record))
    return record.value[:-1] + b"," + place[1:]


def tick_line(record: Record) -> bytes:
    """Return a tick batch in an envelope; its `id` is the record's, `data.ticks` are objects."""
    batch = ticks_of(record)
    body = {
        "id": record.id,
        "type": EventType.MARKET_TICKS,
        "version": VERSION,
        "ts": batch.ts,
        "source": f"market-feed/{batch.feed}",
        "account": "",
        "key": "",
        "correlation_id": record.id,
        "causation_id": "",
        "data": _batch_object(batch),
        **_place(record),
    }
    return _encode(body)


def _batch_object(batch: TickBatch) -> dict[str, object]:
    ticks = [
        {name: value for name in tick.__struct_fields__ if (value := getattr(tick, name)) is not None}
        for tick in batch.ticks
    ]
    return {"feed": batch.feed, "mode": batch.mode, "feed_epoch": batch.feed_epoch, "ticks": ticks}


def dead_letter_line(record: Record) -> bytes:
    """Return a record that is no event of ours, or is dead: its bytes as text, and its headers."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    data = {"value": record.value.decode(errors="replace"), "headers": headers}
    body = {
        "id": record.id,
        "type": "DEAD_LETTER",
        "version": VERSION,
        "ts": record.timestamp,
        "source": "",
        "account": "",
        "key": record.key or "",
        "correlation_id": "",
        "causation_id": "",
        "data": data,
    }
    return _encode({**body, **_place(record)})
