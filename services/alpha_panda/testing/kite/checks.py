"""What Kite refuses at once (an answer 400, no row in the book), and what it refuses later (a row REJECTED).

Which check is of which kind follows reports; where none is known: what can be seen without a look at the market or the
account is refused at once. Texts without a source are marked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO

from .instruments import InstrumentDump, KiteInstrument
from .orders import Terms
from .wire import Refusal, bad_input, number

VARIETIES: Final = frozenset({"regular", "amo", "co", "iceberg", "auction"})
LONGEST_TAG: Final = 20
FEWEST_LEGS: Final = 2
MOST_LEGS: Final = 50
MOST_SLICES: Final = 10
MOST_TTL_MINUTES: Final = 120

NO_PROTECTION: Final = bad_input(
    "Market orders without market protection are not allowed via API."
    " Please set market protection or use a Limit order."
)
NO_INSTRUMENT: Final = bad_input(
    "The instrument you are placing an order for has either expired or does not exist."
)
CLOSED: Final = bad_input(
    "Markets are closed right now. Use a After Market Order (AMO) to place this order."
)  # guess
PROCESSED: Final = "as it is being processed. Try later."
TOO_MANY_MODIFICATIONS: Final = bad_input("Maximum allowed order modifications exceeded")

_DELIVERY_EXCHANGES: Final = frozenset({"NSE", "BSE"})
_PRODUCTS: Final = frozenset({"CNC", "NRML", "MIS", "MTF"})
_ORDER_TYPES: Final = frozenset({"MARKET", "LIMIT", "SL", "SL-M"})
_VALIDITIES: Final = frozenset({"DAY", "IOC", "TTL"})


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; numbers that are none count as -1, so that they are refused."""

    fields: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """Return a field."""
        return self.fields.get(name) or default

    def whole(self, name: str) -> int:
        """Return a whole number, 0 where there is none."""
        value = self.decimal(name)
        return int(value) if value == value.to_integral_value() else -1

    def decimal(self, name: str) -> Decimal:
        """Return a number, 0 where there is none."""
        try:
            value = Decimal(self.text(name, "0"))
        except InvalidOperation:
            return Decimal(-1)
        return value if value.is_finite() else Decimal(-1)

    def flag(self, name: str) -> bool:
        """Return a boolean, in anybody's capitals."""
        return self.text(name).lower() in {"true", "1"}


def terms_of(form: Form, variety: str, dump: InstrumentDump, today: date) -> Terms | Refusal:
    """Return what is ordered, or why it can't be."""
    item = dump.by_key.get(f"{form.text('exchange')}:{form.text('tradingsymbol')}")
    if item is None or not item.tradable or (item.expiry is not None and item.expiry < today):
        return NO_INSTRUMENT
    wrong = _wrong_words(form, variety)
    if wrong is not None:
        return wrong
    terms = Terms(
        instrument=item,
        variety=variety,
        side=Side(form.text("transaction_type")),
        order_type=form.text("order_type"),
        product="CO" if variety == "co" else form.text("product"),
        quantity=form.whole("quantity"),
        price=form.decimal("price") if form.text("order_type") in {"LIMIT", "SL"} else ZERO,
        trigger_price=form.decimal("trigger_price"),
        validity=form.text("validity", "DAY"),
        validity_ttl=form.whole("validity_ttl"),
        disclosed_quantity=form.whole("disclosed_quantity"),
        market_protection=form.decimal("market_protection"),
        tag=form.text("tag"),
        iceberg_legs=form.whole("iceberg_legs"),
        iceberg_quantity=form.whole("iceberg_quantity"),
        auction_number=form.text("auction_number"),
        algo_id=form.text("algo_id"),
        autoslice=form.flag("autoslice"),
    )
    return next((refusal for check in _CHECKS if (refusal := check(terms)) is not None), terms)


def _wrong_words(form: Form, variety: str) -> Refusal | None:
    """Return what is wrong with the words. Guess: the texts."""
    closed_sets = (
        ("transaction_type", form.text("transaction_type"), {"BUY", "SELL"}),
        ("order_type", form.text("order_type"), _ORDER_TYPES),
        ("product", form.text("product", "MIS" if variety == "co" else ""), _PRODUCTS),
        ("validity", form.text("validity", "DAY"), _VALIDITIES),
        ("variety", variety, VARIETIES),
    )
    return next(
        (bad_input(f"Invalid `{name}`.") for name, given, may in closed_sets if given not in may), None
    )


