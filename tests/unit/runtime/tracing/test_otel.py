"""Spans as the SDK makes them of what services say."""

import asyncio

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.traceparent import TraceContext, root_of
from alpha_panda.runtime.tracing.otel import LONGEST, MOST_LINKS, OtelTracing, RandomIds
from alpha_panda.runtime.tracing.tracing import NO_SPAN, Kind, Tracer, current
from alpha_panda.testing.otlp import CollectedSpan, Link
from alpha_panda.testing.spans import Spans
from unit.runtime.tracing.kit import OTHER, SIGNAL, event, record

START = 1_700_000_000_000_000_000


@pytest.fixture
def spans() -> Spans:
    return Spans(tick_share=0.25)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def tracer(spans: Spans, clock: VirtualClock) -> Tracer:
    return spans.tracing.tracer("engine", "engine-0", clock)


def only(spans: Spans) -> CollectedSpan:
    (span,) = spans.all
    return span


def test_a_root_has_the_ids_of_its_correlation_id(spans: Spans, tracer: Tracer) -> None:
    root = root_of(SIGNAL)
    assert root is not None
    tracer.start("send", Kind.PRODUCER, None, identity=root).end()
    span = only(spans)
    assert (span.trace_id, span.span_id, span.parent_id) == (
        SIGNAL.replace("-", ""),
        f"{root.span_id:016x}",
        "",
    )


def test_ids_that_were_given_are_given_once(spans: Spans, tracer: Tracer) -> None:
    tracer.start("a", Kind.INTERNAL, None, identity=root_of(SIGNAL)).end()
    tracer.start("b", Kind.INTERNAL, root_of(SIGNAL), identity=root_of(OTHER)).end()
    tracer.start("c", Kind.INTERNAL, None).end()
    a, b, c = spans.all
    assert a.trace_id == b.trace_id != c.trace_id
    assert len({a.span_id, b.span_id, c.span_id}) == 3
    assert b.parent_id == a.span_id
    assert c.trace_id != OTHER.replace("-", "")


def test_random_ids_differ_and_are_never_0() -> None:
    ids, others = RandomIds(), RandomIds()
    assert len({made.trace() for made in (ids, others) for _ in range(50)} - {0}) == 100
    assert len({made.span() for made in (ids, others) for _ in range(50)} - {0}) == 100


async def test_times_are_the_clocks(spans: Spans, tracer: Tracer, clock: VirtualClock) -> None:
    span = tracer.of(SIGNAL, "step")
    await clock.advance(2)
    span.end()
    tracer.of(SIGNAL, "before", at=START - 5).end(START - 3)
    step, before = spans.all
    assert (step.start, step.end) == (START, START + 2_000_000_000)
    assert (before.start, before.end) == (START - 5, START - 3)


def test_a_consumers_span(spans: Spans, tracer: Tracer) -> None:
    sender = TraceContext(int(SIGNAL.replace("-", ""), 16), 77)
    with tracer.process(record(sender.headers), event(), "g") as span:
        assert current() is span
        with current().child("BEGIN", Kind.CLIENT):
            pass
        with current().send("paper.orders.filled", {"alphapanda.code": "X"}) as sending:
            assert sending.context is not None
            assert sending.headers == sending.context.headers
    begin, send, process = spans.all
    assert (process.name, process.kind, process.service) == (
        "process paper.signals.raw",
        "consumer",
        "engine",
    )
    assert process.parent_id == f"{77:016x}"
    assert process.attributes["messaging.system"] == "memory"
    assert process.attributes["alphapanda.signal_id"] == SIGNAL
    assert (begin.kind, begin.parent_id) == ("client", process.span_id)
    assert "messaging.system" not in begin.attributes
    assert (send.name, send.kind, send.parent_id) == ("send paper.orders.filled", "producer", process.span_id)
    assert send.attributes["alphapanda.code"] == "X"
    assert send.attributes["messaging.destination.name"] == "paper.orders.filled"


def test_a_service_has_its_name_and_instance(spans: Spans, tracer: Tracer) -> None:
    tracer.of(SIGNAL, "step").end()
    resource = only(spans).resource
    assert resource["service.namespace"] == "alpha-panda"
    assert resource["service.name"] == "engine"
    assert resource["service.instance.id"] == "engine-0"


def test_services_of_one_process_keep_their_names(spans: Spans, clock: VirtualClock) -> None:
    for name in ("risk", "engine"):
        spans.tracing.tracer(name, f"{name}-0", clock).of(SIGNAL, "step").end()
    assert [span.service for span in spans.all] == ["risk", "engine"]


