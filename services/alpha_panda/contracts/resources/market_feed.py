"""MarketFeed: one source of prices, its instruments, its calendar."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, PrivateAttr
from pydantic.alias_generators import to_camel

from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.resources.common import ManifestModel, Resource, RuledModel
from alpha_panda.contracts.resources.feed_source import FeedSource
from alpha_panda.contracts.resources.fields import (
    INSTRUMENT_KIND_PATTERN,
    ClockTime,
    Day,
    Integer,
    Price,
    Quantity,
    Replicas,
    Seconds,
    Symbol,
)
from alpha_panda.contracts.resources.rules import Finding, items, peek, unique
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import MisuseError

ALWAYS_OPEN: Final = "24/7"

LISTED: Final = ("lot_size", "kind", "expiry")
"""What a broker's list says of an instrument beside token and tick size, unless the manifest does."""


class PriceBand(RuledModel):
    """The prices that the exchange takes today."""

    low: Price = Field(description="Lowest price taken.")
    high: Price = Field(description="Highest price taken.")

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield a finding when the band is empty."""
        try:
            low, high = float(peek(raw, "low")), float(peek(raw, "high"))
        except (TypeError, ValueError):
            return  # the field itself is wrong and says so
        if low >= high:
            yield Finding(("low",), f"{low:g} is not below high, {high:g}", "low below high")


class FeedInstrument(ManifestModel):
    """One instrument of the feed."""

    symbol: Symbol = Field(description='"EXCHANGE:NAME"; what manifests call the instrument.')
    token: Annotated[Integer, Field(ge=1, le=2**53 - 1)] | None = Field(
        None,
        description="The instrument's number; what events call the instrument. Required, but of a zerodha source: there the "
        "broker's daily list says it, and what is given must agree.",
    )
    tick_size: Price | None = Field(
        None,
        description="Smallest step of a price. Required, but of a zerodha source: there the broker's daily list says it, and "
        "what is given must agree.",
    )
    lot_size: Quantity = Field(1, validate_default=True, description="Smallest step of a quantity.")
    reference_price: Price | None = Field(None, description="Where simulated prices start.")
    kind: Annotated[str, Field(pattern=INSTRUMENT_KIND_PATTERN, max_length=16)] = Field(
        "EQ", description="Type of the instrument: EQ, FUT, CE, PE, INDEX …"
    )
    freeze_quantity: Quantity | None = Field(None, description="Most that the exchange takes in one order.")
    expiry: Day | None = Field(None, description="Last trading day of a contract.")
    stale_after_seconds: Seconds | None = Field(
        None, description="Age at which a price is too old to trade on; absent: the feed's."
    )
    price_band: PriceBand | None = Field(None, description="Prices that the exchange takes today.")

    _is_listed: bool = PrivateAttr(default=False)

    @property
    def is_listed(self) -> bool:
        """Whether a broker's list has said what it stands for."""
        return self._is_listed

    def listed(self, found: Instrument) -> "FeedInstrument":
        """Return it with what a broker's list says, but for what the manifest says itself."""
        said = self.model_fields_set
        told = {name: getattr(found, name) for name in LISTED if name not in said}
        made = self.model_copy(update={**told, "token": found.token, "tick_size": found.tick_size})
        made._is_listed = True  # noqa: SLF001 - its own
        return made

    def instrument(self) -> Instrument:
        """Return the instrument as services use it; MisuseError if its token is not known."""
        if self.token is None or self.tick_size is None:
            raise MisuseError(f"{self.symbol}: its token and tick size are not known yet")
        stale, band = self.stale_after_seconds, self.price_band
        return Instrument(
            token=self.token,
            symbol=self.symbol,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            kind=self.kind,
            freeze_quantity=self.freeze_quantity,
            expiry=self.expiry,
            price_band=(band.low, band.high) if band else None,
            reference_price=self.reference_price,
            stale_after_ns=None if stale is None else nanoseconds(stale),
        )


class SessionHours(ManifestModel):
    """Opening hours in the calendar's time zone.

    A close of 00:00 is the end of the day; otherwise an open that is not before the close is on the evening before.
    """

    open: ClockTime = Field(description='When trading opens, "09:15".')
    close: ClockTime = Field(
        description='When trading closes, "15:30". "00:00" is the end of the day; with an open not before the '
        "close, trading opens on the evening before."
    )


class ExtraSession(SessionHours):
    """Opening hours on one day that the calendar doesn't know."""

    date: Day = Field(description="The day.")


class FeedCacher(ManifestModel):
    """The pods that write the feed's prices into the cache. A run in one process has one."""

    replicas: Replicas = Field(1, description="How many there are; they share the partitions.")


