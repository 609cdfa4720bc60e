"""`python -m alpha_panda.testing.kite`: the local Kite as a process of its own, until SIGTERM or SIGINT.

Prints one line of JSON as soon as it listens: `{"url": …, "ws_url": …, "login_url": …, "control_url": …, …}`. People take
`alpha-panda dev kite`.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from .config import API_KEY, API_SECRET, USER
from .program import Addresses, KiteOptions, serve


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="alpha_panda.testing.kite", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of Kite; 0: a free one")
    parser.add_argument("--control-port", type=int, default=0, help="for commands; 0: a free one")
    parser.add_argument("--instruments", type=int, default=100)
    parser.add_argument("--ticks-per-second", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--user", default=USER)
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--api-secret", default=API_SECRET)
    parser.add_argument("--token-life", type=float, default=86_400, help="seconds of an access token")
    parser.add_argument("--redirect-url", default="", help="where the log-in page leads")
    parser.add_argument("--postback-url", default="", help="where changes of orders are posted")
    parser.add_argument("--limits", action="store_true", help="Kite's limits on calls hold")
    parser.add_argument("--delays", action="store_true", help="orders take their time")
    asyncio.run(serve(KiteOptions(**vars(parser.parse_args(arguments))), _tell))


def _tell(addresses: Addresses) -> None:
    print(json.dumps(asdict(addresses)), flush=True)  # noqa: T201 - whoever started it reads this line


if __name__ == "__main__":
    main()
