"""What may be concluded from what came over the wire (DESIGN section 4, "Outcome of the call")."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, Unanswered
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus
from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.testing.broker.api import (
    DEFINITE_REFUSALS,
    LONGEST_MESSAGE,
    OrderState,
    cancel_outcome,
    place_outcome,
)

from .orders import TOKEN, entry

TAKEN = b'{"order_id":"B0"}'


def error(code: str, message: str = "no") -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message}})


def test_an_order_with_an_id_is_placed() -> None:
    outcome = place_outcome(Answer(200, TAKEN))
    assert (outcome.state, outcome.broker_order_id) == (EntryState.PLACED, "B0")


def test_what_was_not_sent_failed_with_its_reason() -> None:
    outcome = place_outcome(NotSent(Code.BROKER_UNREACHABLE, "no connection"))
    told = (outcome.state, outcome.code, outcome.message)
    assert told == (EntryState.FAILED, Code.BROKER_UNREACHABLE, "no connection")


@pytest.mark.parametrize(("answer", "code"), DEFINITE_REFUSALS.items())
def test_the_brokers_own_refusals_are_failures(answer: tuple[int, str], code: Code) -> None:
    status, word = answer
    outcome = place_outcome(Answer(status, error(word)))
    assert (outcome.state, outcome.code) == (EntryState.FAILED, code)
    assert outcome.message == f"answer {status} {word}: no"


@pytest.mark.parametrize(
    "exchange",
    [
        Unanswered("no answer in time"),
        Answer(200, b""),
        Answer(200, b"{}"),
        Answer(200, b'{"order_id":""}'),
        Answer(200, b'{"order_id":7}'),
        Answer(200, b"\xff\xfe"),
        Answer(201, TAKEN),
        Answer(204, b""),
        Answer(302, b""),
        Answer(400, b"bad request"),
        Answer(400, error("WHAT_IS_THIS")),
        Answer(400, error("INVALID_ORDER", "gateway timed out")),
        Answer(403, error("INVALID_ORDER")),
        Answer(429, b"slow down"),
        Answer(500, error("INVALID_ORDER")),
        Answer(502, b"<html>bad gateway</html>"),
        Answer(504, error("RATE_LIMITED")),
    ],
    ids=str,
)
def test_all_else_leaves_the_order_in_doubt(exchange: Exchange) -> None:
    outcome = place_outcome(exchange)
    assert (outcome.state, outcome.code, outcome.broker_order_id) == (EntryState.UNKNOWN, None, "")


@given(st.integers(100, 599), st.binary(max_size=40))
def test_no_answer_that_is_not_on_the_list_is_a_refusal(status: int, body: bytes) -> None:
    assert place_outcome(Answer(status, body)).state is EntryState.UNKNOWN


def test_a_long_message_is_cut() -> None:
    outcome = place_outcome(Answer(400, error("INVALID_ORDER", "x" * 1000)))
    assert len(outcome.message) == LONGEST_MESSAGE


RESTS = entry(state=EntryState.PARTIALLY_FILLED, broker_order_id="B0", filled_quantity=Decimal(2))


def state_of(status: OrderStatus, filled: int, broker_order_id: str = "B0") -> bytes:
    row = BrokerRow(
        broker_order_id=broker_order_id,
        tag=RESTS.tag,
        instrument_token=TOKEN,
        side="BUY",
        quantity=Decimal(10),
        status=status,
        filled_quantity=Decimal(filled),
        average_price=Decimal(100),
    )
    return msgspec.json.encode(OrderState(row))


def test_a_cancelled_order_keeps_what_it_has_filled() -> None:
    outcome = cancel_outcome(RESTS, Answer(200, state_of(OrderStatus.CANCELLED, 3)))
    assert (outcome.state, outcome.filled_quantity) == (EntryState.CANCELLED, 3)


@pytest.mark.parametrize(
    "exchange",
    [
        NotSent(Code.BROKER_UNREACHABLE, ""),
        Unanswered(""),
        Answer(200, b"?"),
        Answer(500, state_of(OrderStatus.CANCELLED, 3)),
        Answer(404, error("UNKNOWN_ORDER")),
        Answer(200, state_of(OrderStatus.CANCELLED, 3, "another")),
    ],
    ids=str,
)
def test_a_cancel_without_a_clear_answer_changes_nothing(exchange: Exchange) -> None:
    outcome = cancel_outcome(RESTS, exchange)
    told = (outcome.state, outcome.filled_quantity, outcome.broker_order_id)
    assert told == (EntryState.PARTIALLY_FILLED, 2, "B0")
