"""What the bare loops share: plain aiokafka clients, plain redis.asyncio, and nothing of ours but the wire structs."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import aiokafka
import redis.asyncio
from bench.world import Servers

from alpha_panda.ports import TopicPartition

MAX_RECORDS = 500  # of one fetch: as the services by default


@asynccontextmanager
async def reading(
    servers: Servers, group: str, starts: Mapping[TopicPartition, int]
) -> AsyncIterator[aiokafka.AIOKafkaConsumer]:
    """Give a consumer of exactly these partitions, from these offsets on; it can commit for its group."""
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=servers.kafka,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    consumer.assign([aiokafka.TopicPartition(*partition) for partition in starts])
    await consumer.start()
    try:
        for partition, offset in starts.items():
            consumer.seek(aiokafka.TopicPartition(*partition), offset)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def producing(servers: Servers) -> AsyncIterator[aiokafka.AIOKafkaProducer]:
    """Give a producer as durable as ours: acknowledged by all replicas, idempotent."""
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=servers.kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def storing(servers: Servers) -> AsyncIterator["redis.asyncio.Redis"]:
    """Give a Redis client (hiredis parses its replies)."""
    client = redis.asyncio.Redis.from_url(servers.redis)
    try:
        yield client
    finally:
        await client.aclose()


async def produce(
    producer: aiokafka.AIOKafkaProducer, topic: str, records: Sequence[tuple[str, bytes]]
) -> None:
    """Produce records (key, value) and wait until all are acknowledged."""
    sent = [await producer.send(topic, value, key=key.encode()) for key, value in records]
    await asyncio.gather(*sent)


async def put(client: "redis.asyncio.Redis", items: Sequence[tuple[str, bytes]]) -> None:
    """Write values durably in one pipeline, a SET each."""
    pipeline = client.pipeline(transaction=False)
    for key, value in items:
        pipeline.set(key, value)
    await pipeline.execute()
