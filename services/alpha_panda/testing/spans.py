"""Spans kept in memory, for tests that run the services in their own process.

spans = Spans()
async with Pipeline(MANIFESTS, tracing=spans.tracing) as pipeline: ...
trace = spans.trace(signal_id)
"""

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from alpha_panda.runtime.tracing.otel import OtelTracing

from .otlp import CollectedSpan, decode, trace_of


class Spans:
    """A tracing, and what it has made; the spans are as a collector would get them."""

    def __init__(self, *, tick_share: float = 0.0, system: str = "memory") -> None:
        self._exporter = InMemorySpanExporter()
        processor = SimpleSpanProcessor(self._exporter)
        self.tracing = OtelTracing(processor, tick_share=tick_share, system=system)

    @property
    def all(self) -> list[CollectedSpan]:
        """All spans that have ended, in that order within a service."""
        ended = self._exporter.get_finished_spans()
        return decode(encode_spans(ended).SerializeToString()) if ended else []

    def trace(self, correlation_id: str) -> list[CollectedSpan]:
        """Return the spans of a correlation id's trace, by the time of their beginning."""
        return trace_of(self.all, correlation_id)

    def clear(self) -> None:
        """Forget all."""
        self._exporter.clear()
