"""Strategy: a class with its parameters, the instruments it watches, the accounts it trades on."""

import math
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.resources.broker_account import ClearLatch, Count
from alpha_panda.contracts.resources.common import ManifestModel, Resource, RuledModel
from alpha_panda.contracts.resources.fields import (
    CLASS_PATH_PATTERN,
    CLASS_PATTERN,
    CODE_FILE_PATTERN,
    ENTRY_POINT_PATTERN,
    ImageName,
    Name,
    ObjectName,
    PositiveMoney,
    Quantity,
    ResourceAmount,
    ResourceName,
    Seconds,
    Symbol,
)
from alpha_panda.contracts.resources.rules import Finding, exactly_one, fault, peek, unique

CLASS_FIELDS: Final = ("type", "class", "code")
"""The ways to name a strategy's class: exactly one is given."""

CODE_DIRECTORY: Final = "/etc/alpha-panda/code"
"""Where a cluster mounts the ConfigMap with a strategy's code."""

MAX_DEPTH: Final = 16
"""Deepest nesting of a parameter."""
MAX_VALUES: Final = 10_000
"""Most values inside one parameter; a few YAML aliases can stand for billions."""


def _parameter(value: object) -> object:
    """Return a value that JSON has, or raise: parameters pass through the API server."""
    stack, count = [(value, 0)], 0
    while stack:
        item, depth = stack.pop()
        count += 1
        children = _children(item)
        if children is None or depth > MAX_DEPTH or count > MAX_VALUES:
            allowed = "text, numbers, true, false, lists and mappings of them"
            size = f"at most {MAX_DEPTH} levels and {MAX_VALUES} values"
            raise fault("can't be a parameter", f"{allowed}; {size}")
        stack.extend((child, depth + 1) for child in children)
    return value


def _children(item: object) -> Iterable[object] | None:
    """Return the values inside a value; None for what JSON does not have."""
    if isinstance(item, dict):
        return item.values() if all(isinstance(key, str) for key in item) else None
    if isinstance(item, list | tuple):
        return item
    if isinstance(item, float) and not math.isfinite(item):
        return None
    return () if item is None or isinstance(item, str | bool | int | float) else None


ParameterValue = Annotated[Any, BeforeValidator(_parameter)]
ParameterName = Annotated[str, Field(min_length=1, max_length=128)]


class DeletionPolicy(StrEnum):
    """What happens to a deleted strategy's orders and positions. Only the operator acts on it."""

    RETAIN = "Retain"
    CANCEL_ORDERS = "CancelOrders"
    FLATTEN = "Flatten"


