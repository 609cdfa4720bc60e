"""BrokerAccount: one broker, its trading state, its risk limits, the strategies it accepts."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from alpha_panda.contracts.enums import OrderType, TradingState, Validity
from alpha_panda.contracts.resources.common import ManifestModel, Resource, RuledModel
from alpha_panda.contracts.resources.fields import (
    BasisPoints,
    ClockTime,
    Flag,
    Integer,
    LatchId,
    MarginRatio,
    Money,
    Name,
    PositiveMoney,
    Quantity,
    Ratio,
    Replicas,
    Seconds,
    Seed,
)
from alpha_panda.contracts.resources.rules import Finding, exactly_one, unique
from alpha_panda.contracts.resources.zerodha import ZerodhaBroker

BROKERS: Final = ("paper", "zerodha")
"""The brokers an account can have: exactly one is given, and it stays the one."""

Count = Annotated[Integer, Field(ge=1, le=1_000_000)]
"""A limit on a number of orders."""


class PaperBroker(ManifestModel):
    """A broker inside the platform: orders meet the feed's prices, no money moves."""

    cash: Money = Field(
        description="Cash at the start, in the currency of the feed's prices. The account's books go on from there: it "
        "can't be changed once the account exists.",
        json_schema_extra={"x-alphapanda-immutable": True},
    )
    slippage_bps: BasisPoints = Field(
        0,
        validate_default=True,
        description="How much worse than the ask or bid, or the last price without them, a market order fills, basis points.",
    )
    commission_bps: BasisPoints = Field(
        0, validate_default=True, description="Fee on the value of each fill, basis points."
    )
    seed: Seed = Field(
        0,
        description="Chooses, by a hash of it and the order's signal id, which orders fill in parts. Signal ids, and "
        "so the choice, are the same from run to run under `run --seed` only, which does not replace this seed.",
    )
    partial_fill_ratio: Ratio = Field(
        0, validate_default=True, description="Share of the orders that fill in several parts, 0 to 1."
    )
    allow_short: Flag = Field(True, description="Whether the venue takes orders that sell more than is held.")
    short_margin_ratio: MarginRatio = Field(
        1,
        validate_default=True,
        description="Cash that backs a short beside its proceeds, as a share of its value, 0 to 10.",
    )


class Runaway(ManifestModel):
    """How many equal signals in how short a time mean a loop that ran away."""

    signals: Annotated[Integer, Field(ge=2, le=1_000_000)] = Field(
        description="Number of signals of one strategy, instrument and side that is too many …"
    )
    seconds: Seconds = Field(description="… within this many seconds.")


class AccountRisk(ManifestModel):
    """Limits of an account. An absent limit does not bind. Orders that only reduce a position are exempt."""

    max_order_quantity: Quantity | None = Field(None, description="Largest quantity of one order.")
    max_order_value: PositiveMoney | None = Field(
        None, description="Largest quantity times price of one order."
    )
    price_collar_bps: BasisPoints | None = Field(
        None, description="How far an order's price may be from the last price, basis points."
    )
    max_position: Quantity | None = Field(
        None, description="Largest position in one instrument, long or short, open orders included."
    )
    max_open_orders: Count | None = Field(None, description="Most orders open at once.")
    max_open_order_value: PositiveMoney | None = Field(None, description="Largest value of all open orders.")
    max_gross_exposure: PositiveMoney | None = Field(
        None, description="Largest sum of all positions' absolute values."
    )
    max_net_exposure: PositiveMoney | None = Field(
        None, description="Largest absolute value of long less short positions."
    )
    max_orders_per_second: Count | None = Field(10, description="Most orders in any second.")
    max_orders_per_minute: Count | None = Field(None, description="Most orders in any minute.")
    max_orders_per_day: Count | None = Field(None, description="Most orders in a trading day.")
    max_daily_loss: PositiveMoney | None = Field(
        None,
        description="Loss since the day's start, fees and open positions included, that latches the account.",
    )
    max_drawdown: PositiveMoney | None = Field(
        None, description="Fall from the day's highest equity that latches the account."
    )
    allow_short: Flag = Field(True, description="Whether the account may go short.")
    runaway: Runaway | None = Field(None, description="Rate of equal signals that latches their strategy.")
    quote_max_age_seconds: Seconds | None = Field(
        None, description="Oldest price to trade on; absent: the instrument's or the feed's limit alone."
    )
    signal_max_age_seconds: Seconds | None = Field(
        None, description="Oldest signal to act on; absent: the strategy's signalTtlSeconds alone."
    )