def test_the_environments_attributes_are_there_and_do_not_rename_a_service(
    monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab,service.name=other")
    spans = Spans()
    for name in ("risk", "engine"):
        spans.tracing.tracer(name, f"{name}-0", clock).of(SIGNAL, "step").end()
    assert [span.resource["deployment.environment.name"] for span in spans.all] == ["lab"] * 2
    assert [span.service for span in spans.all] == ["risk", "engine"]


def test_two_tracers_of_one_instance_are_one_resource(clock: VirtualClock) -> None:
    ended: list[ReadableSpan] = []

    class Sink(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    for tracing in (OtelTracing(Sink()), OtelTracing(Sink())):
        for instance in ("a", "b"):
            tracing.tracer("risk", instance, clock).of(SIGNAL, "step").end()
    first, second, again, _ = (span.resource for span in ended)
    assert first == again != second
    assert len({first, second, again}) == 2


def test_what_has_no_trace_makes_no_span(spans: Spans, tracer: Tracer) -> None:
    assert tracer.of("external:1", "step") is NO_SPAN
    assert tracer.process(record(), event(correlation_id="external:1"), "g") is NO_SPAN
    assert spans.all == []


def test_links(spans: Spans, tracer: Tracer) -> None:
    first, second = TraceContext(1, 2), TraceContext(3, 4)
    with tracer.start("batch", Kind.CONSUMER, None, links=[first]) as span:
        span.link(second)
        span.link(None)
    assert only(spans).links == (Link(f"{1:032x}", f"{2:016x}"), Link(f"{3:032x}", f"{4:016x}"))


def test_a_span_is_bounded(tracer: Tracer, spans: Spans) -> None:
    many = [TraceContext(1, number) for number in range(1, MOST_LINKS + 4)]
    with tracer.start("batch", Kind.CONSUMER, None, {"long": "x" * 1000, "size": 1}, links=many) as span:
        span.set({"longer": "y" * 1000})
    made = only(spans)
    assert made.attributes == {"long": "x" * LONGEST, "size": 1, "longer": "y" * LONGEST}
    assert [link.span_id for link in made.links] == [f"{link.span_id:016x}" for link in many[3:]]


def test_what_is_given_to_a_span_stays_the_givers(tracer: Tracer, spans: Spans) -> None:
    given, links = {"messaging.operation.name": "send"}, [TraceContext(1, 2)]
    with tracer.start("a", Kind.PRODUCER, None, given, links=links) as span:
        span.set({"more": 1})
        span.link(TraceContext(3, 4))
    assert (given, links) == ({"messaging.operation.name": "send"}, [TraceContext(1, 2)])
    assert only(spans).attributes == {**given, "messaging.system": "memory", "more": 1}


def test_an_error_is_told_redacted_and_short(spans: Spans, tracer: Tracer) -> None:
    with pytest.raises(ValueError, match="api_key"), tracer.of(SIGNAL, "step"):
        raise ValueError("api_key=hunter2 " + "x" * 1000)
    span = only(spans)
    assert span.attributes["error.type"] == "ValueError"
    assert span.error is not None
    assert "hunter2" not in span.error
    assert len(span.error) <= 200
    assert span.events == ()  # no traceback, which would hold the words once more


def test_being_cancelled_is_no_error(spans: Spans, tracer: Tracer) -> None:
    with pytest.raises(asyncio.CancelledError), tracer.of(SIGNAL, "step"):
        raise asyncio.CancelledError
    span = only(spans)
    assert span.error is None
    assert span.attributes["alphapanda.interrupted"] is True


def test_what_is_held_ends_later(spans: Spans, tracer: Tracer) -> None:
    with tracer.of(SIGNAL, "step") as span:
        held = span.hold()
    assert spans.all == []
    assert current() is NO_SPAN
    held.end()
    held.end()
    held.set({"late": 1})
    held.link(TraceContext(1, 2))
    held.fail(ValueError())
    assert only(spans).attributes == {}


@pytest.mark.parametrize(("share", "taken"), [(0.0, 0), (0.25, 25), (1.0, 100)])
def test_the_share_is_exact(share: float, taken: int, clock: VirtualClock) -> None:
    tracer = Spans(tick_share=share).tracing.tracer("market-feed", "f", clock)
    assert sum(tracer.take_share() for _ in range(100)) == taken


def test_an_exemplar_leads_to_the_trace(tracer: Tracer) -> None:
    assert tracer.exemplar(SIGNAL) == {"trace_id": SIGNAL.replace("-", "")}
    assert tracer.exemplar("external:1") is None
    assert tracer.of(SIGNAL, "step").exemplar == tracer.exemplar(SIGNAL)
