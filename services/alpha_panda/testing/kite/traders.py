"""The port `Trader` over the local Kite: Zerodha's own adapter, with or without sockets between.

`CoreKiteClient` takes the place of the adapter's HTTP client and keeps virtual time: what a caller on the wire would see
becomes what the adapter concludes from it, by the very same code.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, urlsplit

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, Unanswered
from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.adapters.zerodha.client import KiteClient
from alpha_panda.adapters.zerodha.orders import Request, ZerodhaTerms
from alpha_panda.adapters.zerodha.pace import PaceLimits
from alpha_panda.adapters.zerodha.session import Session, SessionFile, write_session
from alpha_panda.adapters.zerodha.trader import ZerodhaTrader, india_day
from alpha_panda.adapters.zerodha.updates import OrderPushes
from alpha_panda.adapters.zerodha.wire import IN_LOTS
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.ports import Clock, OrderPace, Trader
from alpha_panda.testing.broker.faults import Wire
from alpha_panda.testing.broker.trader import TIMEOUT

from . import api
from .config import KiteConfig
from .core import KiteCore, Update, postback
from .instruments import InstrumentDump
from .wire import Reply, encoded

UNLIMITED: Final = PaceLimits(100_000, 100_000, 100_000, 100_000)
"""No limits on this side: for tests of other things."""


def master_of(dump: InstrumentDump, symbols: Collection[str] | None = None) -> InstrumentMaster:
    """Return the instruments (these, or all) as a feed lists them: of MCX, where Kite counts lots, the lots' true size."""
    return InstrumentMaster.of(
        Instrument(
            token=item.token,
            symbol=item.key,
            tick_size=item.tick_size,
            lot_size=Decimal(item.lot_size * (item.multiplier if item.exchange in IN_LOTS else 1)),
            kind=item.instrument_type,
            expiry=item.expiry,
        )
        for item in dump.by_token.values()
        if item.tradable and (symbols is None or item.key in symbols)
    )


def write_keys(directory: Path, config: KiteConfig) -> None:
    """Write the app's key and secret where `SessionFile` looks for them."""
    keys = directory / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    (keys / "api_key").write_text(config.api_key, encoding="ascii")
    (keys / "api_secret").write_text(config.api_secret, encoding="ascii")


def log_in(directory: Path, core: KiteCore, now: int) -> Session:
    """Log in at the local Kite and write the session, as `alpha-panda login` does."""
    token = core.new_session(now)
    session = Session(
        user_id=core.user,
        api_key=core.config.api_key,
        access_token=token,
        login_at=now,
        expires_at=core.tokens.expires[token],
    )
    write_session(directory, session)
    return session


def terms_of(core: KiteCore, *, product: str = "MIS", live: bool = True) -> ZerodhaTerms:
    """Return terms that the local Kite takes, without limits of our own."""
    return ZerodhaTerms(user_id=core.user, product=product, live=live, limits=UNLIMITED)


class CoreKiteClient(KiteClient):
    """Calls to a `KiteCore` in this process. Each arrives at once; its reply takes what it takes."""

    def __init__(self, core: KiteCore, clock: Clock, session: SessionFile, *, timeout: float) -> None:
        super().__init__(clock, "", session, send_within=timeout, request_seconds=timeout)
        self._api = api.KiteApi(core)
        self._time = clock

    async def _call(self, request: Request, deadline: int, headers: Mapping[str, str]) -> Exchange:
        if self._time.monotonic() >= deadline:
            return NotSent(Code.SEND_DEADLINE_PASSED, "the permission to send had run out")
        reply = self._api.handle(asked(request, headers), self._time.now())
        if reply.wire is Wire.REFUSED:
            return NotSent(Code.BROKER_UNREACHABLE, "no connection")
        left = (deadline - self._time.monotonic()) / SECOND_NS
        if reply.wire is Wire.HANG or reply.delay >= left:
            await self._time.sleep(left)
            return Unanswered("no answer in time")
        if reply.delay:
            await self._time.sleep(reply.delay)
        return experienced(reply)