class Engine(ManifestModel):
    """The pods that send the account's orders. A run in one process has one."""

    replicas: Replicas = Field(
        2, description="How many there are: two for availability, more bring no speed worth having."
    )


ClearLatch = Annotated[tuple[LatchId, ...], Field(max_length=20), unique("latch")]
"""Ids of latches that a person clears; each is cleared once."""


class BrokerAccountSpec(RuledModel):
    """What an account shall be."""

    market_feed: Name = Field(description="Name of the MarketFeed whose prices the account trades on.")
    paper: PaperBroker | None = Field(None, description="A paper account.")
    zerodha: ZerodhaBroker | None = Field(None, description="An account at Zerodha: live, or as a dry run.")
    trading_state: TradingState = Field(
        TradingState.ACTIVE,
        description="Active: trades. Reducing: only shrinks positions. Halted: only cancels. "
        "The strictest of strategy, account and platform binds.",
    )
    clear_latch: ClearLatch = Field(
        (),
        description="Ids of latches (status.latches) to clear, acted on once while they stay here: to "
        "clear one that was set again, take its id out and put it back. A run in one process ignores it: `alpha-panda resume` clears there.",
    )
    risk: AccountRisk = Field(default_factory=AccountRisk, description="Limits of the whole account.")
    accept_strategies: Annotated[tuple[Name, ...], Field(max_length=1000), unique("strategy")] | None = Field(
        None, description="Strategies that may trade here; absent: all of the namespace."
    )
    order_types: (
        Annotated[tuple[OrderType, ...], Field(min_length=1, max_length=4), unique("order type")] | None
    ) = Field(None, description="Order types allowed; absent: all that the venue takes.")
    validities: (
        Annotated[tuple[Validity, ...], Field(min_length=1, max_length=2), unique("validity")] | None
    ) = Field(None, description="Validities allowed; absent: all that the venue takes.")
    product_cut_off: ClockTime | None = Field(
        None, description="Time of day, in the calendar's time zone, after which no position grows."
    )
    engine: Engine = Field(default_factory=Engine, description="The pods that send the account's orders.")

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield a finding unless there is exactly one broker."""
        return exactly_one(raw, "broker", BROKERS)


class BrokerAccount(Resource):
    """An account at one broker."""

    kind: Literal["BrokerAccount"] = Field("BrokerAccount", description="Kind of the resource.")
    spec: BrokerAccountSpec = Field(description="What the account shall be.")

    @property
    def live(self) -> bool:
        """Whether its orders move real money: what is neither paper nor a dry run does."""
        return self.spec.paper is None and (self.spec.zerodha is None or self.spec.zerodha.live)

    @property
    def broker(self) -> str:
        """Which broker: `paper`, `zerodha`."""
        return next(name for name in BROKERS if getattr(self.spec, name) is not None)

    @property
    def broker_user(self) -> str:
        """`broker:user`, which no other account may have; empty where the broker knows no users."""
        return f"zerodha:{self.spec.zerodha.user_id}" if self.spec.zerodha else ""

    def accepts(self, strategy: str) -> bool:
        """Whether the account takes signals of the strategy of this name."""
        accepted = self.spec.accept_strategies
        return accepted is None or strategy in accepted
