"""What the API server shall check and show beyond what the models' own schemas say: rules, keys of lists, columns.

Rules are CEL. It can't see numbers that are written as text or number (`crd_schema.number_or_text`), but for whether
they are there and whether two are equal: hence `dyn(...)` around what holds them.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pydantic.alias_generators import to_camel

from alpha_panda.contracts.resources.broker_account import BROKERS
from alpha_panda.contracts.resources.feed_source import REPLAY_VOLUMES, SOURCES
from alpha_panda.contracts.resources.fields import MAX_NAME, NAME_PATTERN, PATTERN_WORDS
from alpha_panda.contracts.resources.strategy import CLASS_FIELDS
from alpha_panda.contracts.resources.zerodha import (
    AUTOMATIC_PROTECTION,
    LEAST_PROTECTION,
    MODES,
    MODES_WORDS,
)


class Rule(NamedTuple):
    """A CEL rule on an object; `path` is the field, seen from the object, that its message belongs to."""

    rule: str
    message: str
    path: str = ""

    def schema(self) -> dict[str, str]:
        """Return the entry of x-kubernetes-validations."""
        path = {"fieldPath": self.path} if self.path else {}
        return {"rule": self.rule, "message": self.message, **path}


class Column(NamedTuple):
    """A column of `kubectl get`; those of priority 1 are shown by `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0

    def schema(self) -> dict[str, Any]:
        """Return the entry of additionalPrinterColumns."""
        priority = {"priority": self.priority} if self.priority else {}
        shown = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**shown, "description": self.description, **priority}


class Names(NamedTuple):
    """What a kind is called."""

    plural: str
    short: str


# --------------------------------------------------------------------------------------------------- rules


def _given(names: tuple[str, ...]) -> str:
    return " + ".join(f"(has(self.{to_camel(name)}) ? 1 : 0)" for name in names)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(to_camel(name) for name in names)


def exactly_one(what: str, names: tuple[str, ...]) -> Rule:
    """Return the rule that one of the fields is given and no other."""
    wanted = f"exactly one of {_listed(names)}" if len(names) > 1 else _listed(names)
    return Rule(f"{_given(names)} == 1", f"{what}: give {wanted}")


def at_most_one(what: str, names: tuple[str, ...]) -> Rule:
    """Return the rule that no two of the fields are given."""
    return Rule(f"{_given(names)} <= 1", f"{what}: give at most one of {_listed(names)}")


def same_one(what: str, names: tuple[str, ...]) -> Iterator[Rule]:
    """Yield the rule that an update leaves the choice among the fields as it is; none where there is no choice."""
    if len(names) > 1:
        kept = " && ".join(f"has(self.{to_camel(name)}) == has(oldSelf.{to_camel(name)})" for name in names)
        yield Rule(kept, f"the {what} can't be changed; make another resource")


def unchanged(field: str, *, visible: bool, path: str = "") -> Rule:
    """Return the rule that an update leaves a field as it is; `visible`: as CEL sees it."""
    if visible:
        return Rule("self == oldSelf", IMMUTABLE[field])
    return Rule(f"dyn(self).{field} == dyn(oldSelf).{field}", IMMUTABLE[field], path)


def each_once(field: str, path: str, *, optional: bool = False) -> Rule:
    """Return the rule that no two elements of a list share a field; `optional`: those without it don't count.

    It builds a map by the field, which fails where a key is there already and says which: linear in time, and without
    the notes on each element that a list by key costs (10,000 instruments would not fit into etcd).
    """
    if optional:
        given = f"self{path}.filter(each, has(each.{field}))"
        return Rule(
            f"{given}.transformMapEntry(i, each, {{each.{field}: i}}).size() == {given}.size()",
            f"each {field} once",
            path,
        )
    return Rule(
        f"self{path}.transformMapEntry(i, each, {{each.{field}: i}}).size() == self{path}.size()",
        f"each {field} once",
        path,
    )


NO_REPEATS: Final = Rule(
    "self.transformMapEntry(i, each, {each: i}).size() == self.size()", "each element once"
)
"""The same for a list of texts."""

IMMUTABLE: Final = {
    "partitions": "partitions can't be changed: each instrument has its partition for good; make another MarketFeed",
    "userId": "userId can't be changed: make another account for another user",
    "cash": "cash is what the account began with and can't be changed: write it as it was, or make another account",
}
"""Why the fields that the models mark as immutable are so."""

NAME: Final = Rule(
    f"self.metadata.name.size() <= {MAX_NAME} && self.metadata.name.matches('{NAME_PATTERN}')",
    f"the name must be {PATTERN_WORDS[NAME_PATTERN]}, at most {MAX_NAME} characters",
    ".metadata.name",
)

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "MarketFeed": (NAME,),
    "BrokerAccount": (NAME,),
    "Strategy": (NAME,),
    "FeedSource": (exactly_one("source", SOURCES),),
    "ReplaySource": (at_most_one("place of the files", REPLAY_VOLUMES),),
    "ZerodhaBroker": (
        Rule(
            " != ".join(f"(has(self.{to_camel(name)}) && self.{to_camel(name)})" for name in MODES),
            f"give {MODES_WORDS}",
        ),
        Rule(
            f"!has(self.marketProtection) || self.marketProtection == {AUTOMATIC_PROTECTION}"
            f" || self.marketProtection >= {LEAST_PROTECTION}",
            "market protection is -1 (automatic), or percent from 0.01 to 100",
            ".marketProtection",
        ),
    ),
    "MarketFeedSpec": (
        each_once("symbol", ".instruments"),
        each_once("token", ".instruments", optional=True),
        Rule(
            "has(self.source.zerodha) || self.instruments.all(i, has(i.token) && has(dyn(i).tickSize))",
            "each instrument needs token and tickSize; of a zerodha source alone the broker's list says them",
            ".instruments",
        ),
        Rule(
            "!has(self.source.simulated) || self.instruments.all(i, has(dyn(i).referencePrice))",
            "each instrument of a simulated source needs referencePrice, at which its prices start",
            ".instruments",
        ),
        Rule(
            "!has(self.source.replay) || !has(self.source.replay.symbol)"
            " || self.instruments.exists(i, i.symbol == self.source.replay.symbol)",
            "source.replay.symbol must be the symbol of one of the instruments",
            ".source.replay.symbol",
        ),
    ),
    "BrokerAccountSpec": (exactly_one("broker", BROKERS), *same_one("broker", BROKERS)),
    "StrategySpec": (exactly_one("strategy class", CLASS_FIELDS),),
    "StrategyCode": (
        Rule(
            "!has(self.configMap) || !self.file.contains('/')",
            "file is a key of configMap: a file name without folders",
            ".file",
        ),
    ),
}
"""The rules on each model, by its name."""

LIST_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "Condition": ("type",),
    "LatchStatus": ("id",),
}
"""Models whose lists hold one element a key; server-side apply merges them by it."""

SETS: Final = {
    ("MarketFeedSpec", "extraHolidays"),
    ("BrokerAccountSpec", "clearLatch"),
    ("StrategySpec", "clearLatch"),
}
"""Lists that several field managers may add to. All others are one value that its manager replaces, for server-side
apply takes a set that is emptied for one that is absent: an account that shall accept no strategy would accept all."""

SHOWN_DEFAULTS: Final = {
    ("MarketFeedSpec", "partitions"),
    ("BrokerAccountSpec", "tradingState"),
    ("StrategySpec", "tradingState"),
    ("StrategySpec", "deletionPolicy"),
}
"""Defaults that the API server writes into the object: those that a later version must not change, and those that a
person wants to see. All others stay out of it, so that what is stored is what was applied."""

OPERATOR_ONLY: Final = (
    "a price band whose low is not below its high",
    "an unknown calendar or time zone, and a date or time that the calendar's rules refuse",
    "an egressIp that has the characters of an address and is none",
    "two accounts of one broker user",
    "numbers with more digits than a YAML number keeps exactly (15), written without quotes",
    "parameters nested deeper than 16 levels or of more than 10,000 values, and what the strategy's own model refuses",
    "names of container resources in a strategy's requests and limits",
    "references: a feed, account, instrument, ConfigMap or Secret that doesn't exist",
)
"""What is wrong inside or between objects and yet is taken by the API server."""

# --------------------------------------------------------------------------------------------------- names

NAMES: Final = {
    "MarketFeed": Names("marketfeeds", "mf"),
    "BrokerAccount": Names("brokeraccounts", "ba"),
    "Strategy": Names("strategies", "strat"),
}


def _condition(name: str, kind: str, description: str, show: str = "status") -> Column:
    return Column(name, f'.status.conditions[?(@.type=="{kind}")].{show}', description)


_READY: Final = _condition("Ready", "Ready", "Whether all of its pods work.")
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "How long ago it was created.", "date")
_PNL: Final = Column("P&L", ".status.dayPnl", "Profit or loss since the day's start.")
_STATE: Final = Column("State", ".spec.tradingState", "What the manifest asks for.")
_TRADING: Final = _condition("Trading", "TradingAllowed", "What binds, latches and all.", "reason")
_ORDERS: Final = Column("Orders", ".status.ordersToday", "Orders sent on this trading day.", "integer")
_LAST_TICK: Final = Column("Last Tick", ".status.lastTickTime", "How old the latest tick is.", "date")
_FEED: Final = Column("Feed", ".spec.marketFeed", "Its MarketFeed.", priority=1)
_MESSAGE: Final = _condition("Message", "Ready", "Why it is ready or not.", "message")._replace(priority=1)

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "MarketFeed": (
        Column("Source", ".status.source", "Where the prices come from."),
        _READY,
        _condition("Fresh", "FeedFresh", "Whether prices are new enough to trade on.", "reason"),
        _LAST_TICK,
        Column("Instruments", ".status.instruments", "How many it carries.", "integer", priority=1),
        _MESSAGE,
        _AGE,
    ),
    "BrokerAccount": (
        Column("Broker", ".status.broker", "Which broker."),
        _STATE,
        _READY,
        _TRADING,
        _ORDERS,
        _PNL,
        _condition("Session", "SessionValid", "Whether somebody is logged in at the broker.", "reason"),
        _FEED,
        Column("User", ".status.brokerUser", "The user at the broker.", priority=1),
        Column("Session Until", ".status.sessionExpires", "Until when the log-in is good.", priority=1),
        Column("Equity", ".status.equity", "Cash and the value of all positions.", priority=1),
        Column("Positions", ".status.positions", "Open positions.", "integer", priority=1),
        Column(
            "In Doubt", ".status.inDoubt", "Orders the broker may or may not have.", "integer", priority=1
        ),
        _MESSAGE,
        _AGE,
    ),
    "Strategy": (
        Column("Type", ".status.type", "Its type, class or file."),
        _STATE,
        _READY,
        _TRADING,
        Column("Signals", ".status.signalsToday", "Signals of this trading day.", "integer"),
        _ORDERS,
        _PNL,
        _FEED,
        _LAST_TICK._replace(priority=1),
        Column("Position", ".status.position", "Its positions.", priority=1),
        _MESSAGE,
        _AGE,
    ),
}
"""Columns of `kubectl get`, in their order."""
