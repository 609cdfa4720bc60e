"""A process that sends Kite's frames over WebSockets: full packets of all that is subscribed, so many times a second.

`python -m bench.kite_frames --ticks-per-second 2`: prints its port. Each price is the moment of sending (see `sent_ago`), so that
whoever reads the tick at the end of the chain knows how long it took.
"""

import argparse
import asyncio
import contextlib
import json
import struct
import time
from itertools import cycle
from typing import Final

from aiohttp import WSMsgType, web

FRAME_EVERY: Final = 0.05
UNITS: Final = 10_000
"""In a second: a price counts tenths of a millisecond, modulo 2^31."""
WRAP: Final = 2**31
_FULL: Final = 184
_PRICE_AT: Final = 4
_STAMP_AT: Final = 60


def clock_price() -> int:
    """Return the price that says now."""
    return time.time_ns() * UNITS // 10**9 % WRAP


def sent_ago(price: int) -> float:
    """Return how many milliseconds ago a price was sent."""
    return (clock_price() - price) % WRAP * 1000 / UNITS


class Frame:
    """A frame of full packets of some tokens, which can be stamped anew."""

    def __init__(self, tokens: list[int]) -> None:
        self._bytes = bytearray(struct.pack(">H", len(tokens)))
        self._starts = []
        for token in tokens:
            self._bytes += struct.pack(">H", _FULL)
            self._starts.append(len(self._bytes))
            self._bytes += struct.pack(">I", token) + bytes(_FULL - 4)
            # One level of depth a side, so that ticks have a bid and an ask as real ones do.
            for at in (64, 124):
                struct.pack_into(">Ii", self._bytes, self._starts[-1] + at, 10, 100_000)

    def stamped(self) -> bytes:
        """Return the frame with the time of now in each packet."""
        price, seconds = clock_price(), int(time.time())
        for start in self._starts:
            struct.pack_into(">i", self._bytes, start + _PRICE_AT, price)
            struct.pack_into(">I", self._bytes, start + _STAMP_AT, seconds)
        return bytes(self._bytes)


class Sender:
    """The server."""

    def __init__(self, ticks_per_second: float) -> None:
        self._frames_per_round = max(1, round(1 / ticks_per_second / FRAME_EVERY))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send frames from the first subscription on."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        tokens: dict[int, None] = {}
        changed = asyncio.Event()
        pump = asyncio.create_task(self._pump(socket, tokens, changed))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    asked = json.loads(message.data)
                    if asked["a"] == "subscribe":
                        tokens |= dict.fromkeys(asked["v"])
                        changed.set()
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        return socket

    async def _pump(
        self, socket: web.WebSocketResponse, tokens: dict[int, None], changed: asyncio.Event
    ) -> None:
        await changed.wait()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)  # all has been subscribed by then
        listed = list(tokens)
        parts = self._frames_per_round
        frames = [Frame(listed[first::parts]) for first in range(parts)]
        due = loop.time()
        for frame in cycle(frames):
            await socket.send_bytes(frame.stamped())
            due = max(due + FRAME_EVERY, loop.time() - FRAME_EVERY)
            await asyncio.sleep(due - loop.time())


async def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ticks-per-second", type=float, default=2.0, help="of each instrument")
    options = parser.parse_args()
    app = web.Application()
    app.router.add_get("/{path:.*}", Sender(options.ticks_per_second).serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
