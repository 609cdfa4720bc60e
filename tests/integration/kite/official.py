"""The official client, unmodified, in a process of its own: importing it installs Twisted's reactor.

`python official.py rest URL API_KEY API_SECRET REQUEST_TOKEN` makes every call and prints the answers as one JSON array.
`python official.py ticker WS_URL API_KEY ACCESS_TOKEN TOKEN…` prints one JSON array a line, what each callback got, until
its input ends; a line of its input is a command: `mode full`, `unsubscribe`, `close`.
`python official.py parse` reads frames in hex, a line each, and prints what the official parser makes of them.
"""

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from kiteconnect import KiteConnect, KiteTicker

INFY = {"exchange": "NSE", "tradingsymbol": "INFY"}
WANTED = {
    **INFY, "transaction_type": "BUY", "variety": "regular", "product": "CNC", "order_type": "MARKET", "quantity": 1,
    "price": 0, "trigger_price": 0,
}  # fmt: skip


def answered(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Return what the call returns, or what it raises."""
    try:
        return call(*args, **options)
    except Exception as error:  # noqa: BLE001 - whatever it is goes to the parent
        return {"error": type(error).__name__, "code": getattr(error, "code", None), "text": str(error)}


def rest(url: str, api_key: str, api_secret: str, request_token: str) -> dict[str, Any]:
    """Call everything."""
    kite = KiteConnect(api_key, root=url)
    got: dict[str, Any] = {"before": answered(kite.profile)}
    got["session"] = kite.generate_session(request_token, api_secret)
    got["profile"] = kite.profile()
    got["margins"] = kite.margins()
    got["equity"] = kite.margins("equity")
    got.update(orders(kite))
    got["positions"] = kite.positions()
    got["converted"] = kite.convert_position("NSE", "M&M", "BUY", "day", 1, "MIS", "CNC")
    got["holdings"] = kite.holdings()
    got["auctions"] = kite.get_auction_instruments()
    got["instruments"] = kite.instruments()
    got["instruments_mcx"] = kite.instruments("MCX")
    got["quote"] = kite.quote("NSE:INFY", "NSE:M&M", "NSE:NOBODY")
    got["ohlc"] = kite.ohlc(["NSE:INFY"])
    got["ltp"] = kite.ltp("NSE:NIFTY 50", "408065")
    times = ("2026-01-02 09:15:00", "2026-01-02 09:17:00")
    got["candles"] = kite.historical_data(408065, *times, "minute", oi=True)
    got["order_margins"] = kite.order_margins([WANTED])
    got["basket"] = kite.basket_order_margins([WANTED], consider_positions=False, mode="compact")
    got["note"] = kite.get_virtual_contract_note([{**WANTED, "order_id": "1", "average_price": 100}])
    got.update(triggers(kite))
    hooked: list[int] = []
    kite.set_session_expiry_hook(lambda: hooked.append(1))
    got["logged_out"] = kite.invalidate_access_token()
    got["after"] = answered(kite.orders)
    got["hooked"] = len(hooked)
    return got


def orders(kite: KiteConnect) -> dict[str, Any]:
    """Place, change, cancel and read orders."""
    got: dict[str, Any] = {"none": (kite.orders(), kite.trades())}
    buy = ("regular", "NSE", "M&M", "BUY", 3, "MIS")
    got["bought"] = kite.place_order(*buy, "MARKET", market_protection=-1, tag="apofficial")
    got["rests"] = kite.place_order(
        *buy, "LIMIT", price=2900, validity="DAY", disclosed_quantity=0, algo_id="A1"
    )
    got["modified"] = kite.modify_order("regular", got["rests"], price=2901.5, quantity=4)
    got["row"] = next(row for row in kite.orders() if row["order_id"] == got["rests"])
    got["cancelled"] = kite.cancel_order("regular", got["rests"])
    got["again"] = answered(kite.exit_order, "regular", got["rests"])
    got["ttl"] = kite.place_order(*buy, "LIMIT", price=2900, validity="TTL", validity_ttl=2)
    got["stop"] = kite.place_order(*buy, "SL", price=3110, trigger_price=3100, validity="DAY")
    got["iceberg"] = kite.place_order(
        "iceberg", *buy[1:4], 10, "MIS", "LIMIT", price=2900, iceberg_legs=2, iceberg_quantity=5
    )
    got["sliced"] = kite.place_autoslice_order(
        "regular", "NSE", "IOC", "BUY", 150_000, "MIS", "LIMIT", price=140, validity="DAY"
    )
    got["unprotected"] = answered(kite.place_order, *buy, "MARKET")
    got["book"] = kite.orders()
    got["history"] = kite.order_history(got["rests"])
    got["trades"] = kite.trades()
    got["order_trades"] = kite.order_trades(got["bought"])
    got["poor"] = answered(kite.place_order, *buy[:4], 90_000, "CNC", "LIMIT", price=3000)
    return got


def triggers(kite: KiteConnect) -> dict[str, Any]:
    """Keep, change and delete a GTT."""
    order = {
        "transaction_type": "SELL",
        "quantity": 1,
        "price": 1400,
        "order_type": "LIMIT",
        "product": "CNC",
    }
    kind = (kite.GTT_TYPE_SINGLE, "INFY", "NSE", [1400], 1500, [order])
    placed = kite.place_gtt(*kind)
    trigger = placed["trigger_id"]
    return {
        "gtt": placed,
        "gtts": kite.get_gtts(),
        "gtt_modified": kite.modify_gtt(trigger, *kind),
        "gtt_one": kite.get_gtt(trigger),
        "gtt_deleted": kite.delete_gtt(trigger),
    }


def ticker(url: str, api_key: str, access_token: str, *tokens: str) -> None:
    """Subscribe in quote mode and tell what comes."""
    wanted = [int(token) for token in tokens]
    socket = KiteTicker(api_key, access_token, root=url, reconnect_max_delay=5)

    def commands() -> None:
        for line in sys.stdin:
            word, _, rest_of_line = line.strip().partition(" ")
            if word == "mode":
                reactor.callFromThread(socket.set_mode, rest_of_line, wanted)
            elif word == "unsubscribe":
                reactor.callFromThread(socket.unsubscribe, wanted)
        reactor.callFromThread(socket.close)
        reactor.callFromThread(socket.stop)

    def subscribe(ws: KiteTicker, _: object) -> None:
        ws.subscribe(wanted)
        tell("connect")

    socket.on_connect = subscribe
    socket.on_ticks = lambda _, ticks: tell("ticks", ticks)
    socket.on_order_update = lambda _, row: tell("order", row)
    socket.on_message = lambda _, message, binary: tell(
        "message", len(message) if binary else message.decode()
    )
    socket.on_error = lambda _, code, reason: tell("error", code, reason)
    socket.on_close = lambda _, code, reason: tell("close", code, reason)
    from twisted.internet import reactor  # noqa: PLC0415 - the one that kiteconnect has installed

    threading.Thread(target=commands, daemon=True).start()
    socket.connect()


def parse() -> None:
    """Print what the official parser makes of frames."""
    parser = KiteTicker("key", "token")
    for line in sys.stdin:
        tell(*parser._parse_binary(bytes.fromhex(line.strip())))


def tell(*what: Any) -> None:
    """Print a line for the parent."""
    sys.stdout.write(json.dumps(what, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    mode, *given = sys.argv[1:]
    if mode == "rest":
        tell(rest(*given))
    elif mode == "ticker":
        ticker(*given)
    else:
        parse()
