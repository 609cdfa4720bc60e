"""The closed sets of words that appear in manifests, events and logs."""

from enum import IntEnum, StrEnum


class Side(StrEnum):
    """Direction of a signal or an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL: multiply a quantity with it to get the change of the position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The side that closes what this one opened."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How the venue prices an order. STOP becomes MARKET, STOP_LIMIT becomes LIMIT, once triggered."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class Validity(StrEnum):
    """How long an order may rest: to the end of the session, or not at all."""

    DAY = "DAY"
    IOC = "IOC"


class Product(StrEnum):
    """What an order is for at an Indian broker: intraday, delivery, or carried overnight."""

    MIS = "MIS"
    CNC = "CNC"
    NRML = "NRML"


class TradingState(StrEnum):
    """What a scope (strategy, account, platform) may do; declared from the loosest to the strictest."""

    ACTIVE = "Active"
    REDUCING = "Reducing"
    HALTED = "Halted"

    @property
    def strictness(self) -> int:
        """0 (Active) to 2 (Halted); of several scopes the greatest counts."""
        return _STRICTNESS[self]

    @classmethod
    def strictest(cls, *states: "TradingState") -> "TradingState":
        """Return the state that binds when several scopes speak; Halted when none does."""
        return max(states, key=lambda state: state.strictness, default=cls.HALTED)


_STRICTNESS = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


class FeedMode(StrEnum):
    """Where a price comes from. A live account refuses all but LIVE."""

    LIVE = "live"
    SIMULATED = "simulated"
    REPLAY = "replay"


class SignalClass(StrEnum):
    """Whether a validated signal can grow the strategy's confirmed position."""

    INCREASING = "increasing"
    REDUCING = "reducing"
    CANCEL = "cancel"


class Verdict(StrEnum):
    """What risk decided."""

    VALIDATED = "VALIDATED"
    REJECTED = "REJECTED"


class OrderStatus(StrEnum):
    """Life of an order as its events tell it; `rank` orders the stages."""

    PLACED = "PLACED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    LOST = "LOST"

    @property
    def rank(self) -> "StatusRank":
        """Stage of the order: a fold of its events keeps the greatest one seen."""
        return _RANKS[self]

    @property
    def terminal(self) -> bool:
        """Whether nothing but a correction can follow."""
        return self.rank is StatusRank.TERMINAL


class StatusRank(IntEnum):
    """Stages of an order's life; a later one is never undone by an event of an earlier one."""

    PLACED = 1
    PARTIAL = 2
    TERMINAL = 3


_RANKS = {
    OrderStatus.PLACED: StatusRank.PLACED,
    OrderStatus.PARTIALLY_FILLED: StatusRank.PARTIAL,
    OrderStatus.FILLED: StatusRank.TERMINAL,
    OrderStatus.CANCELLED: StatusRank.TERMINAL,
    OrderStatus.FAILED: StatusRank.TERMINAL,
    OrderStatus.LOST: StatusRank.TERMINAL,
}


class EntryState(StrEnum):
    """State of an order in the journal. SENDING and UNKNOWN are in doubt; only PLACED ones rest at the venue."""

    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    PLACED = "PLACED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    LOST = "LOST"

    @property
    def in_doubt(self) -> bool:
        """Whether the broker may or may not hold the order."""
        return self in (EntryState.SENDING, EntryState.UNKNOWN)

    @property
    def resting(self) -> bool:
        """Whether the order is known to be working at the venue."""
        return self in (EntryState.PLACED, EntryState.PARTIALLY_FILLED)

    @property
    def terminal(self) -> bool:
        """Whether nothing but a correction can follow."""
        return not self.in_doubt and not self.resting

    @property
    def order_status(self) -> OrderStatus:
        """The status that events of this state carry; in doubt there is none (ValueError)."""
        return OrderStatus(self.value)


class EventType(StrEnum):
    """Type of a record; each has one payload struct in `contracts.events`."""

    MARKET_TICKS = "MARKET_TICKS"
    TRADING_SIGNAL = "TRADING_SIGNAL"
    CANCEL_REQUEST = "CANCEL_REQUEST"
    VALIDATED_SIGNAL = "VALIDATED_SIGNAL"
    REJECTED_SIGNAL = "REJECTED_SIGNAL"
    ORDER_PLACED = "ORDER_PLACED"
    ORDER_FILLED = "ORDER_FILLED"
    ORDER_FAILED = "ORDER_FAILED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_UPDATED = "ORDER_UPDATED"
    PORTFOLIO_SNAPSHOT = "PORTFOLIO_SNAPSHOT"
    CONTROL_CHANGED = "CONTROL_CHANGED"
    RECONCILED = "RECONCILED"
