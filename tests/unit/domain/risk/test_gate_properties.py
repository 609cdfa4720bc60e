"""What the gate promises of whole sequences: whatever is decided, fills or ends, in whatever order.

The world is that of the model `strategy-risk`: one instrument at a constant price, orders that fill in parts or
end, and confirmed positions that come from fills alone. `oracle` is the model's rule, written anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.contracts.enums import Side, SignalClass, TradingState
from alpha_panda.contracts.events import ZERO
from alpha_panda.domain.book import Book
from alpha_panda.domain.risk.facts import OpenOrder, RiskFacts
from alpha_panda.domain.risk.gate import Ruling, decide
from alpha_panda.domain.risk.limits import AccountLimits, StrategyLimits
from alpha_panda.domain.risk.position import closing_order, open_quantity, own_orders
from unit.domain.risk.making import BUY, INSTRUMENT, SELL, TOKEN, D, controls, facts, signal

PRICE = D(100)
ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


@dataclass
class Order:
    """An order at the venue: what is left of it may fill in any parts, or never."""

    strategy: str
    side: Side
    left: int
    signal_class: SignalClass


@dataclass
class World:
    """An account, its strategies and their open orders."""

    limit: int
    cash: int
    account_limit: int | None = None
    state: TradingState = ACTIVE
    increasing_only: bool = False
    orders: list[Order] = field(default_factory=list)
    book: Book = field(init=False)

    def __post_init__(self) -> None:
        self.book = Book.opened(self.cash * PRICE)

    def open_orders(self) -> tuple[OpenOrder, ...]:
        return tuple(
            OpenOrder(
                signal_id=str(n),
                strategy_id=order.strategy,
                instrument_token=TOKEN,
                side=order.side,
                open_quantity=D(order.left),
                reference_price=PRICE,
                signal_class=order.signal_class,
            )
            for n, order in enumerate(self.orders)
        )

    def facts(self, strategy: str, side: Side, quantity: Decimal | int) -> RiskFacts:
        most = None if self.account_limit is None else D(self.account_limit)
        return facts(
            signal(strategy_id=strategy, side=side, quantity=D(quantity)),
            StrategyLimits(max_position=D(self.limit)),
            AccountLimits(max_position=most),
            own=self.book.strategy(strategy).positions,
            held=self.book.positions,
            cash=self.book.cash,
            books=[book.positions for book in self.book.strategies.values()],
            open_orders=self.open_orders(),
            controls=controls(ACTIVE, self.state, ACTIVE),
        )

    def signal(self, strategy: str, side: Side, quantity: int) -> Ruling:
        ruling = decide(self.facts(strategy, side, quantity))
        skipped = self.increasing_only and ruling.signal_class is SignalClass.REDUCING
        if ruling.validated and not skipped:
            self.orders.append(Order(strategy, side, quantity, ruling.signal_class))
        return ruling

    def fill(self, n: int, quantity: int) -> tuple[Order, Decimal, Decimal]:
        """Fill a part of an open order; returns it with the strategy's position before and after."""
        order = self.orders[n % len(self.orders)]
        filled = min(quantity, order.left)
        before = self.position(order.strategy)
        self.book.apply(order.strategy, TOKEN, "X:A", order.side, D(filled), filled * PRICE, ZERO)
        order.left -= filled
        if not order.left:
            self.orders.remove(order)
        return order, before, self.position(order.strategy)

    def end(self, n: int) -> None:
        self.orders.pop(n % len(self.orders))

    def unbacked(self) -> Decimal:
        """Cash less twice the value of every strategy's short and less all that increasing orders may take."""
        shorts = sum(max(ZERO, -book.quantity(TOKEN)) for book in self.book.strategies.values())
        taken = sum(order.left for order in self.orders if order.signal_class is SignalClass.INCREASING)
        return self.book.cash - (2 * shorts + taken) * PRICE

    def position(self, strategy: str) -> Decimal:
        return self.book.strategy(strategy).quantity(TOKEN)

    def may(self, side: Side, strategy: str | None = None) -> int:
        """What open orders may still buy or sell, of one strategy or of all."""
        mine = (o for o in self.orders if o.side is side and strategy in (None, o.strategy))
        return sum(order.left for order in mine)


