"""The object that `--output json` prints."""

import json

from alpha_panda.compose.recorder import Recorder
from alpha_panda.compose.summary import summarize
from alpha_panda.contracts.enums import EventType, OrderStatus
from unit.compose.kit import SYMBOL, D, event, order, record, recorded, signal, snapshot, ticks

E = EventType


def test_the_object_by_hand() -> None:
    recorder = Recorder()
    for item in (
        ticks(1.0, 2.0),
        recorded(event(E.TRADING_SIGNAL, signal(), "s1")),
        recorded(event(E.ORDER_FILLED, order())),
        recorded(event(E.ORDER_PLACED, order("s2", OrderStatus.PLACED, "0"))),
        recorded(event(E.PORTFOLIO_SNAPSHOT, snapshot())),
        record("paper.signals.raw.dlq", b"x"),
    ):
        recorder(item)
    assert json.loads(summarize(recorder, 1.23456).as_json()) == {
        "ticks": 2,
        "signals": {"raw": 1, "validated": 0, "rejected": 0},
        "orders": {"submitted": 1, "filled": 1, "failed": 0, "cancelled": 0},
        "dlq": 1,
        "duration_seconds": 1.235,
        "accounts": {
            "paper": {
                "cash": "1940981.5775",
                "equity": "1999135.8357",
                "realized_pnl": "-22171.9",
                "unrealized_pnl": "30095.25",
                "fees": "12673.2143",
                "positions": {
                    SYMBOL: {"quantity": "7", "average_price": "2509.85"},
                    "NSE:TCS": {"quantity": "-12345", "average_price": "3962.8785714286"},
                },
            }
        },
    }


def test_numbers_are_never_in_powers_of_ten() -> None:
    recorder = Recorder()
    recorder(recorded(event(E.PORTFOLIO_SNAPSHOT, snapshot(cash=D("1E+6"), fees=D("1E-8")))))
    account = summarize(recorder, 0).accounts["paper"]
    assert (account.cash, account.fees) == ("1000000", "0.00000001")


def test_accounts_come_by_name() -> None:
    recorder = Recorder()
    for name in ("zeta", "alpha"):
        recorder(recorded(event(E.PORTFOLIO_SNAPSHOT, snapshot(), account=name)))
    assert list(summarize(recorder, 0).accounts) == ["alpha", "zeta"]
