import base64
import hashlib
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import EventType
from alpha_panda.domain import ids

LINEAGE = "0123456789abcdef0123456789abcdef"


def test_signal_id_is_uuid5_of_lineage_and_account_and_counter() -> None:
    assert ids.signal_id(LINEAGE, "paper", 7) == str(uuid5(UUID(LINEAGE), "paper:7"))


def test_signal_ids_differ_by_lineage_account_and_counter() -> None:
    other = "f" * 32
    found = {
        ids.signal_id(lineage, a, n) for lineage in (LINEAGE, other) for a in ("a", "b") for n in (1, 11)
    }
    assert len(found) == 8


def test_a_lineage_that_is_no_uuid_is_refused() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        ids.signal_id("momentum", "paper", 1)


def test_broker_tag_by_hand() -> None:
    # SHA-256("abc") = ba7816bf 8f01cfea 414140de 5d…; its first 90 bits in base32 are these 18 digits.
    assert ids.broker_tag("abc") == "apxj4bnp4pahh6uqkbid"
    assert base64.b32encode(hashlib.sha256(b"abc").digest()).decode().lower().startswith("xj4bnp4pahh6uqkbid")


@given(st.text())
def test_broker_tag_fits_brokers(text: str) -> None:
    tag = ids.broker_tag(text)
    assert len(tag) == 20
    assert tag.isascii()
    assert tag.isalnum()
    assert tag == tag.lower()
    assert ids.order_id(text) == tag


def test_event_id_is_the_same_for_the_same_revision_only() -> None:
    made = ids.event_id("s", EventType.ORDER_FILLED, 3)
    assert made == ids.event_id("s", EventType.ORDER_FILLED, 3)
    others = {
        ids.event_id("s", EventType.ORDER_FILLED, 4),
        ids.event_id("s", EventType.ORDER_PLACED, 3),
        ids.event_id("t", EventType.ORDER_FILLED, 3),
    }
    assert made not in others
    assert len(others) == 3


def test_ids_do_not_change_between_releases() -> None:
    """A re-emitted event must keep its id over an upgrade."""
    assert ids.event_id("s", EventType.ORDER_FILLED, 3) == "1bbc47f9-3993-5ae6-8bbb-a2b6fd24adc7"
    assert ids.closing_signal_id("paper", "uid", 1, 0) == "8fb3d223-fcd9-590a-a17c-708275f20b72"


def test_closing_ids_differ_by_all_they_name() -> None:
    made = [
        ids.closing_signal_id("a", "u", 1, 0),
        ids.closing_signal_id("b", "u", 1, 0),
        ids.closing_signal_id("a", "v", 1, 0),
        ids.closing_signal_id("a", "u", 2, 0),
        ids.closing_signal_id("a", "u", 1, 1),
    ]
    assert len(set(made)) == len(made)