@dataclass(frozen=True)
class Step:
    """A signal, a fill, an end or a change of the trading state; `n` chooses the order."""

    kind: str
    strategy: str
    side: Side
    n: int
    quantity: int
    state: TradingState


def steps(*strategies: str, states: tuple[TradingState, ...] = (ACTIVE,)) -> st.SearchStrategy[list[Step]]:
    """Return many small steps, mostly signals and fills: positions must arise, cross and shrink to test a rule.

    They are drawn from a seed: lists drawn element by element stay too short to get anywhere (without the
    `less_open` or the `same_side` rule such lists found nothing).
    """
    return st.integers(0, 2**32).map(lambda seed: _steps(Random(seed), strategies, states))


def _steps(random: Random, strategies: tuple[str, ...], states: tuple[TradingState, ...]) -> list[Step]:
    return [
        Step(
            random.choices(("signal", "fill", "end", "state"), (60, 30, 7, 3))[0],
            random.choice(strategies),
            random.choice(list(Side)),
            random.randrange(10),
            random.randint(1, 6),
            random.choice(states),
        )
        for _ in range(40)
    ]


def play(world: World, todo: list[Step]) -> Iterator[tuple[Order, Decimal, Decimal] | None]:
    """Take the steps; yields after each, with the fill if it was one."""
    for step in todo:
        filled = None
        if step.kind == "signal":
            world.signal(step.strategy, step.side, step.quantity)
        elif step.kind == "state":
            world.state = step.state
        elif world.orders and step.kind == "fill":
            filled = world.fill(step.n, step.quantity)
        elif world.orders:
            world.end(step.n)
        yield filled


LIMITS = st.integers(1, 12)
CASH = st.integers(0, 15)


@given(LIMITS, CASH, steps("a"))
def test_no_subset_of_fills_breaks_position_limit_or_cash(limit: int, cash: int, todo: list[Step]) -> None:
    world = World(limit, cash)
    for _ in play(world, todo):
        position = world.position("a")
        assert position + world.may(BUY) <= limit
        assert position - world.may(SELL) >= -limit
        spending = sum(
            o.left for o in world.orders if o.side is BUY and o.signal_class is SignalClass.INCREASING
        )
        assert world.book.cash - spending * PRICE >= 0


@given(LIMITS, CASH, steps("a", "b"))
def test_every_short_stays_backed_by_cash_whatever_fills(limit: int, cash: int, todo: list[Step]) -> None:
    """Of several strategies, reducing orders among them: equity can't be overdrawn at a constant price."""
    world = World(limit, cash)
    for _ in play(world, todo):
        assert world.unbacked() >= 0
        assert world.book.cash + world.book.quantity(TOKEN) * PRICE >= 0


@given(LIMITS, LIMITS, CASH, steps("a", "b"))
def test_no_increasing_orders_of_several_strategies_break_the_accounts_limit_or_cash(
    limit: int, account_limit: int, cash: int, todo: list[Step]
) -> None:
    world = World(limit, cash, account_limit, increasing_only=True)
    for _ in play(world, todo):
        held = world.book.quantity(TOKEN)
        assert held + world.may(BUY) <= account_limit
        assert held - world.may(SELL) >= -account_limit
        assert world.book.cash - world.may(BUY) * PRICE >= 0
        for name in ("a", "b"):
            assert world.position(name) + world.may(BUY, name) <= limit
            assert world.position(name) - world.may(SELL, name) >= -limit


@given(LIMITS, steps("a", "b", states=(ACTIVE, REDUCING, HALTED)))
def test_a_reducing_order_never_moves_a_position_away_from_zero_or_across_it(
    limit: int, todo: list[Step]
) -> None:
    world = World(limit, cash=100)
    for filled in play(world, todo):
        if filled and filled[0].signal_class is SignalClass.REDUCING:
            _, before, after = filled
            assert abs(after) < abs(before)
            assert before * after >= 0
        for order in world.orders:
            if order.signal_class is SignalClass.REDUCING:
                # Fills of its side only, all of them: the subset that goes furthest.
                furthest = world.position(order.strategy) + order.side.sign * world.may(
                    order.side, order.strategy
                )
                assert furthest * order.side.sign <= 0


