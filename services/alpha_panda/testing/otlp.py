"""A collector of spans for tests: OTLP over HTTP on a free port of the loopback, decoded and kept.

async with Collector() as collector:
    settings = load_settings(otlp_endpoint=collector.endpoint)
    ...                                                    # anything that sends spans, in other processes too
    spans = await collector.trace(correlation_id, until=lambda spans: len(spans) >= 12)

It answers as told (`answer`), hangs on command (`hang`), and remembers the requests' headers.
"""

import asyncio
import contextlib
import gzip
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from alpha_panda.contracts.traceparent import trace_id_of
from alpha_panda.testing.servers.ports import LOOPBACK

PATIENCE: Final = 20.0
"""Seconds that spans may take to come."""

_SHUTDOWN_SECONDS: Final = 0.1
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """Another span that a span has to do with; ids in hex."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """A span as it came: ids in hex (`parent_id` is "" for a root), times in UTC ns, `resource` of its service."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    links: tuple[Link, ...] = ()
    error: str | None = None
    events: tuple[str, ...] = field(default=())

    @property
    def service(self) -> str:
        """Name of the service that made it."""
        return str(self.resource.get("service.name", ""))


def decode(body: bytes) -> list[CollectedSpan]:
    """Return the spans of a request's body; DecodeError (protobuf) for what is none."""
    request = ExportTraceServiceRequest.FromString(body)
    found = []
    for group in request.resource_spans:
        resource = _values(group.resource.attributes)
        found += [_span(span, resource) for scope in group.scope_spans for span in scope.spans]
    return found


def _span(span: ProtoSpan, resource: dict[str, Any]) -> CollectedSpan:
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return CollectedSpan(
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        resource=resource,
        links=tuple(Link(link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        error=span.status.message if failed else None,
        events=tuple(event.name for event in span.events),
    )


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:  # noqa: ANN401 - text, number, truth or a list of them
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


class Collector:
    """Takes spans. Use as an async context manager, once.

    `spans` are all that came, in the order of coming; `requests` the headers of each request, in lower case.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[CollectedSpan] = []
        self.requests: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.answer = web.HTTPOk.status_code
        self._port = port
        self._runner: web.AppRunner | None = None
        self._came = asyncio.Condition()
        self._open = asyncio.Event()
        self._open.set()

    @property
    def endpoint(self) -> str:
        """For the setting `otlp_endpoint`."""
        return f"http://{LOOPBACK}:{self._port}"

    def hang(self) -> None:
        """Answer nobody until `resume`."""
        self._open.clear()

    def resume(self) -> None:
        """Answer again."""
        self._open.set()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MOST_BYTES)
        app.add_routes([web.post("/v1/traces", self._take)])
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp has unpacked it if the header said so
        await self._open.wait()
        self.requests.append({name.lower(): value for name, value in request.headers.items()})
        if self.answer != web.HTTPOk.status_code:
            return web.Response(status=self.answer)
        self.bodies.append(_unpacked(body))
        async with self._came:
            self.spans += decode(self.bodies[-1])
            self._came.notify_all()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    async def until(
        self, holds: Callable[[Sequence[CollectedSpan]], bool], seconds: float = PATIENCE
    ) -> list[CollectedSpan]:
        """Wait until `holds` is true of all spans, and return them; AssertionError with their names if not."""
        async with self._came:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._came.wait_for(lambda: holds(self.spans))
        if not holds(self.spans):
            names = sorted(f"{span.service}: {span.name}" for span in self.spans)
            raise AssertionError(f"not within {seconds:g} s; {len(names)} spans:\n" + "\n".join(names))
        return list(self.spans)

    async def trace(
        self,
        correlation_id: str,
        *,
        until: Callable[[Sequence[CollectedSpan]], bool],
        seconds: float = PATIENCE,
    ) -> list[CollectedSpan]:
        """Wait until `until` is true of the spans of one trace, and return them; AssertionError as `until`."""
        await self.until(lambda spans: until(trace_of(spans, correlation_id)), seconds)
        return trace_of(self.spans, correlation_id)


def _unpacked(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def trace_of(spans: Iterable[CollectedSpan], correlation_id: str) -> list[CollectedSpan]:
    """Return the spans of a correlation id's trace, by the time of their beginning."""
    wanted = trace_id_of(correlation_id)
    return sorted((span for span in spans if span.trace_id == wanted), key=lambda span: span.start)


def roots(trace: Sequence[CollectedSpan]) -> list[CollectedSpan]:
    """Return the spans whose parent is not in the trace: one that is whole has one, without a parent."""
    known = {span.span_id for span in trace}
    return [span for span in trace if span.parent_id not in known]


def drawing(trace: Sequence[CollectedSpan]) -> str:
    """Return the trace as an indented tree, with durations in ms: for people, and for messages of tests."""
    children: dict[str, list[CollectedSpan]] = {}
    for span in trace:
        children.setdefault(span.parent_id, []).append(span)
    lines: list[str] = []

    def draw(span: CollectedSpan, depth: int) -> None:
        took = (span.end - span.start) / 1e6
        lines.append(f"{'  ' * depth}{span.service}: {span.name} ({span.kind}, {took:.1f} ms)")
        for child in children.get(span.span_id, []):
            draw(child, depth + 1)

    for root in roots(trace):
        draw(root, 0)
    return "\n".join(lines)
