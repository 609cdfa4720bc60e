"""What is well and what is not, from what the services report and the stores hold. Pure: `Facts` in, `Finding`s out.

Each finding is one line: what it is about, how it stands, and, where a person has to do something, the remedy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from alpha_panda.contracts.enums import EntryState, TradingState
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.status_details import (
    PROBLEM,
    REFUSED,
    STOPPED,
    BookFigures,
    BrokerFigures,
    FeedFigures,
    RunnerFigures,
    TrackerFigures,
    manifests_problem,
    risk_strategies,
)
from alpha_panda.contracts.stored import ControlReading, JournalEntry, ServiceStatus
from alpha_panda.contracts.units import SECOND_NS

RUNNING: Final = "running"
"""`ServiceStatus.state` of what works."""

MARKET_FEED: Final = "market-feed"
FEED_CACHER: Final = "feed-cacher"
RISK: Final = "risk"
ENGINE: Final = "engine"
TRACKER: Final = "order-tracker"
STRATEGY: Final = "strategy"
OF_ACCOUNT: Final = (RISK, ENGINE, TRACKER)
OF_FEED: Final = (MARKET_FEED, FEED_CACHER)

BREAKER: Final = "breaker."
_OPEN: Final = "open"
_LAG_SECONDS: Final = 30
"""A consumer that is this far behind while its service runs is worth a person's look."""
_MOMENT: Final = 5 * SECOND_NS
"""What waits no longer than this is on its way: offsets are committed every few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a group is behind on one topic: records that it has not committed, and the age of the oldest, in ns."""

    group: str
    topic: str
    records: int
    age: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found at `now` (UTC ns). `problems`: what could not be asked, a line each.

    `accounts`, `feeds`: names that have topics. `doubt`: orders in doubt by account. `ready`: accounts whose journal may
    be written. `letters`: records by dead letter queue. `reported`: whether the services' reports could be read.
    """

    now: int
    accounts: Sequence[str] = ()
    feeds: Sequence[str] = ()
    statuses: Sequence[ServiceStatus] = ()
    controls: Mapping[str, ControlReading] = field(default_factory=dict)
    doubt: Mapping[str, Sequence[JournalEntry]] = field(default_factory=dict)
    ready: Mapping[str, bool] = field(default_factory=dict)
    lags: Sequence[Lag] = ()
    letters: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[str] = ()
    reported: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line. `remedy`: what a person has to do; "": nothing. `code` of a limit or state, where there is one."""

    what: str
    says: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        """Whether nobody has to do anything."""
        return not self.remedy


def strategies_of(statuses: Iterable[ServiceStatus]) -> list[str]:
    """Return the strategies that runners and risk tell of, in order."""
    found: set[str] = set()
    for status in statuses:
        if status.service == STRATEGY:
            found |= set(status.resource.split(","))
        elif status.service == RISK:
            found |= set(risk_strategies(status.details))
    return sorted(found)


def findings(facts: Facts) -> list[Finding]:
    """Return the lines: what could not be asked, feeds, strategies, accounts, halts, orders, dead letters.

    Where no report could be read nobody is said to be missing: they may all run.
    """
    return [
        *(
            Finding(what="installation", says=problem, remedy="repair it, then ask again")
            for problem in facts.problems
        ),
        *(_services(facts) if facts.reported else ()),
        *_halts(facts),
        *_doubts(facts),
        *_lags(facts),
        *_letters(facts),
    ]


def age_text(ns: int) -> str:
    """Return an age in seconds as people say it."""
    seconds = max(ns, 0) / SECOND_NS
    if seconds < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004 - two hours are told in hours


# -------------------------------------------------------------------------------------------------- services


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _newest(facts: Facts, ts: int | None) -> str:
    """Return how old the newest tick is; at most, since its service reports every few seconds only."""
    return "no tick yet" if ts is None else f"newest tick at most {age_text(facts.now - ts)} old"


def _of(facts: Facts, service: str, resource: str) -> list[ServiceStatus]:
    return [item for item in facts.statuses if item.service == service and item.resource == resource]


