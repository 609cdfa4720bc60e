"""What a strategy may ask for, and how it is told that it may not."""

from decimal import Decimal

import pytest

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.sdk import OrderIntent, OrderType, Side
from alpha_panda.sdk.intents import check_order_prices, exact, order_price

RELIANCE = Instrument(token=738561, symbol="NSE:RELIANCE", tick_size=Decimal("0.05"))


@pytest.mark.parametrize("value", [Decimal("2.5"), "2.5"])
def test_exact_takes_decimals_and_strings(value: Decimal | str) -> None:
    assert exact(value, "quantity") == Decimal("2.5")


def test_exact_takes_ints() -> None:
    assert exact(3, "quantity") == Decimal(3)


@pytest.mark.parametrize("value", [0.1, True, None, [1]])
def test_exact_refuses_floats_and_other_types_and_says_what_to_write(value: object) -> None:
    with pytest.raises(
        TypeError, match=rf"quantity must be a Decimal, int or str, not {type(value).__name__}"
    ):
        exact(value, "quantity")  # type: ignore[arg-type]


def test_a_refused_float_is_shown_as_a_decimal() -> None:
    with pytest.raises(TypeError, match=r"Decimal\('0\.1'\)"):
        exact(0.1, "quantity")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, "0", "-0.5", "NaN", "Infinity", Decimal("sNaN")])
def test_exact_refuses_what_is_not_above_zero(value: Decimal | int | str) -> None:
    with pytest.raises(ValueError, match="limit_price must be greater than zero"):
        exact(value, "limit_price")


def test_exact_refuses_text_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="quantity is not a number: 'ten'"):
        exact("ten", "quantity")


def test_a_price_on_the_grid_passes() -> None:
    assert order_price("2500.05", "limit_price", RELIANCE) == Decimal("2500.05")
    assert order_price(None, "limit_price", RELIANCE) is None


def test_a_price_off_the_grid_is_refused_with_the_nearest_one_on_it() -> None:
    with pytest.raises(ValueError, match=r"2500\.07 of NSE:RELIANCE .* tick size 0\.05: .* here 2500\.05"):
        order_price("2500.07", "limit_price", RELIANCE)


_P = Decimal(100)


@pytest.mark.parametrize(
    ("order_type", "limit", "trigger"),
    [
        (OrderType.MARKET, None, None),
        (OrderType.LIMIT, _P, None),
        (OrderType.STOP, None, _P),
        (OrderType.STOP_LIMIT, _P, _P),
    ],
)
def test_each_order_type_takes_its_own_prices_only(
    order_type: OrderType, limit: Decimal | None, trigger: Decimal | None
) -> None:
    for given_limit in (None, _P):
        for given_trigger in (None, _P):
            intent = OrderIntent(
                token=1,
                side=Side.BUY,
                quantity=Decimal(1),
                order_type=order_type,
                limit_price=given_limit,
                trigger_price=given_trigger,
            )
            if (given_limit, given_trigger) == (limit, trigger):
                check_order_prices(intent)
            else:
                with pytest.raises(ValueError, match=rf"a {order_type} order (needs|takes no) \w+_price"):
                    check_order_prices(intent)
