"""Orders as the journal has them, and a person's word on those that nobody else can decide.

A person's word goes by `OrderJournal.settle`: a compare-and-set from SENDING or UNKNOWN that needs no lease, so that
it neither waits for the order-tracker nor shuts it out; whoever comes first decides. For an order that rests but is
missing in the broker's book it is `OrderJournal.fill`, a compare-and-set on the revision. The order-tracker then tells
the entry's event from `open`, as it does for every change.
"""

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import Decision, JournalEntry, Outcome
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError, UserInputError
from alpha_panda.ports import OrderJournal
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .installation import BUS, STORE, account_names, bounded
from .verdicts import Verdict, outcome_of, preview, says


class Listing(StrEnum):
    """Which orders: those nobody knows the outcome of, those at the venue, those not told yet, or any of these."""

    IN_DOUBT = "in-doubt"
    RESTING = "resting"
    OPEN = "open"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An order where it was found: risk may have decided on what never reached the journal, and the reverse."""

    account: str
    entry: JournalEntry | None
    decision: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """An entry before and after a person's word. `applied`: the word is what the journal holds now."""

    before: JournalEntry
    after: JournalEntry
    applied: bool


class OrderDesk:
    """Reads the journals of an installation, and settles what is in doubt."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._prefix = settings.topic_prefix
        self._seconds = settings.command_timeout_seconds
        self._lost_after = nanoseconds(settings.lost_after_seconds)

    async def accounts(self) -> list[str]:
        """Return the accounts of the installation."""
        return account_names(await bounded(BUS, self._seconds, self._ports.bus.topics()), self._prefix)

    async def listed(self, account: str, which: Listing) -> list[JournalEntry]:
        """Return the account's orders of that kind, oldest first; UserInputError for an account nobody knows."""
        await self._require(account)
        journal = self._ports.journal(account)
        reads = {
            Listing.IN_DOUBT: (journal.in_doubt,),
            Listing.RESTING: (journal.resting,),
            Listing.OPEN: (journal.unacknowledged,),
            Listing.ALL: (journal.in_doubt, journal.resting, journal.unacknowledged),
        }[which]
        found: dict[str, JournalEntry] = {}
        for read in reads:
            entries = await bounded(STORE, self._seconds, read())
            found |= {entry.signal_id: entry for entry in entries}
        return sorted(found.values(), key=lambda entry: (entry.created_at, entry.signal_id))

    async def ready(self, account: str) -> bool:
        """Whether the account's journal has a valid epoch: without one nothing is decided or sent."""
        return await bounded(STORE, self._seconds, self._ports.journal(account).epoch()) is not None

    async def find(self, order: str, account: str = "") -> Found:
        """Return the order of this signal id, broker tag, or `external:` id; UserInputError if nobody knows it."""
        accounts = [account] if account else await self.accounts()
        for name in accounts:
            found = await self._found(order, name)
            if found is not None:
                return found
        asked = ", ".join(accounts) or "none"
        raise UserInputError(
            f"no order {order!r}; a signal id, or an order's tag (ap…), is wanted (accounts: {asked})"
        )

    async def resolve(
        self, account: str, order: str, verdict: Verdict, *, dry_run: bool = False
    ) -> Resolution:
        """Settle an entry in doubt, or missing at its broker, as a person says; `dry_run` checks and changes nothing.

        Raises:
            UserInputError: no such order, it is neither in doubt nor missing, it may still be on its way, or the numbers don't fit.
            DependencyUnavailableError: Redis does not answer; the same command again does no harm.

        """
        found = await self.find(order, account)
        if found.entry is None:
            raise UserInputError(
                f"{order}: risk's decision is {found.decision.verdict if found.decision else 'missing'}, but no engine "
                "has begun it: there is nothing to resolve"
            )
        before = found.entry
        outcome = outcome_of(before, verdict, self._ports.clock.now(), self._lost_after)
        if dry_run:
            return Resolution(before=before, after=preview(before, outcome), applied=False)
        after = await self._settle(self._ports.journal(account), before, outcome)
        return Resolution(before=before, after=after, applied=says(after, outcome))

    # --------------------------------------------------------------------------------------------- parts

    async def _require(self, account: str) -> None:
        """Check that the account exists; where its journal is in use, without asking Kafka."""
        if await self.ready(account):
            return
        known = await self.accounts()
        if account not in known:
            raise UserInputError(f"there is no account {account!r}; there are: {', '.join(known) or 'none'}")

    async def _found(self, order: str, account: str) -> Found | None:
        journal, decisions = self._ports.journal(account), self._ports.decisions(account)
        entry = await bounded(STORE, self._seconds, journal.get(order))
        if entry is None:
            entry = await bounded(STORE, self._seconds, journal.find_tag(order))
        signal_id = order if entry is None else entry.signal_id
        decision = await bounded(STORE, self._seconds, decisions.get(signal_id))
        if entry is None and decision is not None:  # booked by its tag alone
            entry = await bounded(STORE, self._seconds, journal.find_tag(broker_tag(signal_id)))
        return Found(account=account, entry=entry, decision=decision) if entry or decision else None

    async def _settle(self, journal: OrderJournal, before: JournalEntry, outcome: Outcome) -> JournalEntry:
        settling = _end_missing if before.state.resting else _end_doubt
        try:
            return await bounded(STORE, self._seconds, settling(journal, before, outcome))
        except UnknownOutcomeError as error:
            message = f"{error}; whether {before.signal_id} was settled, `orders show` tells; the same command again does no harm"
            raise DependencyUnavailableError(STORE, message) from error


async def _end_doubt(journal: OrderJournal, before: JournalEntry, outcome: Outcome) -> JournalEntry:
    fallback = replace(before, state=EntryState.SENDING)
    return await journal.settle(before.signal_id, before.attempt, outcome, fallback)


async def _end_missing(journal: OrderJournal, before: JournalEntry, outcome: Outcome) -> JournalEntry:
    ended = await journal.fill(before.signal_id, before.revision, outcome)
    return ended or await journal.get(before.signal_id) or before
