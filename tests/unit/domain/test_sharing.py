"""Whose position an external trade has closed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderStatus, OrderType, Side, Validity
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.domain.book import Book
from alpha_panda.domain.exact import tidy
from alpha_panda.domain.sharing import (
    adoption_id,
    claims_on,
    group_of,
    is_shared,
    opening_id,
    pro_rata,
    share_group,
    share_id,
    shared_out,
)

ONE, TOKEN = Decimal(1), 7
D = Decimal


def shares(quantity: str, step: str = "1", **claims: str) -> dict[str, str]:
    found = pro_rata(D(quantity), {name: D(claim) for name, claim in claims.items()}, D(step))
    return {name: f"{tidy(part):f}" for name, part in found.items()}


@pytest.mark.parametrize(
    ("quantity", "claims", "expected"),
    [
        ("10", {"a": "6", "b": "4"}, {"a": "6", "b": "4"}),
        ("15", {"a": "6", "b": "4"}, {"a": "6", "b": "4"}),
        ("5", {"a": "6", "b": "4"}, {"a": "3", "b": "2"}),
        ("1", {"a": "6", "b": "4"}, {"a": "1"}),
        ("2", {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "1"}),
        ("3", {"a": "5", "b": "5"}, {"a": "2", "b": "1"}),  # a tie: the name
        ("0", {"a": "5"}, {}),
        ("3", {}, {}),
    ],
)
def test_it_is_pro_rata_with_the_largest_remainder_first(
    quantity: str, claims: dict[str, str], expected: dict[str, str]
) -> None:
    assert shares(quantity, **claims) == expected


def test_lots_are_not_broken_unless_a_claim_is() -> None:
    assert shares("75", "25", a="100", b="50") == {"a": "50", "b": "25"}
    assert shares("50", "25", a="100", b="100") == {"a": "25", "b": "25"}
    assert shares("60", "25", a="100", b="10") == {"a": "50", "b": "10"}


@given(
    quantity=st.integers(0, 5_000),
    claims=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 1_000), max_size=8),
    step=st.sampled_from([1, 5, 25, 75]),
)
def test_all_is_shared_that_is_claimed_and_nobody_gets_more_than_the_claim(
    quantity: int, claims: dict[str, int], step: int
) -> None:
    wanted = {name: D(claim) for name, claim in claims.items()}
    found = pro_rata(D(quantity), wanted, D(step))
    assert sum(found.values()) == min(quantity, sum(claims.values()))
    assert all(0 < part <= wanted[name] for name, part in found.items())
    assert found == pro_rata(D(quantity), dict(reversed(wanted.items())), D(step))


def book(**positions: str) -> Book:
    found = Book.opened(D(0))
    for name, quantity in positions.items():
        side = Side.BUY if D(quantity) > 0 else Side.SELL
        found.apply(name, TOKEN, "NSE:X", side, abs(D(quantity)), abs(D(quantity)) * 100, D(0))
    return found


def test_only_what_the_side_closes_is_claimed() -> None:
    held = book(a="6", b="-4", external="-9", c="0.5")
    assert claims_on(held, TOKEN, Side.SELL) == {"a": 6, "c": D("0.5")}
    assert claims_on(held, TOKEN, Side.BUY) == {"b": 4}
    assert claims_on(held, 8, Side.BUY) == {}


@pytest.mark.parametrize(
    ("external", "quantity", "expected"),
    [
        ("-10", "10", {"a": 6, "b": 4}),  # nobody else held anything
        ("-4", "10", {"a": D(2), "b": D(2)}),  # others' own 6 went first
        ("0", "10", {}),
        ("3", "10", {}),
        ("-30", "5", {"a": 3, "b": 2}),  # others were short before: not more than this trade
    ],
)
def test_what_others_held_goes_first(external: str, quantity: str, expected: dict[str, Decimal]) -> None:
    held = book(a="6", b="4", **({"external": external} if D(external) else {}))
    found = shared_out(held, TOKEN, Side.SELL, D(quantity), ONE)
    assert sum(found.values()) == sum(expected.values())
    if external != "-4":
        assert found == expected


@given(
    positions=st.dictionaries(st.sampled_from("abc"), st.integers(-50, 50), max_size=3),
    external=st.integers(-50, 50),
    quantity=st.integers(1, 100),
    side=st.sampled_from(Side),
)
def test_a_shared_trade_leaves_the_account_as_it_was_and_carries_nobody_across_zero(
    positions: dict[str, int], external: int, quantity: int, side: Side
) -> None:
    held = book(**{name: str(size) for name, size in positions.items() if size})
    if external:
        held.apply(
            "external", TOKEN, "NSE:X", Side.BUY if external > 0 else Side.SELL, D(abs(external)), D(7), D(0)
        )
    held.apply("external", TOKEN, "NSE:X", side, D(quantity), D("333.35"), D(0))
    account, cash = held.quantity(TOKEN), held.cash
    before = {name: held.strategy(name).quantity(TOKEN) for name in positions}
    for name, share in shared_out(held, TOKEN, side, D(quantity), ONE).items():
        held.transfer("external", name, TOKEN, "NSE:X", side, share, share * 3)
    assert (held.quantity(TOKEN), held.cash) == (account, cash)
    assert sum(own.quantity(TOKEN) for own in held.strategies.values()) == account
    for name, quantity_before in before.items():
        now = held.strategy(name).quantity(TOKEN)
        assert abs(now) <= abs(quantity_before)
        assert now * quantity_before >= 0
    parts = [own.positions[TOKEN] for own in held.strategies.values() if TOKEN in own.positions]
    whole = held.positions[TOKEN]
    assert sum(p.cost - p.realized_pnl for p in parts) == whole.cost - whole.realized_pnl


def update(**changes: object) -> OrderUpdate:
    base = OrderUpdate(
        signal_id="external:b1",
        order_id="external:b1",
        strategy_id="external",
        instrument_token=TOKEN,
        symbol="NSE:X",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        quantity=ONE,
        validity=Validity.DAY,
        status=OrderStatus.FILLED,
        rank=3,
        external=True,
        code=Code.SQUARE_OFF,
    )
    return replace(base, **changes)


def test_orders_of_nobodys_are_shared_but_not_those_with_our_tag_nor_shares_themselves() -> None:
    assert is_shared(update())
    assert is_shared(update(code=Code.ADOPTED))
    assert not is_shared(update(code=None))
    assert not is_shared(update(external=False))
    assert not is_shared(update(share_of="external:b1"))


def test_ids_follow_from_what_they_name() -> None:
    assert share_id("external:b1", D("10.50"), "a") == "external:b1@10.50/a"
    assert group_of(share_id("external:b1", D(3), "a")) == share_group("external:b1", D(3))
    assert group_of("external:b1") is None
    assert group_of("5d0f3e9a") is None
    assert len({opening_id(1, 2), opening_id(1, 3), opening_id(2, 2), adoption_id("2-1")}) == 4
