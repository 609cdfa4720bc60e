"""A trading day at the local Kite, compressed into minutes: from a log-in before the open to the broker's square-off.

Clocks are real; the session, the product's cut-off and the end of the access token are full minutes soon to come. What
is asserted at the end: book, events and broker agree to the last paisa, instrument by instrument.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.session import SessionFile
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.domain.ids import broker_tag
from alpha_panda.strategy.cell import CellState
from alpha_panda.testing.kite.commands import Configure, Elsewhere, Plan, Sockets
from alpha_panda.testing.kite.faults import call_fails
from alpha_panda.testing.kite.sockets import SocketFault
from alpha_panda.testing.processes.manifests import ACCOUNT, SCRIPTED
from alpha_panda.testing.processes.platform import ALL
from alpha_panda.testing.processes.service import CONTROL
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.ports import free_ports
from alpha_panda.testing.servers.redis import RedisServer
from totals import Tally

from .kite_manifests import Hours, listing
from .kite_platform import KitePlatform, accepted, india, placed, row_of, true_trades, until_time
from .kite_process import KiteProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

INSTRUMENTS: Final = 3000
TICKS_PER_SECOND: Final = 3000
LEAST_TICKS_PER_SECOND: Final = 1000
LIQUIDITY: Final = 7
"""Units that trade at one price: orders of more fill in parts."""

LEAD: Final = 35
"""Seconds from the start of the services to the open, at least."""
MINUTE: Final = 60 * SECOND_NS
SESSION_MINUTES: Final = 4
SQUARE_OFF_AFTER: Final = 6
"""Seconds after the product's cut-off at which the broker squares off."""
UNRECONCILED: Final = 6
"""Seconds from the open in which the broker's positions can't be read."""


ELSEWHERE: Final = 20
"""Which instrument a person trades in the broker's own app."""


