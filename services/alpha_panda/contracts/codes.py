"""Reason codes: why a signal was rejected, an order failed, a record was set aside. One enum, documented here."""

from enum import StrEnum


class Code(StrEnum):
    """Reason of a refusal. The value is part of the wire format: never renamed, never reused.

    Each member's docstring-like comment says what happened; `docs/reference/codes.md` is generated from
    `DESCRIPTIONS` and `REMEDIES`.
    """

    SCHEMA_INVALID = "SCHEMA_INVALID"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_NOT_ALLOWED = "INSTRUMENT_NOT_ALLOWED"
    INSTRUMENT_EXPIRED = "INSTRUMENT_EXPIRED"
    STRATEGY_NOT_ACCEPTED = "STRATEGY_NOT_ACCEPTED"
    TICK_SIZE = "TICK_SIZE"
    LOT_SIZE = "LOT_SIZE"
    FREEZE_QUANTITY = "FREEZE_QUANTITY"
    MAX_ORDER_QUANTITY = "MAX_ORDER_QUANTITY"
    MAX_ORDER_VALUE = "MAX_ORDER_VALUE"
    PRICE_COLLAR = "PRICE_COLLAR"
    PRICE_BAND = "PRICE_BAND"
    PRICE_MISSING = "PRICE_MISSING"
    PRICE_STALE = "PRICE_STALE"
    PRICE_MODE = "PRICE_MODE"
    CLOCK_SKEW = "CLOCK_SKEW"
    SIGNAL_EXPIRED = "SIGNAL_EXPIRED"
    SIGNAL_SUPPRESSED = "SIGNAL_SUPPRESSED"
    SESSION_CLOSED = "SESSION_CLOSED"
    CALENDAR_EXPIRED = "CALENDAR_EXPIRED"
    ORDER_TYPE_NOT_ALLOWED = "ORDER_TYPE_NOT_ALLOWED"
    VALIDITY_NOT_ALLOWED = "VALIDITY_NOT_ALLOWED"
    MAX_POSITION = "MAX_POSITION"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    MAX_OPEN_ORDER_VALUE = "MAX_OPEN_ORDER_VALUE"
    MAX_GROSS_EXPOSURE = "MAX_GROSS_EXPOSURE"
    MAX_NET_EXPOSURE = "MAX_NET_EXPOSURE"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    SHORT_NOT_ALLOWED = "SHORT_NOT_ALLOWED"
    REDUCTION_OPEN = "REDUCTION_OPEN"
    RATE_LIMIT = "RATE_LIMIT"
    RUNAWAY_LOOP = "RUNAWAY_LOOP"
    DAILY_LOSS = "DAILY_LOSS"
    DRAWDOWN = "DRAWDOWN"
    TRADING_HALTED = "TRADING_HALTED"
    TRADING_REDUCING = "TRADING_REDUCING"
    ACCESS_TOKEN_EXPIRED = "ACCESS_TOKEN_EXPIRED"  # noqa: S105 - a reason, not a secret
    EGRESS_IP_REFUSED = "EGRESS_IP_REFUSED"
    DRY_RUN = "DRY_RUN"
    NOT_RECONCILED = "NOT_RECONCILED"
    IN_DOUBT = "IN_DOUBT"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    ORDER_NOT_OPEN = "ORDER_NOT_OPEN"
    BROKER_REJECTED = "BROKER_REJECTED"
    BROKER_UNREACHABLE = "BROKER_UNREACHABLE"
    SEND_DEADLINE_PASSED = "SEND_DEADLINE_PASSED"
    ORDER_LOST = "ORDER_LOST"
    ORDER_MISSING = "ORDER_MISSING"
    NO_FILL = "NO_FILL"
    SESSION_ENDED = "SESSION_ENDED"
    CANCELLED_BY_STRATEGY = "CANCELLED_BY_STRATEGY"
    CANCELLED_BY_STATE = "CANCELLED_BY_STATE"
    CANCEL_UNCONFIRMED = "CANCEL_UNCONFIRMED"
    EXTERNAL_TRADE = "EXTERNAL_TRADE"
    SQUARE_OFF = "SQUARE_OFF"
    ADOPTED = "ADOPTED"
    BREAKER_OPEN = "BREAKER_OPEN"
    UNKNOWN_VERSION = "UNKNOWN_VERSION"
    UNDECODABLE = "UNDECODABLE"
    PAYLOAD_MISMATCH = "PAYLOAD_MISMATCH"
    RETRIES_EXHAUSTED = "RETRIES_EXHAUSTED"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    INTERNAL_ERROR = "INTERNAL_ERROR"


