"""Chooses what traces: nothing, or spans to the collector that the settings name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.metrics.catalogue import SPANS
from alpha_panda.runtime.metrics.metrics import Metrics, Reader, Reading
from alpha_panda.runtime.settings import Settings, env_name
from alpha_panda.runtime.tracing.tracing import NO_TRACING, Tracing
from alpha_panda.runtime.tracing_settings import parse_headers, traces_url

from .transports import has_transports

if TYPE_CHECKING:
    from alpha_panda.runtime.tracing.export import BoundedProcessor

EXPORTED, LOST = "exported", "lost"
"""Values of the label `outcome`."""

KAFKA, MEMORY = "kafka", "memory"
"""Values of `messaging.system`."""


@contextmanager
def tracing_to(settings: Settings, metrics: Metrics) -> Iterator[Tracing]:
    """Give what makes spans while the context lasts; its end waits a bounded time for the collector.

    The settings' endpoint is not asked whether it is there: that nobody takes the spans shows in the metrics.

    Raises:
        SettingsError: the file of authorities can't be read.

    """
    endpoint = settings.otlp_endpoint.get_secret_value()
    if not endpoint:
        yield NO_TRACING
        return
    # Here, not above: the SDK takes a quarter of a second to import, and most runs trace nothing.
    from alpha_panda.runtime.tracing.export import Collector, otlp_processor  # noqa: PLC0415
    from alpha_panda.runtime.tracing.otel import OtelTracing  # noqa: PLC0415

    _check_file(settings)
    collector = Collector(
        url=traces_url(endpoint),
        headers=parse_headers(settings.otlp_headers.get_secret_value()),
        ca_file=settings.otlp_tls_ca_file or None,
        timeout=settings.otlp_timeout_seconds,
        interval=settings.otlp_interval_seconds,
        queue=settings.otlp_queue_spans,
    )
    processor = otlp_processor(collector)
    figures = _figures(metrics, processor)
    metrics.at_scrape(figures)
    system = KAFKA if has_transports(settings) else MEMORY
    tracing = OtelTracing(processor, tick_share=settings.trace_tick_share, system=system)
    try:
        yield tracing
    finally:
        tracing.close()
        metrics.forget(figures)


def _figures(metrics: Metrics, processor: "BoundedProcessor") -> Reader:
    """Return what brings the counters up to date at a scrape: a thread of the exporter's must not move them."""
    exported, lost = (metrics.counter(SPANS, outcome=fate) for fate in (EXPORTED, LOST))
    shown = {EXPORTED: 0, LOST: 0}

    def read() -> tuple[Reading, ...]:
        for fate, counter, total in (
            (EXPORTED, exported, processor.exported),
            (LOST, lost, processor.lost),
        ):
            counter.inc(total - shown[fate])
            shown[fate] = total
        return ()

    return read


def _check_file(settings: Settings) -> None:
    """Say at once what the exporter would say with its first batch, where nobody listens."""
    name = settings.otlp_tls_ca_file
    if name:
        try:
            Path(name).read_bytes()
        except OSError as error:
            raise SettingsError(
                f"{env_name('otlp_tls_ca_file')} is {name!r}: {error.strerror or error}; name a readable PEM file"
            ) from error
