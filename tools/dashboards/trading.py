"""Overview, feed, orders and latency, risk and P&L: what the services tell."""

from typing import Final

from .grafana import (
    BREAKER,
    OPEN_CLOSED,
    RED,
    STATES,
    YELLOW,
    YES_NO,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    heatmap,
    latency,
    stat,
)

IN: Final = 'namespace=~"$namespace"'
FEED: Final = f'{IN},feed=~"$feed"'
ACCOUNT: Final = f'{IN},account=~"$account"'
STRATEGY: Final = f'{IN},strategy=~"$strategy"'
BOTH: Final = f'{ACCOUNT},strategy=~"$strategy"'

TICKS: Final = 'topic=~".*market[.]ticks"'
NOT_TICKS: Final = 'topic!~".*market[.]ticks"'

NAMESPACES: Final = Variable("namespace", "label_values(alphapanda_build_info, namespace)")
FEEDS: Final = Variable("feed", f"label_values(alphapanda_feed_session_open{{{IN}}}, feed)")
ACCOUNTS: Final = Variable("account", f"label_values(alphapanda_positions{{{IN}}}, account)")
STRATEGIES: Final = Variable("strategy", f"label_values(alphapanda_signals_total{{{ACCOUNT}}}, strategy)")
ALL: Final = (NAMESPACES, FEEDS, ACCOUNTS, STRATEGIES)


def _per_minute(metric: str, selector: str, by: str) -> str:
    return f"60 * sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def _per_second(metric: str, selector: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def _behind(topics: str) -> tuple[Query, ...]:
    """Return how far services are behind: replicas share what they read, each strategy reads all of it."""
    lag = "alphapanda_consumer_lag_records"
    by = "namespace, service, topic"
    each = f'sum by (namespace, pod, service, topic) ({lag}{{{IN},service="strategy",{topics}}})'
    return (
        Query(f'sum by ({by}) ({lag}{{{IN},service!="strategy",{topics}}})', "{{service}}: {{topic}}"),
        Query(f"max by ({by}) ({each})", "{{service}}: {{topic}}"),
    )


TRADING_STATES: Final = stat(
    "Trading states",
    "What binds each scope now: of platform, account and strategy the strictest counts. A missing or expired key is Halted.",
    Query(
        f"max by (namespace, account, scope) (alphapanda_trading_state{{{ACCOUNT}}})",
        "{{account}}: {{scope}}",
    ),
    width=8,
    words=STATES,
    steps=((1, YELLOW), (2, RED)),
)
LATCHES: Final = stat(
    "Latches",
    "Halts that only a person ends, by their ids: `alpha-panda resume ACCOUNT --latch ID`.",
    Query(f"max by (namespace, account) (alphapanda_latches{{{ACCOUNT}}})", "{{account}}"),
    steps=((1, RED),),
)
RECONCILED: Final = stat(
    "Reconciled",
    "Whether orders, positions and money were compared with the broker's today and since the last login; paper has no broker to compare with.",
    Query(f"min by (namespace, account) (alphapanda_reconciled{{{ACCOUNT}}})", "{{account}}"),
    words=YES_NO,
)
DIFFERENCES: Final = stat(
    "Differences from the broker",
    "Instruments of which the book and the broker say different quantities: nothing is opened on them. `alpha-panda status` names them.",
    Query(f"max by (namespace, account) (alphapanda_reconciliation_differences{{{ACCOUNT}}})", "{{account}}"),
    steps=((1, RED),),
)
UNRESOLVED: Final = stat(
    "Orders in doubt",
    "Orders of which nobody knows whether the broker has them. `alpha-panda orders list ACCOUNT --in-doubt` names them.",
    Query(f"max by (namespace, account) (alphapanda_unresolved_orders{{{ACCOUNT}}})", "{{account}}"),
    steps=((1, RED),),
)
DAY_PNL: Final = Panel(
    "P&L of the day by account",
    "Net profit and loss since the trading day began, after fees, in the account's currency.",
    (Query(f"max by (namespace, account) (alphapanda_day_pnl_amount{{{ACCOUNT}}})", "{{account}}"),),
    lowest=None,
)
ORDERS: Final = Panel(
    "Orders by outcome",
    "States that orders came to, each minute. An order counts once in each: PLACED and later FILLED.",
    (
        Query(
            _per_minute("alphapanda_orders_total", ACCOUNT, "namespace, account, outcome"),
            "{{account}} {{outcome}}",
        ),
    ),
    bars=True,
)
SIGNALS: Final = Panel(
    "Signals",
    "What strategies sent each minute: orders (`sent`), cancel requests, and what they withheld for an old tick (`suppressed`).",
    (
        Query(
            _per_minute("alphapanda_signals_total", BOTH, "namespace, strategy, account, state"),
            "{{strategy}} on {{account}}: {{state}}",
        ),
    ),
    bars=True,
)
DECISIONS: Final = Panel(
    "Decisions of risk",
    "Each minute, by the code of the check that refused, or VALIDATED. What a code means: docs/reference/codes.md.",
    (
        Query(
            _per_minute("alphapanda_decisions_total", ACCOUNT, "namespace, account, code"),
            "{{account}} {{code}}",
        ),
    ),
    bars=True,
)
TICK_TO_ORDER: Final = latency(
    "Tick to order",
    "End to end: from the tick that caused a signal to the settled outcome of its broker call. Diamonds are traces.",
    "alphapanda_tick_to_order_seconds",
    ACCOUNT,
    "namespace, account",
    steps=((1, RED),),
)
TICKS_IN: Final = Panel(
    "Ticks published",
    "Ticks a second that each feed sent and Kafka acknowledged.",
    (
        Query(
            _per_second(
                "alphapanda_ticks_published_total", f'{FEED},service="market-feed"', "namespace, feed"
            ),
            "{{feed}}",
        ),
    ),
    unit="cps",
)

