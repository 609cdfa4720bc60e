"""Zerodha's feed: our parser against the official client's, and from a WebSocket's frames to ticks on Kafka.

`parser`: the same frames, each side in turn, the best of some rounds; the official side is `KiteTicker._parse_binary`, which
makes a dict of each packet, ours makes the columns that a feed publishes. What both read is compared in the tests.

`live`: `bench.kite_frames` sends full packets of 9,000 instruments twice a second over three WebSockets; the market-feed
service with Zerodha's source publishes them; `bench.kite_reader`, a consumer in a process of its own, sees how long ago each
tick was sent. Everything runs on this one machine: sender, Kafka, Redis, service and reader share its cores.
"""

import asyncio
import json
import os
import random
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.world import FEED, Servers, World, opened_world

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.frames import Kind, parse
from alpha_panda.adapters.zerodha.session import Session, SessionFile, write_session
from alpha_panda.adapters.zerodha.socket import SocketOptions
from alpha_panda.adapters.zerodha.source import FeedOptions, ZerodhaSource
from alpha_panda.contracts.topics import market_ticks
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.runtime.context import Ports

PARSER_AIM: Final = 3.0
P99_AIM_MS: Final = 50.0
INSTRUMENTS: Final = 9000
TICKS_PER_SECOND: Final = 2.0
PACKETS: Final = 3000
NSE: Final = 1
INDEX_EVERY: Final = 100
PATIENCE: Final = 180.0


# -------------------------------------------------------------------------------------------------- the parser


def compare_parsers(rounds: int) -> dict[str, Any]:
    """Return packets a second on both sides, by what a frame holds."""
    from kiteconnect import KiteTicker  # noqa: PLC0415 - installs Twisted's reactor

    official = KiteTicker("key", "token")._parse_binary  # noqa: SLF001 - the parser has no other name
    return {
        name: _compared(made, parse, official, rounds)
        for name, made in {
            "full": _frame([Kind.FULL] * PACKETS),
            "quote": _frame([Kind.QUOTE] * PACKETS),
            "ltp": _frame([Kind.LTP] * PACKETS),
            "full, indices among them": _frame(
                [Kind.INDEX_FULL if number % INDEX_EVERY == 0 else Kind.FULL for number in range(PACKETS)]
            ),
        }.items()
    }


def _compared(
    data: bytes, ours: Callable[[bytes], object], official: Callable[[bytes], object], rounds: int
) -> dict[str, float]:
    sides = [PACKETS / min(_seconds(side, data) for _ in range(rounds)) for side in (ours, official)]
    return {"ours_per_second": sides[0], "official_per_second": sides[1], "ratio": sides[0] / sides[1]}


def _seconds(read: Callable[[bytes], object], data: bytes) -> float:
    begun = time.perf_counter()
    read(data)
    return time.perf_counter() - begun


def _frame(kinds: list[Kind]) -> bytes:
    draw = random.Random(1)
    parts = [struct.pack(">H", len(kinds))]
    for number, kind in enumerate(kinds):
        body = bytearray(draw.randbytes(kind - 4))
        body[::4] = bytes(len(body[::4]))  # prices and quantities of some million units
        parts.append(struct.pack(">HI", kind, number * 256 + NSE) + body)
    return b"".join(parts)


# ----------------------------------------------------------------------------------------- from frames to Kafka


async def live(
    servers: Servers, *, seconds: float, instruments: int = INSTRUMENTS, each: float = TICKS_PER_SECOND
) -> dict[str, Any]:
    """Return what the reader saw, and the CPU that the service used."""
    with TemporaryDirectory() as folder:
        async with (
            opened_world(servers, "kite", instruments=instruments) as world,
            _child("bench.kite_frames", "--ticks-per-second", str(each)) as sender,
        ):
            port = int(await _line(sender))
            world.ports = _with_source(world, Path(folder), f"ws://127.0.0.1:{port}")
            topic = market_ticks(FEED, world.settings.topic_prefix)
            async with world.running(("market-feed", FEED)) as (service,):
                async with _child(
                    "bench.kite_reader",
                    *("--kafka", servers.kafka, "--topic", topic, "--seconds", str(seconds)),
                ) as reader:
                    await _line(reader)
                    cpu, begun = time.process_time(), time.monotonic()
                    figures = json.loads(await _line(reader))
                    used = (time.process_time() - cpu) / (time.monotonic() - begun)
                details = service.get_status().details
    wanted = instruments * each
    return {
        **figures,
        "wanted_per_second": wanted,
        "cores_of_the_service": used,
        "conflated": details["conflated"],
        "aim_p99_ms": P99_AIM_MS,
        "met": figures["p99_ms"] <= P99_AIM_MS and figures["ticks_per_second"] >= 0.98 * wanted,
        "load": round(os.getloadavg()[0], 1),
    }


def _with_source(world: World, folder: Path, url: str) -> Ports:
    clock = RealClock()
    now = clock.now()
    login = Session(
        user_id="BENCH",
        api_key="key",
        access_token=str(now),
        login_at=now,
        expires_at=now + 3600 * SECOND_NS,
    )
    write_session(folder, login)
    source = ZerodhaSource(
        FeedOptions(SocketOptions(url)), clock, SessionFile(folder, clock), chance=random.Random(1)
    )
    ports = world.ports
    return Ports(**{name: getattr(ports, name) for name in ports.__slots__} | {"source": lambda _: source})


@asynccontextmanager
async def _child(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise RuntimeError("a child without output")
    async with asyncio.timeout(PATIENCE):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a child ended before it said anything")
    return line.decode().strip()
