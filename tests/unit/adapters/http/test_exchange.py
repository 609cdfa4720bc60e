import pytest

from alpha_panda.adapters.http.exchange import speaks_of_timeout


@pytest.mark.parametrize(
    "text",
    [
        "Timeout",
        "gateway timed out",
        "request time-out",
        "TIME OUT",
        "upstream_time_out",
        "deadline exceeded",
        "the exchange took too long",
        "no response from OMS",
        "No reply",
    ],
)
def test_a_time_out_is_heard_in_other_words_too(text: str) -> None:
    assert speaks_of_timeout(text)


@pytest.mark.parametrize("text", ["", "margin 10 short", "times 2", "10 a second", "out of funds this time"])
def test_other_refusals_are_refusals(text: str) -> None:
    assert not speaks_of_timeout(text)
