"""What is concluded from an answer: FAILED by the list alone, all else UNKNOWN."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, Unanswered
from alpha_panda.adapters.zerodha.answers import (
    DEFINITE_REFUSALS,
    data_of,
    items_of,
    place_outcome,
    problem_of,
)
from alpha_panda.adapters.zerodha.wire import Profile
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.testing.kite import faults

from .rest_kit import error, success

F, U, P = EntryState.FAILED, EntryState.UNKNOWN, EntryState.PLACED

REFUSED = [
    (error(400, "InputException", "Invalid `price`."), Code.BROKER_REJECTED),
    (error(400, "OrderException", "Couldn't place the order."), Code.BROKER_REJECTED),
    (error(400, "MarginException", "RMS: rule"), Code.INSUFFICIENT_FUNDS),
    (
        error(400, "InputException", "Insufficient funds. Required margin is 9 but 8."),
        Code.INSUFFICIENT_FUNDS,
    ),
    (error(400, "HoldingException", "Not enough holdings."), Code.BROKER_REJECTED),
    (error(428, "HoldingException", "Holdings authorisation required."), Code.BROKER_REJECTED),
    (error(403, "TokenException", "Incorrect `api_key` or `access_token`."), Code.ACCESS_TOKEN_EXPIRED),
    (error(403, "PermissionException", "Insufficient permission for that call."), Code.BROKER_REJECTED),
    (error(403, "PermissionException", faults.IP_UNKNOWN), Code.EGRESS_IP_REFUSED),
    (error(403, "PermissionException", faults.IP_REFUSED.format("192.0.2.1")), Code.EGRESS_IP_REFUSED),
    (error(403, "PermissionException", faults.IP_REFUSED.format("2001:db8::1")), Code.EGRESS_IP_REFUSED),
    (error(400, "InputException", faults.IP_REFUSED.format("192.0.2.1")), Code.EGRESS_IP_REFUSED),
    (error(429, "NetworkException", "Too many requests"), Code.RATE_LIMIT),
    (error(400, "InputException", "Maximum allowed order requests exceeded"), Code.RATE_LIMIT),
]


@pytest.mark.parametrize(("answer", "code"), REFUSED, ids=lambda item: str(item)[:60])
def test_a_refusal_of_the_list_is_definite(answer: Answer, code: Code) -> None:
    outcome = place_outcome(answer)
    assert (outcome.state, outcome.code) == (F, code)
    assert str(answer.status) in outcome.message


UNSURE = [
    error(400, "InputException", faults.TIMED_OUT),
    error(400, "OrderException", "Request timed-out"),
    error(400, "OrderException", "Please check the order book."),
    error(400, "InputException", "Order cannot be placed as it is being processed. Try later."),
    error(400, "OrderException", "Unable to confirm the order with the exchange"),
    error(400, "OrderException", "Connection to the OMS was lost"),
    error(400, "InputException", ""),
    error(400, "GeneralException", "Something is wrong"),
    error(400, "NetworkException", "no route"),
    error(400, "", "no type"),
    error(403, "InputException", "?"),
    error(404, "GeneralException", "Route not found"),
    error(409, "InputException", "conflict"),
    error(429, "NetworkException", "request timed out"),
    error(500, "OrderException", "Couldn't place the order."),
    error(500, "InputException", "Invalid `price`."),
    error(502, "InputException", "Invalid `price`."),
    error(503, "NetworkException", "Request failed (kitetrade-oms)."),
    error(504, "NetworkException", "request 7f3a timed out"),
    error(503, "TokenException", "Incorrect `access_token`."),
    error(200, "InputException", "Invalid `price`."),
    success({"order_id": "1"}, status=500),
    success({"order_id": "1"}, status=201),
    success({"order_id": "1"}, status=302),
    success(None),
    success({}),
    success({"order_id": ""}),
    success({"order_id": None}),
    success([]),
    Answer(200, b""),
    Answer(200, b"[]"),
    Answer(200, b'{"order_id":"1"}'),
    Answer(200, faults.GARBAGE.encode()),
    Answer(400, b'{"status":"error","message":"Something is wrong"}'),
    Answer(400, b'{"status":"success","message":"Invalid","error_type":"InputException"}'),
    Answer(403, b"Forbidden"),
    Answer(429, b"Too many requests"),
    Answer(502, faults.BAD_GATEWAY.encode()),
    Answer(504, b""),
    Unanswered("no answer in time"),
]


@pytest.mark.parametrize("exchange", UNSURE, ids=lambda item: str(item)[:70])
def test_everything_else_leaves_the_order_in_doubt(exchange: Exchange) -> None:
    outcome = place_outcome(exchange)
    assert (outcome.state, outcome.code, outcome.broker_order_id) == (U, None, "")


def test_an_order_with_an_id_is_placed() -> None:
    outcome = place_outcome(success({"order_id": "1953341975595868160"}))
    assert (outcome.state, outcome.broker_order_id) == (P, "1953341975595868160")
    assert place_outcome(success({"order_id": "1", "children": []})).state is P


@pytest.mark.parametrize(
    "code", [Code.BROKER_UNREACHABLE, Code.SEND_DEADLINE_PASSED, Code.ACCESS_TOKEN_EXPIRED]
)
def test_what_was_not_sent_has_failed(code: Code) -> None:
    outcome = place_outcome(NotSent(code, "why"))
    assert (outcome.state, outcome.code, outcome.message) == (F, code, "why")


@given(
    status=st.integers(100, 599),
    kind=st.sampled_from(sorted({kind for _, kind in DEFINITE_REFUSALS})) | st.text(max_size=20),
    message=st.text(max_size=60),
    envelope=st.sampled_from(["error", "success", "", "ERROR"]),
)
def test_nothing_outside_the_list_ever_fails_an_order(
    status: int, kind: str, message: str, envelope: str
) -> None:
    body = json.dumps({"status": envelope, "message": message, "error_type": kind}).encode()
    outcome = place_outcome(Answer(status, body))
    if outcome.state is F:
        assert (status, kind) in DEFINITE_REFUSALS
        assert envelope == "error"
    assert outcome.state is not P
    assert len(outcome.message) <= 200


@given(st.binary(max_size=200), st.sampled_from([200, 400, 403, 429, 500]))
def test_no_bytes_are_an_error(body: bytes, status: int) -> None:
    answer = Answer(status, body)
    assert place_outcome(answer).state in (U, P, F)
    assert isinstance(problem_of(answer), str)
    assert items_of(answer) is None or status == 200


@pytest.mark.parametrize(
    ("exchange", "items"),
    [
        (success([]), []),
        (success(None), []),
        (success([1, {"a": 2}]), [b"1", b'{"a": 2}']),
        (success({}), None),
        (success([], status=500), None),
        (error(200, "X", "y"), None),
        (Answer(200, b'{"status":"success"}'), []),
        (Unanswered("x"), None),
        (NotSent(Code.RATE_LIMIT, "x"), None),
    ],
    ids=str,
)
def test_a_list_is_read_item_by_item(exchange: Exchange, items: list[bytes] | None) -> None:
    found = items_of(exchange)
    assert (None if found is None else [bytes(item) for item in found]) == items


def test_data_of_another_shape_are_none() -> None:
    assert data_of(success({"user_id": "AB1234"}), Profile) == Profile("AB1234")
    for other in (success({}), success([]), success({"user_id": 1}), error(403, "TokenException", "x")):
        assert data_of(other, Profile) is None


def test_a_message_is_short_and_one_line() -> None:
    outcome = place_outcome(error(400, "InputException", "a\nb\x00" + "x" * 1000))
    assert len(outcome.message) == 200
    assert outcome.message.isprintable()


def test_deeply_nested_json_is_no_error() -> None:
    body = b'{"status":"success","data":' + b"[" * 100_000
    assert place_outcome(Answer(200, body)).state is U
    nested: Any = msgspec.Raw(b"[" * 50_000 + b"]" * 50_000)
    assert place_outcome(Answer(200, b'{"status":"success","data":' + bytes(nested) + b"}")).state is U