def _wanted(facts: Facts, scope: str) -> bool:
    """Whether somebody asks for the scope: what was deleted leaves its topics, but nobody writes its state."""
    reading = facts.controls.get(scope)
    return reading is None or reading.spec is not None or reading.expired


def _replicas(service: str, found: Sequence[ServiceStatus]) -> Finding | None:
    """Return what is wrong with a service's replicas, if anything."""
    resource = found[0].resource
    running = [item for item in found if item.state == RUNNING]
    if not running:
        states = ", ".join(sorted({item.state for item in found}))
        return Finding(
            what=f"{service} {resource}",
            says=f"does not work: {states}",
            remedy=f"see its log: kubectl alpha-panda logs, role {service}",
        )
    for item in running:
        opened = [
            name.removeprefix(BREAKER)
            for name, state in item.details.items()
            if name.startswith(BREAKER) and state == _OPEN
        ]
        if opened:
            return Finding(
                what=f"{service} {resource}",
                says=f"the breaker of {', '.join(sorted(opened))} is open",
                remedy="repair what it names; its log says what failed",
            )
        problem = manifests_problem(item.details)
        if problem is not None:
            return Finding(
                what=f"{service} {resource}",
                says=f"goes on with older manifests: {problem}",
                remedy="correct the manifest that is named",
            )
    return None


def _absent(service: str, resource: str) -> Finding:
    return Finding(
        what=f"{service} {resource}",
        says="does not run: nothing has reported of late",
        remedy="start it; in a cluster `kubectl get pods` and `kubectl describe` say why it doesn't",
    )


def _services(facts: Facts) -> Iterator[Finding]:
    yield from _feeds(facts)
    yield from _strategies(facts)
    yield from _accounts(facts)


def _feeds(facts: Facts) -> Iterator[Finding]:
    read = {RunnerFigures.of(status.details).feed for status in facts.statuses if status.service == STRATEGY}
    for feed in sorted({*facts.feeds, *read} - {""}):
        present = [service for service in OF_FEED if _of(facts, service, feed)]
        if not present and feed not in read:
            yield Finding(what=f"feed {feed}", says="nothing runs of it")
            continue
        for service in OF_FEED:
            found = _of(facts, service, feed)
            problem = _replicas(service, found) if found else _absent(service, feed)
            if problem is not None:
                yield problem
        sources = _of(facts, MARKET_FEED, feed)
        if sources:
            details = _active(sources).details
            yield _freshness(facts, feed, FeedFigures.of(details), str(details.get(PROBLEM) or ""))


def _active(found: Sequence[ServiceStatus]) -> ServiceStatus:
    """Return the one that works, else any."""
    return next((item for item in found if item.state == RUNNING), found[0])


def _freshness(facts: Facts, feed: str, figures: FeedFigures, problem: str) -> Finding:
    amount = f"{_count(figures.ticks, 'tick')} of {_count(figures.instruments, 'instrument')}"
    told = "; ".join(part for part in (f"{_newest(facts, figures.last_tick_ts)}, {amount}", problem) if part)
    if figures.session_open is False:
        return Finding(what=f"feed {feed}", says=f"session closed; {told}")
    if figures.source_alive is False:
        return Finding(
            what=f"feed {feed}",
            says=f"SILENT in session: {told}",
            remedy="orders are refused with PRICE_STALE: see the feed's log and its source",
        )
    if figures.source_alive is None:
        return Finding(
            what=f"feed {feed}",
            says=f"no sign of life of its source yet: {told}",
            remedy="orders are refused until there is one: see the feed's log and its source",
        )
    return Finding(what=f"feed {feed}", says=f"fresh: {told}")


def _strategies(facts: Facts) -> Iterator[Finding]:
    hosted = {
        name for status in facts.statuses if status.service == STRATEGY for name in status.resource.split(",")
    }
    for status in facts.statuses:
        if status.service == STRATEGY:
            yield _runner(facts, status)
    for name in strategies_of(facts.statuses):
        yield from (Finding(what=f"strategy {name}", says=told) for told in _traded(facts, name))
        if name not in hosted and _wanted(facts, strategy_scope(name)):
            yield _absent(STRATEGY, name)


