"""Frames: their bytes, worked out by hand; the official parser's word on them is in tests/integration/kite."""

import struct
from datetime import date
from decimal import Decimal

import pytest

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.kite.instruments import NIFTY_50, RELIANCE, instruments
from alpha_panda.testing.kite.market import Market
from alpha_panda.testing.kite.ticks import HEARTBEAT, STRANGE, Mode, frame, packet
from alpha_panda.testing.virtual_time import START

from .desk_kit import DAY


@pytest.fixture
def market() -> Market:
    market = Market(instruments(date.fromisoformat(DAY)))
    market.set_price(RELIANCE, Decimal("1405.55"), START, quantity=7)
    market.set_price(RELIANCE, Decimal("1395.5"), START + SECOND_NS, quantity=3)
    market.set_price(NIFTY_50, Decimal("24100.5"), START)
    return market


@pytest.mark.parametrize(("mode", "length"), [("ltp", 8), ("quote", 44), ("full", 184)])
def test_a_tradable_instruments_packets_have_their_lengths(market: Market, mode: Mode, length: int) -> None:
    quote = market.quotes[RELIANCE]
    body = packet(quote, mode)
    assert len(body) == length
    assert struct.unpack_from(">Ii", body) == (RELIANCE, 139_550)
    assert packet(quote, "full").startswith(packet(quote, "quote"))


@pytest.mark.parametrize(("mode", "length"), [("ltp", 8), ("quote", 28), ("full", 32)])
def test_an_indexs_packets_have_other_lengths(market: Market, mode: Mode, length: int) -> None:
    body = packet(market.quotes[NIFTY_50], mode)
    assert len(body) == length
    fields = (NIFTY_50, 2_410_050, 2_410_050, 2_400_000, 2_400_000, 2_400_000, 10_050, START // SECOND_NS)
    assert struct.unpack(f">{length // 4}I", body) == fields[: length // 4]


def test_a_full_packet_holds_every_field_at_its_place(market: Market) -> None:
    body = packet(market.quotes[RELIANCE], "full")
    seconds = START // SECOND_NS + 1
    average = (140_555 * 7 + 139_550 * 3) // 10
    assert struct.unpack_from(">16I", body) == (
        RELIANCE, 139_550, 3, average, 10, 80, 80, 140_000, 140_555, 139_550, 140_000, seconds, 0, 0, 0, seconds,
    )  # fmt: skip
    levels = [struct.unpack_from(">IIH2x", body, 64 + 12 * n) for n in range(10)]
    prices = [price for _, price, _ in levels]
    assert prices[:5] == [139_550, 139_545, 139_540, 139_535, 139_530]
    assert prices[5:] == [139_555, 139_560, 139_565, 139_570, 139_575]
    assert all(quantity and orders for quantity, _, orders in levels)


def test_prices_have_the_divisor_of_their_segment(market: Market) -> None:
    units = {
        quote.instrument.exchange: quote.last for quote in market.quotes.values() if quote.instrument.tradable
    }
    assert (units["CDS"], units["BCD"], units["NCO"]) == (865_025_000, 864_975, 53_000_000)
    assert (units["MCX"], units["BFO"]) == (540_000, 7_930_000)


def test_a_negative_price_is_written_as_one(market: Market) -> None:
    market.quotes[RELIANCE].last = -3763
    assert struct.unpack_from(">i", packet(market.quotes[RELIANCE], "ltp"), 4) == (-3763,)


def test_a_frame_counts_its_packets(market: Market) -> None:
    parts = [packet(market.quotes[RELIANCE], "full"), packet(market.quotes[NIFTY_50], "ltp")]
    body = frame(parts)
    assert struct.unpack_from(">HH", body) == (2, 184)
    assert struct.unpack_from(">H", body, 4 + 184) == (8,)
    assert len(body) == 2 + 2 + 184 + 2 + 8
    assert frame([]) == b"\x00\x00"
    assert len(HEARTBEAT) == 1
    assert struct.unpack_from(">HH", STRANGE) == (1, len(STRANGE) - 4)


def test_the_walk_is_the_same_for_a_seed_and_stays_on_the_grid() -> None:
    day = date.fromisoformat(DAY)
    first, second, other = (Market(instruments(day), seed) for seed in (1, 1, 2))
    moved = [market.walk(500, START) for market in (first, second, other)]
    assert moved[0] == moved[1] != moved[2]
    prices = [[quote.last for quote in market.quotes.values()] for market in (first, second, other)]
    assert prices[0] == prices[1] != prices[2]
    for quote in first.quotes.values():
        assert (quote.last - quote.open) % quote.tick == 0
        assert quote.low <= quote.last <= quote.high
    assert set(first.walk(50, START, [RELIANCE])) == {RELIANCE}
    assert first.walk(50, START, []) == []


def test_the_walk_does_not_leave_the_days_range() -> None:
    market = Market(instruments(date.fromisoformat(DAY)))
    low, high = market.dump.by_token[RELIANCE].limits
    for edge in (low, high):
        market.set_price(RELIANCE, edge, START)
        for _ in range(200):
            market.walk(1, START, [RELIANCE])
            assert low <= market.price(RELIANCE) <= high
