"""Bytes to records and back: JSON envelopes and MessagePack tick batches."""

import hashlib
from typing import Any, Final

import msgspec

from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import (
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
        UndecodableRecordError: not JSON, not an envelope, or `data` does not fit the type.

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
