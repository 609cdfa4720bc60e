"""Trace context on the wire: W3C `traceparent` in record headers, and the ids that follow from a correlation id.

The trace of all that a signal causes has the 128 bits of its correlation id, so that logs, events and traces share one
id, nothing needs to be stored, and a signal that is sent again after a crash goes on in its trace. The root span's id
follows from it too: who meets a record without a header still knows whose child it is.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

HEADER: Final = "traceparent"

_SPAN_BITS: Final = 64
_KNOWN: Final = 1024  # correlation ids whose roots are remembered: each is asked for at every hop
_SAMPLED: Final = 0x01
_FORM: Final = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)


class TraceContext(NamedTuple):
    """A span, as whoever follows it needs to know it; neither id is 0."""

    trace_id: int
    span_id: int
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The header's value."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{_SAMPLED if self.sampled else 0:02x}"

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Headers of a record that continues the trace."""
        return ((HEADER, self.traceparent.encode()),)


def context_of(headers: Iterable[tuple[str, bytes]]) -> TraceContext | None:
    """Return what the headers say; None where they say nothing, or nothing that can be read. Never raises."""
    for name, value in headers:
        if name == HEADER:
            return _parsed(value)
    return None


def _parsed(value: bytes) -> TraceContext | None:
    found = _FORM.fullmatch(value)
    if found is None or (found["version"] == b"00" and found["rest"]):
        return None
    trace_id, span_id = int(found["trace"], 16), int(found["span"], 16)
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, bool(int(found["flags"], 16) & _SAMPLED))


def trace_id_of(correlation_id: str) -> str | None:
    """Return the trace's id as 32 hex digits; None where the correlation id has no 128 bits (an external order's)."""
    try:
        found = UUID(correlation_id)
    except ValueError:
        return None
    return found.hex if found.int else None


@lru_cache(_KNOWN)
def root_of(correlation_id: str) -> TraceContext | None:
    """Return the root span of the correlation id's trace; None as `trace_id_of`."""
    trace_id = trace_id_of(correlation_id)
    if trace_id is None:
        return None
    number = int(trace_id, 16)
    return TraceContext(number, number & ((1 << _SPAN_BITS) - 1) or 1)
