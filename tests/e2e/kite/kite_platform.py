"""A platform of processes whose account is live at a local Kite of its own process: by manifests and files alone."""

import asyncio
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from alpha_panda.adapters.zerodha.session import Session, write_session
from alpha_panda.cli.loading import load
from alpha_panda.contracts.enums import OrderType, Side, Validity
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.domain.book import Book
from alpha_panda.domain.ids import broker_tag
from alpha_panda.domain.ledger_state import decoded_ledger
from alpha_panda.testing.kite.commands import Price
from alpha_panda.testing.kite.control import Truth
from alpha_panda.testing.kite.instruments import KiteInstrument
from alpha_panda.testing.processes import verdict
from alpha_panda.testing.processes.children import Nursery, child_environment
from alpha_panda.testing.processes.manifests import ACCOUNT, FEED
from alpha_panda.testing.processes.platform import PATIENCE, Platform
from alpha_panda.testing.processes.signals import make_signal

from .kite_manifests import CALENDAR, Hours, Listing, write
from .kite_process import KiteProcess, redirected

COMMAND_SECONDS: Final = 60.0

SETTINGS: Final[dict[str, Any]] = {
    "send_within_seconds": 4,
    "lost_after_seconds": 2,
    "lease_ttl_seconds": 4,
    "lease_renew_seconds": 0.8,
    "kafka_session_timeout_seconds": 4,
    "kafka_group_heartbeat_seconds": 0.8,
    "tracker_interval_seconds": 0.5,
    "book_idle_seconds": 2,
    "reconcile_seconds": 3,
    "reconcile_confirm_seconds": 1,
    "instruments_poll_seconds": 0.5,
    "instruments_retry_seconds": 1,
    "zerodha_socket_silent_seconds": 3,
    "zerodha_reconnect_initial_seconds": 0.3,
    "zerodha_reconnect_max_seconds": 2,
}
"""Beside `QUICK`: a machine under load keeps its leases, and a broker's hours become seconds."""


@dataclass(frozen=True)
class Traded:
    """What was bought and sold of an instrument, and for how much."""

    bought: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    sold: Decimal = Decimal(0)
    got: Decimal = Decimal(0)

    def plus(self, side: Side, quantity: Decimal, amount: Decimal) -> "Traded":
        """Return it with one more fill."""
        if side is Side.BUY:
            return Traded(self.bought + quantity, self.paid + amount, self.sold, self.got)
        return Traded(self.bought, self.paid, self.sold + quantity, self.got + amount)

    @property
    def net(self) -> Decimal:
        """Signed units held."""
        return self.bought - self.sold

    @property
    def cash(self) -> Decimal:
        """What it brought; of a flat instrument the realised P&L."""
        return self.got - self.paid


def placed(truth: Truth) -> Counter[str]:
    """Return how many calls there were to place an order, by tag."""
    return Counter(call.subject for call in truth.calls if call.kind == "place")


def accepted(truth: Truth) -> Counter[str]:
    """Return how many orders stand in the broker's book, by our tag."""
    return Counter(tag for row in truth.orders if (tag := _tag(row)))


def _tag(row: Mapping[str, Any]) -> str:
    return row["tag"] or next(iter(row.get("tags") or ()), "")


