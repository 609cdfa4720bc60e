"""What services tell of themselves in `ServiceStatus.details`: one place that spells the names, for both sides.

A status' details are flat scalars. Each class here is what one service tells (`details()`), and reads it back
(`of(...)`: what is not told, or is of another type, is as if it were not there). Times are UTC ns; money is the text
of a Decimal. What is told of single strategies is bounded (`MAX_STRATEGIES`): those that are being torn down first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from alpha_panda.contracts.stored import ServiceStatus

Detail = str | int | float | bool | None
Details = Mapping[str, Detail]

MANIFESTS: Final = "manifests"
"""Why the present manifests can't be used, so that those before them stand; not told while all is well."""

PROBLEM: Final = "problem"
"""What keeps a service from its work, in words: of a market-feed its source's, of any that waits for instruments."""

STRATEGY: Final = "strategy."
"""What the names of a strategy's figures begin with: `strategy.<name>.<figure>`."""

MAX_STRATEGIES: Final = 50
"""Strategies that one status tells of: some 20 kB, written every few seconds."""

LEFT_OUT: Final = "strategies_left_out"
"""How many strategies with something to tell were not told of."""

RUNNING: Final = "running"
STOPPED: Final = "stopped"
REFUSED: Final = "refused"
STARTING: Final = "starting"
"""`RunnerFigures.state`: its code crashed and stays stopped; its manifest can't be run until it is changed."""

UNKNOWN_TYPE: Final = "UnknownType"
BAD_PARAMETERS: Final = "BadParameters"
UNKNOWN_INSTRUMENT: Final = "UnknownInstrument"
INVALID: Final = "Invalid"
CODE_RAISED: Final = "CodeRaised"
"""`RunnerFigures.reason`, one word for a machine: no such class (type, class or code); its parameters; its instruments;
anything else in the manifests; its code raised (what STOPPED always is). "" while it runs."""

NOT_ASKED: Final = ""
FLAT: Final = "flat"
"""`BookFigures.teardown`; anything else says what Flatten waits for, or does."""


class _Figures:
    """A dataclass of scalars, to and from details."""

    __slots__ = ()

    def details(self, prefix: str = "") -> dict[str, Detail]:
        """Return the figures by name; those that are None are left out."""
        values = {item.name: getattr(self, item.name) for item in _fields(self)}
        return {f"{prefix}{name}": value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, details: Details, prefix: str = "") -> Self:
        """Return the figures that are told; the others are their defaults."""
        given = {item.name: (details.get(f"{prefix}{item.name}"), item.type) for item in _fields(cls)}
        return cls(**{name: value for name, (value, kind) in given.items() if _fits(value, kind)})


def _fields(figures: object) -> Any:  # noqa: ANN401 - of a dataclass, which a base class can't say
    return fields(figures)  # type: ignore[arg-type]