OVERVIEW: Final = Dashboard(
    "overview",
    "Overview",
    "Is all well, does it trade, and what does it earn. What is red here has an alert and a page in docs/runbooks.",
    ALL,
    (
        Row(
            "Is all well?",
            (
                stat(
                    "Alerts that fire",
                    "Of this project's, by severity, over all installations that this Prometheus sees. 0 if there is none.",
                    Query(
                        'count by (severity) (ALERTS{alertname=~"AlphaPanda.+",alertstate="firing"}) or on () vector(0)',
                        "{{severity}}",
                    ),
                    steps=((1, RED),),
                ),
                stat(
                    "Feeds",
                    "Whether each feed's source has proven within its limit that it lives. Silence is no fault while the "
                    "market is closed.",
                    Query(f"min by (namespace, feed) (alphapanda_feed_source_alive{{{FEED}}})", "{{feed}}"),
                    words={0: ("silent", RED), 1: ("alive", "green")},
                ),
                stat(
                    "Services not ready",
                    "How many services say that they can't do their work; the table of services below says which.",
                    Query(f"count(alphapanda_service_ready{{{IN}}} == 0) or vector(0)"),
                    steps=((1, RED),),
                ),
                UNRESOLVED,
                LATCHES,
                stat(
                    "Largest use of a loss limit",
                    "Of accounts and strategies, `maxDailyLoss` and `maxDrawdown`; 100 % latches.",
                    Query(
                        f'max by (namespace, account) (alphapanda_limit_use_ratio{{{ACCOUNT},limit=~"maxDailyLoss|maxDrawdown"}}'
                        f' or alphapanda_strategy_limit_use_ratio{{{ACCOUNT},limit=~"maxDailyLoss|maxDrawdown"}})',
                        "{{account}}",
                    ),
                    unit="percentunit",
                    steps=((0.8, YELLOW), (1, RED)),
                ),
                TRADING_STATES,
                stat(
                    "Services",
                    "Readiness of each service, as `/readyz` says.",
                    Query(f"min by (namespace, service) (alphapanda_service_ready{{{IN}}})", "{{service}}"),
                    width=12,
                    words=YES_NO,
                ),
                stat(
                    "Versions",
                    "Processes by version; two numbers mean that an upgrade is under way, or waits for a session's end.",
                    Query(f"count by (version) (alphapanda_build_info{{{IN}}})", "{{version}}"),
                ),
            ),
        ),
        Row("Does it trade?", (TICKS_IN, SIGNALS, ORDERS, DECISIONS, TICK_TO_ORDER, DAY_PNL)),
        Row(
            "Does it keep up?",
            (
                Panel(
                    "Behind",
                    "Records that each service has not fetched yet, over all of its topics.",
                    (
                        Query(
                            f"sum by (namespace, service) (alphapanda_consumer_lag_records{{{IN}}})",
                            "{{service}}",
                        ),
                    ),
                ),
                Panel(
                    "Time since last progress",
                    "Since each service last finished a piece of work, or found that there was none. Stuck beyond a minute.",
                    (
                        Query(
                            f"max by (namespace, service) (alphapanda_progress_age_seconds{{{IN}}})",
                            "{{service}}",
                        ),
                    ),
                    unit="s",
                    steps=((60, RED),),
                ),
                Panel(
                    "Starts",
                    "How often each service began anew within 15 minutes, of its replicas the most.",
                    (
                        Query(
                            f"max by (namespace, service) (changes(alphapanda_service_start_time_seconds{{{IN}}}[15m]))",
                            "{{service}}",
                        ),
                    ),
                    steps=((3, RED),),
                ),
                Panel(
                    "Errors",
                    "Failed attempts each minute, by service and reason.",
                    (
                        Query(
                            _per_minute("alphapanda_errors_total", IN, "namespace, service, reason"),
                            "{{service}} {{reason}}",
                        ),
                    ),
                    bars=True,
                ),
            ),
        ),
    ),
)

