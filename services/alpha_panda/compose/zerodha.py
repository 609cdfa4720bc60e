"""Zerodha by the manifests' words: each account's session, calls, trader, prices and list of instruments.

What is imported of its adapter is imported when an account asks for it: a run on paper needs none of it.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import BrokerAccount, MarketFeed, ZerodhaBroker
from alpha_panda.contracts.stored import (
    BookReading,
    BrokerRow,
    JournalEntry,
    Outcome,
    PortfolioReading,
    PriceReading,
)
from alpha_panda.domain.sessions import SessionRules, SessionState
from alpha_panda.errors import MisuseError
from alpha_panda.ports import Clock, InstrumentLists, ListedSymbols, MarketSource, OrderPace, Trader
from alpha_panda.runtime.manifests import Derived, Manifests
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.venues import rules_of

from .egress import EgressCheck

if TYPE_CHECKING:
    from alpha_panda.adapters.zerodha.client import KiteClient
    from alpha_panda.adapters.zerodha.dump import Found
    from alpha_panda.adapters.zerodha.instruments import DumpFiles
    from alpha_panda.adapters.zerodha.orders import ZerodhaTerms
    from alpha_panda.adapters.zerodha.postbacks import PostbackServer
    from alpha_panda.adapters.zerodha.session import SessionFile
    from alpha_panda.adapters.zerodha.socket import SocketOptions
    from alpha_panda.adapters.zerodha.trader import ZerodhaTrader

log = structlog.get_logger()

FOR_PRICES: Final = 2
"""Sockets that feeds may use of a login's three, for one to be left for pushes of orders; beyond, the book is polled alone
(and postbacks are taken)."""

LIST_SECONDS: Final = 60.0
"""What the download of the list of all instruments, some 10 MB, may take."""


def account_directory(settings: Settings, account: str) -> Path:
    """Return where an account's keys and session are."""
    return Path(settings.broker_directory).expanduser() / account


def lists_directory(settings: Settings) -> Path:
    """Return where the lists of instruments are kept: a folder for each API asked.

    A local Kite's tokens, ticks and lots are made up: taken for the real one's, orders would follow foreign prices.
    """
    asked = urlsplit(settings.zerodha_api_url)
    place = asked.netloc.rpartition("@")[2] + asked.path
    return Path(settings.zerodha_instruments_directory).expanduser() / re.sub(r"[^A-Za-z0-9.-]", "-", place)


def clock_of(text: str) -> time:
    """Return a time of day of a setting."""
    return time.fromisoformat(text)