class StrategyCode(RuledModel):
    """A class in a Python file: beside the manifest, in a cluster in a ConfigMap."""

    file: Annotated[str, Field(pattern=CODE_FILE_PATTERN, max_length=255)] = Field(
        description="The file, relative to the manifest; in a cluster the key of it in configMap."
    )
    config_map: ObjectName | None = Field(
        None,
        description="ConfigMap in the strategy's namespace that holds the file, made by `kubectl create configmap NAME "
        "--from-file=FILE`. A cluster needs it: without it the strategy is not accepted (MissingConfigMap). A run in "
        "one process reads the file beside the manifest and ignores it.",
    )
    class_: Annotated[str, Field(pattern=CLASS_PATTERN, max_length=128)] | None = Field(
        None,
        alias="class",
        description="The class in it; may be left out when the file defines one strategy only.",
    )

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield a finding for a file in a folder that shall be a key of a ConfigMap."""
        file = peek(raw, "file")
        if peek(raw, "config_map") is not None and isinstance(file, str) and "/" in file:
            allowed = "a file name without folders: it is a key of configMap"
            yield Finding(("file",), f"{file!r} is in a folder", allowed)


class ComputeResources(ManifestModel):
    """What a pod asks for and may use, as in any container."""

    requests: Annotated[dict[ResourceName, ResourceAmount], Field(max_length=16)] = Field(
        default_factory=dict, description='What the node reserves, for example {cpu: 100m, memory: "128Mi"}.'
    )
    limits: Annotated[dict[ResourceName, ResourceAmount], Field(max_length=16)] = Field(
        default_factory=dict, description="What the pod may use at most."
    )


class StrategyRisk(ManifestModel):
    """Limits of the strategy's own book, on each of its accounts by itself. An absent limit does not bind.

    A loss latch is the strategy's: reached on one account, it binds the strategy on all of its accounts.
    """

    max_position: Quantity | None = Field(
        None, description="Largest position in one instrument, long or short, open orders included."
    )
    max_order_quantity: Quantity | None = Field(None, description="Largest quantity of one order.")
    max_order_value: PositiveMoney | None = Field(
        None, description="Largest quantity times price of one order."
    )
    max_daily_loss: PositiveMoney | None = Field(
        None,
        description="Loss since the day's start on one account, fees and open positions included, that latches the "
        "strategy on all its accounts.",
    )
    max_drawdown: PositiveMoney | None = Field(
        None,
        description="Fall from the day's highest result on one account that latches the strategy on all its accounts.",
    )
    max_orders_per_minute: Count | None = Field(None, description="Most orders in any minute.")


class StrategySpec(RuledModel):
    """What a strategy shall be."""

    type: Annotated[str, Field(pattern=ENTRY_POINT_PATTERN, max_length=63)] | None = Field(
        None, description="Name of an installed strategy (entry point alpha_panda.strategies), e.g. momentum."
    )
    class_: Annotated[str, Field(pattern=CLASS_PATH_PATTERN, max_length=255)] | None = Field(
        None, alias="class", description='An importable class, "package.module:Class".'
    )
    code: StrategyCode | None = Field(
        None, description="A class in a Python file beside the manifest, in a cluster in a ConfigMap."
    )
    image: ImageName | None = Field(
        None,
        description="Image of the strategy's pod, with Alpha Panda and the class in it; absent: the platform's. A run in "
        "one process ignores it.",
    )
    resources: ComputeResources = Field(
        default_factory=ComputeResources,
        description="What the strategy's pod asks for and may use; absent: as the installation says. A run in one "
        "process ignores it.",
    )
    parameters: Annotated[dict[ParameterName, ParameterValue], Field(max_length=100)] = Field(
        default_factory=dict, description="What the strategy's own parameter model takes."
    )
    market_feed: Name = Field(description="Name of the MarketFeed; its accounts must be on the same one.")
    instruments: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=1000), unique("symbol")] = (
        Field(description="Symbols of the feed's instruments that the strategy sees and may trade.")
    )
    accounts: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20), unique("account")] = Field(
        description="BrokerAccounts that the strategy trades on, each by itself."
    )
    trading_state: TradingState = Field(
        TradingState.ACTIVE,
        description="Active: trades. Reducing: only shrinks positions. Halted: only cancels. "
        "The strictest of strategy, account and platform binds.",
    )
    clear_latch: ClearLatch = Field(
        (),
        description="Ids of latches (status.latches) to clear, acted on once while they stay here: to "
        "clear one that was set again, take its id out and put it back. A run in one process ignores it: `alpha-panda resume` clears there.",
    )
    risk: StrategyRisk = Field(default_factory=StrategyRisk, description="Limits of the strategy's own book.")
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.CANCEL_ORDERS,
        description="When the strategy is deleted: Retain leaves all, CancelOrders cancels what rests, "
        "Flatten also closes its positions.",
    )
    max_tick_age_seconds: Seconds | None = Field(
        None,
        description="A tick older than this rebuilds state but sends no signal; absent: the platform's setting.",
    )
    signal_ttl_seconds: Seconds | None = Field(
        None, description="How long a signal may be acted on; absent: the platform's setting."
    )

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield a finding unless exactly one way to the class is given."""
        return exactly_one(raw, "strategy class", CLASS_FIELDS)


class Strategy(Resource):
    """A strategy that trades on accounts."""

    kind: Literal["Strategy"] = Field("Strategy", description="Kind of the resource.")
    spec: StrategySpec = Field(description="What the strategy shall be.")

    @property
    def class_field(self) -> str:
        """Which of `type`, `class`, `code` the manifest uses."""
        return "type" if self.spec.type else "class" if self.spec.class_ else "code"
