"""Try a strategy out without a bus, a broker or a clock: for unit tests of users' own strategies.

strategy, runtime = start(Momentum, lookback=2, quantity="5")
orders = drive(strategy, [100, 100, 103])
assert orders[0].side is Side.BUY
assert strategy.position(1) == 5
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final, TypeVar

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.sdk import (
    CancelIntent,
    Code,
    Number,
    OrderIntent,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Strategy,
    StrategyDriver,
    Tick,
)
from alpha_panda.sdk.intents import exact

SECOND: Final = 1_000_000_000

TEST_INSTRUMENT: Final = Instrument(token=1, symbol="TEST:ONE", tick_size=Decimal("0.01"))
"""What `start` uses when no instrument is given."""

_ZERO: Final = Decimal(0)
_STRATEGY_ID: Final = "test"

StrategyT = TypeVar("StrategyT", bound=Strategy)


class RecordingRuntime:
    """Stands behind a strategy, records what it submits, and does to its orders what a test says.

    `intents` holds everything submitted, in order; signal ids are `signal-1`, `signal-2` … `time` is the time of
    the event being handled (UTC ns); `tick` sets it.
    """

    def __init__(self) -> None:
        self.intents: list[OrderIntent | CancelIntent] = []
        self.time = 0
        self._handling = False
        self._orders: dict[str, OrderIntent] = {}
        self._updates: dict[str, OrderUpdate] = {}
        self._open: dict[str, int] = {}
        self._positions: dict[int, Decimal] = {}
        self._sequences: dict[int, int] = {}
        self._driver: StrategyDriver | None = None

    # ------------------------------------------------------------------------ what a strategy sees of it

    def submit(self, intent: OrderIntent | CancelIntent) -> str:
        """Record the intent and return its id."""
        if not self._handling:
            raise RuntimeError("orders can be sent from on_tick, on_bar, on_order and on_rejected only")
        self.intents.append(intent)
        signal_id = f"signal-{len(self.intents)}"
        if isinstance(intent, OrderIntent):
            self._orders[signal_id] = intent
            self._open[signal_id] = intent.token
        return signal_id

    def position(self, token: int) -> Decimal:
        """Return the sum of the fills."""
        return self._positions.get(token, _ZERO)

    def has_open_order(self, token: int) -> bool:
        """Whether an order on the token has not been filled, cancelled, failed or rejected."""
        return token in self._open.values()

    def now(self) -> int:
        """Return `time`; RuntimeError when no event is being handled, as in production."""
        if not self._handling:
            raise RuntimeError("there is no time but that of the event being handled")
        return self.time

    # ------------------------------------------------------------------------------- what a test does to it

    def attach(self, strategy: Strategy) -> None:
        """Serve this strategy: call its `on_start`; later events go to it."""
        self._driver = StrategyDriver(strategy)
        strategy.on_start()

    @property
    def driver(self) -> StrategyDriver:
        """The strategy with its open bars; has `snapshot` and `restore`."""
        if self._driver is None:
            raise RuntimeError("no strategy is attached: make it with alpha_panda.testing.strategy.start")
        return self._driver

    @property
    def orders(self) -> dict[str, OrderIntent]:
        """Every order submitted, by signal id, in order."""
        return dict(self._orders)

    @property
    def open_orders(self) -> dict[str, OrderIntent]:
        """The orders that have not ended, by signal id, in order."""
        return {signal_id: self._orders[signal_id] for signal_id in self._open}

    def tick(self, token: int, price: float, *, ts: int | None = None, volume: float = 0.0) -> Tick:
        """Give the strategy a price, one second after the last event unless `ts` (UTC ns) says when."""
        seq = self._sequences[token] = self._sequences.get(token, 0) + 1
        tick = Tick(token, float(price), self.time + SECOND if ts is None else ts, seq, volume)
        self.time = tick.ts
        self._call(lambda: self.driver.on_tick(tick))
        return tick

    def fill(self, signal_id: str, price: Number | float, quantity: Number | None = None) -> OrderUpdate:
        """Fill an open order, in full or by `quantity`, and tell the strategy.

        A float price is put on the instrument's tick grid. Raises KeyError when no such order is open, ValueError
        for more than its open quantity.
        """
        order = self._open_order(signal_id)
        before = self._updates.get(signal_id)
        done = before.filled_quantity if before else _ZERO
        left = order.quantity - done
        part = left if quantity is None else exact(quantity, "quantity")
        if part > left:
            raise ValueError(f"{signal_id} has {left} left to fill, not {part}")
        paid = self._price(order.token, price)
        average = ((before.price or _ZERO) * done + paid * part) / (done + part) if before else paid
        self._positions[order.token] = self.position(order.token) + order.side.sign * part
        status = OrderStatus.FILLED if part == left else OrderStatus.PARTIALLY_FILLED
        return self._tell(signal_id, status, filled=done + part, average=average)

    def cancelled(self, signal_id: str, code: Code = Code.CANCELLED_BY_STRATEGY) -> OrderUpdate:
        """End an open order as cancelled, with what it has filled, and tell the strategy."""
        return self._end(signal_id, OrderStatus.CANCELLED, code, "")

    def fail(self, signal_id: str, code: Code = Code.BROKER_REJECTED, message: str = "") -> OrderUpdate:
        """End an open order as failed and tell the strategy."""
        return self._end(signal_id, OrderStatus.FAILED, code, message)

    def reject(self, signal_id: str, code: Code, message: str = "") -> None:
        """Refuse a signal, as the risk service does, and tell the strategy."""
        self._open_order(signal_id)
        del self._open[signal_id]
        self._call(lambda: self.driver.strategy.on_rejected(signal_id, code, message))

    def gap(self, reason: str = "records are missing") -> None:
        """Tell the strategy that it missed events; no order can be sent from there."""
        self.driver.strategy.on_gap(reason)

    def set_position(self, token: int, quantity: Number) -> None:
        """Begin with a position (signed), as after a restart."""
        self._positions[token] = Decimal(quantity)

    # ---------------------------------------------------------------------------------------------- inside

    def _open_order(self, signal_id: str) -> OrderIntent:
        if signal_id not in self._open:
            raise KeyError(f"{signal_id} is not an open order; open: {', '.join(self._open) or 'none'}")
        return self._orders[signal_id]

    def _price(self, token: int, price: Number | float) -> Decimal:
        if isinstance(price, float):
            return self.driver.strategy.instrument(token).quantize(price)
        return exact(price, "price")

    def _end(self, signal_id: str, status: OrderStatus, code: Code, message: str) -> OrderUpdate:
        self._open_order(signal_id)
        before = self._updates.get(signal_id)
        filled, average = (before.filled_quantity, before.price) if before else (_ZERO, None)
        return self._tell(signal_id, status, filled=filled, average=average, code=code, message=message)

    def _tell(  # noqa: PLR0913 - what an update says, all named
        self,
        signal_id: str,
        status: OrderStatus,
        *,
        filled: Decimal,
        average: Decimal | None,
        code: Code | None = None,
        message: str = "",
    ) -> OrderUpdate:
        order = self._orders[signal_id]
        update = OrderUpdate(
            signal_id=signal_id,
            order_id=f"order-of-{signal_id}",
            strategy_id=_STRATEGY_ID,
            instrument_token=order.token,
            symbol=self.driver.strategy.instrument(order.token).symbol,
            side=order.side,
            order_type=order.order_type,
            quantity=order.quantity,
            validity=order.validity,
            status=status,
            rank=status.rank,
            limit_price=order.limit_price,
            trigger_price=order.trigger_price,
            price=average,
            filled_quantity=filled,
            code=code,
            message=message,
        )
        self._updates[signal_id] = update
        if status.terminal:
            del self._open[signal_id]
        self._call(lambda: self.driver.strategy.on_order(update))
        return update

    def _call(self, handler: Callable[[], None]) -> None:
        """Run a callback of the strategy: only meanwhile is there a time, and may it send orders."""
        self._handling = True
        try:
            handler()
        finally:
            self._handling = False


def start(
    strategy_class: type[StrategyT],
    *,
    instruments: Sequence[Instrument] = (TEST_INSTRUMENT,),
    **parameters: object,
) -> tuple[StrategyT, RecordingRuntime]:
    """Make a strategy with these parameters (as in a manifest: either spelling) and start it."""
    runtime = RecordingRuntime()
    strategy = strategy_class(strategy_class.Parameters.model_validate(parameters), instruments, runtime)
    runtime.attach(strategy)
    return strategy, runtime


def drive(
    strategy: Strategy, prices: Iterable[float], *, token: int | None = None, fill: bool = True
) -> list[OrderIntent]:
    """Give a strategy made by `start` one price a second; return the orders that it sent meanwhile.

    With `fill`, MARKET orders on the instrument fill in full right after the price, at that price; other types
    stay open: end them by `runtime.fill` or `runtime.cancelled`. `token`: the first instrument if left out.
    """
    runtime = strategy.runtime
    if not isinstance(runtime, RecordingRuntime):
        raise TypeError(f"drive needs a strategy on a RecordingRuntime, not on {type(runtime).__name__}")
    priced = strategy.instruments[0].token if token is None else token
    before = len(runtime.orders)
    for price in prices:
        runtime.tick(priced, price)
        if fill:
            for signal_id, order in runtime.open_orders.items():
                if order.token == priced and order.order_type is OrderType.MARKET:
                    runtime.fill(signal_id, float(price))
    return list(runtime.orders.values())[before:]
