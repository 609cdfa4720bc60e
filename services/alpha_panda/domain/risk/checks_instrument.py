"""May this strategy trade this instrument, and does the order lie on its grids and within the exchange's bounds."""

from decimal import Decimal

from alpha_panda.contracts.codes import Code
from alpha_panda.domain.risk.case import Case
from alpha_panda.domain.risk.outcome import PASSED, Outcome, at_most, passed, refused
from alpha_panda.domain.risk.position import free_quantity


def strategy_accepted(case: Case) -> Outcome:
    """Check that the account takes orders of this strategy."""
    if case.facts.strategy_accepted:
        return PASSED
    return refused(
        Code.STRATEGY_NOT_ACCEPTED, f"the account does not accept strategy {case.signal.strategy_id}"
    )


def instrument_known(case: Case) -> Outcome:
    """Check that the token is one of the feed's, and the symbol is that token's."""
    instrument, signal = case.facts.instrument, case.signal
    if instrument is None:
        return refused(
            Code.INSTRUMENT_UNKNOWN, f"token {signal.instrument_token} is not in the account's feed"
        )
    if (instrument.token, instrument.symbol) != (signal.instrument_token, signal.symbol):
        message = f"token {signal.instrument_token} is {instrument.symbol}, not {signal.symbol}"
        return refused(Code.INSTRUMENT_UNKNOWN, message)
    return PASSED


def instrument_allowed(case: Case) -> Outcome:
    """Check that the strategy's manifest names the instrument."""
    if case.signal.symbol in case.facts.allowed_symbols:
        return PASSED
    return refused(Code.INSTRUMENT_NOT_ALLOWED, f"the strategy's manifest does not name {case.signal.symbol}")


def instrument_expiry(case: Case) -> Outcome | None:
    """Check that the contract has not expired; it trades up to and including its day of expiry."""
    expiry = case.instrument.expiry
    if expiry is None:
        return None
    if case.facts.trading_day <= expiry.isoformat():
        return passed(case.facts.trading_day, expiry)
    return refused(
        Code.INSTRUMENT_EXPIRED, f"{case.signal.symbol} expired on {expiry}", case.facts.trading_day, expiry
    )


def tick_size(case: Case) -> Outcome | None:
    """Check that each price of the order is a multiple of the tick size."""
    step, prices = case.instrument.tick_size, order_prices(case)
    for name, price in prices:
        if not case.instrument.on_tick_grid(price):
            return refused(Code.TICK_SIZE, f"{name} {price} is not a multiple of {step}", price, step)
    return passed(limit=step) if prices else None


def lot_size(case: Case) -> Outcome:
    """Check the quantity's grid; what closes all that is free of a position passes off it too."""
    quantity, lot = case.signal.quantity, case.instrument.lot_size
    residue = case.reducing and quantity == free_quantity(case.own_quantity, case.own_opens)
    if residue or case.instrument.on_lot_grid(quantity):
        return passed(quantity, lot)
    return refused(Code.LOT_SIZE, f"quantity {quantity} is not a multiple of {lot}", quantity, lot)


def freeze_quantity(case: Case) -> Outcome | None:
    """Check that the exchange takes that much in one order."""
    return at_most(Code.FREEZE_QUANTITY, "quantity", case.signal.quantity, case.instrument.freeze_quantity)


def price_band(case: Case) -> Outcome | None:
    """Check that each price of the order lies within the exchange's band."""
    band, prices = case.instrument.price_band, order_prices(case)
    if band is None or not prices:
        return None
    low, high = band
    for name, price in prices:
        if not low <= price <= high:
            message = f"{name} {price} is outside {low} to {high}"
            return refused(Code.PRICE_BAND, message, price, f"{low} to {high}")
    return passed(limit=f"{low} to {high}")


def order_prices(case: Case) -> list[tuple[str, Decimal]]:
    """Return the prices that the order names, with the names of their fields."""
    named = (("limit_price", case.signal.limit_price), ("trigger_price", case.signal.trigger_price))
    return [(name, price) for name, price in named if price is not None]
