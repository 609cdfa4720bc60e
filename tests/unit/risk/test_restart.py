"""Kill risk at any call of any port: decisions, books and places end as those of a run that nothing disturbed."""

from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import OrderStatus, Side
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.scopes import account_scope, strategy_scope
from alpha_panda.domain.ledger_state import LedgerState
from alpha_panda.ports import Outgoing
from alpha_panda.testing.taps import Harm
from alpha_panda.testing.virtual_time import run_virtual
from unit.risk.world import ACCOUNT, BUY, RELIANCE, SELL, TCS, D, RiskWorld, cancel, documents, signal, update

LIMITS = {
    "maxPosition": "25",
    "maxOrdersPerDay": 6,
    "maxDailyLoss": "60",
    "maxDrawdown": "90",
    "maxGrossExposure": "4000",
    "runaway": {"signals": 4, "seconds": 60},
}
MANIFESTS = ResourceSet.from_documents(documents(risk=LIMITS))
MAX_RESTARTS = 20
SILENT_PRICES = ("prices.readings", "prices.read_many")
"""Their refusal ends nothing: the signal is rejected, as it should be, so the end is another one."""

HARMS = [Harm.KILL_BEFORE, Harm.KILL_AFTER, Harm.REFUSE, Harm.LOSE_REPLY, Harm.LOSE_REQUEST]
EACH = [Harm.KILL_AFTER, Harm.LOSE_REPLY]
"""What is tried at each single call; to be killed before a call is to be killed after the one before."""


