import base64
import struct
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from alpha_panda.adapters.zerodha.frames import Columns, Kind, Row, is_heartbeat, packets, parse
from unit.adapters.zerodha.frame_kit import (
    BCD_FUTURE,
    INFY,
    NCO_FUTURE,
    NIFTY_50,
    USDINR,
    frame,
    full,
    index_full,
    index_quote,
    ltp,
    quote,
)

official = KiteTicker("key", "token")._parse_binary
TIMES = ("exchange_timestamp", "last_trade_time")

# Recorded packets that Zerodha publishes: zerodha/kiteconnect-mocks, ticker_full.packet and ticker_quote.packet.
RECORDED_FULL = (
    "AAY6AQACZroAAAAHAAJlbQASMhcAA+m7AAWKAQACZPMAAmc8AAJhyQACZGxg4pR/AAAAAAAAAAAAAAAAYOKUfwAAAAUAAmacAAEAAAAAAIwAAmZ0"
    "AAIAAAAAAAIAAmZvAAEAAAAAANsAAmZqAAcAAAAAADIAAmZlAAEAAAAAAKwAAma6AAMAAAAAACwAAma/AAMAAAAAAS4AAmbJAAMAAAAAAI0AAmbO"
    "AAIAAAAAAtQAAmbTAAUAAA=="
)
RECORDED_QUOTE = "AAY6AQACZoMAAAABAAJlaQAR8bIAA+n/AAWANwACZPMAAmc8AAJhyQACZGw="

# Where a packet has prices, which are signed here and unsigned in the official client.
PRICES = {
    Kind.LTP: (4,),
    Kind.INDEX_QUOTE: (4, 8, 12, 16, 20, 24),
    Kind.INDEX_FULL: (4, 8, 12, 16, 20, 24),
    Kind.QUOTE: (4, 12, 28, 32, 36, 40),
    Kind.FULL: (4, 12, 28, 32, 36, 40, *range(68, 184, 12)),
}


@st.composite
def generated_packets(draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind)) -> bytes:
    """Any bytes of a known length whose prices are below 2^31."""
    kind = draw(st.sampled_from(kinds))
    made = bytearray(draw(st.binary(min_size=kind, max_size=kind)))
    made[3] = draw(st.sampled_from((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, made[3])))
    for at in PRICES[kind]:
        made[at] &= 0x7F
    return bytes(made)


def as_official(shown: dict[str, Any]) -> dict[str, Any]:
    """With the official client's times: local, without a zone."""
    times = {name: shown[name].astimezone().replace(tzinfo=None) for name in TIMES if name in shown}
    return {**shown, **times}


def rows(frame: bytes) -> list[Row]:
    return list(parse(frame).rows())


class TestAgainstTheOfficialClient:
    @given(st.lists(generated_packets(), max_size=12))
    def test_every_field_of_every_kind_of_packet_is_read_as_it_reads_it(self, made: list[bytes]) -> None:
        data = frame(*made)
        assert [as_official(shown) for shown in packets(data)] == official(data)

    @given(
        st.lists(generated_packets(), max_size=12) | st.lists(generated_packets((Kind.FULL,)), max_size=12)
    )
    def test_the_columns_of_a_feed_hold_the_same(self, made: list[bytes]) -> None:
        data = frame(*made)
        expected = [
            (
                one["instrument_token"],
                one["last_price"],
                one.get("volume_traded", 0),
                best(one, "buy"),
                best(one, "sell"),
                stamp(one),
            )
            for one in official(data)
        ]
        assert [tuple(row)[1:] for row in rows(data)] == expected
        assert [row.kind for row in rows(data)] == [len(one) for one in made]

    def test_recorded_packets_are_read_as_it_reads_them(self) -> None:
        data = frame(*(base64.b64decode(text) for text in (RECORDED_FULL, RECORDED_QUOTE)))
        assert [as_official(shown) for shown in packets(data)] == official(data)
        assert rows(data) == [
            Row(Kind.FULL, INFY, 1573.7, 1192471, 1573.4, 1573.7, 1625461887),
            Row(Kind.QUOTE, INFY, 1573.15, 1175986, None, None, 0),
        ]

    @pytest.mark.parametrize("size", [0, 1, 2])
    def test_what_it_takes_for_a_heartbeat_has_no_row(self, size: int) -> None:
        data = bytes(size)
        assert official(data) == [] == packets(data)
        assert parse(data) == Columns()

    def test_packets_of_unknown_length_are_left_out_by_both_and_counted_here(self) -> None:
        data = frame(ltp(INFY, 100), bytes(12), quote(INFY, 200))
        assert [one["last_price"] for one in official(data)] == [1.0, 2.0]
        assert parse(data).prices == [1.0, 2.0]
        assert [one["last_price"] for one in packets(data)] == [1.0, 2.0]
        assert parse(data).bad == 1

    def test_3000_full_packets_take_less_than_a_third_of_its_time(self) -> None:
        data = frame(*(full(256 * number + 1, 10_000 + number, stamp=1) for number in range(3000)))
        assert fastest(parse, data) * 3 < fastest(official, data)


