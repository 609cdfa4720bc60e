"""SIGSTOP beyond S, the lease and the group's session, at each point; then SIGCONT: the zombie changes nothing."""

import asyncio
from dataclasses import dataclass
from signal import SIGCONT, SIGKILL

import pytest

from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.faults import Misbehaviour
from alpha_panda.testing.processes.platform import Platform
from totals import Tally

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

FROZEN_SECONDS = 2.6
"""Longer than S, a lease and a session, which are 2 s each."""


@dataclass(frozen=True)
class Pause:
    """Where a service freezes. `calls` at the broker and `ends` of the signal; `fenced`: its process ends when it wakes."""

    service: str
    point: str
    calls: int = 1
    ends: tuple[str, ...] = ("FILLED",)
    fenced: bool = False
    misbehaviour: Misbehaviour | None = None

    def __str__(self) -> str:
        return f"{self.service} {self.point}"


NEVER_SENT = ("LOST", "FAILED")

PAUSES = [
    Pause("engine", "journal.begin:before"),
    Pause("engine", "journal.begin:after", 0, NEVER_SENT),
    Pause("engine", "trader.place:before", 0, NEVER_SENT),
    Pause("engine", "trader.place:after"),
    Pause("engine", "journal.settle:after"),
    Pause("engine", "producer.send(orders.submitted):before"),
    Pause("engine", "consumer.commit:before"),
    Pause("risk", "decisions.record:before", fenced=True),
    Pause("risk", "decisions.record:after", fenced=True),
    Pause("risk", "producer.send(signals.validated):before", fenced=True),
    Pause("risk", "decisions.save:before", fenced=True),
    Pause("order-tracker", "journal.resolve:before", fenced=True, misbehaviour=faults.drop_reply()),
    Pause("order-tracker", "journal.fill:before", fenced=True),
    Pause("order-tracker", "producer.send(orders.filled):before", fenced=True),
]


async def with_standbys(platform: Platform, service: str) -> None:
    """Start a second process of the service; one that waits for a lease is never ready."""
    second = f"{service}-2"
    if second not in platform.children:
        await platform.start(second, wait=service == "engine")
        await platform.until(lambda: platform.children[second].running, f"{second} runs")


async def alone_again(platform: Platform, service: str) -> None:
    """Leave one process of the service to those who come after; its partitions or its lease are free at once."""
    second = f"{service}-2"
    await platform.children[second].end()
    del platform.children[second]
    await platform.ready(service)


@pytest.mark.parametrize("pause", PAUSES, ids=str)
async def test_a_zombie_sends_nothing_and_changes_nothing(
    platform: Platform, pause: Pause, tally: Tally
) -> None:
    core = platform.broker.core
    await with_standbys(platform, pause.service)
    if pause.misbehaviour is not None:
        core.plan(pause.misbehaviour)
    zombie, (sent,) = await platform.freeze(pause.service, pause.point, send=1)
    exits = len(zombie.exits)
    await asyncio.sleep(FROZEN_SECONDS)
    await platform.outcomes([sent])  # the other one went on
    zombie.send_signal(SIGCONT)
    if pause.fenced:
        assert await zombie.wait_exit(exits) == 1
    later = await platform.signal()
    await platform.outcomes([sent, later])
    assert platform.recorder.stories[sent].ends <= set(pause.ends)
    assert core.placed()[broker_tag(sent)] == pause.calls
    assert platform.told(later) == "FILLED"
    await alone_again(platform, pause.service)
    tally("pauses")


@pytest.mark.parametrize(
    "point", ["checkpoints.save:before", "checkpoints.save:after", "producer.send(signals.raw):before"]
)
async def test_a_strategy_that_was_replaced_while_it_slept_is_fenced(
    platform: Platform, point: str, tally: Tally
) -> None:
    if "strategy" not in platform.children:
        await platform.start("strategy")
    await with_standbys(platform, "strategy")
    zombie, _ = await platform.freeze("strategy", point)
    exits, before = len(zombie.exits), set(platform.recorder.stories)
    await asyncio.sleep(FROZEN_SECONDS)
    await platform.until(lambda: len(set(platform.recorder.stories) - before) >= 4, "the other one trades on")
    zombie.send_signal(SIGCONT)
    assert await zombie.wait_exit(exits) == 1
    platform.check_calls()
    await alone_again(platform, "strategy")
    tally("pauses")


async def test_the_signal_of_a_frozen_and_then_killed_engine_is_not_sent_again(
    platform: Platform, tally: Tally
) -> None:
    await with_standbys(platform, "engine")
    zombie, (sent,) = await platform.freeze("engine", "trader.place:after", send=1)
    await asyncio.sleep(FROZEN_SECONDS)
    zombie.send_signal(SIGKILL)
    await platform.outcomes([sent])
    assert platform.broker.core.placed()[broker_tag(sent)] == 1
    await alone_again(platform, "engine")
    tally("pauses")
