"""`python -m alpha_panda.testing.broker`: the broker as a process of its own, until SIGTERM or SIGINT.

Prints one line of JSON with its addresses as soon as it listens: `{"url": …, "control_url": …}`.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Sequence

from .core import DAY, USER, BrokerCore
from .server import BrokerServer


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="alpha_panda.testing.broker", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="for orders; 0: a free one")
    parser.add_argument("--control-port", type=int, default=0, help="for commands; 0: a free one")
    parser.add_argument("--user", default=USER)
    parser.add_argument("--trading-day", default=DAY, help="ISO date of the book")
    parser.add_argument("--page-rows", type=int, default=100, help="rows in a page of the book")
    given = parser.parse_args(arguments)
    core = BrokerCore(user=given.user, trading_day=given.trading_day, page_rows=given.page_rows)
    asyncio.run(_serve(core, given.port, given.control_port))


async def _serve(core: BrokerCore, port: int, control_port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with BrokerServer(core, port=port, control_port=control_port) as server:
        addresses = {"url": server.url, "control_url": server.control_url}
        print(json.dumps(addresses), flush=True)  # noqa: T201 - whoever started it reads this line
        await stop.wait()


if __name__ == "__main__":
    main()
