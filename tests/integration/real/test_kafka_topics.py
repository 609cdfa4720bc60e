"""What a real cluster makes of the topics that services ask for, and what is found wrong with others' topics."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.contracts.topics import TopicMap, TopicSpec
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.kafka import KafkaServer
from integration.real.kafka_kit import SECONDS, connection_to


@pytest.fixture
def name() -> str:
    return f"terms-{RandomIds().new_id()}"


async def make(servers: str, topic: str, config: dict[str, str], replicas: int = 1) -> None:
    """Make a topic as somebody else would."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        await client.create_topics(
            [NewTopic(topic, num_partitions=1, replication_factor=replicas, topic_configs=config)]
        )
    finally:
        await client.close()


class TestOneBroker:
    async def test_it_works_without_configuration_and_says_what_it_risks(
        self, own_kafka_server: KafkaServer, name: str
    ) -> None:
        specs = TopicMap(name).specs(2)
        async with KafkaBus(connection_to(own_kafka_server.bootstrap_servers)) as bus:
            await bus.ensure_topics(specs)
            problems = await bus.topic_problems(specs)
        assert {problem.topic for problem in problems} == {spec.name for spec in specs}
        assert all("1 copy, on the one broker" in problem.problem for problem in problems)
        assert not any(problem.serious for problem in problems)

    async def test_a_factor_that_it_can_t_have_makes_nothing_and_is_named(
        self, own_kafka_server: KafkaServer, name: str
    ) -> None:
        servers = own_kafka_server.bootstrap_servers
        async with KafkaBus(connection_to(servers, replication_factor=3)) as bus:
            began = time.monotonic()
            with pytest.raises(DependencyUnavailableError, match="ALPHAPANDA_KAFKA_REPLICATION_FACTOR=1"):
                await bus.ensure_topics([TopicSpec(name, 1)])
            assert time.monotonic() - began < 2.0  # at once: who starts it tries again
            assert name not in await bus.topics()
            assert await bus.topic_problems([TopicSpec(name, 1)]) == []
        async with KafkaBus(connection_to(servers, replication_factor=1)) as bus:
            await bus.ensure_topics([TopicSpec(name, 1)])
            assert await bus.topic_problems([TopicSpec(name, 1)]) == []

    async def test_a_topic_that_exists_needs_no_other_broker(
        self, own_kafka_server: KafkaServer, name: str
    ) -> None:
        """Two of three are down: the services still start."""
        servers = own_kafka_server.bootstrap_servers
        await make(servers, name, {})
        async with KafkaBus(connection_to(servers, replication_factor=3)) as bus:
            await bus.ensure_topics([TopicSpec(name, 1)])

    async def test_the_settings_of_a_topic_are_read(self, own_kafka_server: KafkaServer, name: str) -> None:
        servers = own_kafka_server.bootstrap_servers
        bad = {"cleanup.policy": "delete", "min.insync.replicas": "2"}
        await make(servers, f"{name}.control", bad)
        await make(servers, f"{name}.events", {"retention.ms": "3600000", "retention.bytes": "1000"})
        specs = [TopicSpec(f"{name}.control", 1, compacted=True), TopicSpec(f"{name}.events", 1)]
        async with KafkaBus(connection_to(servers, replication_factor=1)) as bus:
            await bus.ensure_topics(specs)
            problems = await bus.topic_problems(specs)
        assert [
            (problem.topic, problem.problem.partition(":")[0], problem.serious) for problem in problems
        ] == [
            (f"{name}.control", "has cleanup.policy delete", True),
            (f"{name}.control", "has min.insync.replicas 2", True),
            (f"{name}.events", "has retention.ms 3600000", True),
            (f"{name}.events", "has retention.bytes 1000", False),
        ]

    async def test_a_sign_of_life_is_quick_and_its_lack_is_told(self, own_kafka_server: KafkaServer) -> None:
        async with KafkaBus(connection_to(own_kafka_server.bootstrap_servers, request_timeout=1.0)) as bus:
            await bus.alive()
            own_kafka_server.pause()
            try:
                with pytest.raises(DependencyUnavailableError, match="no answer within 1 s"):
                    await bus.alive()
            finally:
                own_kafka_server.resume()
            async with asyncio.timeout(SECONDS):
                await bus.alive()


async def test_one_broker_of_a_cluster_is_not_taken_for_all_of_it(name: str) -> None:
    """The first of three that starts: its own topics are to have three copies."""
    with KafkaServer(settings={"offsets.topic.replication.factor": "3"}) as server:
        async with KafkaBus(connection_to(server.bootstrap_servers)) as bus:
            with pytest.raises(DependencyUnavailableError, match="start the others"):
                await bus.ensure_topics([TopicSpec(name, 1)])
            assert name not in await bus.topics()


class Joining(KafkaServer):
    """A broker that joins the cluster of another."""

    def __init__(self, first: KafkaServer) -> None:
        super().__init__()
        self._first = first

    def _properties(self) -> dict[str, str]:
        own = super()._properties()
        return {
            **own,
            "process.roles": "broker",
            "node.id": "2",
            "listeners": own["advertised.listeners"],
            "controller.quorum.voters": f"1@{self._first._address('CONTROLLER')}",
        }

    def _prepare(self, kafka: Path) -> None:
        super()._prepare(kafka)
        meta = self._folder / "data" / "meta.properties"
        lines = meta.read_text().replace("node.id=1", "node.id=2").splitlines()
        meta.write_text(
            "\n".join(line for line in lines if not line.startswith("directory.id"))
        )  # it makes its own


@pytest.fixture(scope="module")
def two_brokers() -> Iterator[tuple[KafkaServer, KafkaServer]]:
    with KafkaServer() as first, Joining(first) as second:
        yield first, second


async def until_there_are(bus: KafkaBus, brokers: int) -> None:
    async with asyncio.timeout(SECONDS):
        while len((await bus._admin._describe([])).brokers) != brokers:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)


async def test_with_two_brokers_somebody_must_choose(
    two_brokers: tuple[KafkaServer, KafkaServer], name: str
) -> None:
    servers = ",".join(server.bootstrap_servers for server in two_brokers)
    spec = TopicSpec(name, 1)
    async with KafkaBus(connection_to(servers)) as bus:
        await until_there_are(bus, 2)
        with pytest.raises(DependencyUnavailableError, match="set ALPHAPANDA_KAFKA_REPLICATION_FACTOR=2"):
            await bus.ensure_topics([spec])
        assert name not in await bus.topics()
    async with KafkaBus(connection_to(servers, replication_factor=2)) as bus:
        await bus.ensure_topics([spec])
        assert await bus.topic_problems([spec]) == []
        assert (await bus._admin.topic(name)).replicas == 2
    async with KafkaBus(connection_to(servers)) as bus:
        (problem,) = await bus.topic_problems([spec])
        assert problem.serious
        assert "2 copies, and 3 are wanted" in problem.problem