class MarketFeedSpec(RuledModel):
    """What a feed shall be."""

    source: FeedSource = Field(
        description="Where the prices come from: exactly one of simulated, replay, zerodha."
    )
    calendar: Annotated[str, Field(min_length=1, max_length=32)] = Field(
        ALWAYS_OPEN,
        description='"24/7" (in UTC), or a code of exchange_calendars: XBOM is NSE and BSE, XNYS …',
    )
    extra_holidays: Annotated[tuple[Day, ...], Field(max_length=366), unique("date")] = Field(
        (), description="Days on which trading is closed, beside the calendar's."
    )
    extra_sessions: Annotated[tuple[ExtraSession, ...], Field(max_length=366)] = Field(
        (), description="Sessions beside the calendar's, e.g. a Saturday or an evening."
    )
    sessions: Annotated[tuple[SessionHours, ...], Field(max_length=8)] = Field(
        (), description="Hours of every trading day in the calendar's time zone, instead of the calendar's."
    )
    stale_after_seconds: Seconds = Field(
        5.0, description="Age at which a price, or the feed's heartbeat, is too old to trade on."
    )
    instruments: Annotated[
        tuple[FeedInstrument, ...],
        Field(min_length=1, max_length=10_000),
        unique("token", "token"),
        unique("symbol", "symbol"),
    ] = Field(description="What the feed carries.")
    partitions: Annotated[Integer, Field(ge=1, le=64)] = Field(
        4,
        description="Partitions of the topic of ticks; never changes once the feed exists.",
        json_schema_extra={"x-alphapanda-immutable": True},
    )
    feed_cacher: FeedCacher = Field(
        default_factory=FeedCacher, description="The pods that write the feed's prices into the cache."
    )

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield findings for instruments without what their source needs, and a replay's symbol that is no instrument."""
        source, instruments = peek(raw, "source"), items(peek(raw, "instruments"))
        if peek(source, "zerodha") is None:
            yield from _unresolved(instruments)
        if peek(source, "simulated") is not None:
            for index, item in enumerate(instruments):
                if peek(item, "reference_price") is None:
                    location = ("instruments", index, "referencePrice")
                    yield Finding(location, "is missing", "a price at which the simulated prices start")
        symbol = peek(peek(source, "replay"), "symbol")
        known = [peek(item, "symbol") for item in instruments]
        if symbol is not None and symbol not in known:
            names = ", ".join(str(name) for name in known[:20])
            yield Finding(("source", "replay", "symbol"), f"{symbol!r} is not among the instruments", names)


def _unresolved(instruments: list[Any]) -> Iterator[Finding]:
    """Yield what only the broker's daily list may say."""
    for index, item in enumerate(instruments):
        for name in ("token", "tick_size"):
            if isinstance(item, Mapping | BaseModel) and peek(item, name) is None:
                yield Finding(("instruments", index, to_camel(name)), "is missing", "the field is required")


class MarketFeed(Resource):
    """A source of prices with its instruments and calendar."""

    kind: Literal["MarketFeed"] = Field("MarketFeed", description="Kind of the resource.")
    spec: MarketFeedSpec = Field(description="What the feed shall be.")

    @property
    def mode(self) -> FeedMode:
        """What the feed's prices are."""
        return self.spec.source.mode

    @property
    def virtual_time(self) -> bool:
        """Whether the feed runs as fast as possible and drives a virtual clock."""
        return self.spec.source.speed == 0

    @property
    def stale_after_ns(self) -> int:
        """`staleAfterSeconds` in nanoseconds."""
        return nanoseconds(self.spec.stale_after_seconds)

    @cached_property
    def instruments(self) -> InstrumentMaster:
        """The feed's instruments by token and symbol: those that are known, see `unresolved`."""
        unknown = set(self.unresolved)
        return InstrumentMaster.of(
            item.instrument() for item in self.spec.instruments if item.symbol not in unknown
        )

    def listed(self, found: Iterable[Instrument]) -> "MarketFeed":
        """Return the feed with what a broker's list says of its symbols; itself where that is nothing new."""
        by_symbol = {item.symbol: item for item in found}
        old = self.spec.instruments
        new = tuple(item.listed(by_symbol[item.symbol]) if item.symbol in by_symbol else item for item in old)
        if new == old:
            return self
        # Made anew, not copied: a copy would keep what is cached of the instruments before.
        kept = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_construct(
            **{**kept, "spec": self.spec.model_copy(update={"instruments": new})}
        )

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of all instruments, known or not."""
        return tuple(item.symbol for item in self.spec.instruments)

    @cached_property
    def unresolved(self) -> tuple[str, ...]:
        """Symbols of a broker's feed of which its daily list has not (yet) said what they stand for."""
        if not self.spec.source.zerodha:
            return ()
        return tuple(item.symbol for item in self.spec.instruments if not item.is_listed)