class TestWhereItDiffers:
    @pytest.mark.parametrize("others", [(), (bytes(12),)])
    @pytest.mark.parametrize("made", [ltp, quote, full, index_full, index_quote])
    def test_in_no_packet_is_a_price_unsigned(self, made: Any, others: tuple[bytes, ...]) -> None:
        data = frame(made(INFY, -3763), *others)
        assert parse(data).prices == [-37.63]
        (shown,) = packets(data)
        assert shown["last_price"] == -37.63
        assert all(price == -37.63 for price in shown.get("ohlc", {}).values())

    def test_a_price_below_zero_is_below_zero(self) -> None:
        data = frame(ltp(INFY, -3763))
        assert parse(data).prices == [-37.63] == [one["last_price"] for one in packets(data)]
        assert official(data)[0]["last_price"] == pytest.approx(42949635.33)

    def test_a_packet_cut_short_is_not_taken_for_a_smaller_kind(self) -> None:
        cut = struct.pack(">HH", 1, Kind.FULL) + quote(INFY, 100)
        assert official(cut)[0]["mode"] == "quote"
        assert packets(cut) == []
        assert (len(parse(cut)), parse(cut).bad) == (0, 1)

    def test_times_are_utc(self) -> None:
        stamped = packets(frame(index_full(NIFTY_50, 100, 1_700_000_000)))[0]["exchange_timestamp"]
        assert stamped == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)

    @given(st.binary(max_size=600))
    def test_no_bytes_make_it_raise(self, data: bytes) -> None:
        parsed = parse(data)
        assert len({len(column) for column in columns_of(parsed)}) == 1
        assert len(packets(data)) == len(parsed)

    @given(st.lists(generated_packets(), min_size=1, max_size=6), st.data())
    def test_whatever_is_cut_off_the_packets_before_it_are_read(
        self, made: list[bytes], data: st.DataObject
    ) -> None:
        whole = frame(*made)
        end = data.draw(st.integers(5, len(whole)))
        ends = [0, *(2 + sum(len(one) + 2 for one in made[: count + 1]) for count in range(len(made)))]
        complete = sum(before < after <= end for before, after in pairwise(ends))
        parsed = parse(whole[:end])
        assert columns_of(parsed) == tuple(column[:complete] for column in columns_of(parse(whole)))
        assert bool(parsed.bad) == (end < len(whole))


class TestRows:
    def test_each_segment_has_its_divisor(self) -> None:
        tokens = (INFY, USDINR, BCD_FUTURE, NCO_FUTURE, NIFTY_50, 256 * 7 + 250)
        data = frame(*(ltp(token, 835_000_000) for token in tokens))
        assert parse(data).prices == [8_350_000, 83.5, 83_500, 83_500, 8_350_000, 8_350_000]

    @pytest.mark.parametrize("others", [(), (ltp(INFY, 1),)])
    def test_the_best_bid_and_ask_are_told_and_an_empty_side_is_none(self, others: tuple[bytes, ...]) -> None:
        data = frame(
            full(INFY, 150_000, 7, 99, bids=((5, 149_995, 1), (9, 149_990, 2)), asks=((4, 150_005, 1),)),
            full(INFY, 150_000, 8, 99, asks=((4, 150_010, 1),)),
            full(INFY, -5, 9, 99, bids=((4, -10, 1),)),
            *others,
        )
        first, second, third, *_ = rows(data)
        assert first == Row(Kind.FULL, INFY, 1500.0, 7, 1499.95, 1500.05, 99)
        assert second == Row(Kind.FULL, INFY, 1500.0, 8, None, 1500.1, 99)
        assert third == Row(Kind.FULL, INFY, -0.05, 9, -0.1, None, 99)

    def test_a_frame_as_long_as_one_of_full_packets_may_hold_others(self) -> None:
        data = frame(full(INFY, 1), quote(INFY, 1), bytes(324))
        assert len(data) == len(frame(*[full(INFY, 1)] * 3))
        assert [row.kind for row in rows(data)] == [Kind.FULL, Kind.QUOTE]
        assert parse(data).bad == 1

    def test_a_heartbeat_is_told_from_a_frame(self) -> None:
        assert is_heartbeat(b"\x00")
        assert not is_heartbeat(frame(ltp(INFY, 1)))


def best(shown: dict[str, Any], side: str) -> float | None:
    if "depth" not in shown or not shown["depth"][side][0]["quantity"]:
        return None
    price: float = shown["depth"][side][0]["price"]
    return price


def stamp(shown: dict[str, Any]) -> int:
    moment = shown.get("exchange_timestamp")
    return round(moment.timestamp()) if moment else 0


def columns_of(parsed: Columns) -> tuple[list[Any], ...]:
    return (
        *(parsed.kinds, parsed.tokens, parsed.prices, parsed.volumes),
        *(parsed.bids, parsed.asks, parsed.stamps),
    )


def fastest(read: Any, data: bytes) -> float:
    def once() -> float:
        begun = time.perf_counter()
        read(data)
        return time.perf_counter() - begun

    return min(once() for _ in range(5))