DESCRIPTIONS: dict[Code, str] = {
    Code.SCHEMA_INVALID: "A field is missing, not finite, not positive, or does not fit the order type.",
    Code.INSTRUMENT_UNKNOWN: "The token is not among the instruments of the account's feed.",
    Code.INSTRUMENT_NOT_ALLOWED: "The strategy's manifest does not name this instrument.",
    Code.INSTRUMENT_EXPIRED: "The contract's expiry has passed.",
    Code.STRATEGY_NOT_ACCEPTED: "The account's manifest does not accept this strategy.",
    Code.TICK_SIZE: "A price is not a multiple of the instrument's tick size.",
    Code.LOT_SIZE: "The quantity is not a multiple of the instrument's lot size.",
    Code.FREEZE_QUANTITY: "The quantity exceeds what the exchange takes in one order.",
    Code.MAX_ORDER_QUANTITY: "The quantity exceeds `maxOrderQuantity`.",
    Code.MAX_ORDER_VALUE: "Quantity times price exceeds `maxOrderValue`.",
    Code.PRICE_COLLAR: "The order's price is further from the last price than `priceCollarBps`.",
    Code.PRICE_BAND: "The order's price is outside the exchange's band.",
    Code.PRICE_MISSING: "The price cache holds no price of this instrument.",
    Code.PRICE_STALE: "The price, or its feed's heartbeat, is older than allowed.",
    Code.PRICE_MODE: "A live account was offered a simulated or replayed price.",
    Code.CLOCK_SKEW: "A time lies in the future by more than the allowed clock skew.",
    Code.SIGNAL_EXPIRED: "The signal passed its expiry before it was decided or sent.",
    Code.SIGNAL_SUPPRESSED: "The causing tick was too old to act on; the strategy only rebuilt its state.",
    Code.SESSION_CLOSED: "The venue is closed at this time, or the product's cut-off has passed.",
    Code.CALENDAR_EXPIRED: "The trading calendar's data do not reach this day.",
    Code.ORDER_TYPE_NOT_ALLOWED: "The venue or the account does not take this order type.",
    Code.VALIDITY_NOT_ALLOWED: "The venue or the account does not take this validity.",
    Code.MAX_POSITION: "The position with open orders of this side would exceed `maxPosition`.",
    Code.MAX_OPEN_ORDERS: "The number of open orders would exceed `maxOpenOrders`.",
    Code.MAX_OPEN_ORDER_VALUE: "The value of open orders would exceed `maxOpenOrderValue`.",
    Code.MAX_GROSS_EXPOSURE: "The sum of absolute exposures would exceed `maxGrossExposure`.",
    Code.MAX_NET_EXPOSURE: "The net exposure would exceed `maxNetExposure`.",
    Code.INSUFFICIENT_FUNDS: "Cash, less what backs short positions and what open orders may take, does not cover the order.",
    Code.SHORT_NOT_ALLOWED: "The order would sell more than is held and the account may not go short.",
    Code.REDUCTION_OPEN: "A reducing order of the same side is open; it must end first.",
    Code.RATE_LIMIT: "Too many orders within the second, minute or day.",
    Code.RUNAWAY_LOOP: "The strategy repeats the same signal faster than `runaway` allows; latched.",
    Code.DAILY_LOSS: "The day's loss reached its limit; the scope is latched.",
    Code.DRAWDOWN: "The fall from the day's peak equity reached its limit; the scope is latched.",
    Code.TRADING_HALTED: "A scope is Halted, latched, or its control key is missing or expired.",
    Code.TRADING_REDUCING: "A scope is Reducing and the order does not shrink the strategy's position.",
    Code.ACCESS_TOKEN_EXPIRED: "The broker's access token is no longer valid.",
    Code.EGRESS_IP_REFUSED: "The broker takes no orders from the address that they leave from.",
    Code.DRY_RUN: "The account is on a dry run: the order was made ready, and not sent. The message is what would have been.",
    Code.NOT_RECONCILED: "The account was not compared with its broker today, or since a restart or login; or the two differ on this instrument.",
    Code.IN_DOUBT: "An earlier order on this key has an unknown outcome.",
    Code.UNKNOWN_ORDER: "Risk has validated no such order of this strategy on this instrument.",
    Code.ORDER_NOT_OPEN: "The order to cancel no longer rests.",
    Code.BROKER_REJECTED: "The broker refused the order.",
    Code.BROKER_UNREACHABLE: "No connection to the broker; nothing was sent.",
    Code.SEND_DEADLINE_PASSED: "The permission to send ran out before the call; nothing was sent.",
    Code.ORDER_LOST: "The order was not found in the broker's book after the permission to send had ended.",
    Code.ORDER_MISSING: "The order rests by the broker's own word, but its book does not show it; latched until a person resolves it.",
    Code.NO_FILL: "An IOC order found nothing to trade with.",
    Code.SESSION_ENDED: "A DAY order ended with its session.",
    Code.CANCELLED_BY_STRATEGY: "The strategy cancelled the order.",
    Code.CANCELLED_BY_STATE: "The trading state (Reducing or Halted) cancelled the order.",
    Code.CANCEL_UNCONFIRMED: "The broker did not confirm a cancellation: the order may rest on, or be cancelled after all.",
    Code.EXTERNAL_TRADE: "Somebody else traded on the account, as a person by hand; what it closed of strategies' positions is theirs.",
    Code.SQUARE_OFF: "The broker closed an intraday position by itself; what it closed of strategies' positions is theirs.",
    Code.ADOPTED: "What the broker holds, and the book did not, was booked: as an opening position, or by a person's word.",
    Code.BREAKER_OPEN: "A dependency failed repeatedly; records are set aside until a probe passes.",
    Code.UNKNOWN_VERSION: "The record's version is newer than this release understands.",
    Code.UNDECODABLE: "The record is not valid JSON or MessagePack of its type.",
    Code.PAYLOAD_MISMATCH: "A known id came back with another payload.",
    Code.RETRIES_EXHAUSTED: "The record failed as often as its class of error allows.",
    Code.DEPENDENCY_UNAVAILABLE: "A store or broker did not answer in time.",
    Code.INTERNAL_ERROR: "An error nobody foresaw; the log has the traceback.",
}

