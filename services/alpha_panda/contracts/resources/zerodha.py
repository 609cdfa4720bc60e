"""What a manifest says of Zerodha: a broker account over Kite Connect, and a feed of its prices."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field

from alpha_panda.contracts.enums import Product
from alpha_panda.contracts.resources.common import ManifestModel, RuledModel
from alpha_panda.contracts.resources.fields import (
    ADDRESS_PATTERN,
    ALGO_PATTERN,
    BROKER_USER_PATTERN,
    Flag,
    Integer,
    Name,
    Number,
    ObjectName,
)
from alpha_panda.contracts.resources.rules import Finding, fault, peek

MODES: Final = ("live", "dry_run")
"""What an account may be: exactly one is true."""

MODES_WORDS: Final = (
    "exactly one of live: true (orders go to the broker and move real money) "
    "and dryRun: true (all is done but the call, and what would have been sent is recorded)"
)

AUTOMATIC_PROTECTION: Final = -1.0
"""The broker chooses how far a market order may go."""
LEAST_PROTECTION: Final = 0.01

Calls = Annotated[Integer, Field(ge=1, le=100_000)]
"""A number of calls to the broker."""


def _protection(value: float) -> float:
    if value != AUTOMATIC_PROTECTION and value < LEAST_PROTECTION:
        raise fault(f"{value:g} is no market protection", "-1 (automatic), or percent from 0.01 to 100")
    return value


def _address(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        raise fault(f"{value!r} is not an address", 'an IP address as "203.0.113.7"') from None
    return value


class ZerodhaLimits(ManifestModel):
    """How many calls the account may make: the broker's limits, over all processes together.

    Beside them `spec.risk` has limits of one's own. Kite counts 10 a second, 400 a minute and 5,000 a day; its second
    is that of its own clock, so a sender that fills ten into its own second can put eleven into Kite's.
    """

    orders_per_second: Calls = Field(8, description="Most orders and cancels sent in any second.")
    orders_per_minute: Calls = Field(400, description="Most orders sent in any minute.")
    orders_per_day: Calls = Field(5_000, description="Most orders sent on a day, in India's time.")
    calls_per_second: Calls = Field(
        8, description="Most other calls (order book, positions, funds) in any second."
    )


class ZerodhaBroker(RuledModel):
    """An account at Zerodha over Kite Connect 3. See docs/brokers/zerodha.md."""

    live: Flag = Field(
        False, description="true: orders go to the broker and move real money. Give this or dryRun."
    )
    dry_run: Flag = Field(
        False,
        description="true: all is done but the call, and what would have been sent is recorded: each order fails with DRY_RUN. "
        "Give this or live.",
    )
    user_id: Annotated[str, Field(pattern=BROKER_USER_PATTERN, max_length=16)] = Field(
        description="Whose account it is, as AB1234: sessions, books and order updates of another user are refused. It can't "
        "be changed once the account exists, and no two accounts have one user.",
        json_schema_extra={"x-alphapanda-immutable": True},
    )
    product: Product = Field(
        description="Product of all orders of the account. MIS: intraday, squared off by the broker before the close. "
        "CNC: shares for delivery. NRML: futures and options, and commodities, carried overnight."
    )
    keys_secret: ObjectName | None = Field(
        None,
        description="Secret with the keys api_key and, if postbacks are on, api_secret; absent: "
        "`<account>-zerodha-keys`. A run in one process reads files instead.",
    )
    session_secret: ObjectName | None = Field(
        None,
        description="Secret with the key session.json, which `alpha-panda login` writes each day; absent: "
        "`<account>-zerodha-session`. A run in one process reads a file instead.",
    )
    market_protection: Annotated[Number, Field(ge=-1, le=100), AfterValidator(_protection)] = Field(
        -1.0,
        validate_default=True,
        description="How far from the last price a MARKET or STOP order may trade, percent from 0.01 to 100; -1: the broker "
        "chooses. Kite refuses such orders without.",
    )
    ttl_minutes: Annotated[Integer, Field(ge=1, le=120)] | None = Field(
        None,
        description="Minutes after which an order of validity DAY that has not filled ends (Kite's TTL); absent: at the end "
        "of the session.",
    )
    algo_id: Annotated[str, Field(pattern=ALGO_PATTERN, max_length=64)] | None = Field(
        None,
        description="Id that the exchange has given your algorithm, sent with each order; absent: none is sent.",
    )
    egress_ip: (
        Annotated[str, Field(pattern=ADDRESS_PATTERN, max_length=45), AfterValidator(_address)] | None
    ) = Field(
        None,
        description="The static address, registered with the broker, that orders leave from. Compared with what the echo "
        "endpoint says (setting address_echo_url), if there is one; absent: not checked.",
    )
    limits: ZerodhaLimits = Field(
        default_factory=ZerodhaLimits, description="The broker's limits on calls, which no process exceeds."
    )
    postbacks: Flag = Field(
        False,
        description="Whether the order-tracker takes postbacks (setting postback_port), beside the socket and polling. "
        "They are checked with api_secret.",
    )

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield a finding unless exactly one of live and dryRun is true."""
        told = [peek(raw, name) for name in MODES]
        given = [value for value in told if value is True]
        if not isinstance(raw, Mapping | BaseModel) or not all(
            isinstance(value, bool | None) for value in told
        ):
            return  # the field itself is wrong and says so
        if len(given) != 1:
            problem = "both live and dryRun are true" if given else "neither live nor dryRun is true"
            yield Finding((), problem, MODES_WORDS)

    def keys_secret_of(self, account: str) -> str:
        """Return the name of the Secret with the long-lived keys."""
        return self.keys_secret or f"{account}-zerodha-keys"

    def session_secret_of(self, account: str) -> str:
        """Return the name of the Secret with the day's access token."""
        return self.session_secret or f"{account}-zerodha-session"


class ZerodhaSource(ManifestModel):
    """Live prices over Kite's socket, by the login of an account.

    Symbols are resolved from the broker's daily list of instruments: token, tick size, lot size, kind and expiry need
    not be given, and if they are they must agree with it.
    """

    account: Name = Field(
        description="BrokerAccount whose login is used; it needs a Kite Connect plan with market data."
    )
    mode: Literal["full", "quote", "ltp"] = Field(
        "full",
        description="What is subscribed: full has best bid, ask and exchange times, on which fills and ages are judged "
        "best; quote has volumes; ltp has the last price alone.",
    )
