"""What is counted, timed and read, as a scraper sees it."""

from collections.abc import Iterator
from functools import partial

import pytest

from alpha_panda import __version__
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import MisuseError
from alpha_panda.runtime.metrics.catalogue import (
    BUILD_INFO,
    CLOCK_OFFSET,
    ERRORS,
    FEED_AGE,
    LAG,
    LATENCY,
    SERVICE_READY,
    TICK_TO_CACHE,
    TICKS_RECEIVED,
    Spec,
)
from alpha_panda.runtime.metrics.metrics import Metrics, Reading, seconds_between
from unit.runtime.metrics.scraped import Scraped

LABELS = {"service": "market-feed", "feed": "demo"}
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def test_a_bound_counter_is_there_at_0_before_anything_is_counted() -> None:
    metrics = Metrics()
    counter = metrics.counter(TICKS_RECEIVED, **LABELS)
    assert Scraped.of(metrics).value(TICKS_RECEIVED, **LABELS) == 0
    counter.inc(500)
    metrics.counter(TICKS_RECEIVED, **LABELS).inc(2)
    assert Scraped.of(metrics).value(TICKS_RECEIVED, **LABELS) == 502


def test_a_histogram_has_the_buckets_of_all_latencies() -> None:
    metrics = Metrics()
    metrics.timer(TICK_TO_CACHE, feed="demo").observe(0.003)
    scraped = Scraped.of(metrics)
    bucket = f"{TICK_TO_CACHE.name}_bucket"
    bounds = {dict(labels)["le"] for name, labels in scraped.samples if name == bucket}
    assert {float(bound) for bound in bounds} == {*LATENCY, float("inf")}
    assert scraped.value(bucket, feed="demo", le="0.0025") == 0
    assert scraped.value(bucket, feed="demo", le="0.005") == 1
    assert scraped.value(f"{TICK_TO_CACHE.name}_sum", feed="demo") == 0.003


def test_each_bucket_counts_all_that_was_at_most_as_long() -> None:
    metrics = Metrics()
    timer = metrics.timer(TICK_TO_CACHE, feed="demo")
    for seconds in (0.0, 0.0001, 0.003, 0.2, 10.0, 60.0):
        timer.observe(seconds)
    scraped = Scraped.of(metrics)
    bucket = f"{TICK_TO_CACHE.name}_bucket"
    counts = [
        scraped.value(bucket, feed="demo", le=bound) for bound in ("0.0001", "0.005", "0.25", "10.0", "+Inf")
    ]
    assert counts == [2, 3, 4, 5, 6]
    assert scraped.count(TICK_TO_CACHE, feed="demo") == 6


@pytest.mark.parametrize("labels", [{}, {"feed": "demo"}, {**LABELS, "account": "paper"}])
def test_other_labels_than_the_catalogues_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(MisuseError, match="ticks_received_total is a counter with the labels service, feed"):
        Metrics().counter(TICKS_RECEIVED, **labels)


def test_a_counter_is_no_histogram() -> None:
    with pytest.raises(MisuseError, match="is a counter"):
        Metrics().timer(TICKS_RECEIVED, **LABELS)


def test_a_gauge_is_read_at_each_scrape_until_it_is_forgotten() -> None:
    metrics, ages = Metrics(), [1.0, 2.0]

    def read() -> Iterator[Reading]:
        yield Reading(FEED_AGE, ("demo",), ages.pop(0))

    metrics.at_scrape(read)
    assert Scraped.of(metrics).value(FEED_AGE, feed="demo") == 1
    assert Scraped.of(metrics).value(FEED_AGE, feed="demo") == 2
    metrics.forget(read)
    metrics.forget(read)
    assert Scraped.of(metrics).value(FEED_AGE, feed="demo") is None


@pytest.mark.parametrize(
    ("spec", "values", "shown"),
    [
        (LAG, (3, 4), 7),  # replicas share what there is to do
        (SERVICE_READY, (1, 0), 0),  # ready only together
        (FEED_AGE, (3, 4), 4),  # the worst
        (CLOCK_OFFSET, (0.1, -0.5), -0.5),  # furthest off, whichever way
    ],
)
def test_what_several_services_of_a_process_tell_is_one_sample(
    spec: Spec, values: tuple[float, float], shown: float
) -> None:
    labels = tuple(f"x{index}" for index, _ in enumerate(spec.labels))
    metrics = Metrics()
    for value in values:
        metrics.at_scrape(partial(iter, [Reading(spec, labels, value)]))
    assert Scraped.of(metrics).value(spec, **dict(zip(spec.labels, labels, strict=True))) == shown


def test_a_reader_that_fails_takes_no_other_along_and_is_counted() -> None:
    metrics = Metrics()

    def broken() -> Iterator[Reading]:
        raise ZeroDivisionError
        yield

    metrics.at_scrape(broken)
    metrics.at_scrape(lambda: [Reading(FEED_AGE, ("demo",), 1)])
    scraped = Scraped.of(metrics)
    assert scraped.value(FEED_AGE, feed="demo") == 1
    assert scraped.value(ERRORS, service="metrics", reason="INTERNAL_ERROR") == 1


def test_the_version_is_told() -> None:
    assert Scraped.of(Metrics()).value(BUILD_INFO, version=__version__) == 1


def test_no_series_says_when_it_was_made() -> None:
    metrics = Metrics()
    metrics.counter(TICKS_RECEIVED, **LABELS).inc()
    for accept in ("", OPEN_METRICS):
        assert b"_created" not in metrics.exposition(accept)[0]


def test_exemplars_travel_in_open_metrics_alone() -> None:
    metrics = Metrics()
    metrics.timer(TICK_TO_CACHE, feed="demo").observe(0.003, {"trace_id": "00ff"})
    plain, plain_type = metrics.exposition()
    opened, opened_type = metrics.exposition(OPEN_METRICS)
    assert plain_type.startswith("text/plain")
    assert opened_type.startswith("application/openmetrics-text")
    assert b"00ff" not in plain
    assert b'# {trace_id="00ff"} 0.003' in opened
    assert opened.endswith(b"# EOF\n")


def test_two_processes_worth_of_metrics_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.counter(TICKS_RECEIVED, **LABELS).inc()
    assert Scraped.of(second).value(TICKS_RECEIVED, **LABELS) is None


def test_switched_off_nothing_is_counted() -> None:
    metrics = Metrics(on=False)
    metrics.counter(TICKS_RECEIVED, **LABELS).inc(5)
    metrics.timer(TICK_TO_CACHE, feed="demo").observe(1)
    assert Scraped.of(metrics).told() == {BUILD_INFO.name}


def test_a_time_before_its_beginning_is_none() -> None:
    assert seconds_between(SECOND_NS, 3 * SECOND_NS) == 2
    assert seconds_between(3 * SECOND_NS, SECOND_NS) == 0
