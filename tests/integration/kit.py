"""Manifests and strategies that the integration tests share."""

from collections import defaultdict
from typing import Any

from pydantic import Field

from alpha_panda.contracts.events import OrderUpdate, Tick
from alpha_panda.sdk import Strategy, StrategyParameters

RELIANCE, TCS = "NSE:RELIANCE", "NSE:TCS"
API = "alphapanda.io/v1alpha1"

Document = dict[str, Any]


def feed(name: str = "demo", **spec: Any) -> Document:
    instruments = [
        {"symbol": RELIANCE, "token": 738561, "tickSize": "0.05", "referencePrice": "2500"},
        {"symbol": TCS, "token": 2953217, "tickSize": "0.05", "lotSize": 5, "referencePrice": "3900"},
    ]
    source = {"simulated": {"seed": 1, "ticksPerSecond": 1, "speed": 0}}
    return _resource("MarketFeed", name, {"source": source, "instruments": instruments, **spec})


def account(
    name: str = "paper", *, paper: Document | None = None, risk: Document | None = None, **spec: Any
) -> Document:
    broker = {"cash": "1000000", **(paper or {})}
    limits = {"maxOrdersPerSecond": 100, **(risk or {})}
    return _resource("BrokerAccount", name, {"marketFeed": "demo", "paper": broker, "risk": limits, **spec})


def strategy(name: str = "alpha", **spec: Any) -> Document:
    base = {
        "class": "integration.kit:Silent",
        "marketFeed": "demo",
        "instruments": [RELIANCE],
        "accounts": ["paper"],
    }
    return _resource("Strategy", name, {**base, **spec})


def manifests(**parts: Any) -> list[Document]:
    """One feed, one account, one strategy on both instruments that does nothing by itself."""
    return [
        parts.get("feed", feed()),
        parts.get("account", account()),
        parts.get("strategy", strategy(instruments=[RELIANCE, TCS])),
    ]


def _resource(kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


class Silent(Strategy):
    """Never sends a signal: a test sends them in its name."""


class Log:
    """What a recording strategy was told."""

    def __init__(self) -> None:
        self.ticks: list[tuple[int, float, int]] = []
        self.orders: list[OrderUpdate] = []
        self.rejected: list[tuple[str, str]] = []
        self.positions: list[str] = []


LOGS: defaultdict[str, Log] = defaultdict(Log)
"""By the parameter `label`; tests use labels of their own."""


class RecorderParameters(StrategyParameters):
    label: str = Field(default="", description="Which log to write to.")
    script: dict[str, list[Any]] = Field(
        default_factory=dict, description='What to do at the n-th tick: "3": ["BUY", "2"].'
    )
    breaks: str = Field(default="", description="Which callback raises.")


class Recorder(Strategy):
    """Writes down everything, and trades by the number of ticks that it has seen."""

    Parameters = RecorderParameters
    parameters: RecorderParameters

    def on_start(self) -> None:
        self.seen = 0

    def on_tick(self, tick: Tick) -> None:
        self.seen += 1
        self.log.ticks.append((tick.token, tick.last_price, tick.seq))
        self._break("on_tick")
        step = self.parameters.script.get(str(self.seen))
        if step is not None:
            self._act(tick.token, *step)

    def on_order(self, order: OrderUpdate) -> None:
        self.log.orders.append(order)
        self.log.positions.append(str(self.position(order.instrument_token)))
        self._break("on_order")

    def on_rejected(self, signal_id: str, code: Any, message: str) -> None:
        self.log.rejected.append((signal_id, code.value))

    def snapshot(self) -> object:
        self._break("snapshot")
        return self.seen

    def restore(self, state: object) -> None:
        assert isinstance(state, int)
        self.seen = state

    @property
    def log(self) -> Log:
        return LOGS[self.parameters.label]

    def _act(self, token: int, side: str, quantity: str, extra: dict[str, Any] | None = None) -> None:
        send = self.buy if side == "BUY" else self.sell
        self.last = send(token, quantity, **(extra or {}))

    def _break(self, where: str) -> None:
        if self.parameters.breaks == where and self.seen >= 2:  # the second tick: the start went well
            raise RuntimeError(f"broken in {where}")
