"""Compares a live account with its broker: before its first order, after each login and return, and again and again.

A comparison is of one moment. The order book is read, then positions and money, then the order book again: where an
instrument's fills are the same before and after, its position is that of exactly these fills. Then risk must have
saved a book that has folded all that Kafka had been told by then, and the order book, read once more, must still show
the same fills. Only then are the two compared, instrument by instrument; one that trades all the time is compared in
its next quiet seconds. What differs counts when it is seen twice with the same quantities.

What is found goes to risk as `BrokerFacts`, before anybody is told (`RECONCILED`), so that nobody trades on what is
known to be wrong. Nothing is booked here but the opening positions of an account that is seen for the first time (they
are written down before the first is booked, so that whoever dies in between books the same ones), and what a person
adopts: as orders of nobody's (`external`), under ids that follow from what is booked.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import VERSION, BookDifference, Envelope, Reconciled
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import (
    BookReading,
    BrokerFacts,
    InstrumentDifference,
    JournalEntry,
    PortfolioReading,
    RiskSnapshot,
)
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.book import Book
from alpha_panda.domain.ledger_state import decoded_ledger
from alpha_panda.domain.sharing import adoption_id, opening_id
from alpha_panda.ports import Outgoing, PortfolioReader, Producer
from alpha_panda.runtime.context import Ports

from .announcer import Announcer
from .comparison import (
    Fills,
    Held,
    differences,
    fills_of,
    held_by_broker,
    is_fresh,
    moved,
    opening_cash,
    opening_of,
)
from .external import ExternalTerms, adopted_entry
from .strays import is_ours
from .token import TokenReading

log = structlog.get_logger()

SOURCE: Final = "order-tracker"

STARTED = "the order-tracker has just started: the account is being compared with its broker"
ANOTHER_DAY = "a new trading day has begun: the account is being compared with its broker"
ANOTHER_EPOCH = "the store came back: the account is being compared with its broker"
NEW_TOKEN = "there is a new access token: the account is being compared with its broker"  # noqa: S105 - words
NO_BOOK = "the broker's order book could not be read in full"
NO_PORTFOLIO = "the broker's positions and money could not be read in full"
NO_FOLD = "risk has not folded all order events yet"
OPENING = "the account's opening positions are being booked"
UNCONFIRMED = "the account's opening positions are looked at once more"
UNQUIET = "orders trade while the account is opened; it is looked at once more"


@dataclass(frozen=True, slots=True)
class ReconcileTerms:
    """How often (ns): at all, and after a first sight of a difference. `external`: whose trades and positions count.

    `trading_day` tells that of a moment (UTC ns).
    """

    each: int
    confirm: int
    external: ExternalTerms
    trading_day: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was read of one moment. `restless`: tokens of which not all may have been told by then."""

    seen_at: int
    portfolio: PortfolioReading
    rows: BookReading
    before: Fills
    restless: frozenset[int]
    ends: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Compared:
    """A look that could be judged: the book, what the broker holds, and which instruments were not quiet."""

    seen: _Seen
    book: Book
    held: Mapping[int, Held]
    restless: frozenset[int]


