"""An account that is ready to trade: lease held, epoch valid, risk claimed, trading Active."""

from dataclasses import dataclass, replace
from typing import Any

from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.stored import BeginVerdict, JournalEntry
from alpha_panda.ports import BeginRequest
from contracts.harness import ACCOUNT, Stores
from contracts.samples import SCOPE, SECOND, decision, signal

OWNER, LEASE_TTL, CONTROL_TTL = "tracker", 1e6, 1e6
SEND_WITHIN = 5 * SECOND


@dataclass(slots=True)
class Desk:
    """Owners' epochs, and shortcuts that use the ports alone."""

    stores: Stores
    lease: int = 0
    risk: str = ""
    epoch: str = ""
    attempts: int = 0

    @classmethod
    async def opened(cls, stores: Stores) -> "Desk":
        desk = cls(stores)
        await desk.take_over()
        await desk.reopen()
        return desk

    async def take_over(self) -> None:
        """Become order-tracker and risk."""
        epoch = await self.stores.lease.acquire(tracker_lease(ACCOUNT), OWNER, LEASE_TTL)
        assert epoch is not None
        self.lease = epoch
        self.risk = (await self.stores.decisions.claim("risk-0")).epoch

    async def reopen(self) -> None:
        """Make the journal's epoch valid and trading Active."""
        self.epoch = await self.stores.journal.write_epoch(self.lease, await self.stores.journal.run_id())
        await self.stores.control.put_spec(SCOPE, TradingState.ACTIVE, CONTROL_TTL)

    async def decide(self, of: Signal, **changes: Any) -> None:
        await self.stores.decisions.record(self.risk, decision(of, journal_epoch=self.epoch, **changes))

    def request(self, of: Signal, **changes: Any) -> BeginRequest:
        self.attempts += 1
        plain = BeginRequest(
            signal=of,
            payload_hash=payload_hash(of),
            journal_epoch=self.epoch,
            attempt=f"attempt-{self.attempts}",
            send_within=SEND_WITHIN,
            scopes=(SCOPE,),
            orders_per_second=None,
            correlation_id="corr",
            causation_id="cause",
        )
        return replace(plain, **changes)

    async def begin(self, of: Signal, **changes: Any) -> BeginVerdict:
        """BEGIN without a decision of its own."""
        return await self.stores.journal.begin(self.request(of, **changes))

    async def trade(
        self, of: Signal, *, decided: dict[str, Any] | None = None, **changes: Any
    ) -> BeginVerdict:
        """Decide, then BEGIN."""
        await self.decide(of, **(decided or {}))
        return await self.begin(of, **changes)

    async def go(self, signal_id: str = "s1", **changes: Any) -> JournalEntry:
        """Decide and BEGIN a signal that must get GO."""
        verdict = await self.trade(signal(signal_id, **changes))
        assert verdict.go, verdict.entry.message
        return verdict.entry

    async def stored(self, signal_id: str = "s1") -> JournalEntry:
        """Return an entry that must be there."""
        entry = await self.stores.journal.get(signal_id)
        assert entry is not None
        return entry

    async def open_ids(self) -> list[str]:
        return [entry.signal_id for entry in await self.stores.journal.unacknowledged()]
