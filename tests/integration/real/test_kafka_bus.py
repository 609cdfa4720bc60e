"""The EventBus contract on a real broker."""

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.ports import EventBus
from alpha_panda.testing.servers.kafka import ExternalKafka, KafkaServer
from contracts.bus_contract import BusContract
from integration.real.kafka_kit import connection_to, delete_topic


class TestKafkaBus(BusContract):
    patience: ClassVar[float] = 10.0
    quiet: ClassVar[float] = 0.5

    @pytest.fixture
    async def bus(self, kafka_server: KafkaServer | ExternalKafka) -> AsyncIterator[EventBus]:
        async with KafkaBus(connection_to(kafka_server.bootstrap_servers)) as bus:
            yield bus

    async def delete_topic(self, bus: EventBus, topic: str) -> None:
        assert isinstance(bus, KafkaBus)
        await delete_topic(bus, topic)
