"""What is somebody else's on a live account: which rows concern it, what they were, and their entries in the journal."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, Product, Side, SignalClass, Validity
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import BrokerRow, JournalEntry, Outcome
from alpha_panda.domain.exact import times
from alpha_panda.domain.order_events import EXTERNAL


def _never(_: int) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ExternalTerms:
    """Whose account it is and which product it trades ("" where the broker tells none).

    `after_cut_off` tells of a moment (UTC ns) whether it lies between the product's cut-off and the session's end.
    """

    product: str = ""
    user: str = ""
    after_cut_off: Callable[[int], bool] = _never

    def concerns(self, row: BrokerRow) -> bool:
        """Whether the row moves a position of the account: one of another product is another position."""
        return not self.product or row.product in ("", self.product)

    def code_of(self, row: BrokerRow) -> Code:
        """Return what an order without our tag was: the broker squaring off, or anybody's trade.

        The broker's own orders are placed by somebody else than the user, or come when nobody may open a position.
        """
        if self.product != Product.MIS:
            return Code.EXTERNAL_TRADE
        others = bool(self.user) and row.placed_by not in ("", self.user)
        late = bool(row.placed_at) and self.after_cut_off(row.placed_at)
        return Code.SQUARE_OFF if others or late else Code.EXTERNAL_TRADE


def external_entry(  # noqa: PLR0913, PLR0917 - what an order is
    signal_id: str,
    token: int,
    symbol: str,
    side: Side,
    quantity: Decimal,
    outcome: Outcome,
    *,
    tag: str,
    cause: str,
) -> JournalEntry:
    """Return the entry of an order whose signal nobody knows."""
    signal = Signal(
        signal_id=signal_id,
        strategy_id=EXTERNAL,
        strategy_uid="",
        instrument_token=token,
        symbol=symbol,
        side=side,
        order_type=OrderType.MARKET,  # the book's row doesn't say
        quantity=quantity,
        validity=Validity.DAY,
        expires_at=0,
    )
    return JournalEntry(
        signal=signal,
        state=outcome.state,
        signal_class=SignalClass.INCREASING,
        tag=tag,
        revision=0,
        send_by=0,
        updated_at=0,
        correlation_id=signal_id,
        causation_id=cause,
        broker_order_id=outcome.broker_order_id,
        filled_quantity=outcome.filled_quantity,
        average_price=outcome.average_price,
        amount=outcome.amount,
        fees=outcome.fees,
        code=outcome.code,
        message=outcome.message,
    )


def adopted_entry(  # noqa: PLR0913, PLR0917 - as above
    signal_id: str, token: int, symbol: str, quantity: Decimal, price: Decimal, message: str
) -> JournalEntry:
    """Return the entry that books a signed quantity which the broker holds and the book lacks."""
    size = abs(quantity)
    outcome = Outcome(
        state=EntryState.FILLED,
        filled_quantity=size,
        average_price=price,
        amount=times(price, size),
        code=Code.ADOPTED,
        message=message,
    )
    side = Side.BUY if quantity > 0 else Side.SELL
    return external_entry(signal_id, token, symbol, side, size, outcome, tag=signal_id, cause="")
