"""Decoding of consumed records, once for all readers in the process (`Record.decoded`)."""

from alpha_panda.contracts.codec import decode_event, decode_ticks
from alpha_panda.contracts.events import Envelope, TickBatch
from alpha_panda.ports import Record


def ticks_of(record: Record) -> TickBatch:
    """Return the record's tick batch; UndecodableRecordError or UnknownVersionError if it is none."""
    batch = record.decoded
    if not isinstance(batch, TickBatch):
        batch = record.decoded = decode_ticks(record.value)
    return batch


def event_of(record: Record) -> Envelope:
    """Return the record's event; errors as `ticks_of`."""
    event = record.decoded
    if not isinstance(event, Envelope):
        event = record.decoded = decode_event(record.value)
    return event
