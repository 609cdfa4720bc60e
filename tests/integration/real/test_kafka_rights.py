"""The services themselves, each under its role's user on a broker that lets nobody do what no rule allows: they trade."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.kafka.acl import Rights, all_roles
from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.compose.control_room import ControlRoom
from alpha_panda.compose.dead_letter_office import DeadLetterOffice
from alpha_panda.compose.embedded import EmbeddedRun, Member, RunOptions
from alpha_panda.compose.explain_live import Asked, OrderSearch
from alpha_panda.compose.overview import Overlook
from alpha_panda.compose.ports import memory_ports
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.manifests import load_manifests
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.topics import TopicMap, TopicSpec, dlq
from alpha_panda.domain.story.model import Ending
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Outgoing, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.servers.kafka import KafkaServer
from integration.kit import RELIANCE, account, feed, strategy
from integration.real.kafka_kit import connection_to

PREFIX, INSTALLATION = "desk.", "ours"
FEED, ACCOUNT, STRATEGY = "demo", "paper", "momentum"
ROLES = all_roles(PREFIX, feed=FEED, account=ACCOUNT, strategy=STRATEGY, installation=INSTALLATION)
SECONDS = 60.0

OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Describe": 8, "DescribeConfigs": 10}
RESOURCES = {"topic": 2, "group": 3}
LITERAL, ALLOW = 3, 3
"""As the protocol counts them."""

BRISK = Settings(
    topic_prefix=PREFIX,
    installation=INSTALLATION,
    kafka_replication_factor=1,
    lease_renew_seconds=0.2,
    status_interval_seconds=0.2,
    control_renew_seconds=0.2,
    tracker_interval_seconds=0.2,
    drain_quiet_seconds=0.1,
)


def user(role: str) -> str:
    return role.replace("-", "")


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    refusing = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # who comes without a login: this test, and the broker itself
    }
    with KafkaServer(users={user(role): "bamboo" for role in (*ROLES, "one")}, settings=refusing) as server:
        yield server


async def allow(server: KafkaServer, name: str, rights: Rights) -> None:
    """Give the user exactly these rights."""
    client = AIOKafkaClient(bootstrap_servers=server.bootstrap_servers)
    await client.bootstrap()
    try:
        node = client.get_random_node()
        principal = f"User:{name}"
        await client.send(node, DeleteAclsRequest(1, None, 1, principal, None, 1, 1))
        for operations, kind, names in rights.grants:
            for operation in operations:
                for each in names:
                    code = OPERATIONS[operation]
                    rule = CreateAclsRequest(RESOURCES[kind], each, LITERAL, principal, "*", code, ALLOW)
                    (answer,) = (await client.send(node, rule)).creation_responses
                    assert for_code(answer[0]) is NoError, answer
    finally:
        await client.close()


def bus_of(server: KafkaServer, name: str) -> KafkaBus:
    login: dict[str, Any] = {"username": name, "password": "bamboo", "sasl_mechanism": "PLAIN"}
    return KafkaBus(
        connection_to(
            server.sasl_bootstrap_servers,
            security_protocol="SASL_PLAINTEXT",
            replication_factor=1,
            **login,
        )
    )


@asynccontextmanager
async def ports_of(role: str, server: KafkaServer, base: Ports) -> AsyncIterator[Ports]:
    await allow(server, user(role), ROLES[role])
    async with bus_of(server, user(role)) as bus:
        yield replace(base, bus=bus)


async def test_every_service_does_all_that_it_does(server: KafkaServer, tmp_path: Path) -> None:
    script = {"20": ["BUY", "2"], "40": ["BUY", "1", {"order_type": "LIMIT", "limit_price": "1"}]}
    recorder = strategy(
        STRATEGY,
        **{"class": "integration.kit:Recorder"},
        instruments=[RELIANCE],
        parameters={"label": "rights", "script": script},
    )
    source = {"simulated": {"seed": 1, "ticksPerSecond": 50}}
    file = tmp_path / "manifests.yaml"
    documents = [feed(FEED, source=source, calendar="24/7"), account(ACCOUNT), recorder]
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    manifests = load_manifests([file])
    base = memory_ports(manifests, BRISK, RealClock())[1]
    async with AsyncExitStack() as stack:
        ports = {role: await stack.enter_async_context(ports_of(role, server, base)) for role in ROLES}
        everything = await stack.enter_async_context(
            KafkaBus(connection_to(server.bootstrap_servers, replication_factor=1))
        )

        def wire(member: Member, given: Ports) -> Ports:
            own = ports[member.definition.name]
            return replace(own, ids=given.ids, source=given.source, traders=given.traders)

        run = EmbeddedRun(manifests, BRISK, RunOptions(), wire=wire, transports=replace(base, bus=everything))
        running = asyncio.create_task(run.run())
        ready = asyncio.create_task(run.supervisor.wait_ready())
        await asyncio.wait({running, ready}, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), "the services were not ready"
        await the_person(ports["person"], base)
        run.request_stop()
        summary = await asyncio.wait_for(running, SECONDS)
    assert (summary.orders.filled, summary.orders.cancelled, summary.dlq) == (1, 1, 0)


async def the_person(ports: Ports, base: Ports) -> None:
    """Halt and resume every scope when the order rests; explain it, see how all stands; look at dead letters."""
    async with asyncio.timeout(SECONDS):
        while not (resting := await base.journal(ACCOUNT).resting()):  # noqa: ASYNC110 - an order in other processes makes it true
            await asyncio.sleep(0.05)
    asked = Asked(words=resting[0].signal_id, records=100_000, seconds=SECONDS)
    story = await OrderSearch(ports, BRISK).story(asked)
    assert story.tick is not None
    assert story.tick.price is not None
    assert (story.ending, story.notes, story.missing) == (Ending.RESTING, (), ())
    facts = await Overlook(ports, BRISK).facts()
    assert (facts.problems, facts.accounts, facts.feeds) == ((), [ACCOUNT], [FEED])
    assert {lag.group.removeprefix(PREFIX) for lag in facts.lags} >= {
        f"{ACCOUNT}.engine",
        f"{FEED}.feed-cacher",
    }
    room = ControlRoom(ports, BRISK, "somebody")
    for scope in (account_scope(ACCOUNT), strategy_scope(STRATEGY), PLATFORM):
        (halt,) = await room.halt([scope], TradingState.HALTED, "a test")
        assert halt.complete, halt.problems
        async with asyncio.timeout(SECONDS):
            while await base.journal(ACCOUNT).resting():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        assert (await room.resume(scope, [halt.latch.latch_id], "done")).reading.latches == ()
    office = DeadLetterOffice(ports, BRISK, "somebody")
    queues = await office.topics([ACCOUNT])
    assert queues
    for queue in queues:
        assert (await office.overview(queue)).end == 0


async def test_a_denial_would_be_seen(server: KafkaServer) -> None:
    """What the test above rests on: each kind of right, and the broker without it."""
    topic = TopicSpec("desk.kinds", 1)
    name = frozenset({topic.name})
    whole = Rights(
        ensures=name,
        reads=name,
        writes=name,
        purges=name,
        groups=frozenset({"desk.group"}),
        watches=frozenset({"desk.other"}),
    )
    await allow(server, "one", whole)
    await everything_that_is_done(server, topic)
    for less in ("ensures", "reads", "writes", "purges", "groups", "watches"):
        await allow(server, "one", replace(whole, **{less: frozenset()}))
        fresh = replace(topic, name="desk.fresh") if less == "ensures" else topic
        with pytest.raises(DependencyUnavailableError, match=r"(?i)authoriz"):
            await everything_that_is_done(server, fresh)


async def everything_that_is_done(server: KafkaServer, topic: TopicSpec) -> None:
    partition = TopicPartition(topic.name, 0)
    async with bus_of(server, "one") as bus:
        await bus.ensure_topics([topic])
        async with bus.producer("p") as producer:
            await producer.send([Outgoing(topic.name, b"x")])
        async with bus.consumer(Subscription("desk.group", topics=(topic.name,))) as consumer:
            records = await consumer.fetch(10, timeout=5)
            if not records:  # the client says nothing of a topic that it may not read
                raise DependencyUnavailableError("kafka", "not authorized to read, it seems")
            await consumer.commit({partition: records[-1].offset + 1})
        await bus.delete_records(partition, -1)
        async with bus.consumer(Subscription("desk.other", partitions=(partition,))) as onlooker:
            assert await onlooker.committed(partition) is None


def test_the_rights_hold_the_dead_letters_of_what_is_consumed() -> None:
    topics = TopicMap(ACCOUNT, PREFIX)
    assert dlq(topics.signals_validated) in ROLES["engine"].writes
    assert dlq(topics.signals_raw) in ROLES["risk"].writes
