"""Chooses what executes a validated signal: the account's trader, to place or to cancel."""

from alpha_panda.contracts.events import CancelRequest, Envelope, ValidatedSignal
from alpha_panda.contracts.stored import JournalEntry, Outcome, PriceReading
from alpha_panda.errors import RecordError, UndecodableRecordError
from alpha_panda.ports import Record, TokenHolder, Trader, TraderFactory
from alpha_panda.runtime.records import event_of


class ExecutionRouter:
    """The traders of the accounts this process executes for, made on first use and kept."""

    def __init__(self, traders: TraderFactory) -> None:
        self._factory = traders
        self._traders: dict[str, Trader] = {}

    def trader(self, account: str) -> Trader:
        """Return the account's trader."""
        if account not in self._traders:
            self._traders[account] = self._factory.trader(account)
        return self._traders[account]

    def token_valid(self, account: str, now: int) -> bool:
        """Whether the account's broker would let us in at `now` (UTC ns), as far as the trader knows; no I/O."""
        trader = self.trader(account)
        until = trader.token_expires_at() if isinstance(trader, TokenHolder) else None
        return until is None or now < until

    async def place(self, account: str, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """Call the broker once, if `deadline` (monotonic ns) has not passed."""
        return await self.trader(account).place(entry, price, deadline)

    async def cancel(self, account: str, entry: JournalEntry) -> Outcome:
        """Ask the broker to cancel a resting order."""
        return await self.trader(account).cancel(entry)


def validated(event: Envelope) -> ValidatedSignal:
    """Return the event's payload, or raise UndecodableRecordError."""
    if not isinstance(event.data, ValidatedSignal):
        raise UndecodableRecordError(f"event {event.id} on signals.validated is a {event.type}")
    return event.data


def is_cancel(record: Record) -> bool:
    """Whether the record is a validated cancel request; never raises."""
    try:
        return isinstance(validated(event_of(record)).original_signal, CancelRequest)
    except RecordError:
        return False
