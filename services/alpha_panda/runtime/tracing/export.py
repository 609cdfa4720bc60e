"""Spans on their way to a collector: a bounded queue, a thread that sends, and a count of what got lost.

Nothing here makes a service wait: a span that finds the queue full is dropped, and a collector that hangs holds up the
thread alone. The end of a process waits a bounded time.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

log = structlog.get_logger()

BATCH: Final = 512
"""Spans in one request, as the SDK's default."""

_QUIET: Final = 60.0
"""Seconds between two lines about a collector that does not answer."""

_LIBRARY: Final = "opentelemetry"


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go; `timeout` and `interval` in seconds."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    timeout: float = 5.0
    interval: float = 1.0
    queue: int = 8192


class _Counted(SpanExporter):
    """An exporter whose results are counted, and told of once a minute when they are bad.

    Called by one thread, which alone writes the numbers; others read them.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self.taken = 0
        self.exported = 0
        self.lost = 0
        self._inner = inner
        self._told_at = -_QUIET

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        try:
            result = self._inner.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the thread; told below
            self._tell(len(spans), type(error).__name__)
            return SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self._tell(len(spans), "not taken")
        return result

    def _tell(self, spans: int, reason: str) -> None:
        """Count what is lost; without the collector's address, which may hold a key."""
        self.lost += spans
        if time.monotonic() - self._told_at >= _QUIET:
            self._told_at = time.monotonic()
            log.warning("spans lost: the collector does not take them", spans=spans, reason=reason)

    def shutdown(self) -> None:
        self._inner.shutdown()


class BoundedProcessor(SpanProcessor):
    """The SDK's batch processor behind a bound of our own, which counts what it refuses.

    The SDK's drops the oldest span without a number that could be asked for, writes a log line each, and waits up to
    30 seconds for its end. Spans end on the event loop: each number has one thread that writes it.
    """

    def __init__(
        self, exporter: SpanExporter, *, queue: int, interval: float, timeout: float, batch: int = BATCH
    ) -> None:
        # Its complaints are told here, once a minute, and without addresses.
        logging.getLogger(_LIBRARY).setLevel(logging.CRITICAL)
        self._exporter = _Counted(exporter)
        self._queue = queue
        self._timeout = timeout
        self._entered = 0
        self._refused = 0
        self._left = 0
        self._closed = False
        # Its own queue never fills: of ours at most `queue` wait, and one batch is on its way.
        self._inner = BatchSpanProcessor(
            self._exporter,
            max_queue_size=queue + batch,
            schedule_delay_millis=interval * 1000,
            max_export_batch_size=min(batch, queue),
        )

    @property
    def waiting(self) -> int:
        """How many spans wait."""
        return self._entered - self._exporter.taken

    @property
    def exported(self) -> int:
        """How many spans the collector has taken."""
        return self._exporter.exported

    @property
    def lost(self) -> int:
        """How many spans nobody will see."""
        return self._exporter.lost + self._refused + self._left

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, or drop it."""
        if self._closed or self.waiting >= self._queue:
            self._refused += 1
            return
        self._entered += 1
        self._inner.on_end(span)

    def shutdown(self) -> None:
        """Send what waits, for `timeout` seconds at most; what is left then is lost."""
        if self._closed:
            return
        self._closed = True
        ending = threading.Thread(target=self._inner.shutdown, name="spans-end", daemon=True)
        ending.start()
        ending.join(self._timeout)
        self._left = self.waiting
        if self._left:
            log.warning("spans lost: the process ends", spans=self._left)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits, now; blocks its caller."""
        return self._inner.force_flush(timeout_millis)


def otlp_processor(collector: Collector) -> BoundedProcessor:
    """Return what sends spans to a collector by OTLP over HTTP, compressed; its thread has begun."""
    exporter = OTLPSpanExporter(
        endpoint=collector.url,
        certificate_file=collector.ca_file,
        headers=collector.headers,
        timeout=collector.timeout,
        compression=Compression.Gzip,
    )
    return BoundedProcessor(
        exporter, queue=collector.queue, interval=collector.interval, timeout=collector.timeout
    )