def asked(request: Request, headers: Mapping[str, str]) -> api.Request:
    """Return the adapter's call as the server reads it off the wire."""
    parts = urlsplit(request.path)
    form = {name: values[-1] for name, values in parse_qs(request.encoded, keep_blank_values=True).items()}
    return api.Request(
        request.method,
        parts.path,
        parse_qs(parts.query),
        form,
        authorization=headers.get("Authorization", ""),
    )


def experienced(reply: Reply) -> Exchange:
    """Return what a caller has who waited for the reply."""
    if reply.wire is Wire.ANSWER:
        return Answer(reply.status, reply.body)
    return Unanswered("the connection ended before the answer did")


class LocalKiteTrader(ZerodhaTrader):
    """Zerodha's trader with pushes of a core in this process: they come when the core notices what they tell."""

    core: KiteCore

    async def order_updates(self) -> AsyncIterator[BrokerRow | None]:
        """See `ports.OrderUpdates`."""
        pushes = OrderPushes(self.terms.user_id, self.instruments)

        def push(update: Update) -> None:
            pushes.take_order(encoded(postback(update, self.core.config, signed=False)))

        self.core.listeners.append(push)
        pushes.missed()
        try:
            async for row in pushes.stream():
                yield row
        finally:
            self.core.listeners.remove(push)


class KiteTraders:
    """The port `TraderFactory`: Zerodha's adapter for each account, over one core each. Close it after use.

    Args:
        cores: by account.
        clock: virtual or real.
        timeout: seconds that a reading or a cancellation may take.
        trading_day: tells the accounts' day.
        pace: counts the calls; None: one of its own in memory.
        terms: of an account; by default without limits of our own, MIS.
        symbols: what each account's feed lists; by default all that is traded.
        urls: of the accounts whose cores are behind a server; the others are called within this process.

    """

    def __init__(  # noqa: PLR0913 - all but the first two by keyword, with defaults
        self,
        cores: Mapping[str, KiteCore],
        clock: Clock,
        *,
        timeout: float = TIMEOUT,
        trading_day: Callable[[int], str] = india_day,
        pace: OrderPace | None = None,
        terms: Callable[[KiteCore], ZerodhaTerms] = terms_of,
        symbols: Mapping[str, Collection[str]] = MappingProxyType({}),
        urls: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.cores = cores
        self._clock = clock
        self._timeout = timeout
        self._trading_day = trading_day
        self._pace = pace or MemoryOrderPace(MemoryDatabase(clock, SeededIds(0)))
        self._terms = terms
        self._urls = urls
        self._clients: list[KiteClient] = []
        self._folder = tempfile.TemporaryDirectory(prefix="alpha-panda-kite-")
        self._masters = {
            account: master_of(core.dump, symbols.get(account)) for account, core in cores.items()
        }
        for account, core in cores.items():
            write_keys(self.directory(account), core.config)
            self.log_in(account)

    def directory(self, account: str) -> Path:
        """Return where the account's keys and session are."""
        return Path(self._folder.name) / account

    def log_in(self, account: str) -> Session:
        """Log in anew."""
        return log_in(self.directory(account), self.cores[account], self._clock.now())

    def trader(self, account: str) -> Trader:
        """Return a trader to the account's broker."""
        return self.zerodha(account)

    def zerodha(self, account: str) -> LocalKiteTrader:
        """Return the same with all that it can."""
        core = self.cores[account]
        session = SessionFile(self.directory(account), self._clock, core.user)
        client = self._client(account, session)
        self._clients.append(client)
        trader = LocalKiteTrader(
            client,
            self._terms(core),
            session,
            self._clock,
            self._pace,
            lambda: self._masters[account],
            account,
            trading_day=self._trading_day,
        )
        trader.core = core
        return trader

    def _client(self, account: str, session: SessionFile) -> KiteClient:
        if account not in self._urls:
            return CoreKiteClient(self.cores[account], self._clock, session, timeout=self._timeout)
        seconds = {"send_within": self._timeout, "request_seconds": self._timeout}
        return KiteClient(self._clock, self._urls[account], session, **seconds)

    async def aclose(self) -> None:
        """Close the connections and remove the files."""
        for client in self._clients:
            await client.aclose()
        self._folder.cleanup()
