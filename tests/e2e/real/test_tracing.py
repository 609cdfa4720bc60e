"""Processes over real Kafka and Redis, each with a password, a broker with a token, a collector with a key.

One order is one connected trace over all processes; and no secret is in anything that they let out, at the most
talkative level, in a run with faults.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio

from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.traceparent import root_of
from alpha_panda.ports import Outgoing, Record, Subscription
from alpha_panda.testing.broker import faults
from alpha_panda.testing.otlp import CollectedSpan, Collector, drawing, roots
from alpha_panda.testing.processes import manifests
from alpha_panda.testing.processes.platform import ALL, Platform
from alpha_panda.testing.processes.quick import as_environment
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from integration.command import alpha_panda

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

USER = "panda"
SECRETS = {
    "redis password": "Rd7-kQz2/vB+x9",
    "kafka password": "Kf3_wLm8.tYc5p",
    "collector's key": "Ot6~hNs4*gDj1u",
    "broker's token": "Br0-fXe9!aVo7i",
}


@dataclass(frozen=True, slots=True)
class Traced:
    platform: Platform
    collector: Collector
    redis: RedisServer


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaServer]:
    with KafkaServer(users={USER: SECRETS["kafka password"]}) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer(users={USER: f"on >{SECRETS['redis password']} ~* &* +@all"}) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(
    kafka: KafkaServer, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Traced]:
    async with Collector() as collector:
        settings = {
            **logins(kafka),
            "otlp_endpoint": collector.endpoint,
            "otlp_headers": "x-key=" + quote(SECRETS["collector's key"]),
            "otlp_interval_seconds": 0.2,
            "trace_tick_share": 0.2,
            "log_level": "DEBUG",
        }
        async with Platform(
            tmp_path_factory.mktemp("traced"),
            kafka.sasl_bootstrap_servers,
            redis.url,
            settings=settings,
            parts={"parameters": {"every": 5, "most": 1}},  # one signal of each instrument
            access_token=SECRETS["broker's token"],
        ) as platform:
            await platform.start("control", *(name for name in ALL if name != "strategy"))
            await platform.priced()
            await platform.start("strategy")
            yield Traced(platform, collector, redis)


def logins(kafka: KafkaServer) -> dict[str, str]:
    return {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": USER,
        "kafka_sasl_password": SECRETS["kafka password"],
        "redis_username": USER,
        "redis_password": SECRETS["redis password"],
    }


def hops(trace: Sequence[CollectedSpan]) -> set[tuple[str, str, str]]:
    names = {span.span_id: span.name for span in trace}
    return {(span.service, span.name, names.get(span.parent_id, "")) for span in trace}


def named(trace: Sequence[CollectedSpan], name: str, service: str = "") -> CollectedSpan:
    found = [span for span in trace if span.name == name and service in ("", span.service)]
    assert len(found) == 1, drawing(trace)
    return found[0]


def expected(topics: TopicMap, ticks: str) -> set[tuple[str, str, str]]:
    raw, validated = topics.signals_raw, topics.signals_validated
    placed, filled = topics.orders_submitted, topics.orders_filled
    return {
        ("strategy", f"send {ticks}", ""),
        ("strategy", f"process {ticks}", f"send {ticks}"),
        ("strategy", "store checkpoint", f"process {ticks}"),
        ("strategy", f"send {raw}", f"process {ticks}"),
        ("risk", f"process {raw}", f"send {raw}"),
        ("risk", f"send {validated}", f"process {raw}"),
        ("engine", f"process {validated}", f"send {validated}"),
        ("engine", "prepare", f"process {validated}"),
        ("engine", "BEGIN", f"process {validated}"),
        ("engine", "place order", f"process {validated}"),
        ("engine", "settle", f"process {validated}"),
        ("engine", f"send {placed}", f"process {validated}"),
        ("risk", f"process {placed}", f"send {placed}"),
        ("strategy", f"process {placed}", f"send {placed}"),
        ("order-tracker", "resolve order", f"send {ticks}"),  # found filled in the broker's book
        ("order-tracker", f"send {filled}", "resolve order"),
        ("risk", f"process {filled}", f"send {filled}"),
        ("strategy", f"process {filled}", f"send {filled}"),
    }


async def test_an_order_is_one_connected_trace_over_all_processes(traced: Traced) -> None:
    platform, collector = traced.platform, traced.collector
    own = set(manifests.SCRIPTED_TOKENS)

    def filled() -> list[str]:
        stories = platform.recorder.stories.items()
        return [signal for signal, story in stories if story.token in own and story.ends == {"FILLED"}]

    await platform.until(lambda: len(filled()) == len(own), "the strategy's orders are filled")
    for signal in filled():
        await the_trace_of(signal, platform, collector)


async def the_trace_of(signal: str, platform: Platform, collector: Collector) -> None:
    ticks = f"{platform.topics.prefix}{manifests.FEED}.market.ticks"
    wanted = expected(platform.topics, ticks)
    trace = await collector.trace(signal, until=lambda spans: hops(spans) >= wanted)
    storing = {("risk", "record decision", f"process {platform.topics.signals_raw}")}
    assert hops(trace) - storing == wanted, drawing(trace)
    (root,) = roots(trace)
    known = root_of(signal)
    assert known is not None
    assert (root.span_id, root.parent_id) == (f"{known.span_id:016x}", "")
    assert {span.trace_id for span in trace} == {signal.replace("-", "")}
    check_places(trace, platform, signal)
    # The decision was stored by itself, below it, or with others, linked.
    decided = named(trace, f"process {platform.topics.signals_raw}")
    if not storing <= hops(trace):
        (link,) = decided.links
        spans = await collector.until(lambda spans: any(span.span_id == link.span_id for span in spans))
        (batch,) = [span for span in spans if span.span_id == link.span_id]
        assert batch.name == "record decisions"
        assert decided.span_id in {one.span_id for one in batch.links}
    # Nothing began before what caused it was there. All processes share this machine's clock.
    by_id = {span.span_id: span for span in trace}
    for span in trace:
        parent = by_id.get(span.parent_id)
        assert parent is None or span.start >= parent.start, drawing(trace)
        assert span.end >= span.start


def check_places(trace: Sequence[CollectedSpan], platform: Platform, signal: str) -> None:
    """The attributes: where in Kafka, who, and what became of it."""
    for span in trace:
        attributes = span.attributes
        assert span.error is None
        if span.kind in {"producer", "consumer"}:
            assert attributes["messaging.system"] == "kafka"
            assert attributes["messaging.destination.name"] == span.name.split()[1]
        if span.kind == "consumer":
            assert attributes["messaging.kafka.offset"] >= 0
            assert attributes["messaging.destination.partition.id"].isdigit()
            assert attributes["messaging.consumer.group.name"].startswith(platform.topics.prefix)
            assert attributes["alphapanda.signal_id"] == signal
            assert attributes["alphapanda.account"] == manifests.ACCOUNT
            assert attributes["alphapanda.strategy"] == manifests.SCRIPTED
        assert span.resource["service.instance.id"].endswith(str(platform.children[span.service].pid))
    engine = named(trace, f"process {platform.topics.signals_validated}")
    assert engine.attributes["alphapanda.outcome"] == "PLACED"
    assert named(trace, "resolve order").attributes["alphapanda.outcome"] == "FILLED"
    assert named(trace, "BEGIN").attributes["alphapanda.outcome"] == "GO"
    book = named(trace, f"process {platform.topics.orders_filled}", "risk")
    assert book.attributes["alphapanda.position"] == "1"


async def test_an_order_in_doubt_is_resolved_in_its_trace(traced: Traced) -> None:
    platform = traced.platform
    platform.broker.core.plan(faults.drop_reply())
    signal = await platform.signal()
    await platform.outcomes([signal])
    topic = platform.topics.orders_filled
    wanted = {
        ("engine", "place order", f"process {platform.topics.signals_validated}"),
        (
            "order-tracker",
            "resolve order",
            "",
        ),  # the journal keeps no parent: it is the root, which nobody made
        ("order-tracker", f"send {topic}", "resolve order"),
        ("risk", f"process {topic}", f"send {topic}"),
    }
    trace = await traced.collector.trace(signal, until=lambda spans: hops(spans) >= wanted)
    assert named(trace, "place order").attributes["alphapanda.outcome"] == "UNKNOWN"
    root = root_of(signal)
    assert root is not None
    assert {span.parent_id for span in roots(trace)} == {f"{root.span_id:016x}"}


async def test_a_share_of_the_ticks_is_traced_from_feed_to_cache(traced: Traced) -> None:
    def met(spans: Sequence[CollectedSpan]) -> bool:
        sent = {span.span_id for span in spans if span.service == "market-feed"}
        cached = [span for span in spans if span.service == "feed-cacher"]
        return any(sent & {span.parent_id, *(link.span_id for link in span.links)} for span in cached)

    await traced.collector.until(met)


# ------------------------------------------------------------------------------------------------- secrets


def forms(secret: str) -> Iterator[bytes]:
    """A secret as it is, quoted for an address, and as the proof of SASL PLAIN or HTTP Basic has it."""
    yield secret.encode()
    yield quote(secret).encode()
    yield quote(secret, safe="").encode()
    yield base64.b64encode(secret.encode())
    yield base64.b64encode(f"{USER}:{secret}".encode())
    yield f"\\x00{USER}\\x00{secret}".encode()


def leaks(name: str, text: bytes) -> list[str]:
    """Return where which secret is, without showing it."""
    found = []
    for secret, value in SECRETS.items():
        for form in forms(value):
            line = text.partition(form)[0].count(b"\n") + 1
            found += [f"{secret} in {name}, line {line}"] if form in text else []
    return found


@pytest.mark.parametrize("secret", SECRETS)
async def test_a_leak_would_be_seen(secret: str) -> None:
    value = SECRETS[secret]
    assert set(leaks("x", b"line\n" + value.encode())) == {f"{secret} in x, line 2"}
    assert leaks("x", base64.b64encode(value.encode()))
    assert leaks("x", b"nothing") == []


async def test_no_secret_gets_out_of_a_run_with_faults(traced: Traced) -> None:
    """Logs, probes, statuses, every record of Kafka with its headers, dead letters, and what the collector got."""
    platform = traced.platform
    await trouble(traced)
    found = []
    for name in ALL:
        for path in ("/statusz", "/readyz", "/livez"):
            _, text = await platform.probe(name, path)
            assert text or path != "/statusz"
            found += leaks(f"{name}{path}", text.encode())
    statuses = msgspec.json.encode(await platform.ports.statuses.all())
    assert len(statuses) > 1000
    found += leaks("statuses", statuses)
    records = await everything(platform)
    assert any(record.topic.endswith(".dlq") for record in records)
    found += leaks("records", b"\n".join(whole(record) for record in records))
    assert len(traced.collector.bodies) > 10
    found += leaks("spans", b"\n".join(traced.collector.bodies))
    for name in ("control", *ALL):
        await platform.end(name)
        logged = platform.children[name].log.read_bytes()
        assert b'"level": "debug"' in logged, name
        found += leaks(f"{name}.log", logged)
    assert found == []


async def trouble(traced: Traced) -> None:
    """Make every part that holds a secret fail once, and tell of it."""
    platform, collector = traced.platform, traced.collector
    collector.answer = 401
    poison = Outgoing(platform.topics.signals_raw, b"no event", key="x")
    await platform.send(poison)
    platform.broker.access_token = "changed over night"  # noqa: S105 - nobody's
    refused = await platform.signal()
    await platform.outcomes([refused])
    platform.broker.access_token = SECRETS["broker's token"]
    lost = "spans lost"
    await platform.until(lambda: any(lost in line for line in platform.log("engine")), lost)
    collector.answer = 200
    await asyncio.to_thread(traced.redis.restart)  # who holds a lease ends with it, and starts again
    await platform.outcomes([await platform.signal(ttl=60)])
    for name in ALL:
        await platform.ready(name)
    await platform.until(lambda: bool(platform.recorder.dead_letters), "the poison is set aside")


async def everything(platform: Platform) -> list[Record]:
    """Return all records of the platform's topics."""
    bus = platform.ports.bus
    names = [name for name in await bus.topics() if name.startswith(platform.topics.prefix)]
    ends = {place: end for name in names for place, (_, end) in (await bus.offsets(name)).items() if end}
    records: list[Record] = []
    group = f"{platform.topics.prefix}scan"
    async with bus.consumer(Subscription(group, partitions=tuple(ends))) as consumer:
        async with asyncio.timeout(60):
            while any(consumer.position(place) < end for place, end in ends.items()):
                records += await consumer.fetch(500, 5.0)
    return records


