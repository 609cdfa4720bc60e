"""The local Kite as a program: until SIGTERM or SIGINT."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from alpha_panda.adapters.clock import RealClock

from .config import API_KEY, API_SECRET, UNHURRIED, USER, Delays, KiteConfig, Limits
from .core import KiteCore
from .instruments import instruments
from .server import KiteServer
from .wire import day_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KiteOptions:
    """What a person may choose.

    Attributes:
        port, control_port: 0: free ones.
        instruments: how many there are.
        ticks_per_second: how often prices move, of all together.
        seed: of the walk of prices.
        user, api_key, api_secret: who.
        token_life: seconds of an access token; None: until 06:00 India's time.
        redirect_url: where the log-in page leads; empty: it shows the request token.
        postback_url: where changes of orders are posted; empty: nowhere.
        limits: whether Kite's limits on calls hold.
        delays: whether orders take their time.

    """

    port: int = 0
    control_port: int = 0
    instruments: int = 100
    ticks_per_second: float = 100
    seed: int = 0
    user: str = USER
    api_key: str = API_KEY
    api_secret: str = API_SECRET
    token_life: float | None = None
    redirect_url: str = ""
    postback_url: str = ""
    limits: bool = True
    delays: bool = True

    @property
    def config(self) -> KiteConfig:
        """The core's configuration."""
        return KiteConfig(
            user_id=self.user,
            api_key=self.api_key,
            api_secret=self.api_secret,
            token_life_seconds=self.token_life,
            redirect_url=self.redirect_url,
            postback_url=self.postback_url,
            limits=Limits() if self.limits else None,
            delays=UNHURRIED if self.delays else Delays(),
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a local Kite listens, and who may log in."""

    url: str
    ws_url: str
    login_url: str
    control_url: str
    user: str
    api_key: str
    api_secret: str


def addresses(server: KiteServer) -> Addresses:
    """Return where the server listens."""
    return Addresses(
        url=server.url,
        ws_url=server.ws_url,
        login_url=server.login_url,
        control_url=server.control_url,
        user=server.user_id,
        api_key=server.api_key,
        api_secret=server.api_secret,
    )


async def serve(options: KiteOptions, ready: Callable[[Addresses], None]) -> None:
    """Serve until a signal comes; `ready` is called once, as soon as it listens."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock = RealClock()
    today = date.fromisoformat(day_of(clock.now()))
    core = KiteCore(
        options.config, dump=instruments(today, options.instruments, options.seed), seed=options.seed
    )
    server = KiteServer(
        core,
        clock,
        port=options.port,
        control_port=options.control_port,
        ticks_per_second=options.ticks_per_second,
    )
    async with server:
        ready(addresses(server))
        await stop.wait()
