"""Counters and histograms as the event loop moves them: plain numbers, shown by prometheus-client.

Its own classes take a lock for each step, and walk all buckets. One loop moves these and reads them, so no lock is
needed; a tick's way through the services costs half as much to count.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar

from .catalogue import LATENCY

Trace = dict[str, str]
"""Labels of an exemplar, such as `trace_id`."""

_BOUNDS: Final = (*(str(bound) for bound in LATENCY), "+Inf")


class Count:
    """A counter with its labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Count; never less than nothing."""
        self.value += amount

    def show(self, family: CounterMetricFamily, labels: Sequence[str]) -> None:
        """Add the sample to its family."""
        family.add_metric(labels, self.value)


class Times:
    """A histogram of seconds with its labels; of each bucket the last exemplar is kept."""

    __slots__ = ("_counts", "_exemplars", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)
        self._exemplars: dict[int, Exemplar] = {}
        self._sum = 0.0

    def observe(self, seconds: float, trace: Trace | None = None) -> None:
        """Take note of a duration, and of the trace that it was measured in, if there is one."""
        bucket = bisect_left(LATENCY, seconds)
        self._counts[bucket] += 1
        self._sum += seconds
        if trace is not None:
            self._exemplars[bucket] = Exemplar(trace, seconds)

    def show(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add the samples to their family."""
        seen, buckets = 0, []
        for bucket, (bound, count) in enumerate(zip(_BOUNDS, self._counts, strict=True)):
            seen += count
            exemplar = self._exemplars.get(bucket)
            buckets.append((bound, seen) if exemplar is None else (bound, seen, exemplar))
        family.add_metric(labels, buckets, self._sum)