class ZerodhaAccount:
    """An account's trader with all that Zerodha has: an access token, a portfolio, pushes; and its address checked."""

    def __init__(
        self,
        trader: "ZerodhaTrader",
        egress: EgressCheck | None,
        updates: Callable[[], AsyncIterator[BrokerRow | None]],
    ) -> None:
        self.trader = trader
        self._egress = egress
        self._updates = updates

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """See the port. Nothing is sent from another address than the registered one: the broker would refuse it."""
        problem = await self._egress.problem(deadline) if self._egress is not None else ""
        if problem:
            return Outcome(
                state=EntryState.FAILED, code=Code.EGRESS_IP_REFUSED, message=f"{problem}; nothing was sent"
            )
        return await self.trader.place(entry, price, deadline)

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port."""
        return await self.trader.cancel(entry)

    async def order_book(self) -> BookReading:
        """See the port."""
        return await self.trader.order_book()

    async def portfolio(self) -> PortfolioReading:
        """See the port."""
        return await self.trader.portfolio()

    def token_expires_at(self) -> int | None:
        """See the port."""
        return self.trader.token_expires_at()

    def token_problem(self) -> str:
        """Return why there is no valid access token, in words without secrets; "" if there is one."""
        return self.trader.token_problem()

    def order_updates(self) -> AsyncIterator[BrokerRow | None]:
        """See the port."""
        return self._updates()


class KiteLists:
    """`ports.InstrumentLists` of files that are kept by day."""

    def __init__(self, files: "DumpFiles") -> None:
        self._files = files
        self._asked: object = None
        self._found: Found | None = None

    def day(self) -> str:
        """See the port."""
        return self._files.day().isoformat()

    async def find(self, symbols: Collection[str], lot_sizes: Mapping[str, Decimal]) -> ListedSymbols:
        """See the port. The file is walked in a thread: a list of 100,000 rows takes a second or two.

        It is walked once for one question: while no newer list can be had, as on a week-end, somebody asks every while.
        """
        dump, today = await self._files.dump(), self._files.today()
        asked = (dump.path, dump.day, today, tuple(symbols), dict(lot_sizes))
        if self._found is None or asked != self._asked:
            self._found = await asyncio.to_thread(dump.find, symbols, today, lot_sizes)
            self._asked = asked
        found = self._found
        return ListedSymbols(
            day=dump.day.isoformat(),
            today=dump.day >= self._files.day(),
            instruments=found.instruments,
            faults={symbol: str(fault) for symbol, fault in found.faults.items()},
        )


class Kites:
    """What one process has of Zerodha: of each account one session file and one client, whoever asks."""

    def __init__(self, settings: Settings, clock: Clock, pace: OrderPace | None) -> None:
        self._settings = settings
        self._clock = clock
        self._pace = pace
        self._sessions: dict[str, SessionFile] = {}
        self._clients: dict[str, KiteClient] = {}
        self._ids = RandomIds()

    async def close(self) -> None:
        """Close the connections."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    def session(self, account: BrokerAccount) -> "SessionFile":
        """Return the account's session, as files tell it."""
        from alpha_panda.adapters.zerodha.session import SessionFile  # noqa: PLC0415 - see above

        found = self._sessions.get(account.name)
        if found is None:
            directory = account_directory(self._settings, account.name)
            found = SessionFile(directory, self._clock, _broker(account).user_id)
            self._sessions[account.name] = found
        return found

    # ------------------------------------------------------------------------------------------------ orders

    def trader(self, manifests: Manifests, name: str) -> Trader:
        """Return the account's trader: it follows what the feed lists; how it trades is of its start."""
        from alpha_panda.adapters.zerodha.trader import ZerodhaTrader  # noqa: PLC0415 - see above

        resources = manifests.resources
        account = resources.accounts[name]
        if self._pace is None:
            raise MisuseError(
                f"nothing counts the calls of {account.ref}: a broker's account needs an OrderPace"
            )
        feed = account.spec.market_feed
        rules = Derived(manifests, lambda now: rules_of(now.feeds[feed], now.accounts[name]))

        def instruments() -> InstrumentMaster:
            return manifests.resources.feeds[feed].instruments

        trader = ZerodhaTrader(
            self._client(account),
            terms_of(_broker(account)),
            self.session(account),
            self._clock,
            self._pace,
            instruments,
            name,
            trading_day=lambda ts: rules().trading_day(ts),
        )
        updates = self._updates(resources, account, rules, instruments)
        return ZerodhaAccount(trader, egress_check(account, self._settings, self._clock), updates)

    def _client(self, account: BrokerAccount) -> "KiteClient":
        from alpha_panda.adapters.zerodha.client import KiteClient  # noqa: PLC0415 - see above

        found = self._clients.get(account.name)
        if found is None:
            settings = self._settings
            found = self._clients[account.name] = KiteClient(
                self._clock,
                settings.zerodha_api_url,
                self.session(account),
                send_within=settings.send_within_seconds,
                request_seconds=settings.zerodha_request_seconds,
            )
        return found

    def _updates(
        self,
        resources: ResourceSet,
        account: BrokerAccount,
        rules: Callable[[], SessionRules],
        instruments: Callable[[], InstrumentMaster],
    ) -> Callable[[], AsyncIterator[BrokerRow | None]]:
        """Return what yields pushes, over a socket where one is left, and by postbacks where they are wanted."""
        from alpha_panda.adapters.zerodha.updates import OrderPushes, order_updates  # noqa: PLC0415 - see above

        spec, session = _broker(account), self.session(account)
        port = self._settings.postback_port if spec.postbacks else 0
        by_socket = has_socket_left(resources, account.name)
        if not by_socket:
            log.warning(
                "no_socket_left_for_order_updates", account=account.name, feed=account.spec.market_feed
            )

        async def updates() -> AsyncIterator[BrokerRow | None]:
            pushes = OrderPushes(spec.user_id, instruments)
            async with AsyncExitStack() as stack:
                if port:
                    # Its checksum covers an order's id and time, not its status: whoever can change one could end an order
                    # that lives. So a postback says no more than that the book is worth reading.
                    await stack.enter_async_context(_postbacks(port, session, lambda _: pushes.missed()))
                pushed = (
                    order_updates(
                        pushes,
                        self._socket(),
                        clock=self._clock,
                        session=session,
                        chance=self._chance(),
                        in_session=_in_session(rules),
                    )
                    if by_socket
                    else pushes.stream()
                )
                async for row in pushed:
                    yield row

        return updates

    # ------------------------------------------------------------------------------------------------ prices

    def source(self, resources: ResourceSet, feed: MarketFeed) -> MarketSource:
        """Return the feed's prices, by the login of the account that it names."""
        from alpha_panda.adapters.zerodha.source import FeedOptions, ZerodhaSource  # noqa: PLC0415 - see above

        spec, rules = feed.spec.source.zerodha, rules_of(feed)
        if spec is None:
            raise MisuseError(f"{feed.ref} is not one of Zerodha")
        options = FeedOptions(
            socket=self._socket(spec.mode), batch_max_ticks=self._settings.feed_batch_max_ticks
        )
        return ZerodhaSource(
            options,
            self._clock,
            self.session(login_of(resources, feed)),
            chance=self._chance(),
            in_session=_in_session(lambda: rules),
        )

    def lists(self, resources: ResourceSet, feed: MarketFeed) -> InstrumentLists:
        """Return the broker's daily lists of instruments, by the login of the account that the feed names."""
        from alpha_panda.adapters.zerodha.instruments import DumpFiles, dump_fetch  # noqa: PLC0415 - see above

        settings = self._settings
        session = self.session(login_of(resources, feed))
        files = DumpFiles(
            lists_directory(settings),
            dump_fetch(settings.zerodha_api_url, session, seconds=LIST_SECONDS),
            self._clock,
            ready_at=clock_of(settings.instruments_reload_at),
            max_age_days=settings.zerodha_instruments_max_age_days,
        )
        return KiteLists(files)

    def _socket(self, mode: str = "quote") -> "SocketOptions":
        from alpha_panda.adapters.zerodha.socket import SocketOptions  # noqa: PLC0415 - see above

        settings = self._settings
        return SocketOptions(
            url=settings.zerodha_ws_url,
            mode=mode,  # type: ignore[arg-type]  # the manifest's model allows no other
            silent_seconds=settings.zerodha_socket_silent_seconds,
            reconnect_initial_seconds=settings.zerodha_reconnect_initial_seconds,
            reconnect_max_seconds=settings.zerodha_reconnect_max_seconds,
        )

    def _chance(self) -> random.Random:
        """Return what jitters pauses: another series for each process, so that they don't all come at once."""
        return random.Random(self._ids.new_id())  # noqa: S311 - nothing is kept secret by it


