"""The collector for tests: what it decodes, how it waits, how it misbehaves on command."""

import asyncio
from dataclasses import replace

import aiohttp
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.runtime.tracing.tracing import Kind
from alpha_panda.testing.otlp import CollectedSpan, Collector, drawing, roots, trace_of
from alpha_panda.testing.spans import Spans
from unit.runtime.tracing.kit import OTHER, SIGNAL


def body() -> bytes:
    spans = Spans()
    tracer = spans.tracing.tracer("risk", "r", VirtualClock(5))
    with tracer.of(SIGNAL, "parent") as span:
        span.set({"text": "a", "number": 3, "truth": True, "part": 0.5})
        with span.child("child", Kind.CLIENT):
            pass
    encoded: bytes = encode_spans(spans._exporter.get_finished_spans()).SerializeToString()
    return encoded


async def post(collector: Collector, data: bytes) -> int:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.post(f"{collector.endpoint}/v1/traces", data=data) as response,
    ):
        return response.status


async def test_it_keeps_what_it_takes() -> None:
    async with Collector() as collector:
        assert await post(collector, body()) == 200
        parent, child = await collector.trace(SIGNAL, until=lambda spans: len(spans) == 2)
        assert await collector.until(lambda spans: len(spans) == 2) == collector.spans
    if parent.name == "child":
        parent, child = child, parent
    assert parent.attributes == {"text": "a", "number": 3, "truth": True, "part": 0.5}
    assert (child.parent_id, child.kind, child.service) == (parent.span_id, "client", "risk")
    assert trace_of([parent, child], OTHER) == []


async def test_it_answers_as_told_and_hangs_on_command() -> None:
    async with Collector() as collector:
        collector.answer = 503
        assert await post(collector, body()) == 503
        assert collector.spans == []
        collector.answer = 200
        collector.hang()
        hanging = asyncio.create_task(post(collector, body()))
        with pytest.raises(AssertionError, match="0 spans"):
            await collector.until(bool, seconds=0.1)
        collector.resume()
        assert await hanging == 200
        assert len(collector.spans) == 2


async def test_what_does_not_come_is_said_with_what_came() -> None:
    async with Collector() as collector:
        await post(collector, body())
        with pytest.raises(AssertionError, match=r"2 spans:\nrisk: child\nrisk: parent"):
            await collector.until(lambda spans: len(spans) > 2, seconds=0.05)


def span(name: str, span_id: str, parent_id: str = "") -> CollectedSpan:
    return CollectedSpan(
        name, "internal", "t", span_id, parent_id, 1_000_000, 3_500_000, {}, {"service.name": "x"}
    )


def test_a_whole_trace_has_one_root() -> None:
    whole = [span("a", "1"), span("b", "2", "1"), span("c", "3", "2")]
    assert [found.name for found in roots(whole)] == ["a"]
    assert [found.name for found in roots(whole[1:])] == ["b"]
    assert [found.name for found in roots([replace(whole[2], parent_id="9"), *whole[:2]])] == ["c", "a"]


def test_a_trace_is_drawn_as_a_tree() -> None:
    drawn = drawing([span("a", "1"), span("b", "2", "1")])
    assert drawn == "x: a (internal, 2.5 ms)\n  x: b (internal, 2.5 ms)"
