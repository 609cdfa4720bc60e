"""Traces of whole runs: every hop in its place, links where batches meet, and not a byte of the events is another."""

import asyncio
import json
import sys
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from subprocess import run as run_process
from typing import Any

import pytest

from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import EntryState, EventType, OrderType, Side
from alpha_panda.contracts.events import OrderUpdate, Tick
from alpha_panda.contracts.stored import Outcome
from alpha_panda.contracts.traceparent import context_of, root_of
from alpha_panda.runtime.tracing.tracing import NO_TRACING
from alpha_panda.sdk import Strategy
from alpha_panda.testing.otlp import CollectedSpan, Collector, drawing, roots
from alpha_panda.testing.pipeline import Pipeline
from alpha_panda.testing.spans import Spans
from alpha_panda.testing.taps import Harm
from integration.command import alpha_panda, command, environment
from integration.kit import RELIANCE, TCS, account, manifests, strategy
from integration.test_determinism import run, write_manifests

TICKS = "demo.market.ticks"
RAW, VALIDATED, REJECTED = "paper.signals.raw", "paper.signals.validated", "paper.signals.rejected"
SUBMITTED, FILLED, FAILED = "paper.orders.submitted", "paper.orders.filled", "paper.orders.failed"

TO_RISK = [
    ("strategy", f"send {TICKS}", ""),
    ("strategy", f"process {TICKS}", f"send {TICKS}"),
    ("strategy", "store checkpoint", f"process {TICKS}"),
    ("strategy", f"send {RAW}", f"process {TICKS}"),
    ("risk", f"process {RAW}", f"send {RAW}"),
]
TO_ENGINE = [
    *TO_RISK,
    ("risk", "record decision", f"process {RAW}"),
    ("risk", f"send {VALIDATED}", f"process {RAW}"),
    ("engine", f"process {VALIDATED}", f"send {VALIDATED}"),
    ("engine", "prepare", f"process {VALIDATED}"),
]
TO_BROKER = [
    *TO_ENGINE,
    ("engine", "BEGIN", f"process {VALIDATED}"),
    ("engine", "place order", f"process {VALIDATED}"),
    ("engine", "settle", f"process {VALIDATED}"),
]


def told(
    topic: str, service: str = "engine", parent: str = f"process {VALIDATED}"
) -> list[tuple[str, str, str]]:
    """The hops by which an order event reaches the book and the strategy."""
    return [
        (service, f"send {topic}", parent),
        ("risk", f"process {topic}", f"send {topic}"),
        ("strategy", f"process {topic}", f"send {topic}"),
    ]


def hops(trace: Sequence[CollectedSpan]) -> list[tuple[str, str, str]]:
    """Return service, name and parent's name of each span."""
    names = {span.span_id: span.name for span in trace}
    return sorted((span.service, span.name, names.get(span.parent_id, "")) for span in trace)


def named(trace: Sequence[CollectedSpan], name: str, service: str = "") -> CollectedSpan:
    found = [span for span in trace if span.name == name and service in ("", span.service)]
    assert len(found) == 1, drawing(trace)
    return found[0]


class Buyer(Strategy):
    """Buys two instruments at its second tick; sells what it has bought when it hears of it."""

    def on_start(self) -> None:
        self.seen = 0

    def on_tick(self, tick: Tick) -> None:
        self.seen += 1
        if self.seen == 2:
            for token in (738561, 2953217):
                self.buy(token, 5)

    def on_order(self, order: OrderUpdate) -> None:
        if order.side is Side.BUY and order.status.terminal and order.instrument_token == 738561:
            self.sell(order.instrument_token, 5)

    def snapshot(self) -> object:
        return self.seen

    def restore(self, state: object) -> None:
        self.seen = state  # type: ignore[assignment]


def scripted(**script: list[Any]) -> list[dict[str, Any]]:
    """One strategy that acts at its n-th tick (`_2`)."""
    parameters = {"label": "traces", "script": {name[1:]: step for name, step in script.items()}}
    return manifests(strategy=strategy(**{"class": "integration.kit:Recorder"}, parameters=parameters))


BUY = scripted(_2=["BUY", "2"])


def sent(pipeline: Pipeline) -> list[str]:
    return [event.correlation_id for event in pipeline.events(RAW)]


