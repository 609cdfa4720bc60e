"""Every metric of the services, as data. `docs/reference/metrics.md` is made from it.

Names are `alphapanda_<what>_<unit>`, with `_total` for what only grows. Labels are bounded: names from manifests, words
from enums, never an id. Money is in the account's currency, times are in seconds.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "alphapanda_"

LATENCY: Final = (
    *(0.0001, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of all latency histograms in seconds: from a script on the same machine to a broker that hangs."""

LABELS: Final = frozenset(
    {
        *("service", "account", "feed", "strategy", "topic"),
        *("code", "state", "outcome", "reason", "dependency", "scope", "limit", "version"),
    }
)
"""The labels that there are. Each takes few values: none is made from an order, a signal or an instrument."""

MARKET_FEED: Final = "market-feed"
FEED_CACHER: Final = "feed-cacher"
STRATEGY: Final = "strategy"
RISK: Final = "risk"
ENGINE: Final = "engine"
ORDER_TRACKER: Final = "order-tracker"
"""Values of the label `service`, as the services are named."""

EVERY: Final = "all"
"""Writer of what the runtime counts for each service."""


class Kind(StrEnum):
    """As Prometheus names them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """What becomes of a gauge that several services of one process tell: replicas, or feeds of one embedded run."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"
    WIDEST = "widest"


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric. `writers`: which services tell it; `where`: when it is absent, if it may be."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    writers: tuple[str, ...]
    merge: Merge = Merge.MAX
    where: str = ""


def _counter(what: str, text: str, labels: str, *writers: str) -> Spec:
    return Spec(f"{PREFIX}{what}_total", Kind.COUNTER, text, tuple(labels.split()), writers)


def _latency(what: str, text: str, labels: str, *writers: str, where: str = "") -> Spec:
    return Spec(f"{PREFIX}{what}_seconds", Kind.HISTOGRAM, text, tuple(labels.split()), writers, where=where)


def _gauge(
    what: str, text: str, labels: str, *writers: str, merge: Merge = Merge.MAX, where: str = ""
) -> Spec:
    return Spec(f"{PREFIX}{what}", Kind.GAUGE, text, tuple(labels.split()), writers, merge, where)


# ---------------------------------------------------------------------------------------------------- the feed

TICKS_RECEIVED: Final = _counter(
    "ticks_received",
    "Ticks that came in: to the market-feed from its source, to the others from Kafka.",
    "service feed",
    *(MARKET_FEED, FEED_CACHER, STRATEGY),
)
TICKS_PUBLISHED: Final = _counter(
    "ticks_published",
    "Ticks that went out: by the market-feed to Kafka, acknowledged; by a feed-cacher to the price cache, where of "
    "several ticks of one instrument in one fetch only the newest is written.",
    "service feed",
    *(MARKET_FEED, FEED_CACHER),
)
TICKS_DROPPED: Final = _counter(
    "ticks_dropped",
    "Ticks that were not used: `bad_row` could not be read from the source, `conflated` made room for a newer one of its "
    "instrument before it could be published, `old_epoch` came from a feed that has been replaced, `duplicate` had been "
    "seen before.",
    "service feed reason",
    *(MARKET_FEED, FEED_CACHER, STRATEGY),
)
FEED_AGE: Final = _gauge(
    "feed_age_seconds",
    "Age of the feed's newest tick; before the first one, time since the feed began.",
    "feed",
    MARKET_FEED,
)
FEED_HEARTBEAT_AGE: Final = _gauge(
    "feed_heartbeat_age_seconds",
    "Age of the last proof that the source lives which Kafka has acknowledged; before the first one, time since the "
    "feed began. Orders are refused when it exceeds the feed's limit.",
    "feed",
    MARKET_FEED,
)
FEED_STALE_AFTER: Final = _gauge(
    "feed_stale_after_seconds",
    "The feed's limit (`staleAfterSeconds`): when its heartbeat is older, orders on its prices are refused.",
    "feed",
    MARKET_FEED,
    merge=Merge.MIN,
)
FEED_SESSION_OPEN: Final = _gauge(
    "feed_session_open",
    "1 while the feed's calendar says that its market is open (any session but closed).",
    "feed",
    MARKET_FEED,
    merge=Merge.MIN,
)
FEED_SOURCE_ALIVE: Final = _gauge(
    "feed_source_alive",
    "1 while the source has proven within the feed's limit that it lives; 0 also before its first proof.",
    "feed",
    MARKET_FEED,
    merge=Merge.MIN,
)
TICK_TO_CACHE: Final = _latency(
    "tick_to_cache",
    "From a batch's newest tick to its acknowledgement by the price cache; one observation for each record with ticks.",
    "feed",
    FEED_CACHER,
)
TICK_TO_SIGNAL: Final = _latency(
    "tick_to_signal",
    "From the tick that caused a signal to the signal's acknowledgement by Kafka.",
    "strategy",
    STRATEGY,
    where="not for signals that no tick caused",
)

