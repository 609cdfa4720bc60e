import pytest

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import Settings, load_settings
from alpha_panda.runtime.tracing_settings import parse_headers, traces_url


def test_nothing_is_traced_by_default() -> None:
    assert Settings().otlp_endpoint.get_secret_value() == ""
    assert Settings().trace_tick_share == 0


@pytest.mark.parametrize(
    "text", ["http://collector:4318", "https://otlp.example.com/prefix", "http://[::1]:4318/"]
)
def test_an_address_is_taken(text: str) -> None:
    assert load_settings(otlp_endpoint=text).otlp_endpoint.get_secret_value() == text


@pytest.mark.parametrize(
    "text", ["collector:4318", "grpc://collector:4317", "http:///path", "http://host:port", "http://h:99999"]
)
def test_what_is_no_address_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError, match="ALPHAPANDA_OTLP_ENDPOINT: a collector's address is") as caught:
        load_settings(otlp_endpoint=text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(SettingsError, match="TRACE_TICK_SHARE"):
        load_settings(trace_tick_share=share)


def test_headers_are_pairs() -> None:
    assert parse_headers("Authorization=Bearer%20abc=, x-team = risk ,") == {
        "authorization": "Bearer abc=",
        "x-team": "risk",
    }
    assert parse_headers("") == {}
    assert parse_headers("a=1%2C2") == {"a": "1,2"}


@pytest.mark.parametrize(
    "text", ["hunter2", "two words=x", "=hunter2", "a=hunter2%0D%0Ab: c", "a=hunter2%C3%BC"]
)
def test_headers_that_are_none_are_refused_without_their_values(text: str) -> None:
    with pytest.raises(SettingsError, match="ALPHAPANDA_OTLP_HEADERS") as caught:
        load_settings(otlp_headers=text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/otlp", "https://c/otlp/v1/traces"),
        ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
        ("https://c/otlp?key=k", "https://c/otlp/v1/traces?key=k"),
    ],
)
def test_spans_go_below_the_address(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url