def _broker(account: BrokerAccount) -> ZerodhaBroker:
    spec = account.spec.zerodha
    if spec is None:
        raise MisuseError(f"{account.ref} is not one of Zerodha")
    return spec


def login_of(resources: ResourceSet, feed: MarketFeed) -> BrokerAccount:
    """Return the account whose login a feed uses."""
    spec = feed.spec.source.zerodha
    account = resources.accounts.get(spec.account) if spec else None
    if account is None:
        raise MisuseError(f"the account whose login {feed.ref} uses is not among its manifests")
    return account


def login_problem(account: BrokerAccount, settings: Settings, clock: Clock) -> str:
    """Return why an account has no valid session on this machine, and what to type; "" if it has, or needs none."""
    from alpha_panda.adapters.zerodha.session import SessionFile  # noqa: PLC0415 - see above

    spec = account.spec.zerodha
    if spec is None:
        return ""
    found = SessionFile(account_directory(settings, account.name), clock, spec.user_id).problem()
    return f"{account.ref}: {found} (log in first: alpha-panda login {account.name})" if found else ""


def egress_check(account: BrokerAccount, settings: Settings, clock: Clock) -> EgressCheck | None:
    """Return what looks whether orders leave from the account's registered address; None: nobody can tell."""
    expected = _broker(account).egress_ip
    if not expected or not settings.address_echo_url:
        return None
    return EgressCheck(
        clock,
        settings.address_echo_url,
        expected,
        seconds=settings.zerodha_request_seconds,
        again_seconds=settings.address_echo_seconds,
    )


def has_socket_left(resources: ResourceSet, account: str) -> bool:
    """Whether the feeds that use the account's login leave it a socket for pushes of its orders: each has its own."""
    from alpha_panda.adapters.zerodha.source import PER_SOCKET  # noqa: PLC0415 - see above

    feeds = (
        feed
        for feed in resources.feeds.values()
        if feed.spec.source.zerodha is not None and feed.spec.source.zerodha.account == account
    )
    return sum(-(-len(feed.symbols) // PER_SOCKET) for feed in feeds) <= FOR_PRICES


def terms_of(spec: ZerodhaBroker) -> "ZerodhaTerms":
    """Return how an account trades, by its manifest."""
    from alpha_panda.adapters.zerodha.orders import ZerodhaTerms  # noqa: PLC0415 - see above
    from alpha_panda.adapters.zerodha.pace import PaceLimits  # noqa: PLC0415 - see above

    limits = spec.limits
    return ZerodhaTerms(
        user_id=spec.user_id,
        product=spec.product.value,
        live=spec.live and not spec.dry_run,
        market_protection=Decimal(repr(spec.market_protection)),
        algo_id=spec.algo_id or "",
        ttl_minutes=spec.ttl_minutes,
        limits=PaceLimits(
            orders_per_second=limits.orders_per_second,
            orders_per_minute=limits.orders_per_minute,
            orders_per_day=limits.orders_per_day,
            calls_per_second=limits.calls_per_second,
        ),
    )


def _in_session(rules: Callable[[], SessionRules]) -> Callable[[int], bool]:
    """Return whether prices may be expected at a moment: where nobody knows, they may."""
    return lambda ts: rules().status(ts).state is not SessionState.CLOSED


def _postbacks(port: int, session: "SessionFile", deliver: Callable[[bytes], None]) -> "PostbackServer":
    from alpha_panda.adapters.zerodha.postbacks import PostbackServer  # noqa: PLC0415 - see above

    return PostbackServer(port, session.api_secret, deliver)
