"""Flatten: closes what a deleted strategy holds, and says when it is out for good (DESIGN sections 2 and 4).

A turn a second, under the desk's lock. It acts only while the strictest of the strategy's trading states is Reducing,
and only on a book that is known to be complete: nothing of the strategy is in doubt, rests, or is untold in the
journal, and all that Kafka had by then has been folded. Then, instrument by instrument: what is open is waited for
(the order-tracker cancels it); what is held is closed by an order of risk's own, decided by the same rules as any,
stored before it is told, told again after a restart until it has ended. Its id counts the stored closing decisions,
so that one step never gets two ids. Flat: zero, and nothing open, seen on such a book.
"""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.enums import OrderType, SignalClass, TradingState, Validity, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.scopes import scopes_of
from alpha_panda.contracts.status_details import FLAT
from alpha_panda.contracts.stored import Decision, TeardownRequest
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.domain.ids import closing_signal_id
from alpha_panda.domain.risk.position import ClosingOrder, closing_order, is_flat, open_quantity
from alpha_panda.errors import FencedError
from alpha_panda.ports import DecisionStore, TopicPartition
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.manifests import Derived

from .facts import FactFinder
from .ledger import Ledger
from .terms import AccountTerms

log = structlog.get_logger()

Offsets = Mapping[TopicPartition, int]
REASON: Final = "flatten"


