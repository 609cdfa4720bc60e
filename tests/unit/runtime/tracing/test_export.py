"""The way to the collector: bounded, counted, never in anybody's way."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.runtime.tracing.export import BoundedProcessor, Collector, otlp_processor
from alpha_panda.runtime.tracing.otel import OtelTracing
from alpha_panda.runtime.tracing.tracing import Tracer
from alpha_panda.testing.otlp import Collector as Server
from unit.runtime.tracing.kit import SIGNAL

PATIENCE = 10.0


class Exporter(SpanExporter):
    """Takes spans when its gate is open, and answers as told."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.called = threading.Event()
        self.result = SpanExportResult.SUCCESS
        self.error: Exception | None = None
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.called.set()
        self.gate.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        self.names += [span.name for span in spans]
        return self.result

    def shutdown(self) -> None:
        self.gate.set()


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@pytest.fixture
def processor(exporter: Exporter) -> Iterator[BoundedProcessor]:
    made = BoundedProcessor(exporter, queue=8, interval=60, timeout=1, batch=4)
    yield made
    exporter.gate.set()
    made.shutdown()


def tracer_of(processor: BoundedProcessor) -> Tracer:
    return OtelTracing(processor).tracer("engine", "e", VirtualClock(1))


def make(processor: BoundedProcessor, count: int, first: int = 0) -> None:
    tracer = tracer_of(processor)
    for number in range(first, first + count):
        tracer.of(SIGNAL, f"s{number}").end()


def test_what_waits_is_sent_at_the_end(exporter: Exporter, processor: BoundedProcessor) -> None:
    make(processor, 3)
    assert (processor.waiting, processor.exported) == (3, 0)
    processor.shutdown()
    assert exporter.names == ["s0", "s1", "s2"]
    assert (processor.waiting, processor.exported, processor.lost) == (0, 3, 0)


def test_a_full_queue_drops_and_counts_and_nobody_waits(
    exporter: Exporter, processor: BoundedProcessor
) -> None:
    exporter.gate.clear()
    begun = time.monotonic()
    make(processor, 4)
    assert exporter.called.wait(PATIENCE)  # four are in the exporter's hands, which hangs
    make(processor, 12, first=4)
    assert time.monotonic() - begun < PATIENCE / 2
    assert processor.waiting == 8
    assert processor.lost == 4
    exporter.gate.set()
    processor.shutdown()
    assert exporter.names == [f"s{number}" for number in range(12)]
    assert (processor.exported, processor.lost) == (12, 4)


def test_what_is_not_taken_is_lost(exporter: Exporter, processor: BoundedProcessor) -> None:
    exporter.result = SpanExportResult.FAILURE
    make(processor, 2)
    processor.force_flush()
    assert (processor.exported, processor.lost) == (0, 2)
    exporter.error = RuntimeError("boom")
    make(processor, 1)
    processor.force_flush()
    assert (processor.exported, processor.lost) == (0, 3)
    exporter.error, exporter.result = None, SpanExportResult.SUCCESS
    make(processor, 1)
    processor.force_flush()
    assert (processor.exported, processor.lost) == (1, 3)


def test_the_end_is_bounded_and_what_is_left_is_counted() -> None:
    exporter = Exporter()
    exporter.gate.clear()
    exporter.shutdown = lambda: None  # type: ignore[method-assign] # one that hangs for good
    processor = BoundedProcessor(exporter, queue=100, interval=60, timeout=0.2, batch=2)
    make(processor, 9)
    assert exporter.called.wait(PATIENCE)
    begun = time.monotonic()
    processor.shutdown()
    assert time.monotonic() - begun < PATIENCE / 2
    assert processor.lost == 7  # two are in its hands still
    make(processor, 1)
    assert processor.lost == 8
    processor.shutdown()
    exporter.gate.set()


async def test_spans_reach_a_collector_with_its_headers() -> None:
    async with Server() as server:
        collector = Collector(
            url=f"{server.endpoint}/v1/traces", headers={"authorization": "Bearer b"}, interval=0.05
        )
        processor = otlp_processor(collector)
        make(processor, 3)
        spans = await server.until(lambda spans: len(spans) == 3)
        assert server.requests[0]["authorization"] == "Bearer b"
        assert server.requests[0]["content-encoding"] == "gzip"
        assert {span.service for span in spans} == {"engine"}
        processor.shutdown()
    assert processor.exported == 3
    assert "Bearer" not in repr(collector)


def test_a_collector_that_is_not_there_loses_spans_and_nothing_else() -> None:
    processor = otlp_processor(Collector(url="http://127.0.0.1:9/v1/traces", timeout=0.3, interval=0.05))
    make(processor, 3)
    processor.shutdown()
    assert processor.lost == 3
