"""Shares external trades out among the strategies whose positions they closed, once each, whatever dies in between.

The order of effects: the external order's event is folded, and its step waits in the ledger (and so in the snapshot)
until all is folded that Kafka had when it came: only then is it known who held what. Until then nothing on that
instrument is decided. Then, in one step, the shares are stored as decisions of risk's own under ids that follow from
the step; then folded; then told; then the step is taken off. Who dies in between finds the stored shares and tells
those: never others.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

import structlog

from alpha_panda.contracts.codec import encode_event, payload_hash
from alpha_panda.contracts.enums import EventType, OrderStatus, OrderType, SignalClass, Validity, Verdict
from alpha_panda.contracts.events import VERSION, Envelope, OrderUpdate, Signal
from alpha_panda.contracts.stored import Decision
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.exact import quotient, times
from alpha_panda.domain.fold import FoldStep
from alpha_panda.domain.ids import event_id
from alpha_panda.domain.ledger_state import PendingShare
from alpha_panda.domain.sharing import group_of, is_shared, share_group, share_id, shared_out
from alpha_panda.errors import FencedError
from alpha_panda.ports import DecisionStore, Outgoing, Producer, TopicPartition
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.manifests import Derived

from .latches import SOURCE
from .ledger import Ledger
from .terms import AccountTerms

log = structlog.get_logger()

Offsets = Mapping[TopicPartition, int]


class Sharing:
    """One account's. `epoch` of risk's claim fences what it stores."""

    def __init__(
        self, context: ServiceContext, store: DecisionStore, ledger: Ledger, terms: Derived[AccountTerms]
    ) -> None:
        self.epoch = ""
        self._account = context.resource
        self._topics = TopicMap(context.resource, context.settings.topic_prefix)
        self._store = store
        self._ledger = ledger
        self._terms = terms
        self._ends: Offsets | None = None

    @property
    def waiting(self) -> bool:
        """Whether a trade is to be shared out."""
        return bool(self._ledger.pending)

    def take(self, event: Envelope, update: OrderUpdate, step: FoldStep, *, old: bool) -> None:
        """Take note of what an event has just added to the book. `old`: an earlier life of the store has shared it out."""
        if old or update.code is None or not is_shared(update) or step.quantity_delta <= 0:
            return
        pending = PendingShare(
            order_id=update.signal_id,
            filled=step.fold.filled_quantity,
            instrument_token=update.instrument_token,
            symbol=update.symbol,
            side=update.side,
            quantity=step.quantity_delta,
            amount=step.amount_delta,
            code=update.code,
            message=update.message,
            ts=event.ts,
            event_id=event.id,
            correlation_id=event.correlation_id,
        )
        self._ledger.pending = [*self._ledger.pending, pending]
        self._ends = None  # what was told before this trade may still be on its way to us

    async def turn(self, read: Offsets, ends: Callable[[], Awaitable[Offsets]], producer: Producer) -> bool:
        """Share out what waits, if all is folded that could tell who held it; say whether anything changed.

        Args:
            read: the next offset of each partition of the account's input: what lies before is folded.
            ends: asks for the partitions' ends.
            producer: to tell the strategies.

        """
        if not self._ledger.pending:
            return False
        if self._ends is None:
            self._ends = await ends()
        if any(read.get(partition, 0) < end for partition, end in self._ends.items()):
            return False
        for pending in self._ledger.pending:
            await self._share_out(pending, producer)
            self._ledger.pending = self._ledger.pending[1:]
        self._ends = None
        return True

    async def _share_out(self, pending: PendingShare, producer: Producer) -> None:
        shares = self._ledger.shares(share_group(pending.order_id, pending.filled))
        if not shares and (shares := self._decisions(pending)):
            if await self._store.record(self.epoch, *shares) != shares:
                raise FencedError(f"risk of {self._account}: a share was decided by somebody else")
            for decision in shares:
                self._ledger.add(decision)
                self._ledger.shorten(decision.signal_id)
        updates = [(decision, share_update(decision)) for decision in shares]
        for decision, update in updates:
            self._ledger.fold(update)
            log.warning(
                "external_trade_shared",
                account=self._account,
                order=pending.order_id,
                strategy=update.strategy_id,
                quantity=str(update.quantity),
                code=None if decision.code is None else decision.code.value,
            )
        if updates:
            await producer.send([self._told(decision, update) for decision, update in updates])

    def _decisions(self, pending: PendingShare) -> list[Decision]:
        """Return the shares as decisions on signals that nobody made."""
        instrument = self._terms().instruments.by_token.get(pending.instrument_token)
        step = Decimal(1) if instrument is None else Decimal(instrument.lot_size)
        found = shared_out(self._ledger.book, pending.instrument_token, pending.side, pending.quantity, step)
        return [self._decision(pending, strategy, share) for strategy, share in found.items()]

    def _decision(self, pending: PendingShare, strategy: str, share: Decimal) -> Decision:
        resource = self._terms().strategies.get(strategy)
        signal = Signal(
            signal_id=share_id(pending.order_id, pending.filled, strategy),
            strategy_id=strategy,
            strategy_uid="" if resource is None else resource.metadata.uid or "",
            instrument_token=pending.instrument_token,
            symbol=pending.symbol,
            side=pending.side,
            order_type=OrderType.MARKET,
            quantity=share,
            validity=Validity.DAY,
            expires_at=0,
            reason=pending.message,
        )
        return Decision(
            signal=signal,
            verdict=Verdict.VALIDATED,
            signal_class=SignalClass.REDUCING,
            payload_hash=payload_hash(signal),
            risk_epoch=self.epoch,
            journal_epoch="",
            decided_at=pending.ts,
            correlation_id=pending.correlation_id,
            causation_id=pending.event_id,
            code=pending.code,
            message=f"a share of {pending.quantity:f} that {pending.order_id} has traded",
            reference_price=quotient(pending.amount, pending.quantity),
        )

    def _told(self, decision: Decision, update: OrderUpdate) -> Outgoing:
        """Return the share's event: the same decision always gives the same bytes."""
        signal = decision.signal
        event = Envelope(
            id=event_id(signal.signal_id, EventType.ORDER_UPDATED, 0),
            type=EventType.ORDER_UPDATED,
            version=VERSION,
            ts=decision.decided_at,
            source=f"{SOURCE}/{self._account}",
            account=self._account,
            key=signal.key,
            correlation_id=decision.correlation_id,
            causation_id=decision.causation_id,
            data=update,
        )
        return Outgoing(self._topics.orders_updated, encode_event(event), key=signal.key)


def share_update(decision: Decision) -> OrderUpdate:
    """Return what a strategy is told of its share: an order that somebody else gave has filled for it."""
    signal, price = decision.signal, decision.reference_price
    if not isinstance(signal, Signal) or price is None:
        raise ValueError(f"decision {decision.signal_id} is no share's")
    status = OrderStatus.FILLED
    group = group_of(signal.signal_id) or ""
    return OrderUpdate(
        signal_id=signal.signal_id,
        order_id=signal.signal_id,
        strategy_id=signal.strategy_id,
        instrument_token=signal.instrument_token,
        symbol=signal.symbol,
        side=signal.side,
        order_type=signal.order_type,
        quantity=signal.quantity,
        validity=signal.validity,
        status=status,
        rank=int(status.rank),
        price=price,
        filled_quantity=signal.quantity,
        amount=times(price, signal.quantity),
        signal_class=decision.signal_class,
        external=True,
        code=decision.code,
        message=signal.reason,
        share_of=group.rpartition("@")[0],
    )