class Flattener:
    """Knows what is to be closed next. `epoch` of risk's claim fences what it stores."""

    def __init__(
        self,
        context: ServiceContext,
        store: DecisionStore,
        ledger: Ledger,
        facts: FactFinder,
        terms: Derived[AccountTerms],
    ) -> None:
        self.epoch = ""
        self._account = context.resource
        self._control = context.ports.control
        self._clock = context.ports.clock
        self._journal = context.ports.journal(context.resource)
        self._signal_ttl = nanoseconds(context.settings.signal_ttl_seconds)
        self._store = store
        self._ledger = ledger
        self._facts = facts
        self._terms = terms
        self._quiet: dict[str, Offsets] = {}

    async def turn(
        self,
        request: TeardownRequest,
        name: str,
        read: Offsets,
        ends: Callable[[], Awaitable[Offsets]],
        tell: Callable[[Decision], Awaitable[None]],
    ) -> str:
        """Do the next step for one strategy; return FLAT, or in words what is waited for or done.

        Args:
            request: for Flatten.
            name: of the strategy.
            read: the next offset of each partition of the account's input: what lies before is folded.
            ends: asks for the partitions' ends.
            tell: produces a stored decision.

        """
        waiting = await self._forbidden(name)
        if waiting is None:
            waiting = await self._unsettled(name, read, ends)
        if waiting is not None:
            return f"waits: {waiting}"
        if not self._held(name):
            return FLAT
        del self._quiet[name]  # what is made now must come back through the topics
        told = [await self._close(request, name, token, tell) for token in self._held(name)]
        return "; ".join(told)

    def forget_all_but(self, names: Container[str]) -> None:
        """Forget what was seen of strategies that are not torn down any more."""
        self._quiet = {name: ends for name, ends in self._quiet.items() if name in names}

    async def _forbidden(self, name: str) -> str | None:
        """Return why nothing may be closed now, or None."""
        readings = await self._control.read(scopes_of(self._account, name))
        strictest = max(readings, key=lambda reading: reading.state.strictness)
        if strictest.state is TradingState.HALTED:
            return f"{strictest.scope} is Halted, which closes nothing"
        if strictest.state is TradingState.ACTIVE:
            return f"the strategy's trading state is not {TradingState.REDUCING} yet"
        return None

    async def _unsettled(
        self, name: str, read: Offsets, ends: Callable[[], Awaitable[Offsets]]
    ) -> str | None:
        """Return why the strategy's book may be about to change, or None: it is as the broker has it."""
        opens = self._ledger.open_orders().strategy(name)
        if opens or await self._journal_has(name):
            self._quiet.pop(name, None)
            return f"{len(opens) or 'orders that are'} open" if opens else "its orders come to their end"
        if name not in self._quiet:
            self._quiet[name] = await ends()
        if any(read.get(partition, 0) < end for partition, end in self._quiet[name].items()):
            return "events are read to their end"
        return None

    async def _journal_has(self, name: str) -> bool:
        """Whether the journal has an order of the strategy that may still fill, or of which not all is told."""
        if await self._journal.epoch() is None:
            return True
        found = (
            *await self._journal.in_doubt(),
            *await self._journal.resting(),
            *await self._journal.unacknowledged(),
        )
        return any(entry.signal.strategy_id == name for entry in found)

    def _held(self, name: str) -> list[int]:
        """Return the tokens that the strategy is not out of; those with open orders were waited for."""
        book = self._ledger.book.strategy(name)
        return [token for token, held in book.positions.items() if not is_flat(held.quantity, ())]

    # ------------------------------------------------------------------------------------------- closing

    async def _close(
        self,
        request: TeardownRequest,
        name: str,
        token: int,
        tell: Callable[[Decision], Awaitable[None]],
    ) -> str:
        """Decide on, store and tell one closing order; return what was done or what forbids it."""
        held = self._ledger.book.strategy(name).positions[token]
        instrument = self._terms().instruments.by_token.get(token)
        if instrument is None:
            return f"waits: {held.symbol} is not among the feed's instruments any more"
        order = closing_order(held.quantity, open_quantity(()), instrument)
        if order is None:
            return f"waits: nothing of {held.symbol} is free"
        decision = await self._decide(request, name, instrument, order)
        if decision is None:
            return f"waits: an earlier closing order of {held.symbol} is known to the journal alone"
        if decision.verdict is not Verdict.VALIDATED or decision.signal_class is not SignalClass.REDUCING:
            return f"waits: {held.symbol} can't be closed: {decision.message or 'it is no reduction'}"
        await self._record(decision)
        await tell(decision)
        log.info("closing_order", account=self._account, strategy=name, signal_id=decision.signal_id)
        return f"closing: {order.side} {order.quantity:f} {held.symbol}"

    async def _decide(
        self, request: TeardownRequest, name: str, instrument: Instrument, order: ClosingOrder
    ) -> Decision | None:
        """Return the decision on the next closing signal; None if its id is in the journal, and not in the store.

        Then the store has lost it: its order is folded like any, and the next turn counts on.
        """
        n = self._ledger.closings(request.uid, instrument.token)
        signal_id = closing_signal_id(self._account, request.uid, instrument.token, n)
        signal = self._signal(request, name, instrument, order, signal_id)
        epoch = await self._journal.epoch()
        if epoch is None:
            return None
        await self._facts.look_up([signal], epoch, mark=False)
        if self._facts.known_to_the_journal(signal_id):
            self._ledger.skip_closing(request.uid, instrument.token)
            return None
        if signal.order_type is OrderType.LIMIT:
            signal = self._priced(signal, instrument)
        return await self._facts.rule_closing(
            signal, payload_hash(signal), self.epoch, f"teardown/{request.uid}"
        )

    def _signal(
        self,
        request: TeardownRequest,
        name: str,
        instrument: Instrument,
        order: ClosingOrder,
        signal_id: str,
    ) -> Signal:
        """Return the signal: MARKET where the venue takes it, else LIMIT at what the other side asks or bids."""
        venue = self._terms().venue
        market = OrderType.MARKET in venue.order_types
        wanted: Sequence[Validity] = (Validity.DAY, Validity.IOC) if market else (Validity.IOC, Validity.DAY)
        return Signal(
            signal_id=signal_id,
            strategy_id=name,
            strategy_uid=request.uid,
            instrument_token=instrument.token,
            symbol=instrument.symbol,
            side=order.side,
            order_type=OrderType.MARKET if market else OrderType.LIMIT,
            quantity=order.quantity,
            validity=next((item for item in wanted if item in venue.validities), Validity.DAY),
            expires_at=self._clock.now() + self._signal_ttl,
            reason=REASON,
            closing=True,
        )

    def _priced(self, signal: Signal, instrument: Instrument) -> Signal:
        met = self._facts.price_met(signal.instrument_token, signal.side)
        return signal if met is None else replace(signal, limit_price=instrument.quantize(met))

    async def _record(self, decision: Decision) -> None:
        """Store the decision; it counts only then."""
        if await self._store.record(self.epoch, decision) != [decision]:
            raise FencedError(f"risk of {self._account}: a closing signal was decided by somebody else")
        self._ledger.add(decision)
        self._facts.note(decision)
        self._ledger.shorten(decision.signal_id)