# -------------------------------------------------------------------------------------------- signals and orders

SIGNALS: Final = _counter(
    "signals",
    "What strategies sent: orders (`sent`), cancel requests (`cancel`), and orders that they withheld because the tick "
    "was too old (`suppressed`).",
    "account strategy state",
    STRATEGY,
)
SIGNAL_TO_DECISION: Final = _latency(
    "signal_to_decision",
    "From the making of a signal to the acknowledgement of risk's decision by Kafka.",
    "account",
    RISK,
)
DECISIONS: Final = _counter(
    "decisions",
    "Decisions of risk, by the code of the check that refused, or VALIDATED.",
    "account code",
    RISK,
)
DECISION_TO_CALL: Final = _latency(
    "decision_to_call",
    "From risk's decision to the moment when the engine calls the broker: price, checks and BEGIN are within.",
    "account",
    ENGINE,
)
BROKER_CALL: Final = _latency(
    "broker_call", "Duration of the broker call, by the state that it led to.", "account outcome", ENGINE
)
TICK_TO_ORDER: Final = _latency(
    "tick_to_order",
    "End to end: from the tick that caused a signal to the settled outcome of its broker call.",
    "account",
    ENGINE,
    where="not for signals that no tick caused",
)
ORDERS: Final = _counter(
    "orders",
    "States that orders came to, with the reason code where there is one; an order counts once in each.",
    "account outcome reason",
    *(ENGINE, ORDER_TRACKER),
)
JOURNAL_ENTRIES: Final = _gauge(
    "journal_entries",
    "Orders in the journal that have not ended, by state; and those that have, but of which Kafka has not "
    "acknowledged the event (`UNTOLD`).",
    "account state",
    ORDER_TRACKER,
    where="a replay in one process",
)
UNRESOLVED_ORDERS: Final = _gauge(
    "unresolved_orders",
    "Orders of which nobody knows whether the broker has them: UNKNOWN, or SENDING beyond its permission.",
    "account",
    ORDER_TRACKER,
    where="a replay in one process",
)
UNRESOLVED_AGE: Final = _gauge(
    "unresolved_age_seconds",
    "Age of the oldest unresolved order; 0 without one.",
    "account",
    ORDER_TRACKER,
    where="a replay in one process",
)
JOURNAL_DURABLE: Final = _gauge(
    "journal_durable",
    "1 if the journal's Redis keeps what it has answered (append-only file, appendfsync always, noeviction); 0 if not.",
    "account",
    ORDER_TRACKER,
    merge=Merge.MIN,
    where="without Redis, and where its settings can't be asked for",
)

RECONCILED: Final = _gauge(
    "reconciled",
    "1 while orders, positions and money were compared in full with the broker's today and since the last login; else 0.",
    "account",
    ORDER_TRACKER,
    merge=Merge.MIN,
    where="brokers that keep no positions, as paper",
)
RECONCILIATION_DIFFERENCES: Final = _gauge(
    "reconciliation_differences",
    "Instruments of which the account's book and its broker say different quantities, at two readings.",
    "account",
    ORDER_TRACKER,
    where="brokers that keep no positions, as paper",
)

# --------------------------------------------------------------------------------------------- the account's book

POSITIONS: Final = _gauge("positions", "Instruments that the account holds, long or short.", "account", RISK)
EXPOSURE_GROSS: Final = _gauge(
    "exposure_gross_amount", "Sum of the absolute values of all positions at last prices.", "account", RISK
)
EXPOSURE_NET: Final = _gauge(
    "exposure_net_amount", "Long less short positions at last prices.", "account", RISK
)
DAY_PNL: Final = _gauge(
    "day_pnl_amount", "Net profit and loss since the trading day began, after fees.", "account", RISK
)
STRATEGY_DAY_PNL: Final = _gauge(
    "strategy_day_pnl_amount", "The same of one strategy's own book.", "account strategy", RISK
)
LIMIT_USE: Final = _gauge(
    "limit_use_ratio",
    "Share of each limit of the account that is used, 1 at the limit; `limit` as in the manifest.",
    "account limit",
    RISK,
    where="limits that the manifest does not set",
)
STRATEGY_LIMIT_USE: Final = _gauge(
    "strategy_limit_use_ratio",
    "Share of each limit of a strategy that is used.",
    "account strategy limit",
    RISK,
    where="limits that the manifest does not set",
)
TOKEN_REMAINING: Final = _gauge(
    "token_remaining_seconds",
    "How long the broker's access token is still valid; 0 when it no longer is.",
    "account",
    ORDER_TRACKER,
    merge=Merge.MIN,
    where="brokers without one",
)
TRADING_STATE: Final = _gauge(
    "trading_state",
    "What binds: 0 Active, 1 Reducing, 2 Halted. `scope` is `platform`, `account/NAME` or `strategy/NAME`; a missing "
    "or expired key is Halted.",
    "scope account",
    ORDER_TRACKER,
    where="a replay in one process",
)
LATCHES: Final = _gauge(
    "latches",
    "Latches that bind the account, its strategies or the platform; only a person clears one.",
    "account",
    ORDER_TRACKER,
    where="a replay in one process",
)

