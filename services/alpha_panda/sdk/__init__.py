"""What a strategy is written with: the public surface of Alpha Panda for users' own code.

A strategy imports from here and from nowhere else in the project. The package imports `contracts` and `errors`
only; it holds no I/O, no clock and no transport.
"""

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderStatus, OrderType, Side, Validity
from alpha_panda.contracts.events import OrderUpdate, Tick
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.sdk.bars import Bar, BarBuilder
from alpha_panda.sdk.base import Strategy, StrategyParameters
from alpha_panda.sdk.driver import StrategyDriver
from alpha_panda.sdk.intents import CancelIntent, Number, OrderIntent, StrategyRuntime
from alpha_panda.sdk.loader import known_types, load_strategy_class

__all__ = [
    "Bar",
    "BarBuilder",
    "CancelIntent",
    "Code",
    "Instrument",
    "Number",
    "OrderIntent",
    "OrderStatus",
    "OrderType",
    "OrderUpdate",
    "Side",
    "Strategy",
    "StrategyDriver",
    "StrategyParameters",
    "StrategyRuntime",
    "Tick",
    "Validity",
    "known_types",
    "load_strategy_class",
]