FEED_BOARD: Final = Dashboard(
    "feed",
    "Feed",
    "From the source to the price cache and the strategies: how fresh prices are, and what was lost on the way.",
    (NAMESPACES, FEEDS),
    (
        Row(
            "Freshness",
            (
                Panel(
                    "Market",
                    "Whether the feed's calendar says that its market is open (any session but closed).",
                    (
                        Query(
                            f"max by (namespace, feed) (alphapanda_feed_session_open{{{FEED}}})", "{{feed}}"
                        ),
                    ),
                    kind="state-timeline",
                    width=12,
                    words=OPEN_CLOSED,
                ),
                Panel(
                    "Source alive",
                    "Whether the source has proven within the feed's limit (`staleAfterSeconds`) that it lives.",
                    (
                        Query(
                            f"min by (namespace, feed) (alphapanda_feed_source_alive{{{FEED}}})", "{{feed}}"
                        ),
                    ),
                    kind="state-timeline",
                    width=12,
                    words=YES_NO,
                ),
                Panel(
                    "Age of the heartbeat",
                    "Of the last proof that the source lives which Kafka has acknowledged. Beyond the feed's limit orders are refused.",
                    (
                        Query(
                            f"max by (namespace, feed) (alphapanda_feed_heartbeat_age_seconds{{{FEED}}})",
                            "{{feed}}",
                        ),
                        Query(
                            f"min by (namespace, feed) (alphapanda_feed_stale_after_seconds{{{FEED}}})",
                            "{{feed}}: limit",
                        ),
                    ),
                    unit="s",
                    width=12,
                ),
                Panel(
                    "Age of the newest tick",
                    "Of any instrument. Old while the source is alive: nothing is traded, or a subscription is lost.",
                    (Query(f"max by (namespace, feed) (alphapanda_feed_age_seconds{{{FEED}}})", "{{feed}}"),),
                    unit="s",
                    width=12,
                ),
            ),
        ),
        Row(
            "Ticks",
            (
                Panel(
                    "Ticks in",
                    "Ticks a second that came in: to the market-feed from its source, to the others from Kafka.",
                    (
                        Query(
                            _per_second("alphapanda_ticks_received_total", FEED, "namespace, feed, service"),
                            "{{feed}}: {{service}}",
                        ),
                    ),
                    unit="cps",
                ),
                Panel(
                    "Ticks out",
                    "Ticks a second to Kafka and to the price cache; of several of one instrument in one fetch the cacher "
                    "writes the newest.",
                    (
                        Query(
                            _per_second("alphapanda_ticks_published_total", FEED, "namespace, feed, service"),
                            "{{feed}}: {{service}}",
                        ),
                    ),
                    unit="cps",
                ),
                Panel(
                    "Ticks dropped",
                    "Each minute: `bad_row` could not be read from the source, `old_epoch` came from a feed that has been "
                    "replaced, `duplicate` had been seen.",
                    (
                        Query(
                            _per_minute(
                                "alphapanda_ticks_dropped_total", FEED, "namespace, feed, service, reason"
                            ),
                            "{{feed}}: {{service}} {{reason}}",
                        ),
                    ),
                    bars=True,
                ),
            ),
        ),
        Row(
            "To the price cache and the strategies",
            (
                latency(
                    "Tick to cache",
                    "From a batch's newest tick to its acknowledgement by the price cache.",
                    "alphapanda_tick_to_cache_seconds",
                    FEED,
                    "namespace, feed",
                    width=12,
                ),
                heatmap(
                    "Tick to cache, all of it",
                    "How many records took how long.",
                    "alphapanda_tick_to_cache_seconds",
                    FEED,
                ),
                Panel(
                    "Behind in ticks",
                    "Records of ticks that feed-cachers, together, and the strategy that is furthest behind have not fetched.",
                    _behind(TICKS),
                    steps=((500, RED),),
                ),
                Panel(
                    "Ticks in hand",
                    "Records of ticks that were fetched and are not finished.",
                    (
                        Query(
                            f"sum by (namespace, service, topic) (alphapanda_queue_records{{{IN},{TICKS}}})",
                            "{{service}}: {{topic}}",
                        ),
                    ),
                ),
                Panel(
                    "Clocks",
                    "How far the store's clock is ahead of each service's. Beyond 200 ms a service is not ready.",
                    (
                        Query(
                            f"max by (namespace, pod, service) (alphapanda_clock_offset_seconds{{{IN}}})",
                            "{{service}} {{pod}}",
                        ),
                    ),
                    unit="s",
                    steps=((0.2, RED),),
                    lowest=None,
                ),
            ),
        ),
    ),
)