def _traded(facts: Facts, name: str) -> list[str]:
    """Return what the accounts' risk tells of a strategy."""
    told = []
    for status in facts.statuses:
        figures = risk_strategies(status.details).get(name) if status.service == RISK else None
        if figures is None:
            continue
        pnl = "" if figures.day_pnl is None else f", day's P&L {figures.day_pnl}"
        held = figures.position or "flat"
        told.append(f"on {status.resource}: {held}, {_count(figures.orders_today, 'order')} today{pnl}")
    return told


def _runner(facts: Facts, status: ServiceStatus) -> Finding:
    figures = RunnerFigures.of(status.details)
    what = f"strategy {status.resource}"
    if figures.state in (STOPPED, REFUSED) or figures.message:
        why = f"{figures.state}: {figures.message}"
        return Finding(
            what=what, says=why, remedy="correct its code or manifest; it starts anew with the next one"
        )
    problem = _replicas(STRATEGY, [status])
    if problem is not None:
        return problem
    says = f"{figures.state}: {_count(figures.signals, 'signal')}, {_newest(facts, figures.last_tick_ts)}"
    return Finding(what=what, says=says)


def _accounts(facts: Facts) -> Iterator[Finding]:
    for account in facts.accounts:
        present = [service for service in OF_ACCOUNT if _of(facts, service, account)]
        if not present and not _wanted(facts, account_scope(account)):
            yield Finding(what=f"account {account}", says="nothing runs of it and nobody asks for it")
            continue
        for service in OF_ACCOUNT:
            found = _of(facts, service, account)
            problem = _replicas(service, found) if found else _absent(service, account)
            if problem is not None:
                yield problem
        yield from _books(facts, account)
        yield from _broker(facts, account)
        if not facts.ready.get(account, True):
            yield Finding(
                what=f"account {account}",
                says="not reconciled: nothing is decided or sent",
                remedy="wait for its order-tracker to compare with the broker; if it doesn't, see its log",
            )


def _broker(facts: Facts, account: str) -> Iterator[Finding]:
    """Tell of the log-in at the account's broker, and of the comparison with it; of a broker without either nothing."""
    tracker = _of(facts, TRACKER, account)
    figures = BrokerFigures.of(_active(tracker).details) if tracker else BrokerFigures()
    if figures.broker_reconciled is None:
        return
    what, until = f"account {account}", figures.token_expires_at
    if figures.token_problem or (until is not None and until <= facts.now):
        why = figures.token_problem or "the access token has expired"
        yield Finding(
            what=what, says=f"no session at its broker: {why}", remedy=f"alpha-panda login {account}"
        )
    elif not figures.broker_reconciled:
        why = figures.reconcile_problem or "not compared yet"
        yield Finding(
            what=what,
            says=f"not compared with its broker, no position grows: {why}",
            remedy="wait for its order-tracker; if it stays so, see its log",
        )
    if figures.differences:
        yield Finding(
            what=what,
            says=f"book and broker differ, no position grows there: {figures.difference_names}",
            remedy=f"find out why; what is right at the broker is booked by: alpha-panda orders adopt {account}",
        )


def _state(facts: Facts, account: str) -> str:
    """Return the trading state that binds the whole account."""
    scopes = (facts.controls.get(PLATFORM), facts.controls.get(account_scope(account)))
    states = [reading.state for reading in scopes if reading is not None]
    return TradingState.strictest(*states).value if states else "trading state not known"


def _books(facts: Facts, account: str) -> Iterator[Finding]:
    risk, tracker = _of(facts, RISK, account), _of(facts, TRACKER, account)
    engines = _of(facts, ENGINE, account)
    present = [
        name
        for name, found in ((RISK, risk), (_count(len(engines), ENGINE), engines), (TRACKER, tracker))
        if found
    ]
    told = [f"{_state(facts, account)}: {', '.join(present)}"] if present else []
    if risk:
        book = BookFigures.of(_active(risk).details)
        told += [_count(book.positions, "position"), f"{_count(book.orders_today, 'order')} today"]
        told += [f"day's P&L {book.day_pnl}"] if book.day_pnl is not None else []
    if tracker:
        figures = TrackerFigures.of(_active(tracker).details)
        told += [f"{figures.resting} resting", f"{figures.in_doubt} in doubt"]
    if told:
        yield Finding(what=f"account {account}", says=", ".join(told))


