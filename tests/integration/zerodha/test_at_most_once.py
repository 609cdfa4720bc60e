"""Kill, refuse and mute engines and order-tracker at every effect they have, with Zerodha's adapter and Kite behind them.

One POST a signal at most, one end, and books that are what Kite did. The scenario has an order that fills, one that
rests and is cancelled, and one whose reply is lost: so every path to the journal is walked. See
`integration/test_at_most_once.py`, whose harms these are.
"""

from collections.abc import Iterable
from decimal import Decimal

import pytest

from alpha_panda.contracts.enums import EntryState, OrderType, Side
from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.kite import faults as kite_faults
from alpha_panda.testing.kite.config import Delays
from alpha_panda.testing.taps import Call, Harm
from integration.broker.live_kit import D, S
from integration.kit import RELIANCE
from integration.test_at_most_once import effects

from .kite_kit import KiteLive, live

pytestmark = pytest.mark.usefixtures("quiet")

MEMBERS = ("engine", "order-tracker")


async def play(pipeline: KiteLive) -> list[str]:
    """Send three orders and a cancel, then let all heal."""
    pipeline.kite.configure(delays=Delays(open_pending=0.2), average_places=0)
    await pipeline.price()
    filled = await pipeline.signal("alpha", RELIANCE, Side.BUY, "3")
    await pipeline.advance(2)
    pipeline.kite.plan(kite_faults.partial("0.5"))
    resting = await pipeline.signal(
        "alpha", RELIANCE, Side.BUY, "4", order_type=OrderType.LIMIT, limit_price=Decimal(1400)
    )
    await pipeline.advance(3)
    if (
        await pipeline.stores().journal.get(resting) is not None
    ):  # else risk refused it: the first is in doubt
        await pipeline.cancel(resting)
    await pipeline.advance(2)
    await pipeline.price()
    pipeline.kite.plan(kite_faults.timed_out_yet_placed(3))
    doubtful = await pipeline.signal("alpha", RELIANCE, Side.SELL, "1")
    for _ in range(4):
        await pipeline.advance((S + D) / 2)
        await pipeline.price()
    return [filled, resting, doubtful]


async def found_faults(pipeline: KiteLive, signals: Iterable[str]) -> list[str]:
    """Return what does not hold of all that Kite saw and did."""
    journal = pipeline.stores().journal
    found = [f"{entry.signal_id} is {entry.state} and not told" for entry in await journal.unacknowledged()]
    found += [f"{entry.signal_id} is in doubt" for entry in await journal.in_doubt()]
    ours = {broker_tag(signal) for signal in signals}
    found += [f"{times} calls for {tag}" for tag, times in pipeline.kite.placed().items() if times > 1]
    found += [f"a call for {tag}, which is no signal's" for tag in pipeline.kite.placed().keys() - ours]
    held = pipeline.kite.positions(pipeline.clock.now()).get(738561, 0)
    if pipeline.held() != held:
        found.append(f"the book says {pipeline.held()}, Kite {held}")
    spent = sum(trade.side.sign * trade.quantity * trade.price for trade in pipeline.kite.executed())
    if pipeline.snapshot().cash != pipeline.cash - spent:
        found.append(f"cash is {pipeline.snapshot().cash}, but {spent} of {pipeline.cash} was spent")
    for signal in signals:
        entry = await journal.get(signal)
        if entry is not None and not (entry.state.terminal or entry.state is EntryState.PARTIALLY_FILLED):
            found.append(f"{signal} ended as {entry.state}")
    return found


async def run() -> tuple[list[str], list[Call]]:
    async with live() as pipeline:
        signals = await play(pipeline)
        return await found_faults(pipeline, signals), list(pipeline.taps.calls)


async def run_harmed(call: Call, harm: Harm) -> list[str]:
    async with live(
        lambda pipeline: pipeline.taps.plan(call.member, call.operation, harm, nth=call.nth)
    ) as pipeline:
        signals = await play(pipeline)
        found = await found_faults(pipeline, signals)
        struck = pipeline.taps.pending == 0
    return [f"{harm.value}, {call}: {fault}" for fault in (found if struck else [*found, "never struck"])]


async def test_without_harm_all_holds() -> None:
    found, calls = await run()
    assert found == []
    operations = {call.operation for call in effects(calls, "")}
    assert operations >= {
        "trader.place",
        "trader.cancel",
        "journal.begin",
        "journal.settle",
        "journal.resolve",
    }


@pytest.mark.parametrize("harm", list(Harm))
@pytest.mark.parametrize("member", MEMBERS)
async def test_harm_at_any_effect_sends_nothing_twice_and_loses_no_money(member: str, harm: Harm) -> None:
    _, calls = await run()
    points = [call for call in effects(calls, member) if call.operation != "control.teardowns"]  # a reading
    assert points
    found = [fault for call in points for fault in await run_harmed(call, harm)]
    assert found == []
