"""What the tests on a real Kafka share."""

import asyncio
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.adapters.kafka.connection import KafkaConnection

SECONDS: Final = 20.0


def connection_to(servers: str, **changes: Any) -> KafkaConnection:
    """Impatient: what a broker on this machine does not do at once it does not do."""
    impatient: dict[str, Any] = {
        "request_timeout": 4.0,
        "session_timeout": 3.0,
        "heartbeat_interval": 0.2,
        "rebalance_timeout": 3.0,
        "reconnect_initial": 0.02,
        "reconnect_max": 0.2,
        "metadata_max_age": 5.0,
        "fetch_max_wait": 0.05,
    }
    return KafkaConnection(bootstrap_servers=servers, **{**impatient, **changes})


async def delete_topic(bus: KafkaBus, topic: str) -> None:
    """Delete a topic as an administrator would, and wait until it is gone."""
    client = AIOKafkaAdminClient(bootstrap_servers=bus._connection.bootstrap_servers)
    await client.start()
    try:
        await client.delete_topics([topic])
    finally:
        await client.close()
    async with asyncio.timeout(SECONDS):
        while topic in await bus.topics():  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.02)
