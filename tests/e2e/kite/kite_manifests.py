"""Manifests of a live account at the local Kite: thousands of instruments, a strategy that trades, and one by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from alpha_panda.testing.kite.config import USER
from alpha_panda.testing.kite.instruments import KiteInstrument, instruments
from alpha_panda.testing.processes.manifests import ACCOUNT, FEED, HAND, SCRIPTED

CALENDAR: Final = "XBOM"
"""In India's time, as the broker's day."""

SCRIPTED_COUNT: Final = 12
HAND_COUNT: Final = 60

STRATEGY_FILE: Final = "day.py"
STRATEGY: Final = '''"""Trades in turns: market orders, limit orders that rest and are cancelled again, IOC; it remembers what it is told."""

from decimal import Decimal

from pydantic import Field

from alpha_panda.sdk import Code, OrderType, OrderUpdate, Strategy, StrategyParameters, Tick, Validity


class Parameters(StrategyParameters):
    every: int = Field(default=3, description="Ticks of an instrument from one look to the next.")
    quantity: int = Field(default=10, description="Units of an order.")
    most: int = Field(default=30, description="Units at which a position is closed.")
    until: int = Field(default=0, description="Time (UTC ns) after which it sends nothing; 0: none.")


class Day(Strategy):
    Parameters = Parameters
    parameters: Parameters

    def on_start(self) -> None:
        self.seen: dict[str, int] = {}
        self.resting: dict[str, str] = {}
        self.codes: dict[str, int] = {}
        self.held: dict[str, str] = {}

    def on_tick(self, tick: Tick) -> None:
        token, key = tick.token, str(tick.token)
        seen = self.seen[key] = self.seen.get(key, 0) + 1
        turn, rest = divmod(seen, self.parameters.every)
        if rest or 0 < self.parameters.until <= self.now:
            return
        if self.has_open_order(token):
            if key in self.resting and turn % 3 == 0:
                self.cancel(self.resting.pop(key))
            return
        self.resting.pop(key, None)
        self._trade(token, turn, Decimal(str(tick.last_price)))

    def _trade(self, token: int, turn: int, price: Decimal) -> None:
        quantity, held = self.parameters.quantity, self.position(token)
        step = Decimal("0.05")
        grid = (price / step).to_integral_value() * step
        if abs(held) >= self.parameters.most:
            (self.sell if held > 0 else self.buy)(token, abs(held))
        elif turn % 4 == 0:
            self.resting[str(token)] = self.buy(
                token, quantity, order_type=OrderType.LIMIT, limit_price=grid - 2 * step
            )
        elif turn % 4 == 1:
            self.sell(
                token, quantity + 3, order_type=OrderType.LIMIT, limit_price=grid - step, validity=Validity.IOC
            )
        else:
            (self.buy if (turn + token // 256) % 3 else self.sell)(token, quantity)

    def on_order(self, order: OrderUpdate) -> None:
        if order.code is not None:
            self._count(order.code)
        self.held[str(order.instrument_token)] = str(self.position(order.instrument_token))

    def on_rejected(self, signal_id: str, code: Code, message: str) -> None:
        self._count(code)

    def _count(self, code: Code) -> None:
        self.codes[code.value] = self.codes.get(code.value, 0) + 1

    def snapshot(self) -> object:
        return {"seen": self.seen, "resting": self.resting, "codes": self.codes, "held": self.held}

    def restore(self, state: object) -> None:
        assert isinstance(state, dict)
        self.__dict__.update(state)
'''


@dataclass(frozen=True)
class Hours:
    """A session of one day, in India's time, as `HH:MM`."""

    date: date
    open: str
    close: str
    cut_off: str = ""


@dataclass(frozen=True)
class Listing:
    """The instruments of a feed: all, and those that the two strategies trade."""

    all: tuple[KiteInstrument, ...]
    scripted: tuple[KiteInstrument, ...]
    hand: tuple[KiteInstrument, ...]


def listing(today: date, count: int) -> Listing:
    """Return `count` shares of the list that the local Kite has, if it is told to have that many and some more."""
    shares = [item for item in instruments(today, count + 21) if item.exchange == "NSE" and item.tradable]
    cheap = [item for item in shares if 50 <= item.price <= 400 and item.tradingsymbol.startswith("STOCK")]
    assert len(shares) >= count, len(shares)
    traded = cheap[: SCRIPTED_COUNT + HAND_COUNT]
    others = [item for item in shares if item not in traded]
    chosen = (*traded, *others)[:count]
    return Listing(chosen, tuple(traded[:SCRIPTED_COUNT]), tuple(traded[SCRIPTED_COUNT:]))


def write(folder: Path, listed: Listing, hours: Hours | None, *, until: int = 0, **zerodha: Any) -> Path:
    """Write the manifests and the strategy's file into the folder; return the manifests' path. `until`: see the strategy."""
    (folder / STRATEGY_FILE).write_text(STRATEGY, encoding="utf-8")
    path = folder / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(documents(listed, hours, until, zerodha)), encoding="utf-8")
    return path


def documents(
    listed: Listing, hours: Hours | None, until: int, zerodha: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the manifests."""
    feed: dict[str, Any] = {
        "source": {"zerodha": {"account": ACCOUNT, "mode": "full"}},
        "instruments": [{"symbol": item.key} for item in listed.all],
        "staleAfterSeconds": 30,
    }
    account: dict[str, Any] = {
        "marketFeed": FEED,
        "zerodha": {"live": True, "userId": USER, "product": "MIS", **zerodha},
        "risk": {"maxOrdersPerSecond": 1000},
    }
    if hours is not None:
        feed |= {
            "calendar": CALENDAR,
            "extraHolidays": [str(hours.date)],
            "extraSessions": [{"date": str(hours.date), "open": hours.open, "close": hours.close}],
        }
        account["productCutOff"] = hours.cut_off
    return [
        _resource("MarketFeed", FEED, feed),
        _resource("BrokerAccount", ACCOUNT, account),
        _strategy(SCRIPTED, listed.scripted, {"until": until}),
        _strategy(HAND, listed.hand, {}),
    ]


def _strategy(name: str, items: Sequence[KiteInstrument], parameters: dict[str, Any]) -> dict[str, Any]:
    spec = {
        "code": {"file": STRATEGY_FILE},
        "marketFeed": FEED,
        "instruments": [item.key for item in items],
        "accounts": [ACCOUNT],
        "parameters": parameters,
    }
    return _resource("Strategy", name, spec)


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "alphapanda.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
