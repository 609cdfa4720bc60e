"""A process that reads a feed's ticks from Kafka and says how long each took since `bench.kite_frames` sent it.

Prints `ready`, then, after the seconds asked for (from the first tick on, `--settle` of them not counted), one line of JSON.
"""

import argparse
import asyncio
import json
import time
from array import array
from typing import Final

import aiokafka
from bench.kite_frames import sent_ago

from alpha_panda.adapters.zerodha.frames import DIVISOR_OF
from alpha_panda.contracts.codec import decode_ticks

QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)


async def main() -> None:
    """Read, and print what it came to."""
    parser = argparse.ArgumentParser()
    for name in ("--kafka", "--topic"):
        parser.add_argument(name, required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--settle", type=float, default=3.0)
    options = parser.parse_args()
    consumer = aiokafka.AIOKafkaConsumer(
        options.topic, bootstrap_servers=options.kafka, auto_offset_reset="latest", fetch_max_wait_ms=50
    )
    await consumer.start()
    await consumer.seek_to_end()
    print("ready", flush=True)
    try:
        print(json.dumps(await measured(consumer, options.settle, options.seconds)), flush=True)
    finally:
        await consumer.stop()


async def measured(consumer: aiokafka.AIOKafkaConsumer, settle: float, seconds: float) -> dict[str, float]:
    """Return ticks a second and the quantiles of their latencies in ms."""
    begin: float | None = None
    took: array[float] = array("d")
    records = 0
    while True:
        fetched = await consumer.getmany(timeout_ms=1000)
        now = time.monotonic()
        if begin is None and any(fetched.values()):
            begin = now + settle
        if begin is not None and now > begin + seconds:
            break
        counted = begin is not None and now >= begin
        for batch in fetched.values():
            for record in batch:
                ticks = decode_ticks(record.value).ticks
                if counted and ticks:
                    records += 1
                    took.extend(
                        sent_ago(round(tick.last_price * DIVISOR_OF[tick.token & 255])) for tick in ticks
                    )
    ordered = sorted(took)
    figures = {
        f"p{quantile * 100:g}_ms": ordered[int(quantile * (len(ordered) - 1))] for quantile in QUANTILES
    }
    return {
        "ticks_per_second": len(took) / seconds,
        "ticks_a_record": len(took) / max(1, records),
        **figures,
        "max_ms": ordered[-1],
    }


if __name__ == "__main__":
    asyncio.run(main())
