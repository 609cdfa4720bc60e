"""Bytes to records and back: JSON envelopes and MessagePack tick batches."""

import hashlib
from typing import Any, Final

import msgspec

from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import (
    MAX_NAME,
    MAX_REASON,
    MAX_SIGNAL_BYTES,
    PAYLOADS,
    VERSION,
    CancelRequest,
    Envelope,
    RawEnvelope,
    Signal,
    TickBatch,
)
from alpha_panda.errors import UndecodableRecordError, UnknownVersionError

_json_encoder: Final = msgspec.json.Encoder(order="deterministic")
_raw_decoder: Final = msgspec.json.Decoder(RawEnvelope)
_payload_decoders: Final[dict[EventType, msgspec.json.Decoder[Any]]] = {
    event_type: msgspec.json.Decoder(payload) for event_type, payload in PAYLOADS.items()
}
_tick_encoder: Final = msgspec.msgpack.Encoder()
_tick_decoder: Final = msgspec.msgpack.Decoder(TickBatch)

encode_ticks = _tick_encoder.encode
"""TickBatch → MessagePack bytes."""


def encode_event(event: Envelope) -> bytes:
    """Return the event as JSON; the same event always gives the same bytes."""
    return _json_encoder.encode(event)


def decode_event(value: bytes) -> Envelope:
    """Return the event in `value`.

    Raises:
        UnknownVersionError: written by a newer release.
        UndecodableRecordError: not JSON, not an envelope, `data` does not fit the type, or a signal or cancel
            request is longer than `events` permits.

    """
    try:
        raw = _raw_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableRecordError(f"not an event envelope: {error}") from error
    if raw.version > VERSION:
        raise UnknownVersionError(
            f"event {raw.id} has version {raw.version}; this release reads up to {VERSION}"
        )
    try:
        event_type = EventType(raw.type)
        data = _payload_decoders[event_type].decode(raw.data)
    except (ValueError, KeyError, msgspec.DecodeError) as error:
        raise UndecodableRecordError(f"event {raw.id} of type {raw.type!r}: {error}") from error
    if isinstance(data, Signal | CancelRequest):
        _check_length(data, len(value))
    return Envelope(
        id=raw.id,
        type=event_type,
        version=raw.version,
        ts=raw.ts,
        source=raw.source,
        account=raw.account,
        key=raw.key,
        correlation_id=raw.correlation_id,
        causation_id=raw.causation_id,
        data=data,
    )


def _check_length(payload: Signal | CancelRequest, size: int) -> None:
    """Refuse what could not be decided on: risk's word on it repeats its texts, and must fit a record itself."""
    if size > MAX_SIGNAL_BYTES:
        raise UndecodableRecordError(f"a signal of {size} bytes; at most {MAX_SIGNAL_BYTES} are taken")
    names = [payload.signal_id, payload.strategy_id, payload.strategy_uid, payload.symbol]
    if isinstance(payload, CancelRequest):
        names.append(payload.order_signal_id)
    longest = max(map(len, names))
    if longest > MAX_NAME or len(payload.reason) > MAX_REASON:
        raise UndecodableRecordError(
            f"a signal with a name of {longest} and a reason of {len(payload.reason)} characters; "
            f"at most {MAX_NAME} and {MAX_REASON} are taken"
        )


def decode_ticks(value: bytes) -> TickBatch:
    """Return the tick batch in `value`; errors as in `decode_event`."""
    try:
        batch = _tick_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableRecordError(f"not a tick batch: {error}") from error
    if batch.version > VERSION:
        raise UnknownVersionError(
            f"tick batch has version {batch.version}; this release reads up to {VERSION}"
        )
    return batch


def payload_hash(payload: Signal | CancelRequest) -> str:
    """Return SHA-256 (hex) of the payload: tells whether a known id came back with another content."""
    return hashlib.sha256(_json_encoder.encode(payload)).hexdigest()
