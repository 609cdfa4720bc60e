"""The bare chain of the latency benchmark: `python -m bench.chain ROLE`, each role a process of its own.

ticks: 2,000 ticks a second in batches of `--batch-ms`, spread over the partitions, in the feed's MessagePack structs.
signal: decodes ticks, calls a function a tick; each EVERY ticks: one durable SET (a checkpoint), then the signal.
decision: decodes the signal; one durable SET (the decision), then the validated event; commit.
order: decodes it; durable SET (begin), durable SET (settled), then the order event, then SET (acknowledged); commit.

Plain aiokafka (acks=all, idempotent) and redis.asyncio, JSON by msgspec. What arrived together is written by one
pipeline and produced together. No check, no price, no book, no fence, no error handling.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from bench.bare import produce, producing, put, storing
from bench.world import FEED, FIRST_TOKEN, PARTITIONS, Servers

from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import Tick, TickBatch
from alpha_panda.contracts.topics import tick_partition

TOPICS: Final = {name: f"chain.{name}" for name in ("ticks", "raw", "validated", "orders")}
HOPS: Final = ("signal", "decision", "order")
MAX_RECORDS: Final = 500


class Message(msgspec.Struct):
    """What travels: the tick's time, and as many bytes as an event of ours has."""

    id: str
    tick_ts: int
    token: int
    body: str = "x" * 500


_decode_ticks: Final = msgspec.msgpack.Decoder(TickBatch).decode
_encode_ticks: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.json.Decoder(Message).decode
_encode: Final = msgspec.json.Encoder().encode
Write = Callable[[str, list[Message]], Awaitable[None]]


async def ticks(servers: Servers, options: argparse.Namespace) -> None:
    """Send ticks on time; after a pause the schedule begins anew."""
    tokens = range(FIRST_TOKEN, FIRST_TOKEN + options.instruments)
    batch = max(1, round(options.rate * options.batch_ms / 1000))
    step, number = 10**9 // options.rate, 0
    async with producing(servers) as producer:
        due = time.time_ns()
        while True:
            lanes: dict[int, list[Tick]] = {}
            for _ in range(batch):
                number += 1
                due += step
                token = tokens[number % len(tokens)]
                lanes.setdefault(tick_partition(token, PARTITIONS), []).append(
                    Tick(token, 100.0, due, number)
                )
            await asyncio.sleep(max(0.0, (due - time.time_ns()) / 1e9))
            sent = [
                await producer.send(TOPICS["ticks"], _batch(lane, due), partition=partition)
                for partition, lane in lanes.items()
            ]
            await asyncio.gather(*sent)
            if time.time_ns() - due > 10**9:
                due = time.time_ns()


def _batch(lane: list[Tick], ts: int) -> bytes:
    return _encode_ticks(TickBatch(FEED, FeedMode.SIMULATED, 1, ts, lane))


class Hop:
    """Reads one topic, writes, sends to the next."""

    def __init__(self, role: str, options: argparse.Namespace) -> None:
        self._role = role
        self._every = options.every
        self._seen = 0
        self.source, self.target = list(TOPICS.values())[HOPS.index(role) :][:2]

    def messages(self, value: bytes) -> list[Message]:
        """Return what a record causes."""
        if self._role != "signal":
            return [_decode(value)]
        caused = []
        for tick in _decode_ticks(value).ticks:
            self._seen += 1
            if self._seen % self._every == 0:
                caused.append(Message(f"{self._seen}", tick.ts, tick.token))
        return caused

    async def handle(self, messages: list[Message], write: Write, producer: AIOKafkaProducer) -> None:
        """Write before, produce, write after."""
        for kind in ("begin", "settle") if self._role == "order" else (self._role,):
            await write(kind, messages)
        await produce(producer, self.target, [(f"bare:{one.token}", _encode(one)) for one in messages])
        if self._role == "order":
            await write("acknowledge", messages)


async def hop(servers: Servers, options: argparse.Namespace) -> None:
    """Run one hop for ever."""
    this = Hop(options.role, options)
    consumer = AIOKafkaConsumer(
        this.source,
        bootstrap_servers=servers.kafka,
        group_id=f"chain.{options.role}",
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    async with producing(servers) as producer, storing(servers) as store:

        async def write(kind: str, messages: list[Message]) -> None:
            await put(store, [(f"chain:{kind}:{one.id}", _encode(one)) for one in messages])

        await consumer.start()
        try:
            while True:
                fetched: dict[Any, list[Any]] = await consumer.getmany(
                    timeout_ms=1000, max_records=MAX_RECORDS
                )
                records = [record for batch in fetched.values() for record in batch]
                messages = [message for record in records for message in this.messages(record.value)]
                if messages:
                    await this.handle(messages, write, producer)
                    if options.role != "signal":
                        await consumer.commit()
        finally:
            await consumer.stop()


def main() -> None:
    """Run a role until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["ticks", *HOPS])
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--batch-ms", type=float, default=5)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--instruments", type=int, default=100)
    options = parser.parse_args()
    run = ticks if options.role == "ticks" else hop
    asyncio.run(run(Servers(options.kafka, options.redis), options))


if __name__ == "__main__":
    main()
