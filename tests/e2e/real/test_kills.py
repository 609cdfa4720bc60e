"""kill -9 at each crash point of the protocol: at most one broker call, and exactly one outcome, for every signal."""

from dataclasses import dataclass, field

import pytest

from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.faults import Misbehaviour
from alpha_panda.testing.processes.platform import Platform
from totals import Tally

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Kill:
    """Where a service dies, and what becomes of the signal that got it there. `calls`: at the broker."""

    service: str
    point: str
    end: str = "FILLED"
    calls: int = 1
    misbehaviour: Misbehaviour | None = field(default=None)

    def __str__(self) -> str:
        return f"{self.service} {self.point}"


LOST = "LOST ORDER_LOST"
DROPPED = faults.drop_reply()

WITH_A_SIGNAL = [
    Kill("risk", "decisions.record:before"),
    Kill("risk", "decisions.record:after"),
    Kill("risk", "producer.send(signals.validated):before"),
    Kill("risk", "producer.send(signals.validated):after"),
    Kill("risk", "decisions.save:before"),
    Kill("risk", "decisions.save:after"),
    Kill("risk", "consumer.commit:before"),
    Kill("engine", "journal.begin:before"),
    Kill("engine", "journal.begin:after", LOST, 0),
    Kill("engine", "trader.place:before", LOST, 0),
    Kill("engine", "trader.place:after"),
    Kill("engine", "journal.settle:after"),
    Kill("engine", "producer.send(orders.submitted):before"),
    Kill("engine", "producer.send(orders.submitted):after"),
    Kill("engine", "journal.acknowledge:after"),
    Kill("engine", "consumer.commit:before"),
    Kill("engine", "consumer.commit:after"),
    Kill("order-tracker", "journal.resolve:before", misbehaviour=DROPPED),
    Kill("order-tracker", "journal.resolve:after", misbehaviour=DROPPED),
    Kill("order-tracker", "journal.fill:before"),
    Kill("order-tracker", "journal.fill:after"),
    Kill("order-tracker", "producer.send(orders.filled):before"),
    Kill("order-tracker", "producer.send(orders.filled):after"),
    Kill("order-tracker", "journal.acknowledge_all:after"),
]

BY_THEMSELVES = [
    Kill("market-feed", "producer.send(market.ticks):before"),
    Kill("market-feed", "producer.send(market.ticks):after"),
    Kill("feed-cacher", "prices.write:before"),
    Kill("feed-cacher", "prices.write:after"),
    Kill("feed-cacher", "consumer.commit:before"),
    Kill("order-tracker", "lease.renew:after"),
]

STRATEGY = [
    Kill("strategy", "checkpoints.claim:after"),
    Kill("strategy", "checkpoints.save:before"),
    Kill("strategy", "checkpoints.save:after"),
    Kill("strategy", "producer.send(signals.raw):before"),
    Kill("strategy", "producer.send(signals.raw):after"),
    Kill("strategy", "consumer.commit:before"),
]


@pytest.mark.parametrize("kill", WITH_A_SIGNAL, ids=str)
async def test_a_signal_survives_the_death_of_whoever_has_it(
    platform: Platform, kill: Kill, tally: Tally
) -> None:
    core = platform.broker.core
    if kill.misbehaviour is not None:
        core.plan(kill.misbehaviour)
    if kill.service == "engine":
        await platform.engine_idle()
    (sent,) = await platform.harm(kill.service, kill.point, send=1)
    await platform.outcomes([sent])
    assert platform.told(sent) == kill.end
    assert core.placed()[broker_tag(sent)] == kill.calls
    tally("crash points")


@pytest.mark.parametrize("kill", BY_THEMSELVES, ids=str)
async def test_trading_goes_on_after_the_death_of_a_service_that_no_signal_passes(
    platform: Platform, kill: Kill, tally: Tally
) -> None:
    await platform.harm(kill.service, kill.point)
    await platform.priced()
    sent = await platform.signal()
    await platform.outcomes([sent])
    assert platform.told(sent) == "FILLED"
    tally("crash points")


@pytest.mark.parametrize("kill", STRATEGY, ids=str)
async def test_a_strategy_sends_each_signal_once_whenever_it_dies(
    platform: Platform, kill: Kill, tally: Tally
) -> None:
    if "strategy" not in platform.children:
        await platform.start("strategy")
    before = set(platform.recorder.stories)
    if kill.point.startswith("checkpoints.claim"):
        plan = platform.arm(kill.service, kill.point)
        await platform.kill("strategy")
        await platform.struck(plan, str(kill))
    else:
        await platform.harm(kill.service, kill.point)
    await platform.ready("strategy")
    await platform.until(lambda: len(set(platform.recorder.stories) - before) >= 4, "it trades on")
    platform.check_calls()
    tally("crash points")