class Schedule:
    """When what happens (UTC ns): all at full minutes but the square-off."""

    def __init__(self) -> None:
        first = time.time_ns() + LEAD * SECOND_NS
        self.open = -(-first // MINUTE) * MINUTE
        if india(self.open).date() != india(self.open + SESSION_MINUTES * MINUTE).date():
            self.open += SESSION_MINUTES * MINUTE  # the day would end within the session
        self.token_dies = self.open + MINUTE
        self.cut_off = self.open + 2 * MINUTE
        self.square_off = self.cut_off + SQUARE_OFF_AFTER * SECOND_NS
        self.close = self.open + SESSION_MINUTES * MINUTE
        self.quiet = self.cut_off - 4 * SECOND_NS
        """The strategy sends no more, so that nothing closes what the broker closes."""

    @property
    def hours(self) -> Hours:
        """As manifests have it."""
        return Hours(india(self.open).date(), _clock(self.open), _clock(self.close), _clock(self.cut_off))


def _clock(ts: int) -> str:
    return f"{india(ts):%H:%M}"


async def test_a_days_book_is_the_brokers_to_the_paisa(
    kafka: KafkaServer, redis: RedisServer, tmp_path: Path, tally: Tally
) -> None:
    (port,) = free_ports(1)
    options = (
        f"--instruments={INSTRUMENTS + 21}",
        f"--ticks-per-second={TICKS_PER_SECOND}",
        f"--redirect-url=http://127.0.0.1:{port}",
        "--limits",
        "--delays",
    )
    async with KiteProcess(*options) as kite:
        when = Schedule()
        listed = listing(india(when.open).date(), INSTRUMENTS)
        platform = KitePlatform(
            tmp_path,
            kafka.bootstrap_servers,
            redis.url,
            kite=kite,
            listed=listed,
            hours=when.hours,
            until=when.quiet,
        )
        async with platform:
            day = Day(platform, when, port, tally)
            await day.before_the_open()
            await day.nobody_trades_before_the_account_is_compared()
            await day.trades()
            await day.the_token_dies_and_there_is_another()
            await day.connections_are_lost()
            await day.the_broker_squares_off()
            await day.all_agree()


class Day:
    """The parts of the day, in their order."""

    def __init__(self, platform: KitePlatform, when: Schedule, port: int, tally: Tally) -> None:
        self.platform = platform
        self.kite = platform.kite
        self.when = when
        self.port = port
        self.tally = tally
        self.rejected = ""

    # ----------------------------------------------------------------------------------------------- pre-open

    async def before_the_open(self) -> None:
        """Services wait for a log-in; there is one; a signal before the open is refused; nobody asks for an order."""
        platform, when = self.platform, self.when
        await self.kite.do(
            Configure(
                changes={
                    "sessions": [(when.open, when.close)],
                    "square_off_seconds": (when.close - when.square_off) / SECOND_NS,
                    "liquidity": LIQUIDITY,
                    "token_life_seconds": None,
                    "token_dies_at": _clock(when.token_dies),
                }
            ),
            Plan(
                fault=call_fails("/portfolio", 503),
                seconds=(when.open - time.time_ns()) / SECOND_NS + UNRECONCILED,
            ),
        )
        await platform.start(CONTROL, *ALL, wait=False)
        said = await platform.log_in_by_pasting(ALPHAPANDA_ZERODHA_TOKEN_DIES_AT=_clock(when.token_dies))
        assert f"valid until {india(when.token_dies):%Y-%m-%d %H:%M}" in said
        for name in ALL:
            await platform.ready(name)
        await platform.priced()
        assert await platform.detail("market-feed", "instruments") == INSTRUMENTS
        early = await platform.signal()
        await platform.ended(early)
        assert platform.told(early) == f"REJECTED {Code.SESSION_CLOSED}"
        left = (when.open - time.time_ns()) / SECOND_NS
        assert left > 0, f"the services took {-left:.1f} s too long to be ready before the open"
        self.tally("kite day: ready before the open by", f"{left:.0f} s")

    async def nobody_trades_before_the_account_is_compared(self) -> None:
        """In session, but with the broker's positions unread, signals are refused and nothing is sent."""
        platform, when = self.platform, self.when
        await until_time(when.open + SECOND_NS)
        item = platform.listed.hand[-1]
        await platform.freshly_priced(item)
        signal = await platform.signal(item=item)
        await platform.ended(signal)
        truth = await self.kite.truth()
        assert platform.told(signal) == f"REJECTED {Code.NOT_RECONCILED}"
        assert not placed(truth)
        assert not truth.executed
        await platform.until(platform.reconciled, "the account is compared with its broker")
        assert time.time_ns() >= when.open + nanoseconds(UNRECONCILED)

    # ------------------------------------------------------------------------------------------------ trading

    async def trades(self) -> None:
        """Thousands of ticks a second; orders that fill in parts; one that the broker refuses; a trade elsewhere."""
        platform, listed = self.platform, self.platform.listed
        began, before = time.monotonic(), await platform.ticks()
        *bought, low = listed.hand[:9]
        await platform.freshly_priced(*bought, low)
        signals = [await platform.signal(Side.BUY, "20", item=item) for item in bought]
        self.rejected = await platform.signal(item=low, limit=str(low.on_grid(low.price / 2)))
        await self.kite.do(Elsewhere(token=listed.hand[ELSEWHERE].token, side=Side.BUY, quantity=5))
        await platform.ended(*signals, self.rejected)
        assert [platform.told(signal) for signal in signals] == ["FILLED"] * len(signals)
        assert platform.told(self.rejected) == f"FAILED {Code.BROKER_REJECTED}"
        truth = await platform.check_broker()
        assert row_of(truth, self.rejected)["status"] == "REJECTED"
        parts = [sum(trade.tag == broker_tag(signal) for trade in truth.executed) for signal in signals]
        assert min(parts) > 1, "orders of more than trades at one price fill in parts"
        code, out, err = await platform.panda("explain", self.rejected)
        assert code == 0, err
        assert "BROKER_REJECTED" in out
        assert "Order price is out of the day's range" in out
        await until_time(self.when.token_dies - 3 * SECOND_NS)
        rate = (await platform.ticks() - before) / (time.monotonic() - began)
        self.tally("kite day: ticks/s published", f"{rate:,.0f} of {INSTRUMENTS:,} instruments")
        assert rate >= LEAST_TICKS_PER_SECOND

    async def the_token_dies_and_there_is_another(self) -> None:
        """Orders fail, prices stop, nothing crashes; with the next log-in all goes on by itself."""
        platform, when = self.platform, self.when
        await until_time(when.token_dies + SECOND_NS)
        assert any("access_token_ends_soon" in line for line in platform.log("order-tracker"))
        late = await platform.signal()
        await platform.ended(late)
        assert Code.ACCESS_TOKEN_EXPIRED in platform.told(late)
        await self.kite.do(Sockets(fault=SocketFault(action="abort")))
        await platform.until(self._feed_waits, "the feed waits for a session")
        code, out, _ = await platform.panda("status")
        assert code == 1
        assert "expired" in out, out
        silent = await platform.ticks()
        calls = len(placed(await self.kite.truth()))
        await self.kite.do(Configure(changes={"token_dies_at": "06:00"}))
        said, stored = await platform.log_in_by_callback(self.port)
        assert "valid until" in said
        await platform.until(self._more_ticks(silent + 1), "prices come again")
        prices = time.monotonic() - stored
        await platform.until(platform.reconciled, "the account is compared again")
        compared = time.monotonic() - stored

        async def an_order() -> bool:
            return len(placed(await self.kite.truth())) > calls

        await platform.until(an_order, "orders are sent again")
        orders = time.monotonic() - stored
        self.tally(
            "kite day: after the new log-in",
            f"prices in {prices:.1f} s, compared in {compared:.1f} s, the first order in {orders:.1f} s",
        )
        assert orders < 15

    async def _feed_waits(self) -> bool:
        return "expired" in str(await self.platform.detail("market-feed", "problem"))

    def _more_ticks(self, than: int) -> Callable[[], Awaitable[bool]]:
        async def more() -> bool:
            return await self.platform.ticks() > than

        return more

    async def connections_are_lost(self) -> None:
        """Sockets that are cut, closed or say nothing any more are connected anew; prices go on."""
        platform = self.platform
        took = []
        for fault in (
            SocketFault(action="abort"),
            SocketFault(action="close", code=1001),
            SocketFault(action="silent", seconds=60),
        ):
            before = self._connections()
            began = time.monotonic()
            await self.kite.do(Sockets(fault=fault))
            await platform.until(self._more_connections(before), f"all are connected after {fault.action}")
            took.append(f"{fault.action} {time.monotonic() - began:.1f} s")
            await platform.until(self._more_ticks(await platform.ticks()), "prices go on")
        signal = await platform.signal(quantity="3")
        await platform.ended(signal)
        assert platform.told(signal) == "FILLED"
        self.tally("kite day: connected again after", ", ".join(took))

    def _connections(self) -> tuple[int, int]:
        return self.platform.connections("market-feed"), self.platform.connections("order-tracker")

    def _more_connections(self, before: tuple[int, int]) -> Callable[[], bool]:
        return lambda: all(now > seen for now, seen in zip(self._connections(), before, strict=True))

    # ------------------------------------------------------------------------------------------------- the end

    async def the_broker_squares_off(self) -> None:
        """After the cut-off no position grows; the broker closes all, and whose positions they were is told so."""
        platform, when = self.platform, self.when
        assert time.time_ns() < when.quiet, "the day was too short for all of the above"
        await until_time(when.cut_off + SECOND_NS)
        growing = await platform.signal(item=platform.listed.hand[0])
        await platform.ended(growing)
        assert platform.told(growing) == f"REJECTED {Code.SESSION_CLOSED}"
        before = await self.kite.truth()
        assert len(before.positions) > 5, "there is something to square off"
        await until_time(when.square_off + SECOND_NS)

        async def flat() -> bool:
            truth = await self.kite.truth()
            return not truth.positions and not truth.resting

        await platform.until(flat, "the broker has closed all positions")
        told_at = time.monotonic()

        async def told() -> bool:
            book = await platform.book()
            own = [held for name in book.strategies.values() for held in name.positions.values()]
            return not any(held.quantity for held in (*book.positions.values(), *own))

        await platform.until(told, "book and strategies are flat")
        self.tally("kite day: square-off told to strategies within", f"{time.monotonic() - told_at:.1f} s")
        shares: Counter[int] = Counter()
        for name, story in platform.recorder.stories.items():
            if "@" in name:
                shares[story.token] += story.side.sign * int(story.fold.filled_quantity)
        closed = [row for row in (await self.kite.truth()).orders if row["placed_by"] != self.kite.user]
        assert len(closed) >= len(before.positions)
        nobodys = platform.listed.hand[ELSEWHERE].token
        assert shares == {
            row["instrument_token"]: Side(row["transaction_type"]).sign * int(row["filled_quantity"])
            for row in closed
            if row["instrument_token"] != nobodys
        }
        code, out, err = await platform.panda("explain", f"external:{closed[0]['order_id']}")
        assert code == 0, err
        assert Code.SQUARE_OFF in out

    async def all_agree(self) -> None:
        """At rest: outcomes, book, events, broker; and the strategy itself has been told that it holds nothing."""
        platform = self.platform
        await platform.comes_to_rest(seconds=45)
        at = time.time_ns()

        async def compared_since() -> bool:
            compared = await platform.detail("order-tracker", "compared_ts")
            return await platform.reconciled() and int(compared or 0) > at

        await platform.until(compared_since, "book and broker were compared once more, without differences")
        for name, child in platform.children.items():
            assert child.exits == [], f"{name} has crashed"
        assert await platform.end("strategy") == 0
        held, codes = await self._what_the_strategy_knows()
        assert held
        assert set(held.values()) == {"0"}
        assert codes[Code.SQUARE_OFF] >= 1
        await self._tell_totals()

    async def _what_the_strategy_knows(self) -> tuple[dict[str, str], dict[str, int]]:
        """Return the positions that the strategy was told last, and how often it met each code, by its own memory."""
        claim = await self.platform.ports.checkpoints.claim(SCRIPTED, ACCOUNT)
        assert claim.checkpoint is not None
        cell = msgspec.msgpack.decode(claim.checkpoint.state, type=CellState)
        assert not any(cell.positions.values())
        own = msgspec.msgpack.decode(cell.driver)["strategy"]
        return own["held"], own["codes"]

    async def _tell_totals(self) -> None:
        platform, truth = self.platform, await self.kite.truth()
        true, book = true_trades(truth), await platform.book()
        assert {token: held.realized_pnl for token, held in book.positions.items()} == {
            token: traded.cash for token, traded in true.items()
        }
        session = SessionFile(platform.folder / "accounts" / ACCOUNT, RealClock()).current()
        assert session is not None
        rows = await self.kite.positions(session.access_token)
        assert all(row["quantity"] == 0 for row in rows)
        assert {row["instrument_token"]: Decimal(row["value"]) for row in rows} == {
            token: held.realized_pnl for token, held in book.positions.items()
        }
        stories = platform.recorder.stories.values()
        codes: dict[str, int] = {}
        for story in stories:
            for code in story.codes:
                codes[code] = codes.get(code, 0) + 1
        partial = sum(1 for tag in accepted(truth) if sum(trade.tag == tag for trade in truth.executed) > 1)
        realised = sum((traded.cash for traded in true.values()), Decimal(0))
        self.tally(
            "kite day",
            f"{len(placed(truth))} calls, {len(accepted(truth))} orders, {partial} filled in parts, "
            f"{len(truth.executed)} trades in {len(true)} instruments, realised {realised} on both sides; codes {codes}",
        )
        assert partial > 10
        assert len(placed(truth)) > 50