HOPS: Final = (
    latency(
        "Tick to signal",
        "From the tick to Kafka's acknowledgement of the signal that it caused: the strategy's own work is within.",
        "alphapanda_tick_to_signal_seconds",
        STRATEGY,
        "namespace, strategy",
    ),
    latency(
        "Signal to decision",
        "From the making of a signal to Kafka's acknowledgement of risk's decision.",
        "alphapanda_signal_to_decision_seconds",
        ACCOUNT,
        "namespace, account",
    ),
    latency(
        "Decision to call",
        "From risk's decision to the moment when the engine calls the broker: price, checks and BEGIN are within.",
        "alphapanda_decision_to_call_seconds",
        ACCOUNT,
        "namespace, account",
    ),
    latency(
        "Broker call",
        "How long the broker takes, by the state that the call led to.",
        "alphapanda_broker_call_seconds",
        ACCOUNT,
        "namespace, account, outcome",
    ),
)

ORDERS_BOARD: Final = Dashboard(
    "orders-and-latency",
    "Orders and latency",
    "Every hop of an order: how many, how fast, and what stopped the others. `alpha-panda explain ID` tells the story of one.",
    (NAMESPACES, ACCOUNTS, STRATEGIES),
    (
        Row(
            "Orders",
            (
                UNRESOLVED,
                stat(
                    "Age of the oldest in doubt",
                    "The order-tracker settles most within a minute. What stays, a person decides: `alpha-panda orders resolve`.",
                    Query(
                        f"max by (namespace, account) (alphapanda_unresolved_age_seconds{{{ACCOUNT}}})",
                        "{{account}}",
                    ),
                    unit="s",
                    steps=((60, RED),),
                ),
                stat(
                    "In the journal",
                    "Orders that have not ended, by state; UNTOLD have ended, but Kafka has not acknowledged the event.",
                    Query(
                        f"sum by (namespace, account, state) (alphapanda_journal_entries{{{ACCOUNT}}})",
                        "{{account}} {{state}}",
                    ),
                    width=12,
                ),
                stat(
                    "Failed in the time shown",
                    "Orders that had passed risk and failed.",
                    Query(
                        f'sum by (namespace, account) (increase(alphapanda_orders_total{{{ACCOUNT},outcome=~"FAILED|LOST"}}[$__range]))',
                        "{{account}}",
                    ),
                    steps=((1, YELLOW),),
                ),
                SIGNALS,
                DECISIONS,
                ORDERS,
                Panel(
                    "Failures by reason",
                    "Orders that failed, in five minutes each, by the code. What it means, what to do: docs/reference/codes.md.",
                    (
                        Query(
                            f'sum by (namespace, account, reason) (increase(alphapanda_orders_total{{{ACCOUNT},outcome=~"FAILED|LOST"}}[5m])) > 0'
                            f' or on (namespace, account) sum by (namespace, account) (increase(alphapanda_orders_total{{{ACCOUNT},outcome=~"FAILED|LOST"}}[5m]))',
                            "{{account}} {{reason}}",
                        ),
                    ),
                    bars=True,
                    width=12,
                ),
                Panel(
                    "Dead letters",
                    "Records set aside, in five minutes each. `alpha-panda dlq list` shows them.",
                    (
                        Query(
                            f"sum by (namespace, service, topic, reason) (increase(alphapanda_dlq_records_total{{{IN}}}[5m])) > 0"
                            f" or on (namespace) sum by (namespace) (increase(alphapanda_dlq_records_total{{{IN}}}[5m]))",
                            "{{topic}} {{reason}}",
                        ),
                    ),
                    bars=True,
                    width=12,
                    steps=((1, RED),),
                ),
            ),
        ),
        Row(
            "End to end",
            (
                Panel(
                    TICK_TO_ORDER.title,
                    TICK_TO_ORDER.text,
                    TICK_TO_ORDER.queries,
                    unit="s",
                    width=12,
                    steps=((1, RED),),
                ),
                heatmap(
                    "Tick to order, all of it",
                    "How many orders took how long.",
                    "alphapanda_tick_to_order_seconds",
                    ACCOUNT,
                ),
            ),
        ),
        Row("Hop by hop", tuple(Panel(hop.title, hop.text, hop.queries, unit="s", width=12) for hop in HOPS)),
        Row(
            "What holds them up",
            (
                Panel(
                    "Behind in signals and orders",
                    "Records that were not fetched yet, by all replicas of a service together, and by the strategy that is "
                    "furthest behind; while they wait, signals expire.",
                    _behind(NOT_TICKS),
                    steps=((50, RED),),
                ),
                Panel(
                    "Signals and orders in hand",
                    "Records that were fetched and are not finished.",
                    (
                        Query(
                            f"sum by (namespace, service, topic) (alphapanda_queue_records{{{IN},{NOT_TICKS}}})",
                            "{{service}}: {{topic}}",
                        ),
                    ),
                ),
                Panel(
                    "Retries",
                    "Attempts made again each minute, by what did not answer. The broker call is never among them.",
                    (
                        Query(
                            _per_minute("alphapanda_retries_total", IN, "namespace, service, dependency"),
                            "{{service}}: {{dependency}}",
                        ),
                    ),
                    bars=True,
                ),
                Panel(
                    "Spans of traces",
                    "Each minute: `exported` to the collector, or `lost`. Nothing where `ALPHAPANDA_OTLP_ENDPOINT` is not set.",
                    (Query(_per_minute("alphapanda_spans_total", IN, "namespace, outcome"), "{{outcome}}"),),
                    bars=True,
                ),
                Panel(
                    "Breakers",
                    "Of each service and what it depends on; seen once that has failed.",
                    (
                        Query(
                            f"max by (namespace, service, dependency) (alphapanda_breaker_state{{{IN}}})",
                            "{{service}}: {{dependency}}",
                        ),
                    ),
                    kind="state-timeline",
                    width=16,
                    words=BREAKER,
                ),
            ),
        ),
    ),
)