def whole(record: Record) -> bytes:
    headers = b" ".join(name.encode() + value for name, value in record.headers)
    return b" ".join((record.topic.encode(), (record.key or "").encode(), headers, record.value))


async def test_no_secret_gets_out_of_an_embedded_run(
    kafka: KafkaServer, redis: RedisServer, tmp_path: Path
) -> None:
    """Its events file, its summary and its log."""
    manifest = manifests.write(tmp_path, parameters={"every": 20, "most": 1})
    events = tmp_path / "events.jsonl"
    async with Collector() as collector:
        fields = {
            **logins(kafka),
            "kafka_bootstrap_servers": kafka.sasl_bootstrap_servers,
            "redis_url": redis.url,
            "topic_prefix": "embedded.",
            "otlp_endpoint": collector.endpoint,
            "otlp_headers": "x-key=" + quote(SECRETS["collector's key"]),
            "log_level": "DEBUG",
        }
        arguments = ("run", manifest, "--duration", "8", "--events", events, "--output", "json")
        done = await asyncio.to_thread(alpha_panda, *arguments, timeout=120, **as_environment(fields))
        assert done.returncode == 0, done.stderr[-3000:]
        assert collector.requests[0]["x-key"] == SECRETS["collector's key"]
        spans = collector.bodies
    assert b'"ORDER_FILLED"' in events.read_bytes()
    assert b"place order" in b"".join(spans)
    assert len(done.stderr) > 1000
    parts = {
        "events": events.read_bytes(),
        "log": done.stderr.encode(),
        "summary": done.stdout.encode(),
        "spans": b"\n".join(spans),
    }
    assert [leak for name, text in parts.items() for leak in leaks(name, text)] == []
