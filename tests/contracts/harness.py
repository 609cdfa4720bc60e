"""What the contract suites of the stores need: the ports over one store, and a hand on that store."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from alpha_panda.ports import (
    CheckpointStore,
    ControlStore,
    DecisionStore,
    InstrumentStore,
    Lease,
    OrderJournal,
    OrderPace,
    PriceCache,
    StatusStore,
)

ACCOUNT = "paper"


class Lose(Enum):
    """What a restart of the store loses."""

    NOTHING = "nothing"
    TAIL = "what was written since `mark`"
    EVERYTHING = "everything"


class StoreHarness(Protocol):
    """A hand on the store behind the ports."""

    async def now(self) -> int:
        """Return the store's time (UTC ns)."""

    async def advance(self, seconds: float) -> None:
        """Let the store's time pass."""

    async def mark(self) -> None:
        """Remember the present state: what follows may be lost."""

    async def restart(self, lose: Lose) -> None:
        """Restart the store, under another run id."""

    def refuse_next(self) -> None:
        """Let the next operation fail before it is applied."""

    def lose_next_reply(self) -> None:
        """Let the next operation be applied, and its reply get lost."""


@dataclass(frozen=True, slots=True)
class Stores:
    """All ports of account `ACCOUNT` over one empty store."""

    journal: OrderJournal
    decisions: DecisionStore
    checkpoints: CheckpointStore
    control: ControlStore
    prices: PriceCache
    lease: Lease
    statuses: StatusStore
    pace: OrderPace
    instruments: InstrumentStore
    harness: StoreHarness