class KitePlatform(Platform):
    """All services of one account at the local Kite. Use as an async context manager, once.

    Args:
        folder, kafka, redis: see `Platform`.
        kite: runs already.
        listed: the feed's instruments.
        hours: of the session; None: always open.
        until: when the strategy sends no more (UTC ns); 0: never.
        settings: fields to change.

    """

    def __init__(
        self,
        folder: Path,
        kafka: str,
        redis: str,
        *,
        kite: KiteProcess,
        listed: Listing,
        hours: Hours | None = None,
        until: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        fields = {
            **SETTINGS,
            "broker_directory": str(folder / "accounts"),
            "zerodha_instruments_directory": str(folder / "lists"),
            "zerodha_api_url": kite.at.url,
            "zerodha_ws_url": kite.at.ws_url,
            "zerodha_login_url": kite.at.login_url,
            **(settings or {}),
        }
        super().__init__(folder, kafka, redis, live=False, settings=fields)
        self.path = write(folder, listed, hours, until=until)
        self.resources = load([self.path])
        self.nursery = Nursery(() if hours is None else (CALENDAR,))
        self.kite = kite
        self.listed = listed
        self._turns = cycle(listed.hand)
        self._truth: Truth | None = None
        keys = folder / "accounts" / ACCOUNT / "keys"
        keys.mkdir(parents=True)
        for name, text in (("api_key", kite.api_key), ("api_secret", kite.api_secret)):
            (keys / name).write_text(text, encoding="ascii")
            (keys / name).chmod(0o600)

    # -------------------------------------------------------------------------------------------- commands

    async def panda(self, *words: str, stdin: str = "", **env: str) -> tuple[int, str, str]:
        """Type a command of `alpha-panda`, in a process of its own; return its exit code and what it said."""
        process = await self._command(words, env)
        async with asyncio.timeout(COMMAND_SECONDS):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def _command(self, words: tuple[str, ...], env: Mapping[str, str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "alpha_panda.cli",
            *words,
            env=child_environment(**{**self._fields, **env}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def log_in_at_once(self) -> None:
        """Put a session there, as a log-in of another machine would."""
        now = time.time_ns()
        session = Session(
            user_id=self.kite.user,
            api_key=self.kite.api_key,
            access_token=await self.kite.log_in(),
            login_at=now,
            expires_at=now + 3600 * SECOND_NS,
        )
        write_session(self.folder / "accounts" / ACCOUNT, session)

    async def log_in_by_pasting(self, **env: str) -> str:
        """Log in by `alpha-panda login` and the address that the browser ends at; return what the command said."""
        address = await redirected(f"{self.kite.at.login_url}?v=3&api_key={self.kite.api_key}")
        code, out, err = await self.panda("login", ACCOUNT, stdin=f"{address}\n", **env)
        assert code == 0, err
        return out

    async def log_in_by_callback(self, port: int, **env: str) -> tuple[str, float]:
        """Log in by `alpha-panda login --callback`, with a browser that comes back.

        Return what the command said, and when (monotonic seconds) its session was stored at the latest.
        """
        process = await self._command(("login", ACCOUNT, "--callback", str(port)), env)
        said = ""
        async with asyncio.timeout(COMMAND_SECONDS):
            assert process.stderr is not None
            assert process.stdout is not None
            while "Waiting" not in said:
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
            (page,) = re.findall(r"http://\S+", said.split("Waiting")[0])
            assert (await _visited(page)).startswith("Alpha Panda has what it needs")
            out = (await process.stdout.read()).decode()
            at = time.monotonic()
            said += (await process.stderr.read()).decode()
            assert await process.wait() == 0, said
        return out, at

    # --------------------------------------------------------------------------------------------- readings

    async def statuses(self, service: str) -> list[ServiceStatus]:
        """Return what the replicas of a service say of themselves."""
        return [status for status in await self.ports.statuses.all() if status.service == service]

    async def detail(self, service: str, name: str) -> Any:
        """Return one detail of a service's status; None while there is none."""
        found = await self.statuses(service)
        return found[0].details.get(name) if found else None

    async def ticks(self) -> int:
        """Return how many ticks the feed has published, by its status."""
        return int(await self.detail("market-feed", "ticks") or 0)

    async def reconciled(self) -> bool:
        """Whether the order-tracker says that book and broker agree."""
        found = await self.statuses("order-tracker")
        details = found[0].details if found else {}
        return details.get("broker_reconciled") is True and details.get("differences") == 0

    async def may_trade(self) -> bool:
        """Whether risk may let positions grow: the account was compared since the order-tracker's last start."""
        facts = await self.journal.facts()
        return facts is not None and facts.reconciled and not facts.unjudged

    async def freshly_priced(self, *items: KiteInstrument) -> None:
        """Let instruments trade once, and wait until that is their price here."""
        since = time.time_ns()
        for item in items:
            await self.kite.do(Price(token=item.token, price=item.price))

        async def all_fresh() -> bool:
            quotes = await self.ports.prices.read_many(FEED, [item.token for item in items])
            return len(quotes) == len(items) and all(quote.ts >= since for quote in quotes.values())

        await self.until(all_fresh, "the instruments have new prices")

    async def book(self) -> Book:
        """Return the account's book, as risk has saved it."""
        snapshot = await self.ports.decisions(ACCOUNT).snapshot()
        assert snapshot is not None
        return decoded_ledger(snapshot.state).book

    def connections(self, name: str) -> int:
        """Return how often a service's sockets have connected, by its log."""
        return sum("kite_socket_connected" in line for line in self.log(name))

    # ---------------------------------------------------------------------------------------------- signals

    async def signal(  # type: ignore[override] # by instrument: these tokens are the broker's
        self,
        side: Side = Side.BUY,
        quantity: str = "1",
        *,
        item: KiteInstrument | None = None,
        ttl: float = 20.0,
        limit: str | None = None,
        validity: Validity = Validity.DAY,
    ) -> str:
        """Produce a TRADING_SIGNAL in the name of the strategy without a process; return its id."""
        chosen = item or next(self._turns)
        made = msgspec.structs.replace(
            make_signal(side, quantity, token=chosen.token, ttl=ttl, limit=limit),
            symbol=chosen.key,
            validity=validity,
            order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        )
        await self.produce(made)
        return made.signal_id

    async def ended(self, *signals: str, seconds: float = PATIENCE) -> None:
        """Wait until each of the signals has its one outcome."""
        await self._holds(lambda: verdict.end_faults(self.recorder.stories, signals), seconds)

    # ---------------------------------------------------------------------------------------------- verdict

    async def priced(self, seconds: float = PATIENCE) -> None:
        """Wait until every instrument that is traded has a price."""
        tokens = [item.token for item in (*self.listed.scripted, *self.listed.hand)]

        async def all_priced() -> bool:
            return len(await self.ports.prices.read_many(FEED, tokens)) == len(tokens)

        await self.until(all_priced, "every instrument has a price", seconds)

    async def outcomes(self, signals: Any, seconds: float = PATIENCE) -> None:
        """See the base."""
        await self.ended(*signals, seconds=seconds)
        await self.check_broker()

    async def check_broker(self) -> Truth:
        """No signal has reached the broker twice; return the broker's truth."""
        truth = await self.kite.truth()
        known = {broker_tag(name) for name in (*self.recorder.stories, *self.sent)}
        calls = placed(truth)
        found = [f"{count} calls with the tag {tag}" for tag, count in calls.items() if count > 1]
        found += [f"{count} orders with the tag {tag}" for tag, count in accepted(truth).items() if count > 1]
        found += [f"a call with the tag {tag}, which is of no signal" for tag in calls if tag not in known]
        found += self.recorder.contradictions
        assert not found, "\n".join(found)
        return truth

    async def comes_to_rest(self, seconds: float = PATIENCE, *, letters: int | None = 0) -> None:
        """See the base; the broker's part is asked for anew each time."""

        await self._holds(lambda: self._rest_faults(letters), seconds)
        await self.check_broker()

    async def _rest_faults(self, letters: int | None) -> list[str]:
        """Return all that does not hold yet: outcomes, journal, and book, events and broker against one another."""
        recorder, truth = self.recorder, await self.kite.truth()
        found = [f"{lag} records not read yet"] if (lag := await recorder.lag()) else []
        signals = [name for name in recorder.stories if not name.startswith("external:")]
        found += verdict.end_faults(recorder.stories, {*signals, *self.sent})
        found += await verdict.journal_faults(self.journal)
        found += verdict.letter_faults(recorder.dead_letters, letters)
        told, true = self.told_trades(), true_trades(truth)
        found += [
            f"token {token}: told {told.get(token)}, true {true.get(token)}"
            for token in told.keys() | true.keys()
            if told.get(token) != true.get(token)
        ]
        return [*found, *book_faults(await self.book(), true)]

    def told_trades(self) -> dict[int, Traded]:
        """Return what the order events come to, by token: shares of external trades are parts of what is told already."""
        found: dict[int, Traded] = defaultdict(Traded)
        for name, story in self.recorder.stories.items():
            if "@" not in name and story.fold.filled_quantity:
                found[story.token] = found[story.token].plus(
                    story.side, story.fold.filled_quantity, story.fold.amount
                )
        return dict(found)


def true_trades(truth: Truth) -> dict[int, Traded]:
    """Return what the broker has executed, by token."""
    found: dict[int, Traded] = defaultdict(Traded)
    for trade in truth.executed:
        found[trade.instrument_token] = found[trade.instrument_token].plus(
            trade.side, trade.quantity, trade.price * trade.quantity
        )
    return dict(found)


def book_faults(book: Book, true: Mapping[int, Traded]) -> list[str]:
    """Return where the book is not, to the paisa, what the broker has executed."""
    found = [
        f"position of {token}: book {book.quantity(token)}, true {true.get(token, Traded()).net}"
        for token in book.positions.keys() | true.keys()
        if book.quantity(token) != true.get(token, Traded()).net
    ]
    for token, traded in true.items():
        held = book.positions.get(token)
        cash = None if held is None else held.realized_pnl - held.cost
        if cash != traded.cash:
            found.append(f"money of {token}: book {cash}, true {traded.cash}")
    moved = sum((traded.cash for traded in true.values()), Decimal(0))
    if book.cash - book.opening_cash != moved:
        found.append(f"cash {book.cash} from {book.opening_cash}, true {moved}")
    return found


def row_of(truth: Truth, signal_id: str) -> Mapping[str, Any]:
    """Return the broker's row of a signal's order."""
    (row,) = [row for row in truth.orders if _tag(row) == broker_tag(signal_id)]
    return row


async def until_time(ts: int) -> None:
    """Wait until a time (UTC ns)."""
    await asyncio.sleep(max(0.0, ts / 1e9 - time.time()))


def india(ts: int) -> datetime:
    """Return a time (UTC ns) as India's clocks show it, without its zone."""
    return datetime.fromtimestamp(ts / 1e9 + 19_800, UTC).replace(tzinfo=None)


async def _visited(page: str) -> str:
    async with aiohttp.ClientSession() as browser, browser.get(page) as answer:
        return await answer.text()