# ------------------------------------------------------------------------------------------- halts and orders


def _halts(facts: Facts) -> Iterator[Finding]:
    for scope, reading in facts.controls.items():
        if scope != PLATFORM and not reading.latches and not _wanted(facts, scope):
            continue
        words = _typed(scope)
        for latch in reading.latches:
            yield Finding(
                what=_named(scope),
                says=f"{latch.state} by {latch.set_by}, {age_text(facts.now - latch.set_at)} ago: {latch.reason} "
                f"(latch {latch.latch_id})",
                remedy=f"when it may go on: alpha-panda resume {words} --latch {latch.latch_id}",
            )
        yield from _spec(facts, scope, reading)


def _spec(facts: Facts, scope: str, reading: ControlReading) -> Iterator[Finding]:
    if reading.spec is None or reading.expired:
        if scope == PLATFORM or _wanted(facts, scope):
            ran_out = "ran out" if reading.expired else "was never written"
            yield Finding(
                what=_named(scope),
                says=f"Halted: its trading state {ran_out}, nobody renews it",
                remedy="see whether the operator, `run` or `alpha-panda control` is running",
            )
    elif reading.spec is not TradingState.ACTIVE:
        yield Finding(
            what=_named(scope),
            says=f"{reading.spec} by its manifest",
            remedy="when it may go on: set spec.tradingState to Active",
        )


def _named(scope: str) -> str:
    return scope.replace("/", " ")


def _typed(scope: str) -> str:
    """Return a scope as a person types it for `resume`."""
    kind, _, name = scope.partition("/")
    if scope == PLATFORM:
        return "--all"
    return name if scope == account_scope(name) else f"{kind.capitalize()}/{name}"


def _doubts(facts: Facts) -> Iterator[Finding]:
    for account, entries in facts.doubt.items():
        for entry in entries:
            yield _doubt(facts, account, entry)


def _doubt(facts: Facts, account: str, entry: JournalEntry) -> Finding:
    signal = entry.signal
    order = f"{signal.side} {signal.quantity:f} {signal.symbol} of {signal.strategy_id}"
    age = age_text(facts.now - (entry.created_at or entry.updated_at))
    says = f"{entry.state} for {age}: {order}"
    under_way = entry.state is EntryState.SENDING and facts.now <= entry.send_by
    return Finding(
        what=f"order {entry.signal_id}",
        says=says,
        remedy=""
        if under_way
        else f"the order-tracker looks for it; if it stays: alpha-panda orders resolve {account} {entry.signal_id}",
    )


# ---------------------------------------------------------------------------------------- lags and dead letters


def _lags(facts: Facts) -> Iterator[Finding]:
    behind_at_all = [lag for lag in facts.lags if lag.records and (lag.age is None or lag.age > _MOMENT)]
    if facts.lags and not behind_at_all:
        groups = len({lag.group for lag in facts.lags})
        yield Finding(
            what="consumers", says="1 group keeps up" if groups == 1 else f"{groups} groups keep up"
        )
    for lag in behind_at_all:
        old = "" if lag.age is None else f", the oldest {age_text(lag.age)} old"
        behind = lag.age is not None and lag.age > _LAG_SECONDS * SECOND_NS
        yield Finding(
            what=f"group {lag.group}",
            says=f"{_count(lag.records, 'record')} of {lag.topic} behind{old}",
            remedy="see whether its service runs, and its log" if behind else "",
        )


def _letters(facts: Facts) -> Iterator[Finding]:
    for queue, count in facts.letters.items():
        if count:
            yield Finding(
                what=f"queue {queue}",
                says=_count(count, "dead letter"),
                remedy=f"alpha-panda dlq list; alpha-panda dlq show {queue} OFFSET",
            )
