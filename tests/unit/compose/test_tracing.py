"""Which tracing the settings mean, and what becomes of its spans."""

import asyncio
from pathlib import Path

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.compose.tracing import tracing_to
from alpha_panda.errors import SettingsError
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.settings import load_settings
from alpha_panda.runtime.tracing.tracing import NO_TRACING, Kind, Tracing
from alpha_panda.testing.otlp import Collector
from unit.runtime.tracing.kit import SIGNAL, event, record

PATIENCE = 10.0


def make_span(tracing: Tracing) -> None:
    tracing.tracer("risk", "r", VirtualClock(1)).process(record(), event(), "g").end()


def figures(metrics: Metrics) -> list[str]:
    metrics.exposition()  # a scrape reads what is there, and shows what the one before has read at the latest
    text = metrics.exposition()[0].decode()
    return sorted(line for line in text.splitlines() if line.startswith("alphapanda_spans_total"))


def test_without_an_endpoint_nothing_is_traced() -> None:
    metrics = Metrics()
    with tracing_to(load_settings(), metrics) as tracing:
        assert tracing is NO_TRACING
    assert figures(metrics) == []


async def test_spans_go_to_the_endpoint_at_the_latest_at_the_end() -> None:
    metrics = Metrics()
    async with Collector() as collector:
        settings = load_settings(
            otlp_endpoint=collector.endpoint,
            otlp_headers="x-key=bamboo",
            otlp_interval_seconds=0.05,
            trace_tick_share=1,
        )
        with tracing_to(settings, metrics) as tracing:
            assert tracing.on
            assert tracing.tracer("market-feed", "f", VirtualClock(1)).take_share()
            make_span(tracing)
            (span,) = await collector.until(lambda spans: len(spans) == 1)
            async with asyncio.timeout(PATIENCE):
                while not figures(metrics)[0].endswith(" 1.0"):  # noqa: ASYNC110 - another thread's number
                    await asyncio.sleep(0.01)
            assert figures(metrics) == [
                'alphapanda_spans_total{outcome="exported"} 1.0',
                'alphapanda_spans_total{outcome="lost"} 0.0',
            ]
        assert collector.requests[0]["x-key"] == "bamboo"
        assert span.attributes["messaging.system"] == "memory"
    assert not metrics._readers


def test_nobody_there_is_counted() -> None:
    metrics = Metrics()
    settings = load_settings(
        otlp_endpoint="http://127.0.0.1:9", otlp_timeout_seconds=0.3, otlp_interval_seconds=60
    )
    with tracing_to(settings, metrics) as tracing:
        tracing.tracer("risk", "r", VirtualClock(1)).of(SIGNAL, "step", kind=Kind.CLIENT).end()
        reader = metrics._readers[0]
        tracing.close()
        list(reader())
        assert figures(metrics)[1] == 'alphapanda_spans_total{outcome="lost"} 1.0'


def test_authorities_that_can_not_be_read_are_a_wrong_setting(tmp_path: Path) -> None:
    settings = load_settings(otlp_endpoint="https://127.0.0.1:9", otlp_tls_ca_file=str(tmp_path / "none.pem"))
    with (
        pytest.raises(SettingsError, match=r"OTLP_TLS_CA_FILE is .*none\.pem.*: No such file"),
        tracing_to(settings, Metrics()),
    ):
        pass
