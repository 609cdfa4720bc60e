"""The settings that the chart gives its development pair, with real servers: they take them, and serve."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from alpha_panda.testing.servers.kafka_install import installed_kafka
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports
from alpha_panda.testing.servers.process import ServerProcess
from harness.command import wait_until
from unit.chart.helm import DEVELOPMENT, one, rendered

SECONDS = 60.0


def settings(store: str, file: str, folder: Path, ports: dict[str, int]) -> Path:
    """Write a server's settings below `folder`, with free ports in the place of the chart's."""
    text = str(one(rendered(*DEVELOPMENT), "ConfigMap", f"trading-{store}")["data"][file])
    text = text.replace(f"/var/lib/{store}-server", str(folder)).replace(
        f"trading-{store}.desk.svc", LOOPBACK
    )
    for told, free in ports.items():
        assert told in text
        text = text.replace(told, str(free))
    (folder / file).write_text(text)
    return folder / file


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    log = tmp_path / "log"
    process = ServerProcess(
        ["redis-server", str(settings("redis", "redis.conf", tmp_path, {"6379": port}))], log
    )
    wait_until(lambda: "Ready to accept connections" in log.read_text(), "Redis", SECONDS)
    yield port
    process.terminate(SECONDS)


async def test_redis_is_one_that_a_journal_may_be_kept_in(redis_port: int) -> None:
    async with Redis(host=LOOPBACK, port=redis_port) as client:
        told = await client.config_get("append*")
        assert told["appendonly"] == "yes"
        assert told["appendfsync"] == "always"
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        assert await client.set("a", "b")


@pytest.fixture
def kafka_ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    inside, controller, forwarded = free_ports(3)
    names = {"9092": inside, "9093": controller, "9094": forwarded}
    file = settings("kafka", "server.properties", tmp_path, names)
    java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{installed_kafka() / 'lib'}/*"]
    formatting = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
    # As the chart's command does at each start.
    for _ in range(2):
        subprocess.run(  # noqa: S603 - our own arguments
            [*formatting, "--cluster-id", "YWxwaGEtcGFuZGEtZGV2MQ", "--config", str(file)],
            check=True,
            capture_output=True,
            timeout=SECONDS,
        )
    log = tmp_path / "log"
    process = ServerProcess([*java, "kafka.Kafka", str(file)], log)
    wait_until(lambda: "Kafka Server started" in log.read_text(), "Kafka", SECONDS)
    yield inside, forwarded
    process.terminate(SECONDS)


async def _admin(server: str) -> AIOKafkaAdminClient:
    """Connect; a broker that has just started may not know itself yet, and the client asks once."""
    for _ in range(int(SECONDS)):
        admin = AIOKafkaAdminClient(bootstrap_servers=server)
        await admin.start()
        if (await admin.describe_cluster())["brokers"]:
            return admin
        await admin.close()
        await asyncio.sleep(1)
    raise AssertionError(f"{server} names no broker")


@pytest.mark.slow
async def test_kafka_takes_its_settings_and_serves_both_listeners(kafka_ports: tuple[int, int]) -> None:
    for port, topic in zip(kafka_ports, ("inside", "forwarded"), strict=True):
        admin = await _admin(f"localhost:{port}")
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=f"localhost:{port}", acks="all") as producer:
            sent = await producer.send_and_wait(topic, b"tick")
        assert sent.offset == 0
