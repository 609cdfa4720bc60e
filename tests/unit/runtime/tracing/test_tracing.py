"""The facade without the SDK: nothing is made, and whose child a record's handling is."""

import asyncio

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.traceparent import TraceContext, root_of
from alpha_panda.ports import Outgoing
from alpha_panda.runtime.tracing.tracing import (
    NO_SPAN,
    NO_TRACER,
    NO_TRACING,
    Kind,
    current,
    end_all,
    parent_of,
    with_headers,
)
from alpha_panda.testing.spans import Spans
from unit.runtime.tracing.kit import SIGNAL, event, record

ROOT = root_of(SIGNAL)
SENDER = TraceContext(int(SIGNAL.replace("-", ""), 16), 77)


def test_without_tracing_there_is_one_span_that_does_nothing() -> None:
    tracer = NO_TRACING.tracer("engine", "engine-0", VirtualClock(0))
    assert tracer is NO_TRACER
    assert not tracer.on
    assert not tracer.take_share()
    assert tracer.exemplar(SIGNAL) is None
    span = tracer.process(record(), event(), "group")
    assert span is NO_SPAN
    assert span is tracer.of(SIGNAL, "step") is tracer.start("x", Kind.CLIENT, None) is span.child("y")
    with span as entered:
        entered.set({"a": 1})
        entered.link(SENDER)
        entered.fail(ValueError())
        assert current() is NO_SPAN
    span.hold().end()
    assert span.context is None
    assert span.exemplar is None
    assert span.headers == ()
    assert with_headers(record_to_send(), span) == record_to_send()
    NO_TRACING.close()


def record_to_send() -> Outgoing:
    return Outgoing("t", b"v", key="k", headers=(("a", b"b"),))


def test_a_record_is_handled_as_a_child_of_who_sent_it() -> None:
    assert parent_of(record(SENDER.headers), SIGNAL) == (SENDER, ())


def test_without_a_header_as_a_child_of_the_root() -> None:
    assert parent_of(record(), SIGNAL) == (ROOT, ())
    assert parent_of(record((("traceparent", b"broken"),)), SIGNAL) == (ROOT, ())


def test_a_header_of_another_trace_is_linked_to() -> None:
    other = TraceContext(5, 6)
    assert parent_of(record(other.headers), SIGNAL) == (ROOT, (other,))


def test_what_has_no_trace_of_its_own_follows_the_header() -> None:
    assert parent_of(record(SENDER.headers), "external:1") == (SENDER, ())
    assert parent_of(record(), "external:1") == (None, ())


def test_a_span_is_current_in_its_task_alone() -> None:
    spans = Spans()
    tracer = spans.tracing.tracer("engine", "e", VirtualClock(1))

    async def lane(name: str, other: asyncio.Barrier) -> tuple[bool, bool]:
        with tracer.of(SIGNAL, name) as span:
            await other.wait()
            inside = current() is span
            await other.wait()
        return inside, current() is NO_SPAN

    async def main() -> tuple[tuple[bool, bool], ...]:
        barrier = asyncio.Barrier(2)
        return tuple(await asyncio.gather(lane("a", barrier), lane("b", barrier)))

    assert asyncio.run(main()) == ((True, True), (True, True))
    assert {span.name for span in spans.all} == {"a", "b"}


def test_many_are_ended_at_once() -> None:
    spans = Spans()
    tracer = spans.tracing.tracer("engine", "e", VirtualClock(1))
    end_all([tracer.of(SIGNAL, "a"), tracer.of(SIGNAL, "b")], RuntimeError("no"))
    assert [span.error for span in spans.all] == ["RuntimeError: no"] * 2


def test_headers_join_those_that_are_there() -> None:
    span = Spans().tracing.tracer("engine", "e", VirtualClock(1)).of(SIGNAL, "a")
    sent = with_headers(record_to_send(), span)
    assert sent.headers == (("a", b"b"), *span.headers)
    assert (sent.topic, sent.value, sent.key) == ("t", b"v", "k")