class Step(NamedTuple):
    """One record: a signal, the cancel of one, or an event of its order. The same `order` is the same id."""

    kind: str
    order: int
    side: Side = BUY
    status: OrderStatus = OrderStatus.FILLED
    quantity: int = 10
    price: int = 100

    def record(self, world: RiskWorld) -> Outgoing:
        strategy, token = ("alpha", "beta")[self.order % 2], (RELIANCE, TCS)[self.order // 2 % 2]
        made = signal(f"s{self.order}", self.side, 10, strategy=strategy, token=token)
        if self.kind == "signal":
            return world.raw(made)
        if self.kind == "cancel":
            return world.raw(cancel(f"c{self.order}", made))
        if self.kind == "garbage":
            return Outgoing(world.topics.signals_raw, b"{}")
        filled = self.quantity if self.status not in (OrderStatus.PLACED, OrderStatus.FAILED) else 0
        price = D(self.price) if filled else None
        return world.order(update(made, self.status, filled_quantity=D(filled), price=price))


STEPS = st.builds(
    Step,
    st.sampled_from(["signal", "signal", "event", "event", "cancel", "garbage"]),
    st.integers(0, 5),
    st.sampled_from([BUY, SELL]),
    st.sampled_from(list(OrderStatus)),
    st.integers(1, 10),
    st.sampled_from([90, 95, 100, 105, 112]),
)

SCRIPT = [
    Step("signal", 0),
    Step("event", 0, status=OrderStatus.PLACED),
    Step("signal", 1, SELL),
    Step("event", 0, status=OrderStatus.FILLED, price=112),
    Step("signal", 2),
    Step("signal", 0),
    Step("cancel", 1),
    Step("event", 1, SELL, OrderStatus.FAILED),
    Step("event", 1, SELL, OrderStatus.FILLED),
    Step("signal", 4, SELL),
    Step("garbage", 0),
    Step("signal", 0, SELL),
]
"""A fill that loses too much, a repeated id, a contradiction, garbage, another payload."""


class Outcome(NamedTuple):
    """What must be the same whatever was killed."""

    decisions: dict[str, tuple[object, ...]]
    folds: dict[str, object]
    state: LedgerState
    offsets: dict[str, int]
    latches: dict[str, list[str]]
    controls: list[tuple[str, str, str]]
    told: dict[str, str]
    letters: set[tuple[bytes, str]]
    book: tuple[object, ...]


async def play(
    clock: VirtualClock, script: list[Step], harms: list[tuple[int, Harm]]
) -> tuple[Outcome, list[str]]:
    """Run the script with harm at the n-th call (counted over all operations) and return where it ended."""
    world = await RiskWorld(clock, MANIFESTS, fetch_max_records=3, order_partitions=1).open()
    planned = dict(harms)
    meet = world.taps.meet

    async def harmed(member: str, operation: str, call: Any) -> Any:
        harm = planned.pop(len(world.taps.calls), None)
        if harm is not None and not (harm is Harm.REFUSE and operation in SILENT_PRICES):
            world.plan(operation, harm)
        return await meet(member, operation, call)

    world.taps.meet = harmed  # type: ignore[method-assign]
    for step in script:
        await world.put(step.record(world))
    with capture_logs():  # tracebacks of hundreds of planned failures take longer than the runs
        return await rest(world)


async def rest(world: RiskWorld) -> tuple[Outcome, list[str]]:
    """Run risk, and start it again whenever it ended, until nothing is left to do."""
    async with world.running():
        for _ in range(MAX_RESTARTS):
            await world.settle()
            if not world.tasks["risk"].done():
                break
            world.taps.clear()
            await world.restart()
        else:
            pytest.fail("risk never came to rest")
        return await outcome(world), [str(call) for call in world.taps.calls]


async def outcome(world: RiskWorld) -> Outcome:
    state = await world.claimed()
    consistent(world)
    scopes = (account_scope(ACCOUNT), strategy_scope("alpha"), strategy_scope("beta"))
    book = world.books()[-1]
    return Outcome(
        decisions={
            signal_id: (item.signal, item.verdict, item.signal_class, item.code, item.decided_at)
            for signal_id, item in state.decisions.items()
        },
        folds=dict(sorted(state.folds.items())),
        state=msgspec.msgpack.decode(state.snapshot.state, type=LedgerState),
        offsets=state.snapshot.offsets,
        latches={scope: sorted(await world.latches(scope)) for scope in scopes},
        controls=sorted(world.controls()),
        told=dict(world.told()),
        letters=set(world.letters(world.topics.signals_raw)),
        book=(book.cash, book.equity, book.positions, book.strategies),
    )


def consistent(world: RiskWorld) -> None:
    """An id is told in one way only, to the byte; every latch in the store is on `control` too."""
    seen: dict[str, bytes] = {}
    for topic in (world.topics.signals_validated, world.topics.signals_rejected):
        for value in world.values(topic):
            event = decode_event(value)
            signal_id = event.data.original_signal.signal_id  # type: ignore[union-attr]
            assert seen.setdefault(signal_id, value) == value
    state = world.decisions._state()
    assert seen.keys() <= state.decisions.keys()


def undisturbed(script: list[Step]) -> tuple[Outcome, list[str]]:
    return run_virtual(lambda clock: play(clock, script, []))


@pytest.mark.parametrize("harm", EACH)
def test_harm_at_each_single_call_changes_nothing_in_the_end(harm: Harm) -> None:
    whole, calls = undisturbed(SCRIPT)
    assert len(whole.decisions) > 4
    assert whole.latches["account/paper"]
    first = next(n for n, call in enumerate(calls) if "producer.send" in call)
    for n in range(first, len(calls)):
        got, _ = run_virtual(lambda clock, n=n: play(clock, SCRIPT, [(n, harm)]))  # type: ignore[misc]
        assert got == whole, calls[n]


@given(
    st.lists(STEPS, min_size=1, max_size=10),
    st.lists(st.tuples(st.integers(0, 150), st.sampled_from(HARMS)), min_size=1, max_size=4),
)
@settings(max_examples=40)
@example(SCRIPT, [(40, Harm.KILL_AFTER), (90, Harm.LOSE_REPLY)])
def test_any_script_ends_the_same_whatever_is_killed(
    script: list[Step], harms: list[tuple[int, Harm]]
) -> None:
    whole, _ = undisturbed(script)
    got, _ = run_virtual(lambda clock: play(clock, script, harms))
    assert got == whole
