"""Tracing by OpenTelemetry's SDK: the one module that knows it, with `export`. Imported only where something is traced."""

import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.status import Status, StatusCode

from alpha_panda import __version__
from alpha_panda.contracts.traceparent import TraceContext
from alpha_panda.ports import Clock
from alpha_panda.runtime.logging import redact_text

from . import names
from .names import Attributes, Value
from .tracing import Headers, Kind, Links, Span, Tracer, Tracing, enter, leave

if TYPE_CHECKING:
    from contextvars import Token

NAMESPACE: Final = "alpha-panda"
_SPAN_BITS: Final = 64
_TRACE_BITS: Final = 128
_WORDS: Final = 200  # characters of an error's words
_LIMITS: Final = SpanLimits(max_attributes=64, max_attribute_length=256, max_links=512, max_events=8)
"""Said here, so that no variable of the environment changes them; links: as many as a consumer fetches at once."""

_KINDS: Final[Mapping[Kind, SpanKind]] = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.CLIENT: SpanKind.CLIENT,
}


class GivenIds(IdGenerator):
    """Ids for a new span: those given for it, else random ones. Of one thread: spans begin on the event loop."""

    def __init__(self) -> None:
        self.next: TraceContext | None = None

    def generate_trace_id(self) -> int:
        """Return a trace's id; asked for roots alone, before the span's."""
        return secrets.randbits(_TRACE_BITS) or 1 if self.next is None else self.next.trace_id

    def generate_span_id(self) -> int:
        """Return a span's id."""
        return secrets.randbits(_SPAN_BITS) or 1 if self.next is None else self.next.span_id


class _Recorded(Span):
    """A span that is recorded."""

    __slots__ = ("_held", "_span", "_token", "_tracer", "_where")

    def __init__(self, span: OtelSpan, tracer: "_Tracer") -> None:
        context = span.get_span_context()
        self._span = span
        self._tracer = tracer
        self._where = TraceContext(context.trace_id, context.span_id, context.trace_flags.sampled)
        self._token: Token[Span] | None = None
        self._held = False

    @property
    def context(self) -> TraceContext | None:
        return self._where

    @property
    def headers(self) -> Headers:
        return self._where.headers

    @property
    def exemplar(self) -> dict[str, str] | None:
        return {"trace_id": f"{self._where.trace_id:032x}"}

    def set(self, attributes: Attributes) -> None:
        if self._span.is_recording():
            self._span.set_attributes(attributes)

    def link(self, context: TraceContext | None) -> None:
        if context is not None and self._span.is_recording():
            self._span.add_link(_remote(context))

    def child(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        attributes: Attributes | None = None,
        *,
        at: int | None = None,
        links: Links = (),
    ) -> Span:
        return self._tracer.start(name, kind, self._where, attributes, at=at, links=links)

    def send(self, topic: str, attributes: Attributes | None = None, *, links: Links = ()) -> Span:
        name = f"{names.SEND} {topic}"
        return self.child(name, Kind.PRODUCER, {**names.sent(topic), **(attributes or {})}, links=links)

    def fail(self, error: BaseException) -> None:
        if not self._span.is_recording():
            return
        if not isinstance(error, Exception):
            self._span.set_attribute(names.INTERRUPTED, True)
            return
        kind = type(error).__name__
        self._span.set_attribute(names.ERROR_TYPE, kind)
        words = redact_text(f"{kind}: {error}")[:_WORDS]
        self._span.set_status(Status(StatusCode.ERROR, words))

    def hold(self) -> Span:
        self._held = True
        return self

    def end(self, at: int | None = None) -> None:
        if self._span.is_recording():
            self._span.end(self._tracer.now() if at is None else at)

    def __enter__(self) -> Self:
        self._token = enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            leave(self._token)
        if error is not None:
            self.fail(error)
        if not self._held:
            self.end()


def _remote(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)


class _Tracer(Tracer):
    """Makes the spans of one service."""

    on = True

    def __init__(self, tracer: OtelTracer, ids: GivenIds, clock: Clock, system: str, share: float) -> None:
        self.now = clock.now
        self._tracer = tracer
        self._ids = ids
        self._system = system
        self._share = share
        self._credit = 0.0

    def start(  # noqa: PLR0913 - the base's
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Attributes | None = None,
        *,
        at: int | None = None,
        links: Links = (),
        identity: TraceContext | None = None,
    ) -> Span:
        given: dict[str, Value] = dict(attributes or {})
        if names.OPERATION in given:
            given[names.SYSTEM] = self._system
        self._ids.next = identity if parent is None else None
        span = self._tracer.start_span(
            name,
            None if parent is None else set_span_in_context(NonRecordingSpan(_remote(parent))),
            _KINDS[kind],
            given,
            [Link(_remote(link)) for link in links],
            self.now() if at is None else at,
        )
        self._ids.next = None
        return _Recorded(span, self)

    def take_share(self) -> bool:
        self._credit += self._share
        if self._credit < 1:
            return False
        self._credit -= 1
        return True


class OtelTracing(Tracing):
    """Spans of all services of a process, each under its own name, through one processor.

    Args:
        processor: what ended spans go to; `close` shuts it down.
        tick_share: of the batches of ticks, 0 to 1.
        system: `messaging.system` of the bus.

    """

    on = True

    def __init__(self, processor: SpanProcessor, *, tick_share: float = 0.0, system: str = "kafka") -> None:
        self._processor = processor
        self._tick_share = tick_share
        self._system = system
        self._ids = GivenIds()
        self._providers: dict[tuple[str, str], TracerProvider] = {}

    def tracer(self, service: str, instance: str, clock: Clock) -> Tracer:
        """Return what makes a service's spans; services may share a name and instance."""
        provider = self._provider(service, instance)
        made = provider.get_tracer(f"alpha_panda.{service.replace('-', '_')}", __version__)
        return _Tracer(made, self._ids, clock, self._system, self._tick_share)

    def _provider(self, service: str, instance: str) -> TracerProvider:
        found = self._providers.get((service, instance))
        if found is None:
            resource = Resource.create(
                {
                    "service.namespace": NAMESPACE,
                    "service.name": service,
                    "service.instance.id": instance,
                    "service.version": __version__,
                }
            )
            found = TracerProvider(
                sampler=ALWAYS_ON,
                resource=resource,
                shutdown_on_exit=False,
                id_generator=self._ids,
                span_limits=_LIMITS,
            )
            found.add_span_processor(self._processor)
            self._providers[service, instance] = found
        return found

    def close(self) -> None:
        """Shut the processor down."""
        self._processor.shutdown()
