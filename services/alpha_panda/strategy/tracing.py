"""Spans of a strategy runner. Nothing is made before a strategy has sent a signal: ticks cost a look at a flag.

A signal's trace is made when the signal leaves: then its causing tick has turned out to matter, and the feed's span is
made afterwards, from the times in tick and record. It is the root, with the ids that follow from the signal's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.events import RejectedSignal, Signal
from alpha_panda.contracts.stored import PendingEvent
from alpha_panda.contracts.traceparent import context_of, root_of
from alpha_panda.ports import Outgoing
from alpha_panda.runtime.tracing import names
from alpha_panda.runtime.tracing.tracing import NO_SPAN, Kind, Span, Tracer, end_all

from .cell import Cause, Cell

STORE: Final = "store checkpoint"
RESEND: Final = "resend"


class SignalSpans:
    """Makes the spans of what cells send.

    `received`, `storing`, `stored`: when (UTC ns) what is handled was fetched, and when the checkpoint with what is to
    be sent began to be stored and was; kept by the runner only while something is traced.
    """

    def __init__(self, tracer: Tracer, group: str, ticks_topic: str) -> None:
        self.on = tracer.on
        self.received = 0
        self.storing = 0
        self.stored = 0
        self._tracer = tracer
        self._group = group
        self._ticks_topic = ticks_topic

    @contextmanager
    def sending(self, cell: Cell) -> Iterator[list[Outgoing]]:
        """Give the cell's outbox as records, to be sent inside; their spans end with it."""
        if not self.on:
            yield [_record(pending, NO_SPAN) for pending in cell.outbox]
            return
        spans: list[Span] = []
        records = []
        for pending in cell.outbox:
            origin = cell.origins.get(pending.event.id)
            decided = self._resent(pending) if origin is None else self._decided(pending, origin)
            sending = decided.send(pending.topic, names.told(pending.event))
            spans += (sending, decided)
            records.append(_record(pending, sending))
        try:
            yield records
        except BaseException as error:
            end_all(spans, error)
            raise
        end_all(spans)

    def _decided(self, pending: PendingEvent, origin: Cause) -> Span:
        """Begin the strategy's span, which began when its cause was fetched."""
        event, record = pending.event, origin.record
        root = root_of(event.correlation_id)
        if record is None or root is None:
            return NO_SPAN
        told = {**names.received(record, self._group), **names.told(event), names.CAUSE: event.causation_id}
        name = f"{names.PROCESS} {record.topic}"
        if origin.token is None:  # an order's end made it act: another trace, this one's reason
            links = [link for link in (origin.within or context_of(record.headers),) if link is not None]
            span = self._tracer.start(
                name, Kind.CONSUMER, None, told, at=self.received, links=links, identity=root
            )
        else:
            published = self._published(origin)
            batch = context_of(record.headers)
            feed = self._tracer.start(
                f"{names.SEND} {record.topic}",
                Kind.PRODUCER,
                None,
                {
                    **names.sent(record.topic),
                    names.PARTITION: str(record.partition),
                    names.OFFSET: record.offset,
                    names.CAUSE: event.causation_id,
                    names.AFTERWARDS: True,
                },
                at=min(origin.ts, published),
                links=() if batch is None else (batch,),
                identity=root,
            )
            feed.end(published)
            span = self._tracer.start(name, Kind.CONSUMER, root, told, at=self.received)
        span.child(STORE, Kind.CLIENT, at=self.storing).end(self.stored)
        return span

    def _published(self, origin: Cause) -> int:
        """Return when the causing tick's record was written: not before the tick, nor after it was fetched."""
        written = 0 if origin.record is None else origin.record.timestamp
        return max(origin.ts, min(written, self.received))

    def _resent(self, pending: PendingEvent) -> Span:
        """Begin the span of a signal from a checkpoint; its root is made anew, for it may have died unsent."""
        event = pending.event
        root = root_of(event.correlation_id)
        data = event.data.original_signal if isinstance(event.data, RejectedSignal) else event.data
        told = {**names.told(event), names.CAUSE: event.causation_id, names.RESENT: True}
        ts = data.tick_ts if isinstance(data, Signal) else 0
        if not ts:
            return self._tracer.start(RESEND, Kind.INTERNAL, None, told, identity=root)
        attributes = {
            **names.sent(self._ticks_topic),
            names.CAUSE: event.causation_id,
            names.AFTERWARDS: True,
        }
        feed = self._tracer.start(
            f"{names.SEND} {self._ticks_topic}",
            Kind.PRODUCER,
            None,
            attributes,
            at=min(ts, event.ts),
            identity=root,
        )
        feed.end(event.ts)
        return self._tracer.start(RESEND, Kind.INTERNAL, root, told)


def _record(pending: PendingEvent, span: Span) -> Outgoing:
    return Outgoing(pending.topic, encode_event(pending.event), key=pending.event.key, headers=span.headers)
