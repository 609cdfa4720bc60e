"""One strategy on one account: its instance, its view of its orders, and the signals it has not yet got rid of.

A cell is what the strategy sees as its runtime. It does no I/O: the runner stores its checkpoint and produces
its outbox, in this order (DESIGN section 4, "Strategy runner").
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, Side
from alpha_panda.contracts.events import (
    MAX_REASON,
    VERSION,
    ZERO,
    CancelRequest,
    Envelope,
    OrderUpdate,
    RejectedSignal,
    Signal,
    Tick,
)
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import (
    Checkpoint,
    CheckpointClaim,
    OrderFold,
    PendingEvent,
    TopicOffset,
    order_id_of,
)
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.traceparent import TraceContext
from alpha_panda.domain.fold import fold_order, merge_folds
from alpha_panda.domain.ids import event_id, signal_id
from alpha_panda.errors import RecordError
from alpha_panda.ports import Clock, Record
from alpha_panda.sdk import CancelIntent, OrderIntent, Strategy, StrategyDriver, StrategyParameters

from .explaining import explained

log = structlog.get_logger()

SOURCE = "strategy"


@dataclass(frozen=True, slots=True)
class Cause:
    """What the strategy is reacting to: the record (and tick) that a signal names as its cause, and its time.

    `within`: the span in which it does.
    """

    causation_id: str
    ts: int
    token: int | None = None
    price: float | None = None
    record: Record | None = None
    within: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class CellSpec:
    """What a cell is made of; all times in ns."""

    strategy_id: str
    strategy_uid: str
    account: str
    topics: TopicMap
    strategy_class: type[Strategy]
    parameters: StrategyParameters
    instruments: tuple[Instrument, ...]
    signal_ttl: int
    max_tick_age: int


class CellState(msgspec.Struct, frozen=True):
    """What of a cell goes into `Checkpoint.state`, beside the strategy's own snapshot (in `driver`)."""

    driver: bytes
    positions: dict[int, Decimal]
    in_flight: dict[str, int]


