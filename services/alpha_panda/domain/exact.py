"""Decimal arithmetic that loses nothing, and one spelling for each value.

Python's default context rounds each result to 28 digits without a word. Money is added, subtracted and multiplied
under `EXACT`, which raises `decimal.Inexact` rather than round. `bounded` numbers have at most 31 digits before
and 40 after the point: a product of two (`bounded_amount`) has at most 142 digits, a sum of 10^50 of such products
still fits into the 200 digits of the contexts, so no sum or product of what came in so can raise.
"""

from contextlib import AbstractContextManager
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import Final

PRECISION: Final = 200
MAX_EXPONENT: Final = 30
MIN_EXPONENT: Final = -40
DISPLAY_STEP: Final = Decimal("1E-10")
"""Ten places: what a quotient (an average, a share of a cost) is rounded to."""

_UNIT: Final = Decimal(1)
_ZERO: Final = Decimal(0)
_ERRORS: Final = [InvalidOperation, DivisionByZero, Overflow]
_EXACT: Final = Context(prec=PRECISION, rounding=ROUND_HALF_EVEN, traps=[*_ERRORS, Inexact])
_WIDE: Final = Context(prec=PRECISION, rounding=ROUND_HALF_EVEN, traps=_ERRORS)


def exact() -> AbstractContextManager[Context]:
    """Return a context for sums and products: a result that does not fit raises `decimal.Inexact`."""
    return localcontext(_EXACT)


def wide() -> AbstractContextManager[Context]:
    """Return a context of the same width in which a quotient may be rounded."""
    return localcontext(_WIDE)


def bounded(number: Decimal) -> bool:
    """Whether the number is finite and of a size and fineness that the contexts hold."""
    return _within(number, 1)


def bounded_amount(number: Decimal) -> bool:
    """Return the same of a price times a quantity: twice the size and twice the fineness."""
    return _within(number, 2)


def amount_of(quantity: Decimal, price: Decimal | None, amount: Decimal | None) -> Decimal:
    """Return the money that a filled quantity cost or brought: the exact amount if told, else price times quantity."""
    if not quantity:
        return Decimal(0)
    return _EXACT.multiply(price or Decimal(0), quantity) if amount is None else amount


def _within(number: Decimal, factors: int) -> bool:
    if is_whole(number):  # most are, and `as_tuple` makes an object of each digit
        return number.adjusted() < factors * (MAX_EXPONENT + 1)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        return False
    return exponent >= factors * MIN_EXPONENT and number.adjusted() < factors * (MAX_EXPONENT + 1)


def is_whole(number: Decimal) -> bool:
    """Whether the number is finite and written without places and without an exponent."""
    return number.same_quantum(_UNIT)


def plus(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact sum, whatever the context."""
    return _EXACT.add(one, other)


def minus(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact difference, whatever the context."""
    return _EXACT.subtract(one, other)


def times(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact product, whatever the context."""
    return _EXACT.multiply(one, other)


def tidy(number: Decimal) -> Decimal:
    """Return the same value in its one spelling: no trailing zeros, no exponent, no negative zero."""
    if not number:
        return _ZERO
    if is_whole(number):  # most are
        return number
    plain = _WIDE.normalize(number)
    without_places = plain == _WIDE.to_integral_value(plain)
    return plain.quantize(_UNIT, context=_WIDE) if without_places else plain


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return amount*part/whole, rounded to ten places; all of `amount` where part is the whole."""
    if part == whole:
        return amount
    return quotient(_EXACT.multiply(amount, part), whole)


def quotient(amount: Decimal, divisor: Decimal) -> Decimal:
    """Return amount/divisor, rounded to ten places."""
    return tidy(_WIDE.divide(amount, divisor).quantize(DISPLAY_STEP, context=_WIDE))
