"""Spans of decisions: begun when a signal is taken in hand, ended when Kafka has the decision; many are stored at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.stored import Decision
from alpha_panda.contracts.traceparent import TraceContext, root_of
from alpha_panda.ports import Outgoing
from alpha_panda.runtime.tracing import names
from alpha_panda.runtime.tracing.tracing import NO_SPAN, Kind, Span, Tracer, current, end_all, with_headers

STORE: Final = "record decision"
STORE_MANY: Final = "record decisions"
CLOSE: Final = "close position"
REPEAT: Final = "repeat decision"

_MOST: Final = 512
"""Order events that one book may be linked to; as many as a span has links."""


class Telling:
    """The decisions that are stored and told together."""

    def __init__(self, tracer: Tracer, held: dict[str, Span]) -> None:
        self._tracer = tracer
        self._held = held
        self._sending: list[Span] = []

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Span the step that stores them: a child of the one, or linked with each of several."""
        spans = list(self._held.values())
        if len(spans) <= 1:
            with spans[0].child(STORE, Kind.CLIENT) if spans else NO_SPAN:
                yield
            return
        links = [span.context for span in spans if span.context is not None]
        batch = self._tracer.start(
            STORE_MANY, Kind.CLIENT, None, {names.BATCH_COUNT: len(spans)}, links=links
        )
        for span in spans:
            span.link(batch.context)
        with batch:
            yield

    def sent(self, decision: Decision, outgoing: Outgoing) -> Outgoing:
        """Return the decision's record with the headers of the span that sends it."""
        span = self._held.get(decision.signal_id)
        if span is None:
            return outgoing
        sending = span.send(outgoing.topic, _of(decision))
        self._sending.append(sending)
        return with_headers(outgoing, sending)

    def end(self, error: BaseException | None) -> None:
        """All are told, or it went wrong."""
        end_all([*self._sending, *self._held.values()], error)


class DecisionSpans:
    """Holds the spans of decisions until they are told."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._held: dict[str, Span] = {}
        self._moved: list[TraceContext] = []

    def hold(self, decision: Decision) -> None:
        """Keep the current span, that of the signal in hand, until its decision is told; of a repeat, the first."""
        if self._tracer.on:
            span = current()
            span.set(_of(decision))
            if decision.signal_id not in self._held:
                self._held[decision.signal_id] = span.hold()

    @contextmanager
    def telling(self) -> Iterator[Telling]:
        """Store and tell inside what is held."""
        telling = Telling(self._tracer, self._held)
        self._held = {}
        try:
            yield telling
        except BaseException as error:
            telling.end(error)
            raise
        telling.end(None)

    @contextmanager
    def retelling(
        self, decisions: Sequence[tuple[Decision, Outgoing]], *, anew: bool
    ) -> Iterator[list[Outgoing]]:
        """Give the records of risk's own closing decisions, to be sent inside; the first time it is their root."""
        spans: list[Span] = []
        records = []
        for decision, outgoing in decisions:
            step = self._of_its_own(decision, anew=anew)
            sending = step.send(outgoing.topic, _of(decision))
            spans += (sending, step)
            records.append(with_headers(outgoing, sending))
        try:
            yield records
        except BaseException as error:
            end_all(spans, error)
            raise
        end_all(spans)

    def _of_its_own(self, decision: Decision, *, anew: bool) -> Span:
        if not self._tracer.on:
            return NO_SPAN
        if not anew:
            return self._tracer.of(decision.correlation_id, REPEAT, _of(decision))
        root = root_of(decision.correlation_id)
        return self._tracer.start(CLOSE, Kind.INTERNAL, None, _of(decision), identity=root)

    # ---------------------------------------------------------------------------------------------- the book

    def moved(self, position: str) -> None:
        """Take note that the order event in hand has changed the book; `position` of its instrument afterwards."""
        span = current()
        span.set({names.POSITION: position})
        if span.context is not None and len(self._moved) < _MOST:
            self._moved.append(span.context)

    def publishing(self, topic: str, correlation_id: str) -> Span:
        """Begin to publish the book: linked to all that has changed it since the last time, if something traced has."""
        links, self._moved = self._moved, []
        if not links:
            return NO_SPAN
        root = root_of(correlation_id)
        name = f"{names.SEND} {topic}"
        return self._tracer.start(name, Kind.PRODUCER, None, names.sent(topic), links=links, identity=root)


def _of(decision: Decision) -> dict[str, names.Value]:
    found = {**names.of_order(decision.signal), names.OUTCOME: decision.verdict.value}
    if decision.verdict is Verdict.REJECTED and decision.code is not None:
        found[names.CODE] = decision.code.value
    return found
