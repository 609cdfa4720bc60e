"""What the services need of the outside, as protocols. Adapters implement them; each has one contract suite.

Semantics every adapter keeps:

* A store operation that names an epoch, incarnation or lease is one atomic script: a stale one raises
  `FencedError`, and nothing changed.
* A reply that got lost raises `UnknownOutcomeError` (the caller must not assume either way); an operation that
  surely did nothing raises `DependencyUnavailableError`.
* Times are UTC nanoseconds of the store's own clock where a script compares them.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import FeedMode, TradingState
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import (
    AdoptionRequest,
    BeginVerdict,
    BookReading,
    BrokerFacts,
    BrokerRow,
    Checkpoint,
    CheckpointClaim,
    ClearRequest,
    ControlReading,
    Decision,
    InstrumentList,
    JournalEntry,
    Latch,
    OrderFold,
    Outcome,
    PaceWindow,
    PortfolioReading,
    PriceRange,
    PriceReading,
    Quote,
    RiskClaim,
    RiskSnapshot,
    ServiceStatus,
    TeardownRequest,
)
from alpha_panda.contracts.topics import TopicSpec

# --------------------------------------------------------------------------------------------------- clock


class Clock(Protocol):
    """Time, real or virtual. Services take all time from here and never from `time` or `asyncio.sleep`."""

    @property
    def virtual(self) -> bool:
        """Whether time is driven by a source's rows instead of passing."""

    def now(self) -> int:
        """UTC in nanoseconds."""

    def monotonic(self) -> int:
        """Nanoseconds that never go back; only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Wait. Virtual time runs to the end of the shortest sleep when nothing else can run."""

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Yield `now()` each `seconds`, late rather than twice. Never drives virtual time by itself."""

    async def pace_until(self, ts: int) -> None:
        """Wait until `now()` is at least `ts`; for sources. Drives virtual time."""


# ----------------------------------------------------------------------------------------------------- bus


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Record(msgspec.Struct, eq=False):
    """A record as consumed. `decoded` is a place for the reader's decoded value: in-process readers share it."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    decoded: object = None

    @property
    def id(self) -> str:
        """`topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Outgoing(msgspec.Struct, frozen=True):
    """A record to produce. Without a partition the key chooses it (`contracts.topics.key_partition`).

    `decoded`: what `value` encodes, if it never changes: a bus in this process hands it to its readers.
    """

    topic: str
    value: bytes
    key: str | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    decoded: object = None


class RecordPosition(msgspec.Struct, frozen=True):
    """Where a produced record landed."""

    topic: str
    partition: int
    offset: int


class Producer(Protocol):
    """Writes records. Order within a partition is the order of the calls."""

    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        """Produce the records; returns when all are acknowledged by all in-sync replicas.

        Raises:
            DependencyUnavailableError: not acknowledged; any of them may still have been written.

        """


class Consumer(Protocol):
    """Reads records of its assigned partitions, each partition in order."""

    async def fetch(self, max_records: int, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109 - on the Clock port, not asyncio's
        """Return up to `max_records` as soon as there is one; [] after `timeout` seconds (None: wait).

        Raises:
            OffsetOutOfRangeError: the position is older than what is kept.

        """

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the next offsets to read for the group; RebalancedError when a partition has moved away."""

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the next offset to fetch."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this consumer reads now."""

    def joined(self) -> bool:
        """Whether it is known which partitions this consumer reads; a group may have none for it."""

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset that `fetch` would return."""

    async def lag(self) -> int:
        """Return how many records of the assignment have not been fetched."""

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the group's stored offset, if any."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a consumer reads, either as a member of a group or by itself.

    `topics`: the group's coordinator assigns partitions. `partitions`: exactly these. `from_latest`: where to
    begin without a stored offset: at the end instead of the beginning. It is always said, never a default of a
    client library.
    """

    group: str
    topics: tuple[str, ...] = ()
    partitions: tuple[TopicPartition, ...] = ()
    from_latest: bool = False