# ------------------------------------------------------------------------------------------------- every service

SERVICE_READY: Final = _gauge(
    "service_ready", "1 while the service is ready, as `/readyz` says.", "service", EVERY, merge=Merge.MIN
)
SERVICE_START: Final = _gauge(
    "service_start_time_seconds",
    "When the service began, in seconds since 1970; a service that crashes begins anew.",
    "service",
    EVERY,
    merge=Merge.MIN,
)
PROGRESS_AGE: Final = _gauge(
    "progress_age_seconds",
    "Time since the service last finished a piece of work, or found that there was none.",
    "service",
    EVERY,
    where="while the service starts, waits for its lease or stops",
)
QUEUE: Final = _gauge(
    "queue_records",
    "Records that the service has fetched and not finished.",
    "service topic",
    EVERY,
    merge=Merge.SUM,
)
LAG: Final = _gauge(
    "consumer_lag_records",
    "Records in the service's partitions that it has not fetched, as of its last status.",
    "service topic",
    EVERY,
    merge=Merge.SUM,
    where="a replay in one process, and while Kafka can't tell",
)
ERRORS: Final = _counter(
    "errors",
    "Failed attempts, each one, by the reason code that such an error has in a dead letter.",
    "service reason",
    EVERY,
)
RETRIES: Final = _counter(
    "retries",
    "Attempts that are made again, by the dependency that did not answer (`none`: the error names none).",
    "service dependency",
    EVERY,
)
DEAD_LETTERS: Final = _counter(
    "dlq_records", "Records set aside, by the topic that they came from.", "service topic reason", EVERY
)
BREAKER_STATE: Final = _gauge(
    "breaker_state",
    "0 closed, 1 half-open (the next attempt is let through, or is under way), 2 open.",
    "service dependency",
    EVERY,
    where="dependencies that have not failed yet",
)
CLOCK_OFFSET: Final = _gauge(
    "clock_offset_seconds",
    "How far the store's clock is ahead of this machine's (negative: behind).",
    "service",
    EVERY,
    merge=Merge.WIDEST,
    where="without Redis, and while it does not answer",
)
SPANS: Final = _counter(
    "spans",
    "Spans of traces that ended: `exported` to the collector, or `lost` because it did not take them or too many waited.",
    "outcome",
    EVERY,
)
BUILD_INFO: Final = _gauge("build_info", "Always 1; the version of the services.", "version", EVERY)

CATALOGUE: Final[tuple[Spec, ...]] = (
    *(TICKS_RECEIVED, TICKS_PUBLISHED, TICKS_DROPPED),
    *(FEED_AGE, FEED_HEARTBEAT_AGE, FEED_STALE_AFTER, FEED_SESSION_OPEN, FEED_SOURCE_ALIVE),
    *(TICK_TO_CACHE, TICK_TO_SIGNAL, SIGNALS),
    *(SIGNAL_TO_DECISION, DECISIONS, DECISION_TO_CALL, BROKER_CALL, TICK_TO_ORDER, ORDERS),
    *(JOURNAL_ENTRIES, UNRESOLVED_ORDERS, UNRESOLVED_AGE, JOURNAL_DURABLE),
    *(RECONCILED, RECONCILIATION_DIFFERENCES),
    *(POSITIONS, EXPOSURE_GROSS, EXPOSURE_NET, DAY_PNL, STRATEGY_DAY_PNL, LIMIT_USE, STRATEGY_LIMIT_USE),
    *(TOKEN_REMAINING, TRADING_STATE, LATCHES),
    *(SERVICE_READY, SERVICE_START, PROGRESS_AGE, QUEUE, LAG, ERRORS, RETRIES, DEAD_LETTERS, BREAKER_STATE),
    *(CLOCK_OFFSET, SPANS, BUILD_INFO),
)
"""All of them, in the order of the reference page."""