@given(LIMITS, CASH, steps("a", "b", states=(ACTIVE, REDUCING)))
def test_a_limit_never_traps_a_position(limit: int, cash: int, todo: list[Step]) -> None:
    world = World(limit, cash)
    for _ in play(world, todo):
        for name in ("a", "b"):
            mine = own_orders(world.open_orders(), name, TOKEN)
            step = closing_order(world.position(name), open_quantity(mine), INSTRUMENT)
            if step is not None:
                # Whatever the limits have become meanwhile.
                tightened = World(1, 0, 1, world.state, orders=world.orders)
                tightened.book = world.book
                broke = replace(tightened.facts(name, step.side, step.quantity), cash=D(-1))
                ruling = decide(broke)
                assert ruling.validated, ruling.message
                assert ruling.signal_class is SignalClass.REDUCING


@given(LIMITS, steps("a", "b"), st.sampled_from(["a", "b"]))
def test_flattening_ends_flat_whatever_was_open(limit: int, todo: list[Step], name: str) -> None:
    world = World(limit, cash=100)
    for _ in play(world, todo):
        pass
    world.state = REDUCING
    world.orders.clear()
    for _ in range(3):
        opens = open_quantity(own_orders(world.open_orders(), name, TOKEN))
        step = closing_order(world.position(name), opens, INSTRUMENT)
        if step is None:
            break
        assert world.signal(name, step.side, int(step.quantity)).validated
        world.fill(len(world.orders) - 1, int(step.quantity))
    assert world.position(name) == 0


def oracle(world: World, side: Side, quantity: int) -> str:
    """Model `risk.py`, `RiskModel.decide`: v reducing, V increasing, R rejected."""
    position, sign = int(world.position("a")), 1 if side is BUY else -1
    buys, sells = world.may(BUY), world.may(SELL)
    opens = sells if position > 0 else buys
    if position * sign < 0 and quantity <= abs(position) - opens and world.state is not HALTED:
        return "v"
    if world.state is not ACTIVE:
        return "R"
    if any(o.side is side and o.signal_class is SignalClass.REDUCING for o in world.orders):
        return "R"
    after = position + buys + quantity if side is BUY else position - sells - quantity
    if abs(after) > world.limit:
        return "R"
    # Beyond the model, which lets a short cost nothing: cash is world.cash - position, and a short takes twice itself.
    increasing_sells = sum(
        o.left for o in world.orders if o.side is SELL and o.signal_class is SignalClass.INCREASING
    )
    if world.cash - abs(position) - buys - increasing_sells < quantity:
        return "R"
    return "V"


@settings(max_examples=40)  # each world is judged 240 times
@given(LIMITS, CASH, steps("a", states=(ACTIVE, REDUCING, HALTED)))
def test_the_gate_decides_as_the_model_does(limit: int, cash: int, todo: list[Step]) -> None:
    world = World(limit, cash)
    for _ in play(world, todo):
        for side in Side:
            for quantity in (1, 3, 8):
                ruling = decide(world.facts("a", side, quantity))
                reducing = ruling.signal_class is SignalClass.REDUCING
                said = ("v" if reducing else "V") if ruling.validated else "R"
                assert said == oracle(world, side, quantity), (world, side, quantity)


@pytest.mark.parametrize("state", [ACTIVE, REDUCING])
def test_the_world_reaches_what_it_is_to_test(state: TradingState) -> None:
    """A guard for the tests above: reductions beside increases do occur, and are refused as the rules say."""
    world = World(limit=10, cash=100)
    assert world.signal("a", BUY, 8).validated
    world.fill(0, 8)
    assert world.signal("a", SELL, 5).signal_class is SignalClass.REDUCING
    world.state = state
    assert not world.signal("a", SELL, 5).validated
    assert world.signal("a", BUY, 2).validated is (state is ACTIVE)
    assert not world.signal("a", BUY, 1).validated
    assert world.signal("a", SELL, 3).signal_class is SignalClass.REDUCING