class EventBus(Protocol):
    """Kafka's part of the world: topics with partitions, offsets, groups."""

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """Create what is missing; TopicMismatchError when one exists with another partition count."""

    async def topic_id(self, topic: str) -> str:
        """Return the topic's identity; a topic deleted and created anew has another one."""

    async def offsets(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (oldest kept, next) offset of each partition."""

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics, those of other installations included."""

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """Delete the records of lower offsets for good; -1: all there are. For a person's `dlq purge`."""

    def producer(self, client: str) -> AbstractAsyncContextManager[Producer]:
        """Open a producer; `client` names it in the broker's logs."""

    def consumer(self, subscription: Subscription) -> AbstractAsyncContextManager[Consumer]:
        """Open a consumer; leaving the context leaves the group without committing."""


# --------------------------------------------------------------------------------------------------- prices


class PriceCache(Protocol):
    """Latest prices by feed and token. Written by feed-cachers, read by engines, risk and order-trackers."""

    async def write(
        self,
        feed: str,
        feed_epoch: int,
        quotes: Mapping[int, Quote],
        heartbeats: Mapping[int, int],
        partitions: int,
    ) -> frozenset[int]:
        """Store quotes and heartbeats, and return all tokens that anybody watches, in one step.

        Whoever begins to watch a token and then reads it misses no price: either the reading has it, or this call
        has returned the token, and so its range is published.

        `heartbeats`: the feed's last proof of life (UTC ns) as each partition of its ticks told it. They are kept
        apart, so that one partition that is stuck doesn't look alive by another. `partitions`: how many the topic
        of the feed's ticks has; another number than before makes all heartbeats anew.

        Raises:
            FencedError: a newer feed epoch has written.

        """

    async def read(self, feed: str, token: int) -> PriceReading:
        """Return the token's quote and the heartbeat of its partition (`contracts.topics.tick_partition`).

        As of one moment.
        """

    async def readings(self, feed: str, tokens: Sequence[int]) -> dict[int, PriceReading]:
        """Return what `read` would of each token, as of one moment."""

    async def read_many(self, feed: str, tokens: Sequence[int]) -> dict[int, Quote]:
        """Return the quotes that exist."""

    async def watch(self, feed: str, watcher: str, tokens: Iterable[int]) -> None:
        """Replace the set of tokens whose price ranges `watcher` wants published."""

    async def watched(self, feed: str) -> frozenset[int]:
        """Return all tokens that anybody watches."""

    async def publish_ranges(self, feed: str, ranges: Sequence[PriceRange]) -> None:
        """Append ranges of watched tokens (the adapter numbers them: `cursor` in the argument is ignored)."""

    async def ranges(
        self,
        feed: str,
        cursors: Mapping[int, int],
        timeout: float | None,  # noqa: ASYNC109 - on the Clock port, not asyncio's
    ) -> list[PriceRange]:
        """Return ranges after each token's cursor (0: all kept), waiting up to `timeout` s for the first."""


# --------------------------------------------------------------------------------------------------- orders


@dataclass(frozen=True, slots=True)
class BeginRequest:
    """What BEGIN checks and writes. `scopes` are the control scopes that must allow the signal's class."""

    signal: Signal
    payload_hash: str
    journal_epoch: str
    attempt: str
    send_within: int
    scopes: tuple[str, ...]
    orders_per_second: int | None
    correlation_id: str
    causation_id: str
    quote_price: Decimal | None = None
    quote_ts: int | None = None


@dataclass(frozen=True, slots=True)
class OpenPage:
    """Some entries of a journal's `open`, oldest change first; `after`: where the next page begins, None at the end."""

    entries: list[JournalEntry]
    after: int | None


class OrderJournal(Protocol):
    """An account's orders: the one place that lets a signal reach the broker, at most once.

    Every method that writes is one atomic script, but `adopt` and `acknowledge_all`: those take several where there
    is much. So do the lists: each entry is in one of them as it was at some moment of the call. No script holds the
    store for more than some milliseconds. Terminal states change only by `correct`.
    """

    async def begin(self, request: BeginRequest) -> BeginVerdict:
        """Check and write once: see DESIGN "BEGIN". Only the first caller ever gets `go`.

        In order: known id → DUP · journal epoch → UNKNOWN · stored decision with this hash → FAILED
        PAYLOAD_MISMATCH · trading states → FAILED · key in doubt → FAILED · expiry → FAILED · rate → FAILED ·
        else SENDING. A refusal is terminal, stored and in `open`.
        """

    async def refuse(self, request: BeginRequest, code: Code, message: str) -> BeginVerdict:
        """Write FAILED once, for a refusal found before BEGIN; never `go`. DUP if the id is known.

        UNKNOWN instead under an old or missing journal epoch, as `begin`: it may have been sent before.
        """

    async def settle(
        self, signal_id: str, attempt: str, outcome: Outcome, fallback: JournalEntry
    ) -> JournalEntry:
        """Compare-and-set from SENDING or UNKNOWN; a missing entry is re-created from `fallback` first.

        Returns the entry as it is now: with another outcome if somebody else settled it before.
        """

    async def fill(self, signal_id: str, revision: int, outcome: Outcome) -> JournalEntry | None:
        """Change a resting order if it is still at `revision`; None if it is not. For paper fills and cancels."""

    async def resolve(self, lease_epoch: int, signal_id: str, outcome: Outcome) -> JournalEntry | None:
        """Settle an entry in doubt from the broker's book, or as LOST; None if it is not in doubt any more.

        Raises:
            FencedError: another order-tracker holds the lease.

        """

    async def correct(
        self, lease_epoch: int, signal_id: str, outcome: Outcome, latch: Latch
    ) -> JournalEntry | None:
        """Record a late match over LOST or FAILED, or more fills over any terminal state, and set the latch.

        One step. `outcome` is what the broker's book shows. None if not needed: the entry already says so, or
        the book shows FAILED (the broker refused it: nothing traded).
        """

    async def orphan(self, lease_epoch: int, entry: JournalEntry, latch: Latch | None) -> JournalEntry | None:
        """Book a row of the broker that has no entry, as `late`, and set the latch, in one step.

        `entry` is made from the row; where its signal is not known, `signal_id` is `external:` and the broker's
        id. Afterwards BEGIN, `refuse` and `settle` of a signal with this tag find it. None if the id is known.
        No latch: an order that is none of ours, as a person's own trade is; its tag must not be of our form.
        """

    async def get(self, signal_id: str) -> JournalEntry | None:
        """Return the entry."""

    async def get_many(self, *signal_ids: str) -> dict[str, JournalEntry]:
        """Return the entries of those of the ids that the journal has, by id."""

    async def find_tag(self, tag: str) -> JournalEntry | None:
        """Return the entry that sent this broker tag."""

    async def find_tags(self, *tags: str) -> dict[str, JournalEntry]:
        """Return the entries that sent these broker tags, by tag."""

    async def unacknowledged(self) -> list[JournalEntry]:
        """Return the entries in `open`, oldest first."""

    async def open_page(self, after: int, limit: int) -> OpenPage:
        """Return at most `limit` entries of `open`, oldest change first; `after` is 0, or what the last page said.

        Where a page begins does not move with what was taken out of `open` meanwhile. What changed goes to the end.
        """

    async def acknowledge(self, signal_id: str, revision: int) -> bool:
        """Take the entry out of `open` if `revision` is its present state, not in doubt; say whether."""

    async def acknowledge_all(self, told: Sequence[tuple[str, int]]) -> int:
        """Do as `acknowledge` for each id and revision; say of how many it held."""

    async def in_doubt(self, key: str | None = None) -> list[JournalEntry]:
        """Return entries SENDING or UNKNOWN: all, or those of one order key (`Signal.key`)."""

    async def resting(self) -> list[JournalEntry]:
        """Return entries PLACED or PARTIALLY_FILLED, oldest first."""

    async def known(self, *signal_ids: str) -> frozenset[str]:
        """Return those of the ids that the journal has."""

    async def epoch(self) -> str | None:
        """Return the valid epoch, None when none was written for the present run of the store."""

    async def run_id(self) -> str:
        """Return the identity of the store's present run."""

    async def adopt(
        self,
        lease_epoch: int,
        run_id: str,
        entries: Sequence[JournalEntry],
        told: Collection[str] = frozenset(),
    ) -> None:
        """Re-create entries learnt from Kafka after the store came back; an existing entry in doubt is settled.

        `told`: ids of those that were learnt with the very event of their state, or rejected by risk (revision 0).
        Where such an entry is terminal, and its event newer than what the journal has, it is taken over with the
        event's revision and does not enter `open`: everybody has been told.
        """

    async def write_epoch(self, lease_epoch: int, run_id: str) -> str:
        """Write a fresh epoch unless the run id has changed or has one already; return the valid one."""

    async def put_facts(self, lease_epoch: int, facts: BrokerFacts) -> None:
        """Say what is known of the account at its broker; FencedError under a stale lease of the order-tracker."""

    async def facts(self) -> BrokerFacts | None:
        """Return what the order-tracker said last; None if it never has in this store."""

    async def ask_adoption(self, request: AdoptionRequest) -> bool:
        """Ask the order-tracker to book a difference; False if that was asked before: the first word stays."""

    async def adoptions(self, *difference_ids: str) -> dict[str, AdoptionRequest]:
        """Return what was asked of those of the differences, by id."""


class DecisionStore(Protocol):
    """Risk's decisions, snapshot and folds of one account; fenced by risk's epoch."""

    async def claim(self, owner: str) -> RiskClaim:
        """Take over: a fresh epoch, and everything stored, in one step."""

    async def record(self, epoch: str, *decisions: Decision) -> list[Decision]:
        """Store each decision once, all in one step; returns the stored ones (an earlier one wins)."""

    async def save(self, epoch: str, snapshot: RiskSnapshot, folds: Mapping[str, OrderFold]) -> None:
        """Replace the snapshot and put the changed folds, in one step."""

    async def get(self, signal_id: str) -> Decision | None:
        """Return a decision (readers other than risk)."""

    async def snapshot(self) -> RiskSnapshot | None:
        """Return what was saved last: the book, and how far it goes (readers other than risk)."""

    async def folds(self) -> dict[str, tuple[Signal, OrderFold]]:
        """Return each validated order with its fold: a strategy's source after a gap."""


class CheckpointStore(Protocol):
    """Strategies' checkpoints, fenced by incarnation: what the design calls the state store."""

    async def claim(self, strategy: str, account: str) -> CheckpointClaim:
        """Take over: a fresh random incarnation, and the last checkpoint, in one step."""

    async def save(
        self,
        strategy: str,
        account: str,
        incarnation: str,
        checkpoint: Checkpoint,
        folds: Mapping[str, OrderFold],
    ) -> None:
        """Replace the checkpoint and put the changed folds, if `incarnation` is still the one claimed last."""


class ControlStore(Protocol):
    """Trading states: `spec` keys that expire, latches that don't; and what the operator asks of risk.

    Every write may be repeated after a lost reply.
    """

    async def put_spec(self, scope: str, state: TradingState, ttl: float) -> None:
        """Write what the manifest asks for; it expires `ttl` seconds from now."""

    async def drop_spec(self, scope: str) -> None:
        """Remove the key: the scope is Halted."""

    async def set_latch(self, latch: Latch) -> None:
        """Set a latch (the same id again changes nothing)."""

    async def clear_latch(self, scope: str, latch_id: str, *, set_at: int | None = None) -> bool:
        """Clear a latch; False if there is none of that id, or one that was not set at `set_at` (None: whenever)."""

    async def read(self, scopes: Sequence[str]) -> tuple[ControlReading, ...]:
        """Return the scopes' readings as of one moment."""

    async def request_teardown(self, request: TeardownRequest) -> None:
        """Ask that a strategy be torn down; of the same scope and uid the first request stays."""

    async def withdraw_teardown(self, scope: str, uid: str) -> None:
        """Take the request back, if there is one."""

    async def teardowns(self) -> tuple[TeardownRequest, ...]:
        """Return all requests that stand, oldest first."""

    async def request_clears(self, scope: str, latch_ids: Collection[str], asked_at: int) -> None:
        """Say which latches of the scope its manifest names, all of them.

        An id that was not among them is asked for; one that was stays as it is, done or pending; one that is not
        named any more is forgotten, and may be asked for again later.
        """

    async def clear_requests(self, scopes: Sequence[str]) -> tuple[ClearRequest, ...]:
        """Return the scopes' requests, done ones too, in the order of scopes' and ids' names."""

    async def end_clear(self, request: ClearRequest, outcome: str) -> None:
        """Say what came of a request: the first word stays. Nothing happens if it was forgotten, or asked anew."""


@dataclass(frozen=True, slots=True)
class ListedSymbols:
    """What a broker's list of a day (ISO date, the venue's) says of symbols: each is in one of the two.

    `faults`: why a symbol can't be used, in words for whoever wrote it, with what is nearest. `today`: whether it is
    the newest list there can be: an older one is asked for again.
    """

    day: str
    today: bool
    instruments: Mapping[str, Instrument]
    faults: Mapping[str, str]


class InstrumentLists(Protocol):
    """A broker's daily list of all instruments, as a feed's login may read it."""

    def day(self) -> str:
        """Return the day (ISO date) whose list is the newest that there can be now."""

    async def find(self, symbols: Collection[str], lot_sizes: Mapping[str, Decimal]) -> ListedSymbols:
        """Look the symbols up in the newest list; `lot_sizes`: what the manifest says of some instead of the list.

        Raises:
            DependencyUnavailableError: no list can be had that is young enough.

        """


class InstrumentStore(Protocol):
    """What the symbols of feeds stand for, where a broker's daily list says it. The market-feed writes, all others read."""

    async def put(self, listed: InstrumentList) -> None:
        """Replace the feed's list. May be repeated after a lost reply."""

    async def version(self, feed: str) -> str | None:
        """Return which list there is; None: none yet. Small, to be asked often."""

    async def read(self, feed: str) -> InstrumentList | None:
        """Return the feed's list, if there is one."""


# ------------------------------------------------------------------------------------- leases and statuses


class Lease(Protocol):
    """One holder at a time, each with a greater epoch than the one before."""

    async def acquire(self, name: str, owner: str, ttl: float) -> int | None:
        """Return a new epoch, or None while somebody else holds the lease."""

    async def renew(self, name: str, owner: str, epoch: int, ttl: float) -> None:
        """Extend the lease; FencedError when it is no longer ours."""

    async def release(self, name: str, owner: str, epoch: int) -> None:
        """Give the lease up if it is ours."""


class StatusStore(Protocol):
    """What the services report of themselves."""

    async def put(self, status: ServiceStatus, ttl: float) -> None:
        """Write a status that expires `ttl` seconds from now."""

    async def all(self) -> list[ServiceStatus]:
        """Return the statuses that have not expired."""


# ------------------------------------------------------------------------------------ venues and sources


class Trader(Protocol):
    """One account's way to its broker."""

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """Send the order once: no retry, no redirect. `deadline` is on `Clock.monotonic`.

        Returns FILLED, PARTIALLY_FILLED, PLACED or CANCELLED; FAILED only for what was surely not accepted;
        UNKNOWN for all else. Never raises for what the broker or the network does.
        """

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """Ask for the cancellation of a resting order; the outcome is the order's state after it, as known."""

    async def order_book(self) -> BookReading:
        """Read the broker's book of the day."""


@runtime_checkable
class TokenHolder(Protocol):
    """A trader whose broker wants an access token: not every one does."""

    def token_expires_at(self) -> int | None:
        """Return until when (UTC ns) the token is valid: 0 if there is none now; None where no token is needed. No I/O."""


@runtime_checkable
class TokenTeller(Protocol):
    """A `TokenHolder` that can say what is wrong with its token."""

    def token_problem(self) -> str:
        """Return in words, without a secret, why there is no valid token; "" while there is one. No I/O."""


@runtime_checkable
class PortfolioReader(Protocol):
    """A trader whose broker keeps positions and money: a paper venue has none beside the account's own book."""

    async def portfolio(self) -> PortfolioReading:
        """Read what the account holds at its broker; incomplete where a part can't be had. Never raises for the broker."""


@runtime_checkable
class OrderUpdates(Protocol):
    """A trader whose broker pushes changes of orders, by a socket or by postbacks."""

    def order_updates(self) -> AsyncIterator[BrokerRow | None]:
        """Yield each pushed row; None where some may have been missed (connected anew): read the book.

        Endless: it connects again by itself, and waits where there is no valid access token. A push may come twice,
        late, out of order, or never.
        """


class OrderPace(Protocol):
    """Counts an account's calls to its broker, over all processes that make them."""

    async def take(self, account: str, windows: Sequence[PaceWindow]) -> float:
        """Count one call in every window and return 0; or count nothing and return the seconds to wait for a free place.

        Raises:
            DependencyUnavailableError: nobody can tell; the call may have been counted.

        """


class TraderFactory(Protocol):
    """Makes the trader that an account's manifest asks for."""

    def trader(self, account: str) -> Trader:
        """Return the account's trader."""


@dataclass(slots=True)
class SourceBatch:
    """Rows of a source in time order, as columns of equal length; None where a source has no such column.

    Prices are float64, `ts` UTC ns. `bad_rows`: rows that could not be read and were left out since the batch
    before. `source_ts`: the rows' own times, where `ts` was stamped anew (a replay on a wall clock, a live source).
    `conflated`: rows left out since then because newer ones of their tokens came before they could be published.
    `proven`: until when (UTC ns) the whole source is known to live; None: until the last row, or now if there is none.
    With it, `ts` is in order within each token only: a price may be known to be old.
    """

    tokens: Sequence[int]
    prices: Sequence[float]
    ts: Sequence[int]
    volumes: Sequence[float] | None = None
    bids: Sequence[float | None] | None = None
    asks: Sequence[float | None] | None = None
    opens: Sequence[float | None] | None = None
    highs: Sequence[float | None] | None = None
    lows: Sequence[float | None] | None = None
    bad_rows: int = field(default=0)
    source_ts: Sequence[int | None] | None = None
    conflated: int = 0
    proven: int | None = None


class MarketSource(Protocol):
    """Where a feed's prices come from."""

    @property
    def mode(self) -> FeedMode:
        """What the prices are."""

    @property
    def exhausted(self) -> bool:
        """Whether the source has ended for good."""

    def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        """Yield batches, paced by the source itself on its clock; an empty one proves that the source lives."""


@runtime_checkable
class Troubled(Protocol):
    """A source that can say what keeps prices from coming: a broker's, which may want an access token."""

    def problem(self) -> str:
        """Return what is wrong now, in words without secrets; "" if nothing is. No I/O."""


class IdSource(Protocol):
    """Makes random ids: real ones, or a reproducible series under `--seed`."""

    def new_id(self) -> str:
        """Return 32 hex digits that were never returned before."""

    def child(self, name: str) -> "IdSource":
        """Return a source of a name's own: what others take from theirs changes nothing in it."""
