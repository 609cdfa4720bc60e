"""Attributes of spans: OpenTelemetry's semantic conventions for messaging and databases, and our own.

Source: https://opentelemetry.io/docs/specs/semconv/messaging/ (and `db`), version 1.37. Nothing here may hold a secret:
names from manifests, ids, words from enums and figures alone; never a message of a broker or an error's words unredacted.
"""

from collections.abc import Mapping
from typing import Final

from alpha_panda.contracts.events import (
    CancelRequest,
    Envelope,
    OrderUpdate,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)
from alpha_panda.ports import Record

Value = str | bool | int | float
Attributes = Mapping[str, Value]

SYSTEM: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
OFFSET: Final = "messaging.kafka.offset"
MESSAGE_KEY: Final = "messaging.kafka.message.key"
GROUP: Final = "messaging.consumer.group.name"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION: Final = "messaging.message.conversation_id"
BATCH_COUNT: Final = "messaging.batch.message_count"

ERROR_TYPE: Final = "error.type"

SIGNAL_ID: Final = "alphapanda.signal_id"
ORDER_ID: Final = "alphapanda.order_id"
ACCOUNT: Final = "alphapanda.account"
STRATEGY: Final = "alphapanda.strategy"
INSTRUMENT: Final = "alphapanda.instrument"
SIDE: Final = "alphapanda.side"
QUANTITY: Final = "alphapanda.quantity"
FILLED: Final = "alphapanda.filled_quantity"
POSITION: Final = "alphapanda.position"
"""Of the account in the instrument, after what the span is about."""
CODE: Final = "alphapanda.code"
OUTCOME: Final = "alphapanda.outcome"
CAUSE: Final = "alphapanda.cause"
"""The record (and tick) that made the strategy act: `topic/partition/offset#token:seq`."""
AFTERWARDS: Final = "alphapanda.made_afterwards"
"""The span was made when its tick turned out to matter, by whoever found out."""
RESENT: Final = "alphapanda.resent"
"""The signal came from a checkpoint: it may have been sent before."""
TICKS: Final = "alphapanda.ticks"
INTERRUPTED: Final = "alphapanda.interrupted"

SEND: Final = "send"
PROCESS: Final = "process"

Payload = Signal | CancelRequest | OrderUpdate


def sent(topic: str, count: int = 1) -> dict[str, Value]:
    """Return attributes of a producer's span; `count` where it speaks of several records."""
    found: dict[str, Value] = {DESTINATION: topic, OPERATION: SEND, OPERATION_TYPE: SEND}
    return found if count == 1 else {**found, BATCH_COUNT: count}


def received(record: Record, group: str) -> dict[str, Value]:
    """Return attributes of a consumer's span about one record."""
    found: dict[str, Value] = {
        DESTINATION: record.topic,
        PARTITION: str(record.partition),
        OFFSET: record.offset,
        OPERATION: PROCESS,
        OPERATION_TYPE: PROCESS,
        GROUP: group,
    }
    return found if record.key is None else {**found, MESSAGE_KEY: record.key}


def told(event: Envelope) -> dict[str, Value]:
    """Return attributes of what an event says."""
    found: dict[str, Value] = {
        MESSAGE_ID: event.id,
        CONVERSATION: event.correlation_id,
        ACCOUNT: event.account,
    }
    data = event.data
    if isinstance(data, RejectedSignal) and data.code is not None:
        found[CODE] = data.code.value
    if isinstance(data, ValidatedSignal | RejectedSignal):
        data = data.original_signal
    return {**found, **of_order(data)} if isinstance(data, Payload) else found


def of_order(data: Payload) -> dict[str, Value]:
    """Return attributes of a signal, a cancel request, or what became of an order."""
    found: dict[str, Value] = {
        SIGNAL_ID: data.signal_id,
        STRATEGY: data.strategy_id,
        INSTRUMENT: data.symbol,
    }
    if not isinstance(data, CancelRequest):
        found |= {SIDE: data.side.value, QUANTITY: str(data.quantity)}
    if isinstance(data, OrderUpdate):
        found |= {ORDER_ID: data.order_id, OUTCOME: data.status.value, FILLED: str(data.filled_quantity)}
        if data.code is not None:
            found[CODE] = data.code.value
    return found