REMEDIES: dict[Code, str] = {
    Code.SCHEMA_INVALID: "Correct the strategy: the message names the field.",
    Code.INSTRUMENT_UNKNOWN: "Add the instrument to the feed's manifest, or correct the token in the strategy's code.",
    Code.INSTRUMENT_NOT_ALLOWED: "Name the instrument in the strategy's `spec.instruments`.",
    Code.INSTRUMENT_EXPIRED: "Roll over: put the next contract into the feed's and the strategy's manifests.",
    Code.STRATEGY_NOT_ACCEPTED: "Name the strategy in the account's `spec.acceptStrategies`, or take the account out of the strategy's.",
    Code.TICK_SIZE: "Round prices to the instrument's tick size; `instrument.quantize` does.",
    Code.LOT_SIZE: "Order whole lots.",
    Code.FREEZE_QUANTITY: "Order less at a time: split it in the strategy.",
    Code.MAX_ORDER_QUANTITY: "Order less, or raise `maxOrderQuantity`.",
    Code.MAX_ORDER_VALUE: "Order less, or raise `maxOrderValue`.",
    Code.PRICE_COLLAR: "Price the order nearer to the market, or widen `priceCollarBps`.",
    Code.PRICE_BAND: "Price the order within the exchange's band.",
    Code.PRICE_MISSING: "See whether the feed has ever sent this instrument: `alpha-panda status`, then the feed's and the cacher's logs.",
    Code.PRICE_STALE: "See why the feed is silent: `alpha-panda status`. An illiquid instrument may take a longer `staleAfterSeconds`.",
    Code.PRICE_MODE: "Give the live account a live feed.",
    Code.CLOCK_SKEW: "Set the clocks of the nodes right (NTP).",
    Code.SIGNAL_EXPIRED: "See what was slow: the hops of `alpha-panda explain`. If that is how it is, raise `signalTtlSeconds`.",
    Code.SIGNAL_SUPPRESSED: "Nothing to do after a restart. If it goes on, the strategy is behind its feed: `alpha-panda status`.",
    Code.SESSION_CLOSED: "Nothing to do: trade within the session. If it was open, correct the account's calendar or `sessions`.",
    Code.CALENDAR_EXPIRED: "Upgrade `exchange_calendars`, or name days in `extraSessions`.",
    Code.ORDER_TYPE_NOT_ALLOWED: "Use an order type that the venue takes.",
    Code.VALIDITY_NOT_ALLOWED: "Use a validity that the venue takes.",
    Code.MAX_POSITION: "Nothing to do if the limit is meant; else raise `maxPosition`.",
    Code.MAX_OPEN_ORDERS: "Cancel what rests, or raise `maxOpenOrders`.",
    Code.MAX_OPEN_ORDER_VALUE: "Cancel what rests, or raise `maxOpenOrderValue`.",
    Code.MAX_GROSS_EXPOSURE: "Close positions, or raise `maxGrossExposure`.",
    Code.MAX_NET_EXPOSURE: "Close positions, or raise `maxNetExposure`.",
    Code.INSUFFICIENT_FUNDS: "Order less, close positions, cancel what rests, or add cash.",
    Code.SHORT_NOT_ALLOWED: "Sell no more than is held, or allow short positions on the account.",
    Code.REDUCTION_OPEN: "Wait until the open order ends, or cancel it.",
    Code.RATE_LIMIT: "Send fewer orders, or raise the limit that the message names.",
    Code.RUNAWAY_LOOP: "Correct the strategy, then clear its latch: `alpha-panda resume Strategy/NAME`.",
    Code.DAILY_LOSS: "Nothing to do if the limit is meant. To trade on today: raise `maxDailyLoss`, then clear the latch.",
    Code.DRAWDOWN: "Nothing to do if the limit is meant. To trade on today: raise `maxDrawdown`, then clear the latch.",
    Code.TRADING_HALTED: "See who halted it and why: `alpha-panda status`. When it may go on: `alpha-panda resume SCOPE --latch ID`.",
    Code.TRADING_REDUCING: "See who set it and why: `alpha-panda status`. Only closing orders pass until then.",
    Code.ACCESS_TOKEN_EXPIRED: "Log in at the broker and renew the token's Secret.",
    Code.EGRESS_IP_REFUSED: "Register the address that the message names with the broker, or let orders leave from the registered one.",
    Code.DRY_RUN: "Nothing to do if a dry run is meant; else set `zerodha.live: true` instead of `dryRun`.",
    Code.NOT_RECONCILED: "Wait for the order-tracker to compare; if it does not, see its log. A difference that stays: look at the broker, then `alpha-panda orders adopt`.",
    Code.IN_DOUBT: "Find the order: `alpha-panda orders list ACCOUNT --in-doubt`. If it stays so, decide: `alpha-panda orders resolve`.",
    Code.UNKNOWN_ORDER: "Cancel by the id of the signal that made the order.",
    Code.ORDER_NOT_OPEN: "Nothing to do: the order had ended before.",
    Code.BROKER_REJECTED: "Read the broker's message; it says what the venue refuses.",
    Code.BROKER_UNREACHABLE: "See the broker's status page and the way there (network policy, DNS, proxy). Nothing was sent.",
    Code.SEND_DEADLINE_PASSED: "Nothing was sent. See what was slow: the engine's load, the broker's connection.",
    Code.ORDER_LOST: "Look for the order's tag in the broker's book: if it is there after all, the account is halted and the book corrected.",
    Code.ORDER_MISSING: "Compare with the broker's terminal, then `alpha-panda orders resolve`.",
    Code.NO_FILL: "Nothing to do: an IOC order trades at once or not at all.",
    Code.SESSION_ENDED: "Nothing to do: a DAY order ends with its session.",
    Code.CANCELLED_BY_STRATEGY: "Nothing to do: the strategy asked for it.",
    Code.CANCELLED_BY_STATE: "See who halted or reduced it: `alpha-panda status`.",
    Code.CANCEL_UNCONFIRMED: "Look into the broker's book whether the order rests on; cancel it again if it does.",
    Code.EXTERNAL_TRADE: "Nothing to do if it was meant; else see who else can trade on the account.",
    Code.SQUARE_OFF: "Let strategies close intraday positions before the broker does: set `productCutOff` early enough.",
    Code.ADOPTED: "Nothing to do.",
    Code.BREAKER_OPEN: "Repair the dependency that the message names. The signal is not sent again; a strategy sends a new one.",
    Code.UNKNOWN_VERSION: "Finish the upgrade, then `alpha-panda dlq replay`.",
    Code.UNDECODABLE: "See who wrote it: `alpha-panda dlq show`.",
    Code.PAYLOAD_MISMATCH: "Two signals have one id: see who else writes to the account's topics.",
    Code.RETRIES_EXHAUSTED: "Repair what the message names, then `alpha-panda dlq replay`.",
    Code.DEPENDENCY_UNAVAILABLE: "See whether Redis, Kafka and the broker answer: `alpha-panda status`.",
    Code.INTERNAL_ERROR: "Read the service's log at that time, and report it.",
}
"""What a person does about it; where that is nothing, it says so."""