async def test_a_filled_order_is_one_trace_from_its_tick_to_the_position() -> None:
    spans = Spans()
    async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        await pipeline.tick(RELIANCE, 2501.0)
        (signal,) = sent(pipeline)
        order = pipeline.events(EventType.ORDER_FILLED)[0].data
        assert isinstance(order, OrderUpdate)
    trace = spans.trace(signal)
    assert hops(trace) == sorted([*TO_BROKER, *told(FILLED)]), drawing(trace)
    root = root_of(signal)
    assert root is not None
    first = named(trace, f"send {TICKS}")
    assert (first.span_id, first.parent_id) == (f"{root.span_id:016x}", "")
    assert first.attributes["alphapanda.cause"] == f"{TICKS}/3/1#738561:2"
    assert first.attributes["alphapanda.made_afterwards"] is True
    assert first.links == ()  # its batch was not among a traced share
    decided = named(trace, f"process {RAW}")
    assert decided.attributes["alphapanda.outcome"] == "VALIDATED"
    assert decided.attributes["messaging.consumer.group.name"] == "paper.risk"
    engine = named(trace, f"process {VALIDATED}")
    assert engine.attributes["alphapanda.outcome"] == "FILLED"
    assert engine.attributes["alphapanda.filled_quantity"] == "2"
    assert named(trace, "BEGIN").attributes["alphapanda.outcome"] == "GO"
    assert named(trace, "place order").attributes["alphapanda.outcome"] == "FILLED"
    book = named(trace, f"process {FILLED}", "risk")
    assert book.attributes["alphapanda.position"] == "2"
    assert book.attributes["alphapanda.order_id"] == order.order_id
    for span in trace:
        if span.kind in {"producer", "consumer"}:
            assert span.attributes["messaging.system"] == "memory"
            assert span.attributes["messaging.operation.type"] in {"send", "process"}
        assert span.end >= span.start
        assert span.error is None
    kinds = {span.name.split()[0]: span.kind for span in trace}
    assert kinds == {
        "send": "producer",
        "process": "consumer",
        "store": "client",
        "record": "client",
        "BEGIN": "client",
        "place": "client",
        "settle": "client",
        "prepare": "internal",
    }


async def test_the_records_carry_the_trace_and_the_events_do_not() -> None:
    spans = Spans()
    async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        await pipeline.tick(RELIANCE, 2501.0)
        carried = {
            record.topic: context_of(record.headers)
            for record in pipeline.records
            if record.topic in {RAW, VALIDATED, FILLED}
        }
        ticks = [record for record in pipeline.records if record.topic == TICKS]
        (signal,) = sent(pipeline)
    senders = {f"{span.span_id}" for span in spans.trace(signal) if span.kind == "producer"}
    assert len(carried) == 3
    assert {f"{context.span_id:016x}" for context in carried.values() if context} < senders
    assert all(record.headers == () for record in ticks)


async def test_the_position_is_published_with_links_to_what_moved_it() -> None:
    spans = Spans()
    async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        await pipeline.tick(RELIANCE, 2501.0)
        await pipeline.advance(3)
        (signal,) = sent(pipeline)
        books = pipeline.events(EventType.PORTFOLIO_SNAPSHOT)
    moved = named(spans.trace(signal), f"process {FILLED}", "risk")
    (published,) = [span for span in spans.all if span.name == "send paper.portfolio"]
    assert [link.span_id for link in published.links] == [moved.span_id]
    assert published.trace_id in {event.correlation_id.replace("-", "") for event in books}
    assert len(books) > 1  # those that no order has moved are not traced