class Cell:
    """The runtime of one strategy instance (`sdk.StrategyRuntime`)."""

    def __init__(self, spec: CellSpec, clock: Clock, current_cause: Callable[[], Cause | None]) -> None:
        self.spec = spec
        self.key = (spec.strategy_id, spec.account)
        self.tokens = tuple(item.token for item in spec.instruments)
        self.outbox: list[PendingEvent] = []
        self.origins: dict[str, Cause] = {}
        self.changed_folds: dict[str, OrderFold] = {}
        self.sequences: dict[int, tuple[int, int]] = {}
        self.offsets: dict[str, TopicOffset] = {}
        self.incarnation = ""
        self.signals = 0
        self.failed: str | None = None
        self._clock = clock
        self._current_cause = current_cause
        self._instruments = {item.token: item for item in spec.instruments}
        self._positions: dict[int, Decimal] = {}
        self._in_flight: dict[str, int] = {}
        self._folds: dict[str, OrderFold] = {}
        self._lineage = ""
        self._run_id = ""
        self._counter = 0
        self._stored: Checkpoint | None = None
        self._touched = True
        self._explaining = False
        self.strategy = spec.strategy_class(spec.parameters, spec.instruments, self)
        self._driver = StrategyDriver(self.strategy)
        self.deliver: Callable[[Tick], None] = self._driver.on_tick

    # ------------------------------------------------------------------------- what the strategy may ask

    def now(self) -> int:
        """Time of the event that the strategy is reacting to."""
        return self._cause().ts

    def position(self, token: int) -> Decimal:
        """Return the confirmed signed quantity, from fills."""
        return self._positions.get(token, ZERO)

    def has_open_order(self, token: int) -> bool:
        """Whether a signal of ours on this token has not come to its end."""
        return token in self._in_flight.values()

    def submit(self, intent: OrderIntent | CancelIntent) -> str:
        """Give the intent an id and put it into the outbox."""
        if self._explaining:
            raise RuntimeError("explain() tells how things are: it can't send or cancel orders")
        cause = self._cause()
        self._counter += 1
        new_id = signal_id(self._lineage, self.spec.account, self._counter)
        if isinstance(intent, CancelIntent):
            self._push_cancel(new_id, intent, cause)
            return new_id
        signal = self._signal(new_id, intent, cause)
        self._in_flight[new_id] = intent.token
        if self._clock.now() - cause.ts > self.spec.max_tick_age:
            self._push_suppression(signal, cause)
        else:
            self._push(self.spec.topics.signals_raw, EventType.TRADING_SIGNAL, signal, cause)
        self.signals += 1
        return new_id

    # ---------------------------------------------------------------------------- what the runner tells

    def on_account_event(self, event: Envelope) -> None:
        """Fold an order event or take note of a rejection, if it is ours; then tell the strategy."""
        data = event.data
        if isinstance(data, OrderUpdate):
            if data.strategy_id == self.spec.strategy_id:
                self._on_order(data)
        elif isinstance(data, RejectedSignal) and self.forget(data.original_signal.signal_id):
            self.strategy.on_rejected(data.original_signal.signal_id, data.code, data.message)

    def in_flight(self) -> tuple[str, ...]:
        """Return the ids of the signals that have not come to their end."""
        return tuple(self._in_flight)

    def forget(self, signal_id: str) -> bool:
        """Take note that a signal became no order; False if it was none of ours, or has ended before."""
        if self._in_flight.pop(signal_id, None) is None:
            return False
        self._touched = True
        return True

    def load_book(self, book: Iterable[tuple[str, Signal, OrderFold]]) -> None:
        """Take in what risk's book says of our orders.

        Events that were missed are in the book; events that risk has not stored yet may be in our own folds, and
        would never come again: so both count, by maximum.
        """
        for order, signal, fold in book:
            if signal.strategy_id == self.spec.strategy_id:
                merged = merge_folds(self._folds.get(order, OrderFold()), fold)
                self._take(order, signal.instrument_token, signal.side, merged)

    def adopt(self, claim: CheckpointClaim, new_lineage: str) -> bool:
        """Start the strategy and take over what was stored; False if there is nothing stored of this strategy.

        The lineage is a new one where the store came back as another run or the resource is a new one, so that
        no id is ever used for two signals.
        """
        self.incarnation, self._run_id = claim.incarnation, claim.store_run_id
        self.strategy.on_start()
        checkpoint = claim.checkpoint
        if checkpoint is None or checkpoint.strategy_uid != self.spec.strategy_uid:
            self._lineage = new_lineage
            return False
        same_run = checkpoint.store_run_id == claim.store_run_id
        self._lineage, self._counter = (
            (checkpoint.lineage, checkpoint.counter) if same_run else (new_lineage, 0)
        )
        self._folds = dict(claim.folds)
        self.outbox = list(checkpoint.pending)
        self.offsets = dict(checkpoint.offsets)
        self.sequences = dict(checkpoint.sequences)
        state = msgspec.msgpack.decode(checkpoint.state, type=CellState)
        self._positions, self._in_flight = dict(state.positions), dict(state.in_flight)
        self._driver.restore(state.driver)
        return True

    def checkpoint(
        self, offsets: dict[str, TopicOffset], sequences: dict[int, tuple[int, int]]
    ) -> Checkpoint:
        """Return everything a restart needs; of a cell that nothing has happened to only the offsets are new."""
        last = self._stored
        if last is not None and not self._touched and last.sequences == sequences and not self.outbox:
            return replace(last, offsets=offsets)
        state = CellState(
            driver=self._driver.snapshot(), positions=self._positions, in_flight=self._in_flight
        )
        return Checkpoint(
            lineage=self._lineage,
            store_run_id=self._run_id,
            strategy_uid=self.spec.strategy_uid,
            counter=self._counter,
            state=msgspec.msgpack.encode(state),
            offsets=offsets,
            sequences=sequences,
            pending=list(self.outbox),
        )

    def stored(self, checkpoint: Checkpoint) -> None:
        """Take note that the checkpoint, and with it the changed folds, are in the store."""
        self._stored = checkpoint
        self._touched = False
        self.changed_folds = {}

    def acknowledged(self) -> None:
        """Everything in the outbox is in the bus: the next checkpoint may leave it out."""
        self.outbox = []
        self.origins = {}
        self._touched = True

    # --------------------------------------------------------------------------------------------- inside

    def _cause(self) -> Cause:
        cause = self._current_cause()
        if cause is None:
            raise RuntimeError(
                "no event is being handled: orders can be sent from on_tick, on_bar and on_order only"
            )
        return cause

    def _on_order(self, update: OrderUpdate) -> None:
        key = order_id_of(update)
        before = self._folds.get(key, OrderFold())
        try:
            fold = fold_order(before, update).fold
        except RecordError as error:
            # Its writer is at fault, not the strategy: no reason to stop it. Risk sets the record aside.
            log.error("order_event_skipped", strategy=self.spec.strategy_id, order=key, error=str(error))  # noqa: TRY400
            return
        if fold != before:
            self._take(key, update.instrument_token, update.side, fold)
            self.strategy.on_order(update)

    def _take(self, order: str, token: int, side: Side, fold: OrderFold) -> None:
        """Put an order's new fold in the place of the old one, and the difference into the position."""
        before = self._folds.get(order, OrderFold())
        if fold == before:
            return
        self._touched = True
        self._folds[order] = self.changed_folds[order] = fold
        moved = fold.filled_quantity - before.filled_quantity
        if moved:
            self._positions[token] = self.position(token) + side.sign * moved
        if fold.terminal:
            self._in_flight.pop(order, None)

    def _signal(self, new_id: str, intent: OrderIntent, cause: Cause) -> Signal:
        instrument = self._instruments[intent.token]
        seen = cause.price if cause.token == intent.token else None
        return Signal(
            signal_id=new_id,
            strategy_id=self.spec.strategy_id,
            strategy_uid=self.spec.strategy_uid,
            instrument_token=intent.token,
            symbol=instrument.symbol,
            side=intent.side,
            order_type=intent.order_type,
            quantity=intent.quantity,
            validity=intent.validity,
            expires_at=self._clock.now() + self.spec.signal_ttl,
            limit_price=intent.limit_price,
            trigger_price=intent.trigger_price,
            price=None if seen is None else instrument.quantize(seen),
            reason=intent.reason[:MAX_REASON],
            tick_ts=0 if cause.token is None else cause.ts,
            state=self._explained(intent.token),
        )

    def _explained(self, token: int) -> dict[str, str]:
        """Return what the strategy says of itself; it can't send orders from there."""
        self._explaining = True
        try:
            return explained(self.strategy, token)
        finally:
            self._explaining = False

    def _push_cancel(self, new_id: str, intent: CancelIntent, cause: Cause) -> None:
        token = self._in_flight.get(intent.signal_id)
        if token is None:
            log.info(
                "cancel_of_an_order_that_ended", strategy=self.spec.strategy_id, signal_id=intent.signal_id
            )
            return
        request = CancelRequest(
            signal_id=new_id,
            strategy_id=self.spec.strategy_id,
            strategy_uid=self.spec.strategy_uid,
            instrument_token=token,
            symbol=self._instruments[token].symbol,
            order_signal_id=intent.signal_id,
            reason=intent.reason[:MAX_REASON],
        )
        self._push(self.spec.topics.signals_raw, EventType.CANCEL_REQUEST, request, cause)

    def _push_suppression(self, signal: Signal, cause: Cause) -> None:
        """Say on `signals.rejected` that the tick was too old to act on; the id is used up all the same."""
        age = (self._clock.now() - cause.ts) / 1e9
        message = (
            f"the causing tick is {age:.1f} s old; at most {self.spec.max_tick_age / 1e9:g} s are acted on"
        )
        rejected = RejectedSignal(
            original_signal=signal, code=Code.SIGNAL_SUPPRESSED, message=message, decided_at=self._clock.now()
        )
        self._push(self.spec.topics.signals_rejected, EventType.REJECTED_SIGNAL, rejected, cause)

    def _push(
        self, topic: str, event_type: EventType, data: Signal | CancelRequest | RejectedSignal, cause: Cause
    ) -> None:
        signal = data.original_signal if isinstance(data, RejectedSignal) else data
        event = Envelope(
            id=event_id(signal.signal_id, event_type, 0),
            type=event_type,
            version=VERSION,
            ts=self._clock.now(),
            source=f"{SOURCE}/{self.spec.strategy_id}",
            account=self.spec.account,
            key=signal.key,
            correlation_id=signal.signal_id,
            causation_id=cause.causation_id,
            data=data,
        )
        self.outbox.append(PendingEvent(topic, event))
        self.origins[event.id] = cause
