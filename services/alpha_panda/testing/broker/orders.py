"""One order at the broker, with its whole past: what a lagging book shows is what was true then."""

from dataclasses import dataclass, field
from decimal import Decimal

from msgspec.structs import replace

from alpha_panda.contracts.enums import OrderStatus, OrderType, Side
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.stored import BrokerRow

from .api import PlaceRequest


@dataclass(frozen=True, slots=True)
class Execution:
    """A trade that happened: the truth that books are compared with. `ts` in UTC ns."""

    order_id: str
    tag: str
    instrument_token: int
    side: Side
    quantity: Decimal
    price: Decimal
    fees: Decimal
    ts: int


@dataclass(slots=True)
class BrokerOrder:
    """An order that the broker has taken. `versions`: (UTC ns, row) of each change, oldest first."""

    order_id: str
    request: PlaceRequest
    day: str
    versions: list[tuple[int, BrokerRow]] = field(default_factory=list)
    paid: Decimal = ZERO
    scripted: bool = False

    @property
    def row(self) -> BrokerRow:
        """The order as it is."""
        return self.versions[-1][1]

    @property
    def open(self) -> bool:
        """Whether it may still fill."""
        return not self.row.status.terminal

    @property
    def missing(self) -> Decimal:
        """What may still fill."""
        return self.request.quantity - self.row.filled_quantity

    def as_of(self, ts: int) -> BrokerRow | None:
        """Return the order as it was at `ts` (UTC ns), None before it was taken."""
        return next((row for since, row in reversed(self.versions) if since <= ts), None)

    def begin(self, now: int) -> None:
        """Take the order."""
        request = self.request
        row = BrokerRow(
            broker_order_id=self.order_id,
            tag=request.tag,
            instrument_token=request.instrument_token,
            side=request.side.value,
            quantity=request.quantity,
            status=OrderStatus.PLACED,
        )
        self.versions.append((now, row))

    def fill(self, quantity: Decimal, price: Decimal, fees: Decimal, now: int) -> Execution | None:
        """Trade up to `quantity` of what is missing; None if nothing is."""
        traded = min(quantity, self.missing)
        if not self.open or traded <= 0:
            return None
        self.paid += traded * price
        filled = self.row.filled_quantity + traded
        whole = filled == self.request.quantity
        row = replace(
            self.row,
            status=OrderStatus.FILLED if whole else OrderStatus.PARTIALLY_FILLED,
            filled_quantity=filled,
            average_price=self.paid / filled,
            amount=self.paid,
            fees=self.row.fees + fees,
        )
        self.versions.append((now, row))
        request = self.request
        return Execution(
            self.order_id, request.tag, request.instrument_token, request.side, traded, price, fees, now
        )

    def end(self, status: OrderStatus, message: str, now: int) -> bool:
        """Cancel or refuse what is left; say whether there was anything."""
        if not self.open:
            return False
        self.versions.append((now, replace(self.row, status=status, message=message)))
        return True

    def price_at(self, market: Decimal | None) -> Decimal | None:
        """Return the price it trades at in this market (None: nobody knows one), None if it rests."""
        request = self.request
        if request.order_type in (OrderType.STOP, OrderType.STOP_LIMIT):
            trigger = request.trigger_price
            if market is None or trigger is None or (market - trigger) * request.side.sign < 0:
                return None
        limit = request.limit_price
        if limit is None or market is None:
            return market if limit is None else limit
        return None if (market - limit) * request.side.sign > 0 else market
