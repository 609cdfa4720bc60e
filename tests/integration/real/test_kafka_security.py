"""Users, passwords and TLS on a real broker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import DependencyUnavailableError, SettingsError
from alpha_panda.ports import Outgoing, Subscription, TopicPartition
from alpha_panda.testing.servers.kafka import KafkaServer
from integration.real.kafka_kit import connection_to


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    with KafkaServer(users={"panda": "bamboo"}, tls=True) as server:
        yield server


async def round_trip(connection: KafkaConnection, topic: str) -> bytes:
    partition = TopicPartition(topic, 0)
    async with KafkaBus(connection) as bus:
        await bus.ensure_topics([TopicSpec(topic, 1)])
        async with bus.producer("p") as producer:
            await producer.send([Outgoing(topic, b"secret")])
        async with bus.consumer(Subscription(topic, partitions=(partition,))) as consumer:
            (record,) = await consumer.fetch(1, timeout=10)
    return record.value


def sasl(server: KafkaServer, **changes: Any) -> KafkaConnection:
    known: dict[str, Any] = {"username": "panda", "password": "bamboo", "sasl_mechanism": "PLAIN"}
    return connection_to(
        server.sasl_bootstrap_servers, security_protocol="SASL_PLAINTEXT", **{**known, **changes}
    )


async def test_a_user_with_its_password_gets_in(server: KafkaServer) -> None:
    assert await round_trip(sasl(server), "sasl") == b"secret"


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_a_wrong_password_is_named_as_such_at_once(server: KafkaServer, password: str) -> None:
    async with KafkaBus(sasl(server, password=password, request_timeout=20.0)) as bus:
        with pytest.raises(DependencyUnavailableError, match=r"refuses user 'panda' \(PLAIN\)") as caught:
            async with bus.producer("p"):
                pass
        assert "bamboo" not in str(caught.value)
        with pytest.raises(DependencyUnavailableError, match="refuses user 'panda'"):
            await bus.topics()


async def test_an_unknown_mechanism_is_named_as_such(server: KafkaServer) -> None:
    async with KafkaBus(sasl(server, sasl_mechanism="SCRAM-SHA-256")) as bus:
        with pytest.raises(DependencyUnavailableError, match="mechanism"):
            await bus.topics()


async def test_the_password_is_read_anew_for_each_connection(server: KafkaServer) -> None:
    passwords = ["wrong", "bamboo"]
    connection = sasl(server, password=lambda: passwords[0])
    async with KafkaBus(connection) as bus:
        with pytest.raises(DependencyUnavailableError, match="refuses"):
            await bus.topics()
        passwords.pop(0)
        await bus.topics()


async def test_no_password_at_all_is_a_wrong_setting(server: KafkaServer) -> None:
    async with KafkaBus(sasl(server, password=None)) as bus:
        with pytest.raises(SettingsError, match="needs a username and a password"):
            await bus.topics()


@pytest.fixture
def tls(server: KafkaServer) -> KafkaConnection:
    return connection_to(server.tls_bootstrap_servers, security_protocol="SSL", ca_file=server.ca_file)


async def test_a_trusted_certificate_is_accepted(tls: KafkaConnection) -> None:
    assert await round_trip(tls, "tls") == b"secret"


async def test_a_certificate_that_nobody_signed_is_refused(server: KafkaServer) -> None:
    connection = connection_to(server.tls_bootstrap_servers, security_protocol="SSL", request_timeout=1.0)
    async with KafkaBus(connection) as bus:
        with pytest.raises(DependencyUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            await bus.topics()


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_certificate_file_is_a_wrong_setting(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    async with KafkaBus(connection_to("127.0.0.1:1", security_protocol="SSL", ca_file=file)) as bus:
        with pytest.raises(SettingsError, match=r"ca\.pem"):
            await bus.topics()
