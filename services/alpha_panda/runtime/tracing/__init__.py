"""Spans of what a signal causes, from its tick to the position: `docs/tracing.md` says what is traced and why.

`tracing` is what services see, and costs nothing where nothing is traced. `otel` (the SDK) is imported by whoever makes
a tracing of it, never by a service. No span is made per tick.
"""
