"""Settings of brokers' accounts and of Zerodha's Kite Connect; part of `runtime.settings.Settings`."""

from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Interval
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from alpha_panda.runtime.setting_types import Count, Seconds


def _address(*schemes: str) -> AfterValidator:
    """Return the check that a text is an address of one of the schemes; empty is none."""

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            usable = not value or (parts.scheme in schemes and parts.hostname and parts.port != 0)
        except ValueError:  # a port that is none
            usable = False
        if not usable or parts.query or parts.fragment:
            raise ValueError(f"an address begins with {' or '.join(f'{name}://' for name in schemes)}")
        return value.rstrip("/")

    return AfterValidator(check)


HttpAddress = Annotated[str, Field(min_length=1), _address("https", "http")]
SocketAddress = Annotated[str, Field(min_length=1), _address("wss", "ws")]
OptionalHttpAddress = Annotated[str, _address("https", "http")]


class ZerodhaSettings(BaseSettings):
    """Where accounts' logins are, and how Kite Connect is reached."""

    broker_directory: str = Field(
        default="~/.config/alpha-panda/accounts",
        description="Directory with a folder for each broker account: `keys/api_key`, `keys/api_secret` and "
        "`session/session.json`, which `alpha-panda login` writes. Why: one's own files at home; pods have Secrets mounted "
        "at `/etc/alpha-panda/accounts`.",
    )
    zerodha_api_url: HttpAddress = Field(
        default="https://api.kite.trade",
        description="Where Kite Connect's REST calls go. Why: the broker's own; another one is a local Kite (`alpha-panda dev kite`).",
    )
    zerodha_ws_url: SocketAddress = Field(
        default="wss://ws.kite.trade",
        description="Where Kite's socket of prices and order updates is. Why: as above.",
    )
    zerodha_login_url: HttpAddress = Field(
        default="https://kite.zerodha.com/connect/login",
        description="Page that `alpha-panda login` sends you to. Why: as above.",
    )
    zerodha_request_seconds: Seconds = Field(
        default=5,
        description="Longest wait for the answer to one call. Why: as S, how long the permission to send an order lasts; the "
        "official client waits 7 s.",
    )
    zerodha_token_dies_at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)] = (
        Field(
            default="06:00",
            description="Time of day, in India, at which an access token ends. Why: the broker's rule; what a login says of its "
            "end is counted from here.",
        )
    )
    zerodha_token_warning_hours: Annotated[float, Interval(ge=0, le=24)] = Field(
        default=1,
        description="How long before its end a token is warned of, in hours. Why: time to log in before the open; at 05:00 "
        "only those whose session goes on overnight need to.",
    )
    zerodha_socket_silent_seconds: Seconds = Field(
        default=5,
        description="How long a socket may bring nothing, heartbeats included, before it is given up and connected anew. "
        "Why: Kite sends a heartbeat each second; the official clients of Go, JavaScript and .NET wait as long.",
    )
    zerodha_reconnect_initial_seconds: Seconds = Field(
        default=1,
        description="First wait before a socket is connected anew; then doubled, with jitter. Why: most interruptions are over by then.",
    )
    zerodha_reconnect_max_seconds: Seconds = Field(
        default=60,
        description="Longest such wait; there is no last try. Why: as the official clients; a minute without prices is noticed sooner.",
    )
    zerodha_instruments_directory: str = Field(
        default="~/.cache/alpha-panda/instruments",
        description="Directory that keeps the broker's daily list of instruments. Why: some 10 MB, downloaded once a day; a pod "
        "has its own temporary one.",
    )
    zerodha_instruments_max_age_days: Count = Field(
        default=4,
        description="Oldest list of instruments that is used, with a warning, where today's can't be had. "
        "Why: a long weekend; older ones may give a token to another contract.",
    )
    instruments_poll_seconds: Seconds = Field(
        default=2,
        description="How often a service asks whether the feed's instruments are there, or others. "
        "Why: a start is held up no longer; one small read of Redis.",
    )
    instruments_retry_seconds: Seconds = Field(
        default=30,
        description="Wait before the daily list of instruments is asked for again, where it could not be had. "
        "Why: soon enough before an open, and no burden to the broker.",
    )
    instruments_reload_at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)] = (
        Field(
            default="08:30",
            description="Time of day, in India, from which the day's list of instruments is asked for. "
            "Why: Kite makes it early in the morning and advises this time; some time is left before the open.",
        )
    )
    address_echo_url: OptionalHttpAddress = Field(
        default="",
        description="Endpoint that answers with the address a request came from, as plain text or JSON with `ip`; it is asked "
        "where an account names its `egressIp`; empty: not checked. Why: nobody is told of you before you say so.",
    )
    address_echo_seconds: Seconds = Field(
        default=60,
        description="How often that endpoint is asked, at most, while orders are sent. Why: an address changes when a gateway "
        "is replaced; a minute of refused orders costs nothing but those orders.",
    )
    login_wait_seconds: Seconds = Field(
        default=300,
        description="How long `alpha-panda login --callback` waits for the browser to come back. "
        "Why: password and second factor take a minute or two, and a request token lives some minutes.",
    )
    postback_port: Annotated[int, Interval(ge=0, le=65535)] = Field(
        default=0,
        description="Port on which an order-tracker takes the broker's postbacks, where the account has `postbacks: true`; 0: none. "
        "Why: they need a public address, which a laptop has not; the socket and polling do without.",
    )
