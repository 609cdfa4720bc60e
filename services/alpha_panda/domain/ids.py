"""Ids that follow from what they name: the same signal or event always gets the same one, whoever computes it."""

import base64
import hashlib
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from alpha_panda.contracts.enums import EventType

TAG_PREFIX: Final = "ap"
TAG_DIGITS: Final = 18
"""Brokers take tags of up to 20 letters and digits; 18 base32 digits are 90 bits of the hash."""

_EVENTS: Final = UUID("6a0f3f0e-53d0-5f43-9d0c-3f1d5a1be2c7")
_CLOSINGS: Final = UUID("b1b8c0f5-7a55-5b0e-8f55-0d9a2f4c6e91")


def signal_id(lineage: str, account: str, n: int) -> str:
    """Return the id of a strategy's n-th signal on an account: UUIDv5(lineage, "account:n").

    `lineage` is a UUID or 32 hex digits, one per life of the strategy's store; ValueError for anything else.
    """
    return str(uuid5(UUID(lineage), f"{account}:{n}"))


def closing_signal_id(account: str, strategy_uid: str, instrument_token: int, n: int) -> str:
    """Return the id of risk's n-th closing signal (Flatten) for a strategy's position.

    `n` counts the closing decisions that are stored, so that a restart doesn't make a second id for one step.
    """
    return str(uuid5(_CLOSINGS, f"{account}:{instrument_token}:{n}:{strategy_uid}"))


@lru_cache(maxsize=4096)  # asked for at each step of an order's life
def broker_tag(signal_id: str) -> str:
    """Return the tag that the broker's order carries: "ap" and 18 characters of lower-case base32(SHA-256(id))."""
    digest = hashlib.sha256(signal_id.encode()).digest()
    return TAG_PREFIX + base64.b32encode(digest).decode("ascii").lower()[:TAG_DIGITS]


def order_id(signal_id: str) -> str:
    """Return our id of the order that a signal causes: its broker tag."""
    return broker_tag(signal_id)


def event_id(signal_id: str, event_type: EventType, revision: int) -> str:
    """Return the id of an event about a signal or its order; the same revision re-emitted has the same id."""
    return str(uuid5(_EVENTS, f"{signal_id}:{event_type.value}:{revision}"))
