"""Manifests for the command line's tests, and a way to call it as a user does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from alpha_panda.cli.app import main

API = "alphapanda.io/v1alpha1"
SYMBOL = "NSE:RELIANCE"
Document = dict[str, Any]

OPENING = "1000000"


class Called(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)


class Alpha:
    """`alpha-panda` in this process, in a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def __call__(self, *arguments: object) -> Called:
        self._capture.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        assert "Traceback" not in out
        return Called(code, out, err)

    def write(self, name: str, documents: Sequence[Document]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        return path

    def text(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


def resource(kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def feed(source: Document | None = None, **spec: Any) -> Document:
    """A feed on virtual time unless `source` says otherwise."""
    made_up = {"simulated": {"seed": 7, "ticksPerSecond": 100, "speed": 0}}
    instrument = {"symbol": SYMBOL, "token": 738561, "tickSize": "0.05", "referencePrice": "2500"}
    return resource("MarketFeed", "demo", {"source": source or made_up, "instruments": [instrument], **spec})


def wall_clock_feed() -> Document:
    return feed({"simulated": {"seed": 7, "ticksPerSecond": 100}})


def account(**spec: Any) -> Document:
    paper = {"cash": OPENING, "slippageBps": "1", "commissionBps": "3", "partialFillRatio": "0.5"}
    return resource("BrokerAccount", "paper", {"marketFeed": "demo", "paper": paper, **spec})


def strategy(**spec: Any) -> Document:
    """A momentum strategy that trades every few ticks."""
    base: Document = {"marketFeed": "demo", "instruments": [SYMBOL], "accounts": ["paper"]}
    if not {"code", "class"} & spec.keys():
        base |= {"type": "momentum", "parameters": {"lookback": 5, "thresholdBps": "0.4", "quantity": "10"}}
    return resource("Strategy", "alpha", base | spec)


def platform(**parts: Document) -> list[Document]:
    """A feed, an account and a strategy, some of them replaced."""
    return [parts.get("feed", feed()), parts.get("account", account()), parts.get("strategy", strategy())]


BROKEN = """\
from alpha_panda.sdk import Strategy, Tick


class Broken(Strategy):
    def on_{where}(self{rest}) -> None:
        raise RuntimeError("no good")
"""


def broken(alpha: Alpha, where: str) -> Document:
    """A strategy whose class raises in `on_start` or `on_tick`."""
    rest = ", tick: Tick" if where == "tick" else ""
    alpha.text(f"broken_{where}.py", BROKEN.format(where=where, rest=rest))
    return strategy(code={"file": f"broken_{where}.py", "class": "Broken"})


def rows(count: int, *, symbol: str = SYMBOL, bad: int | None = None) -> str:
    """A CSV file of ticks, one a second; line `bad` (from 1, the header's) has no price."""
    lines = ["timestamp,symbol,price"]
    lines += [f"{1_704_167_100 + n},{symbol},{2500 + n % 7}" for n in range(count)]
    if bad is not None:
        lines[bad - 1] = f"{1_704_167_100 + bad - 2},{symbol},n/a"
    return "\n".join(lines) + "\n"