def _tag(terms: Terms) -> Refusal | None:
    if len(terms.tag) > LONGEST_TAG:
        return bad_input(f"`tag` should be max {LONGEST_TAG} characters")
    return None


def _quantity(terms: Terms) -> Refusal | None:
    """Whole lots, and at most the freeze quantity. Guess: the text on lots."""
    item = terms.instrument
    if terms.quantity <= 0:
        return bad_input("Invalid `quantity`.")
    if terms.quantity % item.lot_size:
        return bad_input(f"Quantity should be in multiples of the lot size {item.lot_size}.")
    slices = -(-terms.quantity // item.freeze_quantity)
    if slices > (MOST_SLICES if terms.autoslice else 1):
        return bad_input(
            f"Quantity {terms.quantity} exceeds the maximum allowed quantity per order {item.freeze_quantity}."
        )
    return None


def _prices(terms: Terms) -> Refusal | None:
    """On the tick grid, and there where the order type needs them."""
    if terms.order_type in {"LIMIT", "SL"} and terms.price <= 0:
        return bad_input("Invalid `price`.")
    if terms.order_type in {"SL", "SL-M"} and terms.trigger_price <= 0:
        return bad_input("Invalid `trigger_price`.")
    if terms.trigger_price < 0 or off_grid(terms.instrument, terms.price, terms.trigger_price):
        return off_grid_refusal(terms.instrument)
    if terms.order_type == "SL" and (terms.trigger_price - terms.price) * terms.side.sign > 0:
        order = "below" if terms.side is Side.BUY else "above"
        return bad_input(f"Trigger price must be {order} the price.")  # guess
    return None


def off_grid(item: KiteInstrument, *prices: Decimal) -> bool:
    """Whether one of the prices is not a multiple of the tick size."""
    return any(price % item.tick_size for price in prices)


def off_grid_refusal(item: KiteInstrument) -> Refusal:
    """Return Kite's words for it."""
    tick = number(item.tick_size)
    return bad_input(
        f"Tick size for this script is {tick}. Kindly enter price in the multiple of tick size for this script."
    )


def _protection(terms: Terms) -> Refusal | None:
    given = terms.market_protection
    if given != -1 and not 0 <= given <= 100:  # noqa: PLR2004 - percent
        return bad_input("Invalid `market_protection`.")
    return NO_PROTECTION if terms.order_type in {"MARKET", "SL-M"} and given == 0 else None


def _validity(terms: Terms) -> Refusal | None:
    """Refuse what has no rule: IOC on MCX since 2026-04-01; the range of TTL is a guess."""
    if terms.validity == "IOC" and terms.instrument.exchange == "MCX":
        return bad_input("IOC orders are not allowed for MCX via API.")
    if terms.validity == "TTL" and not 1 <= terms.validity_ttl <= MOST_TTL_MINUTES:
        return bad_input("Invalid `validity_ttl`.")
    return None


def _product(terms: Terms) -> Refusal | None:
    """Delivery is of shares, and shares are not carried as NRML."""
    shares = terms.instrument.exchange in _DELIVERY_EXCHANGES
    if terms.product in {"CNC", "MTF"} and not shares:
        return bad_input(f"{terms.product} is not allowed for {terms.instrument.exchange}.")
    return bad_input("NRML is not allowed for shares.") if terms.product == "NRML" and shares else None


def _variety(terms: Terms) -> Refusal | None:
    if terms.variety == "iceberg":
        legs, each = terms.iceberg_legs, terms.iceberg_quantity
        fits = (
            FEWEST_LEGS <= legs <= MOST_LEGS
            and each > 0
            and each * (legs - 1) < terms.quantity <= each * legs
            and each % terms.instrument.lot_size == 0
        )
        return None if fits else bad_input("Invalid `iceberg_legs` or `iceberg_quantity`.")
    if terms.variety == "co" and terms.trigger_price <= 0:
        return bad_input("Invalid `trigger_price`.")
    return None


_CHECKS: Final[tuple[Callable[[Terms], Refusal | None], ...]] = (
    _tag,
    _quantity,
    _prices,
    _protection,
    _validity,
    _product,
    _variety,
)
