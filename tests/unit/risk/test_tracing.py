"""Spans of decisions: held until they are told, once each, whatever goes wrong on the way."""

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.stored import Decision
from alpha_panda.contracts.traceparent import context_of
from alpha_panda.ports import Outgoing
from alpha_panda.risk.tracing import DecisionSpans
from alpha_panda.runtime.tracing.tracing import NO_SPAN, NO_TRACER, Tracer
from alpha_panda.testing.otlp import CollectedSpan
from alpha_panda.testing.spans import Spans
from contracts.samples import decision
from unit.runtime.tracing.kit import OTHER, SIGNAL, event, record, signal

TOLD = Outgoing("paper.signals.validated", b"{}")


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def tracer(spans: Spans) -> Tracer:
    return spans.tracing.tracer("risk", "r", VirtualClock(1))


def decided(new_id: str, **changes: object) -> Decision:
    return decision(signal(new_id), correlation_id=new_id, **changes)


def take(tracer: Tracer, held: DecisionSpans, new_id: str, **changes: object) -> Decision:
    made = decided(new_id, **changes)
    with tracer.process(record(), event(new_id), "g"):
        held.hold(made)
    return made


def names(spans: Spans) -> list[str]:
    return sorted(span.name for span in spans.all)


def one(spans: Spans, name: str) -> CollectedSpan:
    (found,) = [span for span in spans.all if span.name == name]
    return found


def test_a_decision_is_held_until_it_is_told(spans: Spans, tracer: Tracer) -> None:
    held = DecisionSpans(tracer)
    made = take(tracer, held, SIGNAL, verdict=Verdict.REJECTED, code=Code.PRICE_STALE)
    assert spans.all == []
    with held.telling() as telling:
        with telling.storing():
            pass
        sent = telling.sent(made, TOLD)
    process = one(spans, "process paper.signals.raw")
    assert process.attributes["alphapanda.code"] == "PRICE_STALE"
    assert one(spans, "record decision").parent_id == process.span_id
    context = context_of(sent.headers)
    assert context is not None
    assert one(spans, "send paper.signals.validated").span_id == f"{context.span_id:016x}"


def test_a_signal_that_came_twice_is_told_once_and_nothing_stays_open(spans: Spans, tracer: Tracer) -> None:
    held = DecisionSpans(tracer)
    made = take(tracer, held, SIGNAL)
    take(tracer, held, SIGNAL)
    with held.telling() as telling:
        telling.sent(made, TOLD)
    assert names(spans).count("process paper.signals.raw") == 2


def test_what_fails_is_said_and_ended(spans: Spans, tracer: Tracer) -> None:
    held = DecisionSpans(tracer)
    made = [take(tracer, held, SIGNAL), take(tracer, held, OTHER)]

    def fail() -> None:
        with held.telling() as telling:
            with telling.storing():
                pass
            for each in made:
                telling.sent(each, TOLD)
            raise RuntimeError("no bus")

    with pytest.raises(RuntimeError, match="no bus"):
        fail()
    failed = [span for span in spans.all if span.error == "RuntimeError: no bus"]
    assert len(failed) == 4
    assert one(spans, "record decisions").error is None
    spans.clear()
    with held.telling() as telling, telling.storing():
        pass
    assert spans.all == []  # nothing is held any more


def test_closing_orders_are_roots_of_their_own_and_repeats_are_below(spans: Spans, tracer: Tracer) -> None:
    held = DecisionSpans(tracer)
    pairs = [(decided(SIGNAL), TOLD)]
    with held.retelling(pairs, anew=True) as records:
        assert context_of(records[0].headers) is not None
    with held.retelling(pairs, anew=False):
        pass
    close, repeat = one(spans, "close position"), one(spans, "repeat decision")
    assert close.parent_id == ""
    assert repeat.parent_id == close.span_id
    assert close.trace_id == SIGNAL.replace("-", "")


def test_closing_orders_that_could_not_be_told_say_so(spans: Spans, tracer: Tracer) -> None:
    with (
        pytest.raises(RuntimeError),
        DecisionSpans(tracer).retelling([(decided(SIGNAL), TOLD)], anew=True),
    ):
        raise RuntimeError("no bus")
    assert [span.error for span in spans.all] == ["RuntimeError: no bus"] * 2


def test_the_book_is_linked_to_what_has_moved_it_since(spans: Spans, tracer: Tracer) -> None:
    held = DecisionSpans(tracer)
    for new_id in (SIGNAL, OTHER):
        with tracer.process(record(), event(new_id), "g"):
            held.moved("3")
    with held.publishing("paper.portfolio", OTHER):
        pass
    assert held.publishing("paper.portfolio", OTHER) is NO_SPAN
    moves = [span for span in spans.all if span.kind == "consumer"]
    assert {link.span_id for link in one(spans, "send paper.portfolio").links} == {
        span.span_id for span in moves
    }
    assert [span.attributes["alphapanda.position"] for span in moves] == ["3", "3"]


def test_without_tracing_records_stay_as_they_are() -> None:
    held = DecisionSpans(NO_TRACER)
    made = take(NO_TRACER, held, SIGNAL)
    with held.telling() as telling:
        with telling.storing():
            pass
        assert telling.sent(made, TOLD) is TOLD
    with held.retelling([(made, TOLD)], anew=True) as records:
        assert records == [TOLD]
    held.moved("3")
    assert held.publishing("t", SIGNAL) is NO_SPAN
