"""Who is refused as a caller calls less and less often, until the broker says anything else."""

import json

import pytest

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, Unanswered
from alpha_panda.adapters.zerodha.restraint import LONGEST, Restraint
from alpha_panda.contracts.codes import Code

from .rest_kit import SECOND, StillClock

ADDRESS = "IP (192.0.2.1) is not allowed to place orders for this app. Update allowed IPs on the console."


def answer(status: int, error_type: str = "NetworkException", message: str = "Too many requests") -> Answer:
    told = {"status": "error", "error_type": error_type, "message": message}
    return Answer(status, json.dumps(told).encode())


FINE = Answer(200, b'{"status":"success","data":[]}')


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (answer(429), Code.RATE_LIMIT),
        (Answer(429, b"<html>429 Too Many Requests</html>"), Code.RATE_LIMIT),
        (answer(403, "PermissionException", ADDRESS), Code.EGRESS_IP_REFUSED),
    ],
)
def test_a_refused_caller_waits_and_is_told_why(refusal: Answer, code: Code) -> None:
    clock = StillClock()
    restraint = Restraint(clock)
    assert restraint.held() is None
    restraint.heed(refusal)
    held = restraint.held()
    assert isinstance(held, NotSent)
    assert held.code is code
    assert "nothing was sent" in held.message
    clock.time += SECOND
    assert restraint.held() is None


@pytest.mark.parametrize(
    "exchange",
    [
        FINE,
        answer(403, "TokenException", "Incorrect `api_key` or `access_token`."),
        answer(403, "PermissionException", "Insufficient permission for that call."),
        answer(400, "InputException", "Too many requests"),
        Answer(403, b"{"),
        Unanswered("no answer in time"),
        NotSent(Code.BROKER_UNREACHABLE, "no connection"),
    ],
)
def test_what_else_is_refused_holds_nobody(exchange: Exchange) -> None:
    restraint = Restraint(StillClock())
    restraint.heed(exchange)
    assert restraint.held() is None


def test_each_further_refusal_doubles_the_pause_up_to_a_limit() -> None:
    clock = StillClock()
    restraint = Restraint(clock)
    pauses = []
    for _ in range(8):
        restraint.heed(answer(429))
        begun = clock.time
        while restraint.held() is not None:
            clock.time += SECOND // 4
        pauses.append((clock.time - begun) // SECOND)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert LONGEST == 30 * SECOND


def test_calls_under_way_together_are_refused_once() -> None:
    clock = StillClock()
    restraint = Restraint(clock)
    for _ in range(8):
        restraint.heed(answer(429))
    restraint.heed(FINE)  # this one had left before
    assert restraint.held() is not None
    clock.time += SECOND
    assert restraint.held() is None


@pytest.mark.parametrize(("exchange", "pause"), [(FINE, 1), (answer(400), 1), (Unanswered("x"), 2)])
def test_any_other_answer_ends_it_silence_does_not(exchange: Exchange, pause: int) -> None:
    clock = StillClock()
    restraint = Restraint(clock)
    restraint.heed(answer(429))
    clock.time += SECOND
    restraint.heed(exchange)
    restraint.heed(answer(429))
    clock.time += pause * SECOND - 1
    assert restraint.held() is not None
    clock.time += 1
    assert restraint.held() is None