RISK_BOARD: Final = Dashboard(
    "risk-and-pnl",
    "Risk and P&L",
    "What is held, what it earns, how much of each limit is used, and what risk refused. Money is in the account's currency.",
    (NAMESPACES, ACCOUNTS, STRATEGIES),
    (
        Row(
            "May it trade?",
            (
                TRADING_STATES,
                LATCHES,
                RECONCILED,
                DIFFERENCES,
                stat(
                    "Access token",
                    "How long the broker's access token is still valid; brokers without one are not shown.",
                    Query(
                        f"min by (namespace, account) (alphapanda_token_remaining_seconds{{{ACCOUNT}}})",
                        "{{account}}",
                    ),
                    unit="s",
                    steps=(),
                    words={0: ("expired", RED)},
                ),
                stat(
                    "Journal is durable",
                    "Whether the journal's Redis keeps what it has answered: append-only file, appendfsync always, noeviction.",
                    Query(
                        f"min by (namespace, account) (alphapanda_journal_durable{{{ACCOUNT}}})",
                        "{{account}}",
                    ),
                    words=YES_NO,
                ),
                stat(
                    "Positions",
                    "Instruments that the account holds, long or short.",
                    Query(f"max by (namespace, account) (alphapanda_positions{{{ACCOUNT}}})", "{{account}}"),
                ),
                Panel(
                    "Trading states over time",
                    "When who was Active, Reducing or Halted.",
                    (
                        Query(
                            f"max by (namespace, account, scope) (alphapanda_trading_state{{{ACCOUNT}}})",
                            "{{account}}: {{scope}}",
                        ),
                    ),
                    kind="state-timeline",
                    width=24,
                    words=STATES,
                ),
            ),
        ),
        Row(
            "Profit and loss",
            (
                Panel(DAY_PNL.title, DAY_PNL.text, DAY_PNL.queries, width=12, lowest=None),
                Panel(
                    "P&L of the day by strategy",
                    "Of each strategy's own book on each account, after fees.",
                    (
                        Query(
                            f"max by (namespace, account, strategy) (alphapanda_strategy_day_pnl_amount{{{BOTH}}})",
                            "{{strategy}} on {{account}}",
                        ),
                    ),
                    width=12,
                    lowest=None,
                ),
                Panel(
                    "Gross exposure",
                    "Sum of the absolute values of all positions at last prices.",
                    (
                        Query(
                            f"max by (namespace, account) (alphapanda_exposure_gross_amount{{{ACCOUNT}}})",
                            "{{account}}",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "Net exposure",
                    "Long less short positions at last prices.",
                    (
                        Query(
                            f"max by (namespace, account) (alphapanda_exposure_net_amount{{{ACCOUNT}}})",
                            "{{account}}",
                        ),
                    ),
                    width=12,
                    lowest=None,
                ),
            ),
        ),
        Row(
            "Limits",
            (
                Panel(
                    "Use of the account's limits",
                    "Share of each limit that the manifest sets. 100 % of a loss limit latches; of another it refuses what increases.",
                    (
                        Query(
                            f"max by (namespace, account, limit) (alphapanda_limit_use_ratio{{{ACCOUNT}}})",
                            "{{account}} {{limit}}",
                        ),
                    ),
                    unit="percentunit",
                    kind="bargauge",
                    width=12,
                    steps=((0.8, YELLOW), (1, RED)),
                ),
                Panel(
                    "Use of strategies' limits",
                    "Likewise, of each strategy's own book; strategies without limits of their own are not shown.",
                    (
                        Query(
                            f"max by (namespace, account, strategy, limit) (alphapanda_strategy_limit_use_ratio{{{BOTH}}})",
                            "{{strategy}} on {{account}} {{limit}}",
                        ),
                    ),
                    unit="percentunit",
                    kind="bargauge",
                    width=12,
                    steps=((0.8, YELLOW), (1, RED)),
                ),
                Panel(
                    "Use of limits over time",
                    "The account's limits: how fast they are used up, and when they were free again.",
                    (
                        Query(
                            f"max by (namespace, account, limit) (alphapanda_limit_use_ratio{{{ACCOUNT}}})",
                            "{{account}} {{limit}}",
                        ),
                    ),
                    unit="percentunit",
                    width=12,
                    steps=((0.8, YELLOW), (1, RED)),
                ),
                Panel(
                    "Refused by risk",
                    "Each minute, by the code of the check.",
                    (
                        Query(
                            _per_minute(
                                "alphapanda_decisions_total",
                                f'{ACCOUNT},code!="VALIDATED"',
                                "namespace, account, code",
                            ),
                            "{{account}} {{code}}",
                        ),
                    ),
                    bars=True,
                    width=12,
                ),
            ),
        ),
    ),
)

DASHBOARDS: Final = (OVERVIEW, FEED_BOARD, ORDERS_BOARD, RISK_BOARD)