class Reconciler:
    """One account's; every write is fenced by the tracker's lease. `read_book` follows the book, tells, and returns it."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a comparison takes
        self,
        topics: TopicMap,
        ports: Ports,
        broker: PortfolioReader,
        announcer: Announcer,
        terms: ReconcileTerms,
        read_book: Callable[[], Awaitable[BookReading]],
    ) -> None:
        self._account = topics.account
        self._topics = topics
        self._ports = ports
        self._clock = ports.clock
        self._journal = ports.journal(topics.account)
        self._decisions = ports.decisions(topics.account)
        self._broker = broker
        self._announcer = announcer
        self._terms = terms
        self._read_book = read_book
        self._lease_epoch = 0
        self._due = 0
        self._seen: _Seen | None = None
        self._suspects: dict[int, InstrumentDifference] = {}
        self._judged: set[int] = set()
        self._told: tuple[object, ...] | None = None
        self._opened_booked = False
        self.facts = BrokerFacts()

    async def begin(self, lease_epoch: int) -> None:
        """Take over: what was known stays, but nobody's position grows before it was looked at again."""
        self._lease_epoch = lease_epoch
        known = await self._journal.facts() or BrokerFacts()
        self._opened_booked = False
        await self._anew(replace(known, reconciled=False, problem=STARTED))

    async def turn(self, producer: Producer, token: TokenReading, problem: str) -> None:
        """Do what is due. `token`: as it is now; `problem`: why there can be no comparison at all, or nothing."""
        await self._heed(token, problem)
        if problem or not token.valid(self._clock.now()):
            self._seen = None
            return
        await self._book_opening(producer)
        if await self._asked() or (self._seen is None and self._clock.monotonic() >= self._due):
            await self._look()
        if self._seen is not None:
            await self._judge(self._seen, producer)

    # -------------------------------------------------------------------------------------- what ends a comparison

    async def _heed(self, token: TokenReading, problem: str) -> None:
        """Take back that the account was compared, where day, store or login are not those that it was compared under."""
        facts, now = self.facts, self._clock.now()
        told = replace(facts, token_valid_until=token.until, token_problem=token.problem)
        why = problem or await self._why_anew(facts, now)
        if token.valid(now) and facts.token_valid_until not in (None, token.until):
            why = why or NEW_TOKEN
        if why and facts.reconciled:
            log.warning("reconciliation_ends", account=self._account, reason=why)
        if why and (facts.reconciled or facts.problem != why):
            await self._anew(replace(told, reconciled=False, problem=why))
        elif told != facts:
            await self._put(told)

    async def _why_anew(self, facts: BrokerFacts, now: int) -> str:
        if not facts.reconciled:
            return ""
        if facts.trading_day != self._terms.trading_day(now):
            return ANOTHER_DAY
        return "" if facts.journal_epoch == await self._journal.epoch() else ANOTHER_EPOCH

    async def _anew(self, facts: BrokerFacts) -> None:
        self._seen, self._suspects, self._judged, self._due = None, {}, set(), 0
        await self._put(replace(facts, unjudged=()))

    async def _put(self, facts: BrokerFacts) -> None:
        await self._journal.put_facts(self._lease_epoch, facts)
        self.facts = facts

    async def _say(self, problem: str, *, again_in: int) -> None:
        """Give up a look, and say why there is none as long as the account was not compared."""
        self._seen, self._due = None, self._clock.monotonic() + again_in
        if not self.facts.reconciled and self.facts.problem != problem:
            await self._put(replace(self.facts, problem=problem))

    # -------------------------------------------------------------------------------------------------------- look

    async def _look(self) -> None:
        """Read orders, positions and money of one moment."""
        first = await self._read_book()
        portfolio = await self._broker.portfolio()
        second = await self._read_book()
        if not first.complete or not second.complete:
            await self._say(NO_BOOK, again_in=self._terms.confirm)
            return
        same = {(item.user, item.trading_day) for item in (first, second)} | {
            (portfolio.user, portfolio.trading_day)
        }
        if not portfolio.complete or portfolio.cash is None or len(same) > 1:
            await self._say(NO_PORTFOLIO, again_in=self._terms.confirm)
            return
        before = fills_of(first.rows)
        restless = moved(before, fills_of(second.rows)) | await self._untold()
        self._seen = _Seen(self._clock.monotonic(), portfolio, second, before, restless, await self._ends())

    async def _untold(self) -> frozenset[int]:
        """Return the tokens of orders of which the journal knows more than it has told, or less than the broker."""
        entries = [*await self._journal.in_doubt(), *await self._journal.unacknowledged()]
        return frozenset(entry.signal.instrument_token for entry in entries)

    async def _ends(self) -> dict[str, int]:
        found = [await self._ports.bus.offsets(topic) for topic in self._topics.orders]
        return {str(of): end for offsets in found for of, (_, end) in offsets.items()}

    # ------------------------------------------------------------------------------------------------------- judge

    async def _judge(self, seen: _Seen, producer: Producer) -> None:
        snapshot = await self._decisions.snapshot()
        if snapshot is None or not _covers(snapshot, seen.ends):
            if self._clock.monotonic() - seen.seen_at > self._terms.each:
                await self._say(NO_FOLD, again_in=0)
            elif not self.facts.reconciled and self.facts.problem != NO_FOLD:
                await self._put(replace(self.facts, problem=NO_FOLD))
            return
        third = await self._read_book()
        if not third.complete:
            await self._say(NO_BOOK, again_in=self._terms.confirm)
            return
        self._seen = None
        restless = seen.restless | moved(seen.before, fills_of(third.rows)) | await self._untold()
        compared = _Compared(
            seen,
            decoded_ledger(snapshot.state).book,
            held_by_broker(seen.portfolio, self._terms.external.product),
            restless,
        )
        await self._conclude(compared, producer)

    async def _conclude(self, compared: _Compared, producer: Producer) -> None:
        known = {**self._suspects, **{item.instrument_token: item for item in self.facts.differences}}
        found = differences(compared.book, compared.held, self._clock.now(), known.values())
        quiet = {token: item for token, item in found.items() if token not in compared.restless}
        kept = {token: item for token, item in known.items() if token in compared.restless}
        standing = {**kept, **quiet}
        confirmed = {token: item for token, item in standing.items() if item.confirmed}
        self._suspects = {token: item for token, item in standing.items() if not item.confirmed}
        tokens = {*compared.book.positions, *compared.held}
        self._judged |= {token for token in tokens - compared.restless if token not in self._suspects}
        unsure = bool(self._suspects) or bool(tokens - self._judged)
        self._due = self._clock.monotonic() + (self._terms.confirm if unsure else self._terms.each)
        if not self.facts.opened_at:
            await self._open(compared, confirmed, producer)
            return
        await self._adopt({of: item for of, item in quiet.items() if item.confirmed}, producer)
        await self._agree(compared, confirmed, tokens - self._judged, producer)

    async def _agree(
        self,
        compared: _Compared,
        confirmed: Mapping[int, InstrumentDifference],
        unjudged: set[int],
        producer: Producer,
    ) -> None:
        """Say how the account stands; risk first."""
        portfolio, now = compared.seen.portfolio, self._clock.now()
        epoch = await self._journal.epoch()
        if epoch is None:
            await self._say(ANOTHER_EPOCH, again_in=0)
            return
        if self._terms.trading_day(portfolio.begun_at) != self._terms.trading_day(now):
            await self._say(ANOTHER_DAY, again_in=0)
            return
        facts = replace(
            self.facts,
            journal_epoch=epoch,
            user=portfolio.user,
            trading_day=self._terms.trading_day(now),
            reconciled=True,
            problem="",
            compared_at=portfolio.begun_at,
            differences=tuple(confirmed[token] for token in sorted(confirmed)),
            unjudged=tuple(sorted(unjudged)),
            cash=portfolio.cash,
            cash_at=portfolio.begun_at,
        )
        await self._put(facts)
        await self._tell(facts, producer)

    # ----------------------------------------------------------------------------------------------------- opening

    async def _open(
        self, compared: _Compared, confirmed: Mapping[int, InstrumentDifference], producer: Producer
    ) -> None:
        """Begin the book: with what the broker holds, if the book has never held anything but today's trades of others."""
        if compared.restless or self._suspects:
            self._due = self._clock.monotonic() + self._terms.confirm
            problem = UNQUIET if compared.restless else UNCONFIRMED
            if self.facts.problem != problem:
                await self._put(replace(self.facts, problem=problem))
            return
        rows = (row for row in compared.seen.rows.rows if self._terms.external.concerns(row))
        foreign = {row.broker_order_id for row in rows if not is_ours(row.tag)}
        fresh = is_fresh(compared.book, compared.seen.rows.rows, foreign)
        opening = opening_of(confirmed.values(), compared.held) if fresh else ()
        cash = compared.seen.portfolio.cash
        assert cash is not None  # noqa: S101 - `_look` takes no portfolio without
        facts = replace(
            self.facts,
            opened_at=self._clock.now(),
            opening=opening,
            opening_cash=opening_cash(cash, compared.book, opening),
            differences=() if fresh else tuple(confirmed[token] for token in sorted(confirmed)),
            cash=cash,
            cash_at=compared.seen.portfolio.begun_at,
            problem=OPENING,
        )
        log.warning(
            "account_opened", account=self._account, positions=len(opening), cash=str(cash), fresh=fresh
        )
        await self._put(facts)
        await self._book_opening(producer)
        self._due = 0
        opened = [
            BookDifference(
                instrument_token=item.instrument_token,
                symbol=item.symbol,
                ours=item.quantity * 0,
                theirs=item.quantity,
            )
            for item in opening
        ]
        await self._send(_event_of(facts, opened=opened, reason=OPENING), producer)

    async def _book_opening(self, producer: Producer) -> None:
        """Book the opening positions that are written down: each once, whoever began."""
        if self._opened_booked or not self.facts.opened_at:
            return
        for item in self.facts.opening:
            signal_id = opening_id(self.facts.opened_at, item.instrument_token)
            message = "held at the broker when the account was opened"
            await self._book(
                adopted_entry(
                    signal_id, item.instrument_token, item.symbol, item.quantity, item.price, message
                ),
                producer,
            )
        self._opened_booked = True

    # ---------------------------------------------------------------------------------------------------- adopting

    async def _asked(self) -> bool:
        """Whether a person wants a difference to be booked: then it is looked at now, not only when its turn comes."""
        ids = [item.difference_id for item in self.facts.differences]
        if not ids or self._seen is not None:
            return False
        requests = await self._journal.adoptions(*ids)
        booked = await self._journal.get_many(*(adoption_id(asked) for asked in requests))
        return len(booked) < len(requests)

    async def _adopt(self, confirmed: Mapping[int, InstrumentDifference], producer: Producer) -> None:
        """Book what a person adopts and what, at this quiet moment, still differs just so.

        It stands among the differences until book and broker are seen to agree.
        """
        by_id = {item.difference_id: item for item in confirmed.values()}
        requests = await self._journal.adoptions(*by_id) if by_id else {}
        for difference_id, request in requests.items():
            item = by_id[difference_id]
            entry = adopted_entry(
                adoption_id(difference_id),
                item.instrument_token,
                item.symbol,
                item.quantity,
                item.price,
                f"by hand ({request.by}): {request.reason}",
            )
            if await self._book(entry, producer):
                self._due = 0
                log.warning(
                    "difference_adopted", account=self._account, difference=difference_id, by=request.by
                )

    async def _book(self, entry: JournalEntry, producer: Producer) -> bool:
        booked = await self._journal.orphan(self._lease_epoch, entry, None)
        if booked is not None:
            await self._announcer.tell(producer, booked)
        return booked is not None

    # ----------------------------------------------------------------------------------------------------- telling

    async def _tell(self, facts: BrokerFacts, producer: Producer) -> None:
        """Tell what has changed: how the account stands, not when it was looked at."""
        shown = tuple((item.instrument_token, item.ours, item.theirs) for item in facts.differences)
        standing = (facts.reconciled, facts.trading_day, facts.user, shown)
        if standing == self._told:
            return
        if shown:
            log.error("reconciliation_differs", account=self._account, differences=difference_names(facts))
        await self._send(_event_of(facts), producer)
        self._told = standing

    async def _send(self, data: Reconciled, producer: Producer) -> None:
        new_id, key = self._ports.ids.new_id(), f"{account_scope(self._account)}/reconciled"
        event = Envelope(
            id=new_id,
            type=EventType.RECONCILED,
            version=VERSION,
            ts=self._clock.now(),
            source=f"{SOURCE}/{self._account}",
            account=self._account,
            key=key,
            correlation_id=new_id,
            causation_id="",
            data=data,
        )
        await producer.send([Outgoing(self._topics.control, encode_event(event), key=key)])


def difference_names(facts: BrokerFacts) -> str:
    """Return which instruments differ, and how, in words."""
    return ", ".join(f"{item.symbol} ours {item.ours:f} broker {item.theirs:f}" for item in facts.differences)


def _event_of(
    facts: BrokerFacts, *, opened: list[BookDifference] | None = None, reason: str = ""
) -> Reconciled:
    return Reconciled(
        user=facts.user,
        trading_day=facts.trading_day,
        reconciled=facts.reconciled,
        differences=[
            BookDifference(
                instrument_token=item.instrument_token, symbol=item.symbol, ours=item.ours, theirs=item.theirs
            )
            for item in facts.differences
        ],
        opened=opened or [],
        cash=facts.cash,
        reason=reason or facts.problem,
    )


def _covers(snapshot: RiskSnapshot, ends: Mapping[str, int]) -> bool:
    """Whether the saved book has folded all that lies before the ends."""
    return all(snapshot.offsets.get(partition, 0) >= end for partition, end in ends.items())
