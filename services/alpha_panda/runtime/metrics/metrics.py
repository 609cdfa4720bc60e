"""The figures of one process: counters and histograms that are moved, gauges that are read when somebody asks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from alpha_panda import __version__
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import MisuseError

from .catalogue import BUILD_INFO, CATALOGUE, ERRORS, Kind, Merge, Spec
from .values import Count, Times, Trace

log = structlog.get_logger()

V = TypeVar("V", Count, Times)
Series = dict[tuple[str, ...], V]
"""What of one metric there is, by the values of its labels."""


class Counter(Protocol):
    """Something that only grows."""

    def inc(self, amount: float = 1) -> None:
        """Count."""


class Timer(Protocol):
    """A distribution of durations."""

    def observe(self, seconds: float, trace: Trace | None = None) -> None:
        """Take note of a duration."""


class Reading(NamedTuple):
    """A gauge's value now; `values` of the labels in the order of the spec."""

    spec: Spec
    values: tuple[str, ...]
    value: float


Reader = Callable[[], Iterable[Reading]]
"""Reads gauges from what is in memory: called at each scrape, on the services' event loop. It must not wait."""

_MERGES: Final[Mapping[Merge, Callable[[Iterable[float]], float]]] = {
    Merge.SUM: sum,
    Merge.MIN: min,
    Merge.MAX: max,
    Merge.WIDEST: lambda values: max(values, key=abs),
}


def seconds_between(begun: int, ended: int) -> float:
    """Return the time between two moments in ns as seconds; never negative, for the clocks of two machines differ."""
    return max(0, ended - begun) / SECOND_NS


class _Nothing:
    """What is neither counted nor timed."""

    def inc(self, amount: float = 1) -> None:
        """Count nothing."""

    def observe(self, seconds: float, trace: Trace | None = None) -> None:
        """Take note of nothing."""


class Metrics:
    """The figures of all services of a process. To be used on one event loop, and nowhere else.

    Args:
        on: with False nothing is counted: what the cost of counting is measured against.

    """

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self._counters: dict[Spec, Series[Count]] = _series(Kind.COUNTER)
        self._timers: dict[Spec, Series[Times]] = _series(Kind.HISTOGRAM)
        self._readers: list[Reader] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Shown(self._collect))
        self._failed = self.counter(ERRORS, service="metrics", reason=Code.INTERNAL_ERROR.value)

    # ------------------------------------------------------------------------------------------- for services

    def counter(self, spec: Spec, **labels: str) -> Counter:
        """Return the counter with these labels, at 0 if it is new. Bind it once, not where it is counted.

        A counter that is there from the start shows its first step: Prometheus sees no increase in one that begins at 1.
        """
        return _bound(self._counters, spec, labels, Count) if self.on else _Nothing()

    def timer(self, spec: Spec, **labels: str) -> Timer:
        """Return the histogram with these labels. Bind it once."""
        return _bound(self._timers, spec, labels, Times) if self.on else _Nothing()

    def at_scrape(self, reader: Reader) -> None:
        """Read these gauges at each scrape from now on, until `forget`."""
        self._readers.append(reader)

    def forget(self, reader: Reader) -> None:
        """Read them no more: what they tell of has ended."""
        if reader in self._readers:
            self._readers.remove(reader)

    # ------------------------------------------------------------------------------------------- for scrapers

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all figures and their content type: OpenMetrics, which has exemplars, if `accept` names it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _collect(self) -> Iterator[Metric]:
        gauges = self._read()  # first: a reader that fails is counted
        for spec, counts in self._counters.items():
            counter = CounterMetricFamily(spec.name.removesuffix("_total"), spec.help, labels=spec.labels)
            for values, count in counts.items():
                count.show(counter, values)
            yield counter
        for spec, times in self._timers.items():
            timer = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
            for values, one in times.items():
                one.show(timer, values)
            yield timer
        for spec, rows in gauges.items():
            gauge = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
            for values, told in rows.items():
                gauge.add_metric(values, _MERGES[spec.merge](told))
            yield gauge

    def _read(self) -> dict[Spec, dict[tuple[str, ...], list[float]]]:
        found: dict[Spec, dict[tuple[str, ...], list[float]]] = {BUILD_INFO: {(__version__,): [1]}}
        for reader in tuple(self._readers):
            try:
                for spec, values, value in reader():
                    found.setdefault(spec, {}).setdefault(values, []).append(value)
            except Exception:
                self._failed.inc()
                log.exception("figures not read")
        return found


def _series(kind: Kind) -> dict[Spec, Series[V]]:
    return {spec: {} for spec in CATALOGUE if spec.kind is kind}


def _bound(
    families: Mapping[Spec, Series[V]], spec: Spec, labels: Mapping[str, str], make: Callable[[], V]
) -> V:
    if spec not in families or labels.keys() != set(spec.labels):
        raise MisuseError(f"{spec.name} is a {spec.kind} with the labels {', '.join(spec.labels)}")
    values = tuple(labels[name] for name in spec.labels)
    return families[spec].setdefault(values, make())


class _Shown(Collector):
    """As prometheus-client wants to ask."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()
