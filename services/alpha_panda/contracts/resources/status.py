"""What the operator writes into `status`. Every field is written each time; a figure that is unknown is null.

Written by server-side apply, so that a field which is left out would be given up; no defaults reach the schema.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.resources.fields import Integer, LatchId

MAX_MESSAGE: Final = 2048
"""Most characters of a condition's message: enough for a sentence, its remedy and the text of an error."""
REASON_PATTERN: Final = r"^[A-Z][A-Za-z0-9]*$"

Timestamp = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
"""A time as Kubernetes writes it, "2026-01-05T03:45:00Z"."""
Figure = Annotated[str, Field(max_length=64)]
"""An amount of money, exact, as text; it may be negative."""
Number = Annotated[Integer, Field(ge=0, le=2**53 - 1)]


class StatusModel(BaseModel):
    """Base of status models. Fields of a later version are ignored when a status is read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="ignore",
        frozen=True,
    )


class Condition(StatusModel):
    """One aspect of the resource's state, as in all of Kubernetes."""

    type: Annotated[str, Field(pattern=REASON_PATTERN, min_length=1, max_length=63)] = Field(
        description="Which aspect: Accepted, Progressing, Ready …"
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds; Unknown at first.")
    reason: Annotated[str, Field(pattern=REASON_PATTERN, min_length=1, max_length=63)] = Field(
        description="Why, in one word for programs."
    )
    message: Annotated[str, Field(max_length=MAX_MESSAGE)] = Field(
        description="Why, in a sentence for people, with what to do about it."
    )
    observed_generation: Number = Field(description="Generation of the resource that was looked at.")
    last_transition_time: Timestamp = Field(description="When `status` changed last.")


class LatchStatus(StatusModel):
    """A halt that only a person ends, by naming its id in `spec.clearLatch` or to `alpha-panda resume`."""

    id: LatchId = Field(description="What to name to clear it.")
    state: TradingState = Field(description="What it holds the scope to.")
    reason: Annotated[str, Field(max_length=MAX_MESSAGE)] = Field(description="Why it was set.")
    set_by: Annotated[str, Field(max_length=253)] = Field(description="Who set it: a service or a person.")
    set_at: Timestamp = Field(description="When it was set.")


Conditions = Annotated[tuple[Condition, ...], Field(max_length=32)]
Latches = Annotated[tuple[LatchStatus, ...], Field(max_length=100)]


class CommonStatus(StatusModel):
    """What every kind's status has."""

    observed_generation: Number = Field(0, description="Generation of the resource that was looked at.")
    conditions: Conditions = Field((), description="The state, one aspect each.")


class FeedStatus(CommonStatus):
    """How a feed is."""

    source: Annotated[str, Field(max_length=63)] = Field(
        "", description="Which source: simulated, replay, zerodha."
    )
    instruments: Number | None = Field(None, description="How many instruments it carries.")
    last_tick_time: Timestamp | None = Field(None, description="Time of the latest tick.")


class TradingStatus(CommonStatus):
    """What the kinds that trade have in common. Days are the calendar's trading days."""

    signals_today: Number | None = Field(None, description="Signals of this trading day.")
    orders_today: Number | None = Field(None, description="Orders sent on this trading day.")
    day_pnl: Figure | None = Field(
        None, description="Profit or loss since the day's start, fees and open positions included."
    )
    latches: Latches = Field((), description="Halts that only a person ends.")


class AccountStatus(TradingStatus):
    """How an account is."""

    broker: Annotated[str, Field(max_length=63)] = Field("", description="Which broker: paper, zerodha.")
    equity: Figure | None = Field(None, description="Cash and the value of all positions.")
    positions: Number | None = Field(None, description="Instruments in which a position is open.")
    open_orders: Number | None = Field(None, description="Orders that rest at the venue.")
    in_doubt: Number | None = Field(
        None, description="Orders of which nobody knows yet whether the broker has them."
    )
    broker_user: Annotated[str, Field(max_length=63)] = Field(
        "", description="The user at the broker; empty: it knows none."
    )
    session_expires: Timestamp | None = Field(
        None,
        description="Until when the log-in at the broker is good; null: there is none, or none is needed.",
    )


class StrategyStatus(TradingStatus):
    """How a strategy is."""

    type: Annotated[str, Field(max_length=255)] = Field("", description="Its type, class or file.")
    last_tick_time: Timestamp | None = Field(None, description="Time of the latest tick that it saw.")
    position: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Its positions in one line, for example `NSE:RELIANCE +10 on paper`."
    )


STATUSES: Final[dict[str, type[CommonStatus]]] = {
    "MarketFeed": FeedStatus,
    "BrokerAccount": AccountStatus,
    "Strategy": StrategyStatus,
}
"""The status of each kind."""
