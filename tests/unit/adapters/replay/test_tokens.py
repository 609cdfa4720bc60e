import pytest

from alpha_panda.adapters.replay.columns import Layout, find_columns
from alpha_panda.adapters.replay.tokens import Tokens, only_token
from alpha_panda.errors import SourceError
from unit.adapters.source_kit import instruments

FEED = instruments("NSE:A", "NSE:B", "BSE:B")


def layout(header: str) -> Layout:
    return find_columns("f.csv", header.split(","), {})


BY_SYMBOL, BY_TOKEN, BY_NONE = layout("ts,price,symbol"), layout("ts,price,token"), layout("ts,price")


@pytest.mark.parametrize(
    ("name", "token"),
    [("NSE:A", 1), ("A", 1), (" A ", 1), ("NSE:B", 2), ("BSE:B", 3), ("B", None), ("a", None), ("", None)],
)
def test_a_symbol_is_found_whole_or_by_its_last_part_if_that_is_unique(name: str, token: int | None) -> None:
    assert Tokens(BY_SYMBOL, FEED, None)[name] == token


@pytest.mark.parametrize(("name", "token"), [("2", 2), (2, 2), (" 3", 3), ("4", None), ("A", None)])
def test_a_token_is_found_as_text_or_number(name: object, token: int | None) -> None:
    assert Tokens(BY_TOKEN, FEED, None)[name] == token


def test_strangers_are_remembered_for_the_message() -> None:
    tokens = Tokens(BY_SYMBOL, FEED, None)
    assert [tokens[name] for name in ("A", "X", "Y", "X")] == [1, None, None, None]
    assert tokens.strangers == ["X", "Y"]


def test_the_memory_for_names_is_bounded() -> None:
    tokens = Tokens(BY_SYMBOL, FEED, None)
    for number in range(70_000):
        assert tokens[f"X{number}"] is None
    assert len(tokens) < 66_000


def test_without_a_column_the_option_or_the_only_instrument_tells() -> None:
    assert only_token(BY_NONE, FEED, "BSE:B") == 3
    assert only_token(BY_NONE, FEED[:1], None) == 1
    assert only_token(BY_SYMBOL, FEED, None) is None
    with pytest.raises(
        SourceError, match="no column for symbol or token, and the feed has 3 instruments; set `symbol`"
    ):
        only_token(BY_NONE, FEED, None)
    with pytest.raises(SourceError, match="'C' is not in the feed; allowed: NSE:A, NSE:B, BSE:B"):
        only_token(BY_NONE, FEED, "C")


def test_the_option_renames_the_one_instrument_of_a_file_but_never_merges_several() -> None:
    tokens = Tokens(BY_SYMBOL, FEED, 2)
    assert tokens["VENDOR-B"] == 2
    with pytest.raises(SourceError, match=r"holds several instruments \(VENDOR-B, VENDOR-A\)"):
        tokens["VENDOR-A"]
