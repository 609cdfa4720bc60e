import re

import pytest

from alpha_panda.adapters.replay.columns import Kind, Layout, find_columns
from alpha_panda.errors import SourceError


def find(header: str, **mapping: str) -> Layout:
    return find_columns("f.csv", header.split(","), mapping)


def named(layout: Layout) -> dict[str, str]:
    """Role → the file's column."""
    special = {
        "timestamp": layout.timestamp,
        "time": layout.time,
        "symbol": layout.symbol,
        "token": layout.token,
    }
    found = {role: layout.header[index] for role, index in special.items() if index is not None}
    return found | {role.value: layout.header[index] for role, index in layout.numbers}


@pytest.mark.parametrize(
    ("header", "kind", "expected"),
    [
        ("timestamp,symbol,last_price,volume", Kind.TICKS, "timestamp symbol last_price volume"),
        ("DateTime,Price,Volume", Kind.TICKS, "timestamp last_price volume"),
        ("ts,token,ltp,qty", Kind.TICKS, "timestamp token last_price volume"),
        ("Time,Last", Kind.TICKS, "timestamp last_price"),
        ("Date,Close", Kind.TICKS, "timestamp last_price"),
        ("timestamp_ms_utc,bid,ask", Kind.QUOTES, "timestamp bid ask"),
        ("time,Bid Price,Ask Price,price", Kind.TICKS, "timestamp bid ask last_price"),
        ("bar_end_ist,open,high,low,close", Kind.BARS, "timestamp open high low close"),
        (
            "Ticker,Date,Open,High,Low,Close,Volume,Adj Close",
            Kind.BARS,
            "symbol timestamp open high low close volume",
        ),
        ("t,o,h,l,c,v,timestamp", Kind.BARS, "o->open h->high l->low c->close v->volume timestamp"),
    ],
)
def test_usual_names_are_found(header: str, kind: Kind, expected: str) -> None:
    layout = find(header)
    assert layout.kind is kind
    assert set(named(layout)) == {word.rpartition("->")[2] for word in expected.split()}


def test_date_and_time_columns_go_together() -> None:
    found = named(find("Symbol,Date,Time,Open,High,Low,Close"))
    assert (found["timestamp"], found["time"]) == ("Date", "Time")


def test_the_daily_file_of_an_exchange_with_many_prices_is_bars() -> None:
    layout = find("Date,Symbol,Series,Prev Close,Open,High,Low,Last,Close,VWAP,Volume,Turnover")
    assert layout.kind is Kind.BARS
    assert named(layout)["close"] == "Close"


@pytest.mark.parametrize(
    ("header", "end"),
    [("bar_end_ist", True), ("close_time", True), ("end", True), ("date", False), ("open_time", False)],
)
def test_a_columns_name_tells_whether_it_is_the_bars_end(header: str, end: bool) -> None:
    assert find(f"{header},open,high,low,close").stamped_at_end is end


def test_a_mapping_wins_over_names() -> None:
    layout = find("timestamp,price,mid,venue_time", last_price="mid", timestamp="venue_time")
    assert named(layout) == {"timestamp": "venue_time", "last_price": "mid"}


def test_a_mapped_price_makes_ticks_of_bars() -> None:
    layout = find("date,open,high,low,close", last_price="open")
    assert layout.kind is Kind.TICKS
    assert named(layout)["last_price"] == "open"


def test_mapped_bid_and_ask_make_quotes() -> None:
    assert find("ts,price,b1,a1", bid="b1", ask="a1").kind is Kind.QUOTES


def test_a_mapped_name_is_found_without_regard_to_case_unless_that_is_ambiguous() -> None:
    assert named(find("ts,PX_LAST", last_price="px_last"))["last_price"] == "PX_LAST"
    assert find("ts,Px,px", last_price="px").numbers[0][1] == 2
    with pytest.raises(SourceError, match="'PX', mapped to lastPrice, is there more than once"):
        find("ts,Px,px", last_price="PX")


def test_only_the_columns_that_are_needed_are_read() -> None:
    assert find("a,timestamp,b,price,c,symbol").indices == (1, 3, 5)


@pytest.mark.parametrize(
    ("header", "mapping", "message"),
    [
        ("a,b", {}, "found neither a price.*columns are: 'a', 'b'.*columns: {lastPrice: 'b'}"),
        ("price,b", {}, "found no column for timestamp.*'price', 'b'.*columns: {timestamp: 'price'}"),
        ("timestamp,datetime,price", {}, "'timestamp', 'datetime' could all be timestamp; say which"),
        ("timestamp,price,ltp", {}, "'price', 'ltp' could all be lastPrice"),
        ("timestamp,price,qty,volume", {}, "'qty', 'volume' could all be volume"),
        (
            "timestamp,price",
            {"last_price": "mid"},
            "column 'mid', mapped to lastPrice, does not exist; .*'price'",
        ),
        (
            "timestamp,price",
            {"prize": "price"},
            "columns.prize is not a column's meaning; allowed: timestamp, .*lastPrice",
        ),
        ("timestamp,price", {"open": "price"}, "found no column for high"),
        ("2013-09-01 17:00:00,1640.25,8", {}, "first line looks like data"),
        ("date,open,high,low,close,Close", {}, "'close', 'Close' could all be close"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_files_columns(
    header: str, mapping: dict[str, str], message: str
) -> None:
    with pytest.raises(SourceError, match=re.compile("^f.csv: .*" + message)):
        find(header, **mapping)
