"""The unmodified official client works against the local Kite: every call, the ticker, and its parser on our frames."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.contracts.enums import Side
from alpha_panda.testing.kite.config import KiteConfig
from alpha_panda.testing.kite.instruments import MCX, NIFTY_50, RELIANCE
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.sockets import SocketFault, text_message
from alpha_panda.testing.kite.ticks import HEARTBEAT, STRANGE, Mode, frame, packet

from .children import official


@pytest.fixture
async def kite() -> AsyncIterator[KiteServer]:
    async with KiteServer(config=KiteConfig(liquidity=1_000_000)) as server:
        yield server


async def test_every_call_of_the_official_client_is_answered(kite: KiteServer) -> None:
    arguments = (kite.url, kite.api_key, kite.api_secret, kite.request_token())
    async with official("rest", *arguments) as child:
        (got,) = await child.line()
    assert (got["before"]["error"], got["before"]["code"]) == ("TokenException", 403)
    assert (got["session"]["user_id"], got["profile"]["user_id"]) == (kite.user_id, kite.user_id)
    assert got["margins"]["equity"] == got["equity"]
    _check_orders(got)
    _check_portfolio(got)
    _check_market(got)
    assert got["order_margins"][0]["total"] == 1500
    assert (got["basket"]["orders"], got["note"][0]["price"]) == ([], 100)
    assert [row["id"] for row in got["gtts"]] == [got["gtt"]["trigger_id"]] == [got["gtt_one"]["id"]]
    assert got["gtt_modified"] == got["gtt_deleted"] == got["gtt"]
    assert (got["logged_out"], got["after"]["error"], got["hooked"]) == (True, "TokenException", 1)


def _check_orders(got: dict[str, Any]) -> None:
    assert got["none"] == [[], []]
    book = {row["order_id"]: row for row in got["book"]}
    bought = book[got["bought"]]
    assert (bought["status"], bought["tag"], bought["tradingsymbol"]) == ("COMPLETE", "apofficial", "M&M")
    assert (got["row"]["price"], got["row"]["quantity"], got["row"]["status"]) == (2901.5, 4, "OPEN")
    assert got["modified"] == got["cancelled"] == got["rests"]
    assert book[got["rests"]]["status"] == "CANCELLED"
    assert (got["again"]["error"], got["again"]["code"]) == ("InputException", 400)
    assert "being processed" in got["again"]["text"]
    assert (book[got["ttl"]]["validity"], book[got["ttl"]]["validity_ttl"]) == ("TTL", 2)
    assert (book[got["stop"]]["status"], book[got["stop"]]["order_type"]) == ("TRIGGER PENDING", "SL")
    assert book[got["iceberg"]]["meta"]["iceberg"]["legs"] == 2
    assert [book[child["order_id"]]["quantity"] for child in got["sliced"]["children"]] == [100_000, 50_000]
    assert "market protection" in got["unprotected"]["text"]
    statuses = [row["status"] for row in got["history"]]
    assert (statuses[0], statuses[-1]) == ("PUT ORDER REQ RECEIVED", "CANCELLED")
    assert "MODIFIED" in statuses
    assert got["order_trades"] == [trade for trade in got["trades"] if trade["order_id"] == got["bought"]]
    assert isinstance(got["poor"], str)  # taken, and refused in the book


def _check_portfolio(got: dict[str, Any]) -> None:
    (mahindra,) = (row for row in got["positions"]["net"] if row["tradingsymbol"] == "M&M")
    assert (mahindra["quantity"], mahindra["product"], mahindra["buy_value"]) == (3, "MIS", 9000)
    assert got["converted"] is True
    assert got["holdings"] == got["auctions"] == []


def _check_market(got: dict[str, Any]) -> None:
    assert len(got["instruments"]) > len(got["instruments_mcx"]) > 0
    (gold,) = (row for row in got["instruments_mcx"] if row["name"] == "GOLDM")
    assert (gold["lot_size"], gold["tick_size"], gold["instrument_token"] & 0xFF) == (1, 1.0, MCX)
    assert len(gold["expiry"]) == len("2026-01-31")
    assert list(got["quote"]) == ["NSE:INFY", "NSE:M&M"]
    assert got["ohlc"]["NSE:INFY"]["ohlc"]["open"] == 1500
    assert got["ltp"]["408065"]["last_price"] == 1500
    assert [len(row) for row in got["candles"]] == [7, 7, 7]


async def test_the_official_ticker_gets_ticks_pushes_messages_and_comes_back(kite: KiteServer) -> None:
    tokens = (str(RELIANCE), str(NIFTY_50))
    async with official("ticker", kite.ws_url, kite.api_key, kite.new_session(), *tokens) as child:
        await child.told("connect")
        snapshot = (await child.told("ticks"))[1]
        assert [(tick["instrument_token"], tick["mode"]) for tick in snapshot] == [
            (RELIANCE, "quote"),
            (NIFTY_50, "quote"),
        ]
        child.say("mode full")
        full = (await child.until(lambda line: line[0] == "ticks" and line[1][0]["mode"] == "full"))[1]
        assert full[0]["depth"]["buy"][0]["price"] == 1400
        kite.core.set_price(RELIANCE, Decimal("1403.35"), kite.now())
        moved = await child.until(lambda line: line[0] == "ticks" and line[1][0]["last_price"] == 1403.35)
        assert (len(moved[1]), moved[1][0]["ohlc"]["high"]) == (1, 1403.35)

        placed = kite.core.trade_elsewhere(RELIANCE, Side.BUY, 5, kite.now())
        pushed = (await child.told("order"))[1]
        assert (pushed["order_id"], pushed["status"], pushed["checksum"]) == (placed.order_id, "COMPLETE", "")

        await kite.hub.apply(SocketFault(action="text", text=text_message("error", "too many")))
        assert (await child.told("error"))[1:] == [0, "too many"]
        await kite.hub.apply(SocketFault(action="text", text=text_message("unknown", {})))
        await child.until(lambda line: line[0] == "message" and "unknown" in str(line[1]))
        await kite.hub.apply(SocketFault(action="ping"))
        await kite.hub.apply(SocketFault(action="strange"))
        await child.until(lambda line: line == ["message", len(STRANGE)])
        await child.until(lambda line: line == ["message", len(HEARTBEAT)])

        await kite.hub.apply(SocketFault(action="abort"))
        assert (await child.told("close"))[1] == 1006
        await child.told("connect")
        again = (await child.told("ticks"))[1]
        assert {tick["instrument_token"] for tick in again} == {RELIANCE, NIFTY_50}


async def test_a_dead_token_is_refused_at_the_upgrade_but_closes_no_socket(kite: KiteServer) -> None:
    async with official("ticker", kite.ws_url, kite.api_key, kite.new_session(), str(RELIANCE)) as child:
        await child.told("ticks")
        kite.core.expire_token()
        kite.core.set_price(RELIANCE, Decimal(1410), kite.now())
        assert (await child.told("ticks"))[1][0]["last_price"] == 1410
        await kite.hub.apply(SocketFault(action="close", code=1011))
        assert (await child.told("close"))[1] == 1011
        refused = await child.until(lambda line: line[0] == "error" and "403" in str(line[2]))
        assert "upgrade failed (403 - Forbidden)" in refused[2]


async def test_the_official_parser_reads_our_frames_of_all_kinds(kite: KiteServer) -> None:
    market = kite.core.market
    market.walk(2000, kite.now())
    quotes = list(market.quotes.values())
    modes: tuple[Mode, ...] = ("ltp", "quote", "full")
    mixed = frame(packet(quote, modes[n % 3]) for n, quote in enumerate(quotes))
    frames = [*(frame(packet(quote, mode) for quote in quotes) for mode in modes), mixed]
    async with official("parse") as child:
        parsed = []
        for each in (*frames, STRANGE, HEARTBEAT):
            child.say(each.hex())
            parsed.append(await child.line())
    assert parsed[-2:] == [[], []]
    wanted = [[mode] * len(quotes) for mode in modes]
    assert [[tick["mode"] for tick in ticks] for ticks in parsed[:3]] == wanted
    assert [tick["mode"] for tick in parsed[3]] == [modes[n % 3] for n in range(len(quotes))]
    for quote, tick in zip(quotes, parsed[2], strict=True):
        assert tick["instrument_token"] == quote.instrument.token
        assert tick["tradable"] is quote.instrument.tradable
        assert tick["last_price"] == float(quote.price)
        assert tick["ohlc"] == {
            name: float(quote.decimal(getattr(quote, name))) for name in ("open", "high", "low", "close")
        }
        if quote.instrument.tradable:
            assert (tick["volume_traded"], tick["last_traded_quantity"]) == (quote.volume, quote.quantity)
            assert tick["depth"]["sell"][4]["price"] == float(quote.decimal(quote.last + 5 * quote.tick))
