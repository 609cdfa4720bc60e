"""What an account's order journal holds, with its indices, and how an entry changes."""

from collections import deque
from typing import Final

import msgspec

from alpha_panda.adapters.memory.database import Section
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import AdoptionRequest, BrokerFacts, JournalEntry, Outcome
from alpha_panda.contracts.units import SECOND_NS

ACCEPTED: Final = (EntryState.PLACED, EntryState.PARTIALLY_FILLED, EntryState.FILLED, EntryState.CANCELLED)
"""What an order that the broker took can be."""


class JournalState(Section):
    """Entries by signal id; the other attributes are indices of them, apart from `rate`, `epoch` and `changes`.

    `open`: ids whose present revision is not acknowledged, with the number of that change, oldest first. `resting`: in the order they
    began to rest. `doubtful`: ids in doubt; `doubtful_keys`: the same by order key. `tags`: broker tag → id.
    `rate`: times of the last second's increasing GOs. `epoch`: (the store's run it is valid in, its value).
    `changes`: how many there were.
    """

    def __init__(self) -> None:
        self.entries: dict[str, JournalEntry] = {}
        self.open: dict[str, int] = {}
        self.changes = 0
        self.resting: dict[str, None] = {}
        self.doubtful: dict[str, None] = {}
        self.doubtful_keys: dict[str, dict[str, None]] = {}
        self.tags: dict[str, str] = {}
        self.rate: deque[int] = deque()
        self.epoch = ("", "")

    def find(self, signal_id: str, tag: str) -> JournalEntry | None:
        """Return the entry of a signal; an orphan (booked by its tag alone) is the entry of the tag's signal."""
        return self.entries.get(signal_id) or self.entries.get(self.tags.get(tag, ""))

    def put(self, entry: JournalEntry) -> JournalEntry:
        """Store a new or changed entry: it is in `open` until this revision is acknowledged."""
        signal_id, key = entry.signal_id, entry.signal.key
        self.entries[signal_id] = entry
        self.tags.setdefault(entry.tag, signal_id)
        self.open.pop(signal_id, None)
        self.changes += 1
        self.open[signal_id] = self.changes
        _mark(self.resting, signal_id, present=entry.state.resting)
        _mark(self.doubtful, signal_id, present=entry.state.in_doubt)
        doubtful = self.doubtful_keys.setdefault(key, {})
        _mark(doubtful, signal_id, present=entry.state.in_doubt)
        if not doubtful:
            del self.doubtful_keys[key]
        return entry

    def take_token(self, limit: int | None, now: int) -> bool:
        """Count one order at `now`; False (and nothing counted) if the last second has `limit` of them."""
        while self.rate and self.rate[0] <= now - SECOND_NS:
            self.rate.popleft()
        if limit is not None and len(self.rate) >= limit:
            return False
        self.rate.append(now)
        return True


class FactsState(Section):
    """What the order-tracker has said of the account at its broker, and what a person adopts, by difference."""

    def __init__(self) -> None:
        self.facts: BrokerFacts | None = None
        self.adoptions: dict[str, AdoptionRequest] = {}


def _mark(index: dict[str, None], signal_id: str, *, present: bool) -> None:
    """Put the id into the index, keeping its place if it is there, or take it out."""
    if present:
        index.setdefault(signal_id, None)
    else:
        index.pop(signal_id, None)


def with_outcome(entry: JournalEntry, outcome: Outcome, revision: int, now: int) -> JournalEntry:
    """Return the entry after `outcome`. What has filled stays filled, whatever a later outcome says."""
    fills: Outcome | JournalEntry = outcome if outcome.filled_quantity >= entry.filled_quantity else entry
    return msgspec.structs.replace(
        entry,
        state=outcome.state,
        filled_quantity=fills.filled_quantity,
        average_price=fills.average_price,
        amount=fills.amount,
        fees=fills.fees,
        broker_order_id=outcome.broker_order_id or entry.broker_order_id,
        triggered=outcome.triggered or entry.triggered,
        code=outcome.code,
        message=outcome.message,
        revision=revision,
        updated_at=now,
    )


def needs_correction(entry: JournalEntry, outcome: Outcome) -> bool:
    """Whether the broker's word contradicts the terminal entry: it took the order after all, or filled more."""
    late = entry.state in (EntryState.LOST, EntryState.FAILED) and outcome.state in ACCEPTED
    return entry.state.terminal and (late or outcome.filled_quantity > entry.filled_quantity)


def is_further(learnt: JournalEntry, entry: JournalEntry) -> bool:
    """Whether an entry learnt from Kafka knows more of the order than the one in an older image of the store."""
    return _progress(learnt) > _progress(entry)


def _progress(entry: JournalEntry) -> tuple[bool, int, object]:
    stage = 0 if entry.state.in_doubt else 1 if entry.state.resting else 2
    return entry.late, stage, entry.filled_quantity
