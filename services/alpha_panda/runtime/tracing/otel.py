"""Spans as OpenTelemetry's SDK exports them: the one module that knows it, with `export`. Imported only where something is traced.

A span is an object of our own while it is open, and the SDK's `ReadableSpan` when it has ended: the SDK's own tracer asks
sampler, limits, locks and the operating system for each span, and took five times as long over what is always sampled.
"""

import secrets
from collections.abc import Mapping
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
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
MOST_LINKS: Final = 512
"""Of a span, as many as a consumer fetches at once; older ones are dropped, and the span says how many."""
LONGEST: Final = 256
"""Characters of an attribute; the rest is cut off."""

_SPAN_BITS: Final = 64
_TRACE_BITS: Final = 128
_WORDS: Final = 200  # characters of an error's words

_KINDS: Final[Mapping[Kind, SpanKind]] = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.CLIENT: SpanKind.CLIENT,
}
_TAKEN: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_TAKEN: Final = TraceFlags(TraceFlags.DEFAULT)
_WELL: Final = Status(StatusCode.UNSET)


class RandomIds:
    """Random ids, never 0. Seeded by the operating system once: to ask it for each costs more than the span."""

    def __init__(self) -> None:
        self._bits = Random(secrets.randbits(_TRACE_BITS)).getrandbits  # noqa: S311 - ids, no secrets

    def trace(self) -> int:
        """Return a trace's id."""
        return self._bits(_TRACE_BITS) or 1

    def span(self) -> int:
        """Return a span's id."""
        return self._bits(_SPAN_BITS) or 1


class _Service(Resource):
    """A service, as the resource of its spans; the exporter asks for its hash with each, which the base computes anew."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


class _Recorded(Span):
    """A span that is recorded; of one thread, as all that services do."""

    __slots__ = (
        "_attributes",
        "_begun",
        "_ended",
        "_held",
        "_kind",
        "_links",
        "_name",
        "_parent",
        "_status",
        "_token",
        "_tracer",
        "_where",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - all that a span is
        self,
        tracer: "_Tracer",
        name: str,
        kind: Kind,
        where: TraceContext,
        parent: TraceContext | None,
        attributes: dict[str, Value],
        links: Links,
        begun: int,
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._where = where
        self._parent = parent
        self._attributes = attributes
        self._links = [*links]
        self._begun = begun
        self._status = _WELL
        self._token: Token[Span] | None = None
        self._held = False
        self._ended = False

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
        self._attributes.update(attributes)

    def link(self, context: TraceContext | None) -> None:
        if context is not None:
            self._links.append(context)

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
        if not isinstance(error, Exception):
            self._attributes[names.INTERRUPTED] = True
            return
        kind = type(error).__name__
        self._attributes[names.ERROR_TYPE] = kind
        words = redact_text(f"{kind}: {error}")[:_WORDS]
        self._status = Status(StatusCode.ERROR, words)

    def hold(self) -> Span:
        self._held = True
        return self

    def end(self, at: int | None = None) -> None:
        if not self._ended:
            self._ended = True
            self._tracer.ended(self._readable(self._tracer.now() if at is None else at))

    def _readable(self, at: int) -> ReadableSpan:
        """Return it as the SDK exports it: a copy, which nothing that comes later changes."""
        links = [Link(_remote(link)) for link in self._links]
        return ReadableSpan(
            name=self._name,
            context=SpanContext(
                self._where.trace_id, self._where.span_id, is_remote=False, trace_flags=_TAKEN
            ),
            parent=None if self._parent is None else _remote(self._parent),
            resource=self._tracer.service,
            attributes={name: _cut(value) for name, value in self._attributes.items()},
            links=links if len(links) <= MOST_LINKS else BoundedList.from_seq(MOST_LINKS, links),
            kind=_KINDS[self._kind],
            status=self._status,
            start_time=self._begun,
            end_time=at,
            instrumentation_scope=self._tracer.scope,
        )

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


def _cut(value: Value) -> Value:
    return value[:LONGEST] if isinstance(value, str) else value


def _remote(context: TraceContext) -> SpanContext:
    flags = _TAKEN if context.sampled else _NOT_TAKEN
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)


class _Tracer(Tracer):
    """Makes the spans of one service."""

    on = True

    def __init__(
        self, tracing: "OtelTracing", service: Resource, scope: InstrumentationScope, clock: Clock
    ) -> None:
        self.now = clock.now
        self.service = service
        self.scope = scope
        self.ended = tracing.processor.on_end
        self._ids = tracing.ids
        self._system = tracing.system
        self._share = tracing.tick_share
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
        begun = self.now() if at is None else at
        return _Recorded(self, name, kind, self._where(parent, identity), parent, given, links, begun)

    def _where(self, parent: TraceContext | None, identity: TraceContext | None) -> TraceContext:
        if parent is not None:
            return TraceContext(parent.trace_id, self._ids.span())
        if identity is not None:
            return TraceContext(identity.trace_id, identity.span_id)
        return TraceContext(self._ids.trace(), self._ids.span())

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
        self.processor = processor
        self.tick_share = tick_share
        self.system = system
        self.ids = RandomIds()
        self._process = Resource.create()  # once: it looks for what is installed
        self._services: dict[tuple[str, str], Resource] = {}

    def tracer(self, service: str, instance: str, clock: Clock) -> Tracer:
        """Return what makes a service's spans; services may share a name and instance."""
        scope = InstrumentationScope(f"alpha_panda.{service.replace('-', '_')}", __version__)
        return _Tracer(self, self._service(service, instance), scope, clock)

    def _service(self, service: str, instance: str) -> Resource:
        found = self._services.get((service, instance))
        if found is None:
            told = Resource(
                {
                    "service.namespace": NAMESPACE,
                    "service.name": service,
                    "service.instance.id": instance,
                    "service.version": __version__,
                }
            )
            found = self._services[service, instance] = _Service(self._process.merge(told))
        return found

    def close(self) -> None:
        """Shut the processor down."""
        self.processor.shutdown()
