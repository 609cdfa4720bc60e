"""The manifests of a test platform: one feed, one account, a strategy that trades by itself and one that doesn't."""

from pathlib import Path
from typing import Any, Final

import yaml

FEED: Final = "demo"
ACCOUNT: Final = "main"
SCRIPTED: Final = "scripted"
"""Sends a signal every few ticks, by its own process."""
HAND: Final = "hand"
"""Has no process: tests send in its name, on instruments of their own."""

SCRIPTED_TOKENS: Final = tuple(range(101, 105))
HAND_TOKENS: Final = tuple(range(1001, 1081))
CASH: Final = 1_000_000_000

STRATEGY_FILE: Final = "scripted.py"
STRATEGY: Final = '''"""Buys and sells in turn, every so many ticks of an instrument."""

from pydantic import Field

from alpha_panda.sdk import Strategy, StrategyParameters, Tick


class Parameters(StrategyParameters):
    every: int = Field(default=5, description="Ticks of an instrument from one signal to the next.")
    most: int = Field(default=1_000_000, description="Signals of one instrument, after which it is silent.")


class Scripted(Strategy):
    Parameters = Parameters
    parameters: Parameters

    def on_start(self) -> None:
        self.seen: dict[int, int] = {}

    def on_tick(self, tick: Tick) -> None:
        seen = self.seen[tick.token] = self.seen.get(tick.token, 0) + 1
        number, rest = divmod(seen, self.parameters.every)
        if rest == 0 and number <= self.parameters.most:
            (self.sell if number % 2 == 0 else self.buy)(tick.token, 1)

    def snapshot(self) -> object:
        return self.seen

    def restore(self, state: object) -> None:
        assert isinstance(state, dict)
        self.seen = dict(state)
'''


def symbol_of(token: int) -> str:
    """Return the symbol of a test instrument."""
    return f"TEST:I{token}"


def documents(**parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the manifests; `feed`, `account`, `risk`, `paper` and `parameters` add to or replace fields of the specs."""
    tokens = (*SCRIPTED_TOKENS, *HAND_TOKENS)
    instruments = [
        {"symbol": symbol_of(token), "token": token, "tickSize": "0.05", "referencePrice": "100"}
        for token in tokens
    ]
    source = {"simulated": {"seed": 1, "ticksPerSecond": 100}}
    feed = {"source": source, "instruments": instruments, "staleAfterSeconds": 30, **parts.get("feed", {})}
    risk = {"maxOrdersPerSecond": 1000, **parts.get("risk", {})}
    paper = {"cash": str(CASH), **parts.get("paper", {})}
    account = {"marketFeed": FEED, "paper": paper, "risk": risk, **parts.get("account", {})}
    parameters = {"every": 2, **parts.get("parameters", {})}
    return [
        _resource("MarketFeed", FEED, feed),
        _resource("BrokerAccount", ACCOUNT, account),
        _strategy(SCRIPTED, SCRIPTED_TOKENS, parameters),
        _strategy(HAND, HAND_TOKENS, {}),
    ]


def write(folder: Path, **parts: dict[str, Any]) -> Path:
    """Write the manifests and the strategy's file into the folder; return the manifests' path."""
    (folder / STRATEGY_FILE).write_text(STRATEGY, encoding="utf-8")
    path = folder / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(documents(**parts)), encoding="utf-8")
    return path


def _strategy(name: str, tokens: tuple[int, ...], parameters: dict[str, Any]) -> dict[str, Any]:
    spec = {
        "code": {"file": STRATEGY_FILE},
        "marketFeed": FEED,
        "instruments": [symbol_of(token) for token in tokens],
        "accounts": [ACCOUNT],
        "parameters": parameters,
    }
    return _resource("Strategy", name, spec)


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "alphapanda.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
