"""What the recorder counts, and the lines of the events file."""

import io
import json
from typing import Any

import pytest

from alpha_panda.compose.recorder import Recorder
from alpha_panda.contracts.enums import EventType, OrderStatus
from alpha_panda.ports import Record
from unit.compose.kit import (
    TS,
    D,
    cancel,
    event,
    order,
    record,
    recorded,
    rejected,
    signal,
    snapshot,
    ticks,
    validated,
)

E = EventType


def lines_of(*records: Record) -> list[dict[str, Any]]:
    file = io.BytesIO()
    recorder = Recorder(file)
    for item in records:
        recorder(item)
    return [json.loads(line) for line in file.getvalue().splitlines()]


def counted(*records: Record) -> Recorder:
    recorder = Recorder()
    for item in records:
        recorder(item)
    return recorder


def test_ticks_are_counted_and_the_feed_s_last_moment_kept() -> None:
    recorder = counted(ticks(1.0, 2.0), ticks(3.0, ts=TS + 5), ticks(1.0, feed="other"))
    assert recorder.counts.ticks == 4
    assert recorder.last_tick_ts == {"demo": TS + 5, "other": TS}
    assert recorder.records == 3


def test_counts_are_of_distinct_ids() -> None:
    raw = recorded(event(E.TRADING_SIGNAL, signal(), "s1"))
    asked = recorded(event(E.CANCEL_REQUEST, cancel(), "c1"))
    passed = recorded(event(E.VALIDATED_SIGNAL, validated(signal()), "v1"))
    refused = recorded(event(E.REJECTED_SIGNAL, rejected(signal("s2")), "r1"))
    counts = counted(raw, raw, asked, passed, passed, refused, refused).counts
    assert (len(counts.raw), len(counts.validated), len(counts.rejected)) == (2, 1, 1)


def test_an_order_with_any_fill_counts_as_filled_once_whatever_its_end() -> None:
    part = order(status=OrderStatus.PARTIALLY_FILLED, filled="4")
    told = [
        recorded(event(E.ORDER_PLACED, order(status=OrderStatus.PLACED, filled="0"), "p")),
        recorded(event(E.ORDER_FILLED, part, "f1")),
        recorded(event(E.ORDER_FILLED, part, "f1")),
        recorded(event(E.ORDER_CANCELLED, order(status=OrderStatus.CANCELLED, filled="4"), "x")),
        recorded(event(E.ORDER_CANCELLED, order("s2", OrderStatus.CANCELLED, "0"), "y")),
        recorded(event(E.ORDER_FAILED, order("s3", OrderStatus.FAILED, "0"), "z")),
    ]
    counts = counted(*told).counts
    assert (counts.submitted, counts.filled) == ({"s1"}, {"s1"})
    assert (counts.cancelled, counts.failed) == ({"s1", "s2"}, {"s3"})


def test_orders_of_others_count_by_the_broker_s_id() -> None:
    told = [order("", external=True, broker_order_id=name) for name in ("b1", "b2", "b1")]
    counts = counted(*(recorded(event(E.ORDER_FILLED, item)) for item in told)).counts
    assert counts.filled == {"external:b1", "external:b2"}


def test_the_last_book_of_each_account_is_kept() -> None:
    first, last = snapshot(open_orders=1), snapshot(open_orders=2)
    recorder = counted(
        recorded(event(E.PORTFOLIO_SNAPSHOT, first)),
        recorded(event(E.PORTFOLIO_SNAPSHOT, last)),
        recorded(event(E.PORTFOLIO_SNAPSHOT, first, account="other")),
    )
    assert {name: book.open_orders for name, book in recorder.portfolios.items()} == {"paper": 2, "other": 1}


def test_the_recent_events_are_few() -> None:
    recorder = counted(*(recorded(event(E.TRADING_SIGNAL, signal(), f"s{n}")) for n in range(200)))
    assert [item.id for item in recorder.recent][-1] == "s199"
    assert len(recorder.recent) <= 50


def test_an_event_line_is_the_envelope_as_sent_and_its_place() -> None:
    told = recorded(event(E.TRADING_SIGNAL, signal(), "s1"), "paper.signals.raw", 7)
    (line,) = lines_of(told)
    place = {name: line.pop(name) for name in ("topic", "partition", "offset")}
    assert place == {"topic": "paper.signals.raw", "partition": 0, "offset": 7}
    assert line == json.loads(told.value)


def test_a_book_that_prices_have_moved_counts_but_is_no_recent_event() -> None:
    """There is one each second: fills and refusals would be gone from the live view before they are read."""
    moved = [
        recorded(event(EventType.PORTFOLIO_SNAPSHOT, snapshot(reason=reason, equity=D(n))))
        for n, reason in enumerate(["change", "prices", "prices; no price, valued at average: NSE:TCS"])
    ]
    recorder = counted(*moved)
    assert [item.data.reason for item in recorder.recent] == ["change"]  # type: ignore[union-attr]
    assert recorder.portfolios["paper"].equity == 2


def test_a_tick_line_is_called_by_its_place_and_leaves_out_what_a_tick_lacks() -> None:
    (line,) = lines_of(ticks(2500.05, offset=3))
    assert (line["id"], line["type"], line["ts"]) == ("demo.market.ticks/0/3", "MARKET_TICKS", TS)
    assert line["data"] == {
        "feed": "demo",
        "mode": "simulated",
        "feed_epoch": 1,
        "ticks": [{"token": 1, "last_price": 2500.05, "ts": TS, "seq": 1, "volume": 0.0}],
    }


def test_a_dead_letter_is_counted_and_written_with_its_bytes_and_headers() -> None:
    dead = record("paper.signals.raw.dlq", b"\xff{broken", 2, headers=(("code", b"UNDECODABLE"),))
    assert counted(dead).counts.dlq == 1
    (line,) = lines_of(dead)
    assert line["type"] == "DEAD_LETTER"
    assert line["data"] == {"value": "\ufffd{broken", "headers": {"code": "UNDECODABLE"}}
    assert (line["topic"], line["partition"], line["offset"]) == ("paper.signals.raw.dlq", 0, 2)


@pytest.mark.parametrize("topic", ["paper.signals.raw", "demo.market.ticks"])
def test_a_record_that_can_not_be_read_stops_nothing_and_is_written(topic: str) -> None:
    broken = record(topic, b"not ours")
    assert counted(broken).counts.ticks == 0
    (line,) = lines_of(broken)
    assert line["data"]["value"] == "not ours"


class Full(io.BytesIO):
    def write(self, _data: object) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_file_that_can_not_be_written_is_told_once_and_no_sender_s_fault() -> None:
    told = []
    recorder = Recorder(Full(), on_write_error=lambda: told.append("full"))
    recorder(ticks(1.0))
    recorder(ticks(2.0))
    recorder.flush()
    assert told == ["full"]
    assert recorder.counts.ticks == 2
    assert recorder.write_error is not None
    assert recorder.write_error.strerror == "No space left on device"


def test_what_fails_only_when_flushed_is_kept_as_well() -> None:
    recorder = Recorder(Full())
    recorder.flush()
    assert recorder.write_error is not None