def _fits(value: Detail, kind: Any) -> bool:  # noqa: ANN401 - a field's type
    """Whether a told value is of the field's type; true is no number."""
    return value is not None and isinstance(value, kind) and (not isinstance(value, bool) or kind is not int)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFigures(_Figures):
    """A market-feed's. `source_alive`: a row or a proof of life came within the feed's staleness; None: not known."""

    last_tick_ts: int | None = None
    source_alive: bool | None = None
    session_open: bool | None = None
    ticks: int = 0
    instruments: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerFigures(_Figures):
    """An order-tracker's. `reconciled`: the journal's present run has an epoch. `counted_ts`: when it was counted.

    `open`: orders whose last state Kafka has not acknowledged.
    """

    reconciled: bool = False
    in_doubt: int = 0
    open: int = 0
    resting: int = 0
    counted_ts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFigures(_Figures):
    """An order-tracker's of its account at the broker; of one whose broker keeps no positions nothing is told.

    `broker_reconciled`: orders, positions and money were compared in full today, the last time at `compared_ts`;
    `reconcile_problem`: why not. `differences`: instruments on which book and broker differ, `difference_names` says
    which and how (`NSE:X ours 5 broker 3`). `broker_cash`: what the broker lets the account trade with.
    `token_expires_at`: 0 if there is no valid access token (`token_problem` says why).
    """

    broker_reconciled: bool | None = None
    compared_ts: int | None = None
    reconcile_problem: str = ""
    differences: int = 0
    difference_names: str = ""
    broker_cash: str | None = None
    token_expires_at: int | None = None
    token_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyOrders(_Figures):
    """What the order-tracker has counted of one strategy; `uid` of the resource that is meant ("" not known)."""

    uid: str = ""
    resting: int = 0
    open: int = 0
    doubt: int = 0

    @property
    def none(self) -> bool:
        """Whether nothing rests, is untold or in doubt."""
        return not (self.resting or self.open or self.doubt)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookFigures(_Figures):
    """Risk's of the account, at the book's last marks. Counts are of the trading day; `judged_ts`: when risk last looked.

    `signals_today`: orders and cancels that it decided on. `orders_today`: orders that it validated.
    """

    day_pnl: str | None = None
    equity: str | None = None
    cash: str | None = None
    signals_today: int = 0
    orders_today: int = 0
    positions: int = 0
    open_orders: int = 0
    judged_ts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFigures(_Figures):
    """Risk's of one strategy. `position`: `NSE:X 5, NSE:Y -3`. `teardown`: how Flatten stands (NOT_ASKED, FLAT, words).

    `flat` is of the resource `uid` alone, and true only if nothing is held, open, in doubt or undelivered.
    """

    uid: str = ""
    signals_today: int = 0
    orders_today: int = 0
    day_pnl: str | None = None
    positions: int = 0
    position: str = ""
    flat: bool = False
    teardown: str = NOT_ASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerFigures(_Figures):
    """A strategy's runner's. `reason` and `message` say why it is STOPPED or REFUSED; `feed`: whose ticks it reads."""

    state: str = STARTING
    feed: str = ""
    reason: str = ""
    message: str = ""
    last_tick_ts: int | None = None
    signals: int = 0


# -------------------------------------------------------------------------------------------- many strategies


def strategy_details(
    strategies: Mapping[str, StrategyOrders] | Mapping[str, StrategyFigures], first: Iterable[str] = ()
) -> dict[str, Detail]:
    """Return the details of at most MAX_STRATEGIES strategies, those in `first` before the others."""
    wanted = [name for name in dict.fromkeys((*first, *strategies)) if name in strategies]
    told: dict[str, Detail] = {LEFT_OUT: max(0, len(wanted) - MAX_STRATEGIES)}
    for name in wanted[:MAX_STRATEGIES]:
        told |= strategies[name].details(f"{STRATEGY}{name}.")
    return told


def tracker_strategies(details: Details) -> dict[str, StrategyOrders]:
    """Return what an order-tracker tells of strategies, by name."""
    return {name: StrategyOrders.of(details, f"{STRATEGY}{name}.") for name in _names(details)}


def risk_strategies(details: Details) -> dict[str, StrategyFigures]:
    """Return what risk tells of strategies, by name."""
    return {name: StrategyFigures.of(details, f"{STRATEGY}{name}.") for name in _names(details)}


def left_out(details: Details) -> int:
    """Return how many strategies the status does not tell of."""
    count = details.get(LEFT_OUT)
    return count if type(count) is int else 0


def manifests_problem(details: Details) -> str | None:
    """Return why the service's present manifests can't be used; None while they can."""
    problem = details.get(MANIFESTS)
    return problem if isinstance(problem, str) and problem else None


def _names(details: Details) -> list[str]:
    """Return the strategies named; names are DNS labels, so they have no dots."""
    rests = (key.removeprefix(STRATEGY) for key in details if key.startswith(STRATEGY))
    return list(dict.fromkeys(rest.partition(".")[0] for rest in rests))


# -------------------------------------------------------------------------------------------------- deletion


def cancelled_out(tracker: ServiceStatus, strategy: str, since: int) -> bool:
    """Whether nothing of the strategy rests, is in doubt or untold, counted after `since` (UTC ns).

    `since`: S (`send_within_seconds`) after the trading state was tightened: then no order can be on its way to rest.
    """
    figures = TrackerFigures.of(tracker.details)
    if not figures.reconciled or figures.counted_ts is None or figures.counted_ts <= since:
        return False
    own = tracker_strategies(tracker.details).get(strategy)
    return own.none if own is not None else not left_out(tracker.details)


def flattened(risk: ServiceStatus, strategy: str, uid: str, since: int) -> bool:
    """Whether risk reports this very resource flat, and looked after `since` (UTC ns)."""
    judged = BookFigures.of(risk.details).judged_ts
    own = risk_strategies(risk.details).get(strategy)
    return judged is not None and judged > since and own is not None and own.flat and own.uid == uid