async def test_a_resting_order_goes_on_in_its_trace_when_the_tracker_fills_it() -> None:
    spans = Spans()
    documents = scripted(_2=["BUY", "2", {"order_type": "LIMIT", "limit_price": "2400"}])
    async with Pipeline(documents, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        await pipeline.tick(RELIANCE, 2501.0)
        await pipeline.advance(2)
        await pipeline.tick(RELIANCE, 2399.0)
        await pipeline.advance(2)
        (signal,) = sent(pipeline)
    trace = spans.trace(signal)
    changed = (
        "order-tracker",
        "change resting order",
        f"send {TICKS}",
    )  # the journal keeps no parent: the root
    assert hops(trace) == sorted(
        [*TO_BROKER, *told(SUBMITTED), changed, *told(FILLED, "order-tracker", "change resting order")]
    ), drawing(trace)
    assert named(trace, "change resting order").attributes["alphapanda.outcome"] == "FILLED"


async def test_an_order_in_doubt_is_resolved_in_its_trace() -> None:
    spans = Spans()
    async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        pipeline.broker("paper").answers.append(Outcome(state=EntryState.UNKNOWN))
        await pipeline.tick(RELIANCE, 2501.0)
        await pipeline.advance(15)
        (signal,) = sent(pipeline)
    trace = spans.trace(signal)
    assert named(trace, "place order").attributes["alphapanda.outcome"] == "UNKNOWN"
    resolved = named(trace, "resolve order")
    assert resolved.service == "order-tracker"
    assert resolved.attributes["alphapanda.code"] == "ORDER_LOST"
    assert hops(roots(trace)) == [("strategy", f"send {TICKS}", "")]
    assert set(hops(trace)) > set(told(FAILED, "order-tracker", "resolve order"))


async def test_a_rejection_ends_at_risk_and_reaches_the_strategy() -> None:
    spans = Spans()
    documents = [BUY[0], account(risk={"maxOrderQuantity": "1"}), *BUY[2:]]
    async with Pipeline(documents, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        await pipeline.tick(RELIANCE, 2501.0)
        (signal,) = sent(pipeline)
    trace = spans.trace(signal)
    assert hops(trace) == sorted(
        [
            *TO_RISK,
            ("risk", "record decision", f"process {RAW}"),
            ("risk", f"send {REJECTED}", f"process {RAW}"),
            ("strategy", f"process {REJECTED}", f"send {REJECTED}"),
        ]
    )
    decided = named(trace, f"process {RAW}")
    assert decided.attributes["alphapanda.code"] == "MAX_ORDER_QUANTITY"
    assert decided.attributes["alphapanda.outcome"] == "REJECTED"


async def test_a_lost_reply_shows_where_it_was_lost() -> None:
    spans = Spans()
    async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        pipeline.taps.plan("", "journal.begin", Harm.LOSE_REPLY)
        await pipeline.tick(RELIANCE, 2501.0)
        await pipeline.advance(15)
        (signal,) = sent(pipeline)
    trace = spans.trace(signal)
    assert named(trace, "BEGIN").attributes["error.type"] == "UnknownOutcomeError"
    assert "place order" not in {span.name for span in trace}
    assert len(roots(trace)) == 1


class TestWhereBatchesMeet:
    def documents(self) -> list[dict[str, Any]]:
        return manifests(
            strategy=strategy(**{"class": "integration.test_tracing:Buyer"}, instruments=[RELIANCE, TCS])
        )

    async def test_decisions_that_are_stored_together_are_linked_both_ways(self) -> None:
        spans = Spans()
        async with Pipeline(self.documents(), tracing=spans.tracing) as pipeline:
            await pipeline.tick(RELIANCE, 2500.0)
            await pipeline.ticks([(TCS, 3900.0), (RELIANCE, 2501.0)])
            first, second, *_ = sent(pipeline)
        (batch,) = [span for span in spans.all if span.name == "record decisions"]
        decided = [named(spans.trace(signal), f"process {RAW}") for signal in (first, second)]
        assert {link.span_id for link in batch.links} == {span.span_id for span in decided}
        assert [[link.span_id for link in span.links] for span in decided] == [[batch.span_id]] * 2
        assert batch.attributes["messaging.batch.message_count"] == 2
        assert batch.parent_id == ""

    async def test_what_an_order_causes_is_a_trace_of_its_own_linked_to_it(self) -> None:
        spans = Spans()
        async with Pipeline(self.documents(), tracing=spans.tracing) as pipeline:
            await pipeline.tick(RELIANCE, 2500.0)
            await pipeline.ticks([(TCS, 3900.0), (RELIANCE, 2501.0)])
            bought, _, sold = sent(pipeline)
        trace = spans.trace(sold)
        (root,) = roots(trace)
        assert (root.service, root.name, root.parent_id) == ("strategy", f"process {FILLED}", "")
        heard = named(spans.trace(bought), f"process {FILLED}", "strategy")
        assert [link.span_id for link in root.links] == [heard.span_id]
        assert f"send {TICKS}" not in {span.name for span in trace}
        assert ("engine", "place order", f"process {VALIDATED}") in hops(trace)

    async def test_a_share_of_the_ticks_is_traced_to_the_cache_and_linked_to_their_signal(self) -> None:
        spans = Spans(tick_share=1.0)
        async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
            await pipeline.tick(RELIANCE, 2500.0)
            await pipeline.tick(RELIANCE, 2501.0)
            (signal,) = sent(pipeline)
        published = [span for span in spans.all if span.service == "market-feed"]
        cached = [span for span in spans.all if span.service == "feed-cacher"]
        assert [span.name for span in published] == [f"send {TICKS}"] * 2
        assert [span.parent_id for span in cached] == [span.span_id for span in published]
        afterwards = named(spans.trace(signal), f"send {TICKS}")
        assert [link.span_id for link in afterwards.links] == [published[1].span_id]

    async def test_batches_that_are_cached_together_are_linked(self) -> None:
        spans = Spans(tick_share=1.0)
        async with Pipeline(manifests(), tracing=spans.tracing) as pipeline:
            await pipeline.kill("feed-cacher/demo", restart=False)
            await pipeline.tick(RELIANCE, 2500.0)
            await pipeline.tick(RELIANCE, 2501.0)
            spans_before = [span for span in spans.all if span.service == "market-feed"]
            await pipeline.revive("feed-cacher/demo")
        cached = [span for span in spans.all if span.service == "feed-cacher" and len(span.links) > 1]
        (one,) = cached
        assert {link.span_id for link in one.links} == {span.span_id for span in spans_before}
        assert one.parent_id == ""

    async def test_a_quarter_of_the_batches_is_a_quarter(self) -> None:
        spans = Spans(tick_share=0.25)
        async with Pipeline(manifests(), tracing=spans.tracing) as pipeline:
            for price in range(8):
                await pipeline.tick(RELIANCE, 2500.0 + price)
        assert len([span for span in spans.all if span.service == "market-feed"]) == 2


async def test_ticks_make_no_spans() -> None:
    spans = Spans()
    async with Pipeline(manifests(), tracing=spans.tracing) as pipeline:
        await pipeline.ticks([(RELIANCE, 2500.0 + n) for n in range(200)])
        await pipeline.advance(3)
    assert spans.all == []


@pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER])
async def test_a_signal_that_is_sent_again_after_a_crash_goes_on_in_its_trace(harm: Harm) -> None:
    spans = Spans()
    async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        pipeline.taps.plan("strategy/alpha", "producer.send", harm)
        await pipeline.tick(RELIANCE, 2501.0)
        await pipeline.advance(2)
        assert pipeline.taps.pending == 0
        signals = sent(pipeline)
        assert len(pipeline.events(EventType.ORDER_FILLED)) == 1
    assert len(set(signals)) == 1
    trace = spans.trace(signals[0])
    root = root_of(signals[0])
    assert root is not None
    assert {span.span_id for span in roots(trace)} == {f"{root.span_id:016x}"}, drawing(trace)
    resent = named(trace, "resend")
    assert resent.parent_id == f"{root.span_id:016x}"
    assert resent.attributes["alphapanda.resent"] is True
    assert named(trace, "place order").service == "engine"


