"""Journal entries to order events, and rows of a broker's book to outcomes: one pure function each, for all who need it.

The same revision of an entry always gives the same event, to the byte: re-emitting is harmless.
"""

from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderStatus
from alpha_panda.contracts.events import VERSION, Envelope, OrderUpdate
from alpha_panda.contracts.stored import BrokerRow, JournalEntry, Outcome
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.ids import event_id

EXTERNAL: Final = "external"
"""Strategy of an order that no signal of ours is known for, and the prefix of its id in the journal."""

_TYPES: Final = {
    EntryState.PLACED: EventType.ORDER_PLACED,
    EntryState.PARTIALLY_FILLED: EventType.ORDER_FILLED,
    EntryState.FILLED: EventType.ORDER_FILLED,
    EntryState.CANCELLED: EventType.ORDER_CANCELLED,
    EntryState.FAILED: EventType.ORDER_FAILED,
    EntryState.LOST: EventType.ORDER_FAILED,
}


def order_event(entry: JournalEntry, account: str, source: str) -> Envelope:
    """Return the event of the entry's present state; ValueError while the entry is in doubt."""
    if entry.state.in_doubt:
        raise ValueError(f"order {entry.signal_id} is {entry.state}: there is nothing to tell yet")
    event_type = EventType.ORDER_UPDATED if entry.late else _TYPES[entry.state]
    return Envelope(
        id=event_id(entry.signal_id, event_type, entry.revision),
        type=event_type,
        version=VERSION,
        ts=entry.updated_at,
        source=source,
        account=account,
        key=entry.signal.key,
        correlation_id=entry.correlation_id,
        causation_id=entry.causation_id,
        data=order_update(entry),
    )


def order_update(entry: JournalEntry) -> OrderUpdate:
    """Return the payload: quantities, price, amount and fees are cumulative."""
    signal, status = entry.signal, entry.state.order_status
    return OrderUpdate(
        signal_id=signal.signal_id,
        order_id=entry.tag,
        strategy_id=signal.strategy_id,
        instrument_token=signal.instrument_token,
        symbol=signal.symbol,
        side=signal.side,
        order_type=signal.order_type,
        quantity=signal.quantity,
        validity=signal.validity,
        status=status,
        rank=int(status.rank),
        limit_price=signal.limit_price,
        trigger_price=signal.trigger_price,
        price=entry.average_price if entry.filled_quantity else None,
        filled_quantity=entry.filled_quantity,
        amount=entry.amount,
        fees=entry.fees,
        signal_class=entry.signal_class,
        revision=entry.revision,
        correction=entry.late,
        external=signal.signal_id.startswith(f"{EXTERNAL}:"),
        broker_order_id=entry.broker_order_id,
        quote_price=entry.quote_price,
        quote_ts=entry.quote_ts,
        code=entry.code,
        message=entry.message,
        begun_at=entry.created_at,
    )


def order_topic(topics: TopicMap, event_type: EventType) -> str:
    """Return the topic of an order event."""
    return {
        EventType.ORDER_PLACED: topics.orders_submitted,
        EventType.ORDER_FILLED: topics.orders_filled,
        EventType.ORDER_FAILED: topics.orders_failed,
        EventType.ORDER_CANCELLED: topics.orders_cancelled,
        EventType.ORDER_UPDATED: topics.orders_updated,
    }[event_type]


def outcome_of_row(row: BrokerRow) -> Outcome:
    """Return what a row of the broker's book says became of its order."""
    refused = row.status in (OrderStatus.FAILED, OrderStatus.LOST)
    return Outcome(
        state=EntryState.FAILED if refused else EntryState(row.status.value),
        filled_quantity=row.filled_quantity,
        average_price=row.average_price,
        amount=row.amount,
        fees=row.fees,
        broker_order_id=row.broker_order_id,
        code=Code.BROKER_REJECTED if refused else None,
        message=row.message,
    )
