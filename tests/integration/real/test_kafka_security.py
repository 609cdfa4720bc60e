"""Users, passwords and TLS on a real broker."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import DependencyUnavailableError, SettingsError
from alpha_panda.ports import Outgoing, Subscription, TopicPartition
from alpha_panda.runtime.secret_files import secret_reader
from alpha_panda.runtime.settings import load_settings
from alpha_panda.testing.servers.kafka import KafkaServer
from integration.real.kafka_kit import SECONDS, connection_to

T = TypeVar("T")


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


async def test_a_password_file_that_is_gone_for_a_moment_ends_nothing(
    server: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a Secret is exchanged: connections are made anew all the same, and producer and consumer go on."""
    secret = tmp_path / "password"
    secret.write_text("bamboo")
    monkeypatch.setenv("ALPHAPANDA_KAFKA_SASL_PASSWORD_FILE", str(secret))
    password = secret_reader(load_settings().kafka_sasl_password, "ALPHAPANDA_KAFKA_SASL_PASSWORD")
    partition = TopicPartition("vanishing", 0)
    async with KafkaBus(sasl(server, password=password, request_timeout=10.0)) as bus:
        await bus.ensure_topics([TopicSpec("vanishing", 1)])
        async with (
            bus.producer("p") as producer,
            bus.consumer(Subscription("v", partitions=(partition,))) as consumer,
        ):
            await producer.send([Outgoing("vanishing", b"before")])
            assert [record.value for record in await consumer.fetch(1, timeout=10)] == [b"before"]
            secret.unlink()
            await asyncio.to_thread(server.restart)  # every connection is made anew, without the file
            async with asyncio.timeout(SECONDS):
                await insist(lambda: producer.send([Outgoing("vanishing", b"meanwhile")]))
                values = await insist(lambda: consumer.fetch(1, timeout=10))
                await insist(bus.alive)
            assert [record.value for record in values] == [b"meanwhile"]
            secret.write_text("bamboo")
            await producer.send([Outgoing("vanishing", b"after")])
            assert [record.value for record in await consumer.fetch(1, timeout=10)] == [b"after"]


async def insist(action: Callable[[], Awaitable[T]]) -> T:
    """Ask until it is answered, as a service does; the caller bounds it."""
    while True:
        try:
            return await action()
        except DependencyUnavailableError:
            await asyncio.sleep(0.05)


async def test_certificates_that_are_gone_for_a_moment_end_nothing(
    server: KafkaServer, tmp_path: Path
) -> None:
    told: list[str] = []
    file = tmp_path / "ca.pem"
    shutil.copy(server.ca_file, file)
    connection = connection_to(
        server.tls_bootstrap_servers, security_protocol="SSL", ca_file=file, on_stale_tls=told.append
    )
    async with KafkaBus(connection) as bus:
        await bus.alive()
    file.write_text("half a certif")
    async with KafkaBus(connection) as bus:
        await bus.alive()
    assert len(told) == 1
    assert "ca.pem" in told[0]


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
