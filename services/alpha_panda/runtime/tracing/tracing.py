"""What services see of tracing. The classes here do nothing: who traces nothing pays a look at `on`, or an empty call.

with tracer.process(record, event, group) as span:      # child of whoever sent the record
    with current().child("BEGIN", Kind.CLIENT):         # anywhere below, in the same task
        ...
    await producer.send([Outgoing(topic, value, headers=span.headers)])
"""

# ruff: noqa: ARG002 - what does nothing needs nothing of what it is given

from collections.abc import Iterable, Sequence
from contextvars import ContextVar, Token
from enum import Enum
from types import TracebackType
from typing import Final, Self

from alpha_panda.contracts.events import Envelope
from alpha_panda.contracts.traceparent import TraceContext, context_of, root_of
from alpha_panda.ports import Clock, Outgoing, Record

from . import names
from .names import Attributes

Headers = tuple[tuple[str, bytes], ...]
Links = Iterable[TraceContext]


class Kind(Enum):
    """Part that a span plays, as OpenTelemetry names them."""

    INTERNAL = "internal"
    PRODUCER = "producer"
    CONSUMER = "consumer"
    CLIENT = "client"


class Span:
    """One step of the way; this one is not recorded. In a `with` it is the task's `current` span, and ends there."""

    __slots__ = ()

    @property
    def context(self) -> TraceContext | None:
        """Its ids; None: it is not recorded."""
        return None

    @property
    def headers(self) -> Headers:
        """Headers of records that it sends."""
        return ()

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What leads from a histogram's bucket to its trace; None: it is not recorded."""
        return None

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def link(self, context: TraceContext | None) -> None:
        """Say that another span, of this trace or another, has to do with this one."""

    def child(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        attributes: Attributes | None = None,
        *,
        at: int | None = None,
        links: Links = (),
    ) -> "Span":
        """Begin a step of this step, now or `at` (UTC ns)."""
        return self

    def send(self, topic: str, attributes: Attributes | None = None, *, links: Links = ()) -> "Span":
        """Begin to send a record: its headers are this span's."""
        return self

    def fail(self, error: BaseException) -> None:
        """Say that it failed; being cancelled is no failure."""

    def hold(self) -> "Span":
        """Keep a `with` from ending it: whoever holds it does."""
        return self

    def end(self, at: int | None = None) -> None:
        """End it, now or `at` (UTC ns); what comes later has no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


NO_SPAN: Final = Span()

_current: Final[ContextVar[Span]] = ContextVar("alpha_panda_span", default=NO_SPAN)


def current() -> Span:
    """Return the innermost span that this task is in; one that is not recorded, if in none."""
    return _current.get()


def enter(span: Span) -> Token[Span]:
    """Make a span the task's current one; for spans themselves."""
    return _current.set(span)


def leave(token: Token[Span]) -> None:
    """Undo `enter`."""
    _current.reset(token)


class Tracer:
    """Makes the spans of one service; this one makes none."""

    on: bool = False
    """Whether anything is traced; look here before doing anything for tracing's sake."""

    def start(  # noqa: PLR0913 - all but three by keyword, with defaults
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
        """Begin a span, now or `at` (UTC ns). Without a parent it is a root: with these ids, or random ones."""
        return NO_SPAN

    def take_share(self) -> bool:
        """Whether the next batch of ticks is one of the share that is traced; exact over many, without chance."""
        return False

    def process(
        self,
        record: Record,
        event: Envelope,
        group: str,
        *,
        at: int | None = None,
        links: Links = (),
    ) -> Span:
        """Begin to handle an event: child of the span that sent it, or of its trace's root where no header tells."""
        if not self.on:
            return NO_SPAN
        parent, others = parent_of(record, event.correlation_id)
        if parent is None:
            return NO_SPAN
        attributes = {**names.received(record, group), **names.told(event)}
        name = f"{names.PROCESS} {record.topic}"
        return self.start(name, Kind.CONSUMER, parent, attributes, at=at, links=(*others, *links))

    def of(
        self,
        correlation_id: str,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: Kind = Kind.INTERNAL,
        at: int | None = None,
    ) -> Span:
        """Begin a step that no record caused: child of its trace's root."""
        if not self.on:
            return NO_SPAN
        root = root_of(correlation_id)
        return NO_SPAN if root is None else self.start(name, kind, root, attributes, at=at)

    def exemplar(self, correlation_id: str) -> dict[str, str] | None:
        """Return what leads from a histogram's bucket to the trace; None if nothing is traced."""
        root = root_of(correlation_id) if self.on else None
        return None if root is None else {"trace_id": f"{root.trace_id:032x}"}


def parent_of(record: Record, correlation_id: str) -> tuple[TraceContext | None, tuple[TraceContext, ...]]:
    """Return the parent of a record's handling, and what else to link to.

    A header of another trace than the correlation id's is linked to only: a signal that a person has replayed under
    another id begins a trace of its own.
    """
    told, root = context_of(record.headers), root_of(correlation_id)
    if root is None:
        return told, ()
    if told is None:
        return root, ()
    return (told, ()) if told.trace_id == root.trace_id else (root, (told,))


def with_headers(outgoing: Outgoing, span: Span) -> Outgoing:
    """Return the record with the span's headers."""
    headers = span.headers
    if not headers:
        return outgoing
    return Outgoing(
        outgoing.topic,
        outgoing.value,
        outgoing.key,
        outgoing.partition,
        (*outgoing.headers, *headers),
        outgoing.decoded,
    )


class Tracing:
    """Makes tracers; these trace nothing."""

    on: bool = False

    def tracer(self, service: str, instance: str, clock: Clock) -> Tracer:
        """Return what makes a service's spans; their times are the clock's."""
        return NO_TRACER

    def close(self) -> None:
        """Send what waits, for a bounded time. No spans afterwards."""


NO_TRACER: Final = Tracer()
NO_TRACING: Final = Tracing()


def end_all(spans: Sequence[Span], error: BaseException | None = None) -> None:
    """End spans that were held."""
    for span in spans:
        if error is not None:
            span.fail(error)
        span.end()