async def test_a_signal_without_a_header_hangs_below_the_root_of_its_trace() -> None:
    spans = Spans()
    async with Pipeline(manifests(), tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
    trace = spans.trace(signal)
    root = root_of(signal)
    assert root is not None
    assert [(span.name, span.parent_id) for span in roots(trace)] == [
        (f"process {RAW}", f"{root.span_id:016x}")
    ]
    assert named(trace, "place order").attributes["alphapanda.outcome"] == "FILLED"


async def test_a_cancelling_is_traced_to_the_broker() -> None:
    spans = Spans()
    async with Pipeline(manifests(), tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        order = await pipeline.signal(
            "alpha", RELIANCE, Side.BUY, "1", order_type=OrderType.LIMIT, limit="2400"
        )
        request = await pipeline.cancel(order)
    trace = spans.trace(request)
    assert named(trace, "cancel order").attributes["alphapanda.outcome"] == "CANCELLED"
    told_of = named(spans.trace(order), "process paper.orders.cancelled", "risk")  # of the order it tells
    assert told_of.attributes["alphapanda.outcome"] == "CANCELLED"


async def test_latencies_lead_to_their_traces() -> None:
    spans = Spans(tick_share=1.0)
    async with Pipeline(BUY, tracing=spans.tracing) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        await pipeline.tick(RELIANCE, 2501.0)
        (signal,) = sent(pipeline)
        text = pipeline.run.metrics.exposition("application/openmetrics-text")[0].decode()
    wanted = f'# {{trace_id="{signal.replace("-", "")}"}}'
    for name in ("tick_to_signal", "signal_to_decision", "decision_to_call", "broker_call", "tick_to_order"):
        lines = [line for line in text.splitlines() if line.startswith(f"alphapanda_{name}_seconds_bucket")]
        assert any(wanted in line for line in lines), name
    assert "alphapanda_tick_to_cache_seconds_bucket" in text
    cached = [line for line in text.splitlines() if "tick_to_cache" in line and "trace_id" in line]
    assert len(cached) == 1


async def test_without_tracing_nothing_is_carried_or_kept() -> None:
    async with Pipeline(BUY) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0)
        await pipeline.tick(RELIANCE, 2501.0)
        assert len(sent(pipeline)) == 1
        assert all(record.headers == () for record in pipeline.records)
        text = pipeline.run.metrics.exposition("application/openmetrics-text")[0].decode()
        assert "trace_id" not in text


async def test_the_events_are_the_same_to_the_byte_with_tracing_on_and_off() -> None:
    files = []
    for tracing in (NO_TRACING, Spans(tick_share=1.0).tracing):
        file = BytesIO()
        async with Pipeline(BUY, events_file=file, tracing=tracing) as pipeline:
            await pipeline.tick(RELIANCE, 2500.0)
            await pipeline.tick(RELIANCE, 2501.0)
            await pipeline.advance(5)
        files.append(file.getvalue())
    assert files[0] == files[1]
    assert b"ORDER_FILLED" in files[0]


async def test_a_replay_traces_its_orders_and_repeats_to_the_byte(tmp_path: Path) -> None:
    """The command as a user starts it, to a collector and without one."""
    manifest, files = write_manifests(tmp_path), [tmp_path / f"{n}.jsonl" for n in range(2)]
    plain = run(manifest, files[0], seed=7, hash_seed=1)
    async with Collector() as collector:
        variables = {
            "ALPHAPANDA_OTLP_ENDPOINT": collector.endpoint,
            "ALPHAPANDA_OTLP_HEADERS": "x-key=bamboo",
            "ALPHAPANDA_TRACE_TICK_SHARE": "0.1",
            "PYTHONHASHSEED": "1",
        }
        traced = await traced_run(manifest, files[1], variables)
        signal = next(
            decode_event(line).correlation_id
            for line in files[1].read_bytes().splitlines()
            if b'"type":"ORDER_FILLED"' in line
        )
        trace = await collector.trace(signal, until=lambda spans: len(spans) > 10)
        assert collector.requests[0]["x-key"] == "bamboo"
    assert len(roots(trace)) == 1, drawing(trace)
    assert plain["orders"] == traced["orders"]
    assert files[0].read_bytes() == files[1].read_bytes()


async def traced_run(manifest: Path, events: Path, variables: dict[str, str]) -> dict[str, Any]:
    arguments = ("run", manifest, "--output", "json", "--seed", "7", "--events", events)
    done = await asyncio.to_thread(
        partial(alpha_panda, *arguments, "--max-ticks", "100000", timeout=60, **variables)
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_without_an_endpoint_the_sdk_is_not_imported(tmp_path: Path) -> None:
    manifest = write_manifests(tmp_path)
    code = (
        "import sys; from alpha_panda.cli.__main__ import main\n"
        "try: main()\n"
        "finally: print([name for name in sys.modules if name.startswith('opentelemetry')], file=sys.stderr)"
    )
    arguments = command("run", manifest, "--max-ticks", "300", "--output", "json")[3:]
    done = run_process(  # noqa: S603 - our own command
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
