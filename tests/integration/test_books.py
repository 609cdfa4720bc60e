"""The books balance to the last decimal, recomputed from the events file alone."""

import asyncio
import io
import json
import random
from collections.abc import Iterable
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.memory.loop import IdleAwareEventLoop
from alpha_panda.cli.loading import load
from alpha_panda.compose.embedded import RunOptions, run_embedded
from alpha_panda.contracts.enums import OrderType, Side
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.pipeline import Pipeline
from integration.kit import RELIANCE, TCS, account, feed, strategy

ROOT = Path(__file__).parents[2]
EXACT = 60  # digits: more than any sum here has
Event = dict[str, Any]


class Recomputed:
    """An account's book by its events: orders fold to their greatest filled quantity."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first: Event | None = None
        self.opening: Event | None = None
        self.final: Event | None = None
        self.orders: dict[str, Event] = {}

    def take(self, event: Event) -> None:
        data = event["data"]
        self.first = self.first or event
        if event["type"] == "PORTFOLIO_SNAPSHOT":
            self.opening = self.opening or data
            self.final = data
        elif ".orders." in event["topic"] and "filled_quantity" in data:
            known = self.orders.get(data["order_id"])
            if known is None or Decimal(data["filled_quantity"]) > Decimal(known["filled_quantity"]):
                self.orders[data["order_id"]] = data

    def check(self, last_prices: dict[int, Decimal]) -> None:
        assert self.first is not None
        assert self.opening is not None
        assert self.final is not None
        assert self.first["type"] == "PORTFOLIO_SNAPSHOT"  # before anything else of the account
        assert self.opening["cash"] == self.opening["opening_cash"]
        cash, fees = Decimal(self.opening["cash"]), Decimal(0)
        held: dict[int, Decimal] = {}
        for order in self.orders.values():
            sign = 1 if order["side"] == "BUY" else -1
            filled = Decimal(order["filled_quantity"])
            traded = Decimal(order["amount"]) if "amount" in order else Decimal(order["price"]) * filled
            cost = Decimal(order.get("fees", "0"))
            cash -= sign * traded + cost
            fees += cost
            held[order["instrument_token"]] = held.get(order["instrument_token"], Decimal(0)) + sign * filled
        final = self.final
        positions = {
            view["instrument_token"]: Decimal(view["quantity"]) for view in final["positions"].values()
        }
        assert {t: q for t, q in positions.items() if q} == {t: q for t, q in held.items() if q}
        assert (Decimal(final["cash"]), Decimal(final["fees"])) == (cash, fees)
        value = sum((quantity * last_prices[token] for token, quantity in held.items()), Decimal(0))
        assert Decimal(final["equity"]) == cash + value
        profit = Decimal(final["realized_pnl"]) + Decimal(final["unrealized_pnl"])
        assert Decimal(final["equity"]) - Decimal(self.opening["cash"]) == profit - fees


def recompute(lines: Iterable[bytes | str], tick_sizes: dict[int, Decimal]) -> dict[str, Recomputed]:
    """Check every account of an events file; return them."""
    books: dict[str, Recomputed] = {}
    last: dict[int, Decimal] = {}
    with localcontext(prec=EXACT):
        for line in lines:
            event = json.loads(line, parse_float=Decimal)
            if event["type"] == "MARKET_TICKS":
                last.update({tick["token"]: tick["last_price"] for tick in event["data"]["ticks"]})
            elif event["account"]:
                books.setdefault(event["account"], Recomputed(event["account"])).take(event)
        prices = {
            token: (Decimal(p) / tick_sizes[token]).quantize(Decimal(1)) * tick_sizes[token]
            for token, p in last.items()
        }
        for book in books.values():
            book.check(prices)
    return books


def run_example(path: Path, events: Path, max_ticks: int | None) -> dict[str, Recomputed]:
    resources = load([path])
    with events.open("wb") as file:
        summary = run_embedded(
            resources, Settings(log_level="ERROR"), RunOptions(max_ticks=max_ticks, seed=5), events_file=file
        )
    sizes = {item.token: item.tick_size for one in resources.feeds.values() for item in one.instruments}
    with events.open("rb") as lines:
        books = recompute(lines, sizes)
    for name, told in summary.accounts.items():
        final = books[name].final
        assert final is not None
        assert Decimal(told.equity) == Decimal(final["equity"])
    return books


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_real_prices_leave_balanced_books(tmp_path: Path) -> None:
    books = run_example(ROOT / "examples/02-replay-real-prices", tmp_path / "events.jsonl", 150_000)
    assert len(books["paper"].orders) > 50


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("seed", range(4))
def test_random_orders_on_two_accounts_leave_balanced_books(seed: int) -> None:
    terms = {"slippageBps": "7", "commissionBps": "3.3", "partialFillRatio": "0.6", "cash": "50000000"}
    world = [
        feed(staleAfterSeconds=60),
        account(paper={**terms, "seed": 1}),
        account("second", paper={**terms, "seed": 2}, risk={"allowShort": False}),
        *(
            strategy(name, instruments=[RELIANCE, TCS], accounts=["paper", "second"])
            for name in ("a", "b", "c")
        ),
    ]
    file = io.BytesIO()

    async def play() -> None:
        chance = random.Random(seed)
        async with Pipeline(world, events_file=file) as pipeline:
            price = 2500.0
            for second in range(1, 60):
                price = round((price + chance.choice((-7, -3, 2, 4, 9)) * 0.05) / 0.05) * 0.05
                await pipeline.ticks([(RELIANCE, round(price, 2)), (TCS, round(price + 1400, 2))], at=second)
                for _ in range(chance.randrange(3)):
                    await pipeline.signal(
                        *_order(chance, price),
                        account=chance.choice(("paper", "second")),
                        **_terms(chance, price),
                    )
            assert pipeline.dead_letters() == []

    with asyncio.Runner(loop_factory=IdleAwareEventLoop) as runner:
        runner.run(play())
    sizes = {738561: Decimal("0.05"), 2953217: Decimal("0.05")}
    books = recompute(file.getvalue().splitlines(), sizes)
    assert books.keys() == {"paper", "second"}
    assert sum(len(book.orders) for book in books.values()) > 10
    assert any(Decimal(order.get("fees", "0")) for book in books.values() for order in book.orders.values())


def _order(chance: random.Random, price: float) -> tuple[str, str, Side, str]:
    symbol, lot = chance.choice(((RELIANCE, 1), (TCS, 5)))
    return chance.choice("abc"), symbol, chance.choice(list(Side)), str(lot * chance.randrange(1, 30))


def _terms(chance: random.Random, price: float) -> dict[str, Any]:
    if chance.random() < 0.7:
        return {}
    near = f"{round((price + chance.choice((-0.5, 0.5))) / 0.05) * 0.05:.2f}"
    return {"order_type": OrderType.LIMIT, "limit": near}
