"""One run: faults for a while, then peace until all has settled, then the verdict."""

import asyncio
import gc
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.scopes import scopes_of
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.testing.simulation import strategy as scripted
from alpha_panda.testing.simulation.broker import BrokerCall
from alpha_panda.testing.simulation.chaos import Chaos
from alpha_panda.testing.simulation.invariants import Verdict
from alpha_panda.testing.simulation.loop import abandon
from alpha_panda.testing.simulation.plan import scenario
from alpha_panda.testing.simulation.profiles import MIXED, Profile
from alpha_panda.testing.simulation.settled import read, replay_letters, settled
from alpha_panda.testing.simulation.world import World, pods_of, resources, seconds, settings
from alpha_panda.testing.virtual_time import START

LONGEST_PEACE: Final = 60 * SECOND_NS
"""How long all may take to come to rest once the faults have stopped."""
PEACE: Final = 5 * SECOND_NS
"""How long it takes at least: what the broker takes late has arrived by then."""
FLAT_PEACE: Final = 15 * SECOND_NS
"""… where positions are to be closed: under prices, and after the lost were found."""
LOOK: Final = SECOND_NS
STEPS: Final = 400_000
"""Handles after which a run counts as hanging."""


@dataclass(slots=True)
class Report:
    """What came of a run. `violations` is empty if all held; `trace_hash` is the same for the same seed, anywhere."""

    seed: int
    profile: str
    violations: list[str]
    trace_hash: str
    counts: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    virtual_seconds: float = 0.0
    trace: list[tuple[int, str, str, str]] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The line that repeats the run, to be pasted as it is."""
        return (
            f"python -m alpha_panda.testing.simulation {self.seed} --profile {self.profile}"
            f"  # SIM SEED={self.seed}; --trace shows every step"
        )


def silence_logs() -> None:
    """Log nothing: thousands of faults are ordered, and every line costs."""
    structlog.configure(
        processors=[],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=False,
    )


def simulate(seed: int, profile: Profile = MIXED) -> Report:
    """Run a seed to its end and judge it."""
    with _collected_at_the_end():
        return _simulated(seed, profile)


@contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """Look for garbage once a run: all of a world lives as long as the world, and looking takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        gc.collect(0)  # what was made since `disable` is all in the youngest generation


def _simulated(seed: int, profile: Profile) -> Report:
    plan = scenario(seed, profile, [member.name for member in pods_of()])
    scripted.SCRIPTS.clear()
    scripted.SCRIPTS.update(plan.scripts)
    world = World(plan)
    chaos = Chaos(world)
    judge = _Judge(chaos)
    world.note_call = judge.note_call  # type: ignore[method-assign] # judged as it leaves
    try:
        asyncio.set_event_loop(None)
        violations = world.loop.run_until_complete(_run(world, chaos, judge))
        digest = hashlib.blake2b(repr(world.network.trace).encode(), digest_size=16).hexdigest()
    finally:
        world.over = True
        abandon(world.loop)
        _cut(world)
    counts = world.counts
    counts["broker calls"] += len(world.calls)
    return Report(
        seed,
        profile.name,
        violations,
        digest,
        counts,
        world.loop.steps,
        world.loop.now_ns / SECOND_NS,
        world.network.trace,
    )


def _cut(world: World) -> None:
    """Take the world apart: its parts point at one another, and thousands of them are made."""
    world.pods.clear()


class _Judge:
    """Looks at each order as it leaves us."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.violations: list[str] = []
        self._begun: dict[str, list[int]] = {}

    def note_call(self, call: BrokerCall) -> None:
        """Note the call, and whether it could have been stopped and was not."""
        world = self._chaos.world
        world.calls.append(call)
        world.network.note(call.process, "sent", call.entry.tag)
        if call.frozen:
            world.counts["frozen between check and write"] += 1
            return
        limit = nanoseconds(settings().send_within_seconds)
        self._in_time(call, limit)
        self._undoubted(call)
        self._paced(call)
        for scope in scopes_of(call.account, call.entry.signal.strategy_id):
            levels = [TradingState.HALTED, *([TradingState.REDUCING] if call.increasing else [])]
            for level in levels:
                since = self._chaos.people.states.strict_since(scope, level)
                if since is not None and call.at - since >= limit:
                    self.violations.append(
                        f"{call.process} sent {call.entry.signal_id} ({call.entry.signal_class}) at {seconds(call.at)}"
                        f" while {scope} has been {level} since {seconds(since)}"
                    )

    def _say(self, call: BrokerCall, text: str) -> None:
        self.violations.append(f"{call.process} sent {call.entry.signal_id} at {seconds(call.at)} {text}")

    def _in_time(self, call: BrokerCall, limit: int) -> None:
        """Check that the permission had not run out, and that the signal had not when it was given."""
        now, entry = START + call.at, call.entry
        if now > entry.send_by:
            self._say(call, f"though its permission ended at {seconds(entry.send_by - START)}")
        if now >= entry.signal.expires_at + limit:
            self._say(call, f"though it expired at {seconds(entry.signal.expires_at - START)}")

    def _undoubted(self, call: BrokerCall) -> None:
        """Check that no earlier order of its key is in doubt: it was when this one got its permission."""
        journal = self._chaos.world.journals[call.account]
        forgotten = self._chaos.world.returned_at >= call.entry.created_at - START
        if not call.increasing or forgotten:  # an older image has earlier orders in doubt again
            return
        for other in read(lambda: journal.in_doubt(call.entry.signal.key)):
            if (
                other.attempt
                and other.signal_id != call.entry.signal_id
                and other.created_at < call.entry.created_at
            ):
                self._say(call, f"while {other.signal_id} of the same key is in doubt")

    def _paced(self, call: BrokerCall) -> None:
        """Check that no more than the account's orders of a second got their permission within one."""
        if not call.increasing:
            return
        begun = call.entry.created_at
        times = self._begun.setdefault(call.account, [])
        times.append(begun)
        most = resources().accounts[call.account].spec.risk.max_orders_per_second
        if most is not None and sum(begun - SECOND_NS < ts <= begun for ts in times) > most:
            self._say(call, f"as more than {most} within a second")


async def _run(world: World, chaos: Chaos, judge: _Judge) -> list[str]:
    world.start()
    chaos.begin()
    await _until(world, world.scenario.duration)
    chaos.end()
    world.network.note("world", "peace", "")
    rested = await _rest(world, FLAT_PEACE if world.deleted else PEACE)
    verdict = Verdict(world, judge.violations, rested)
    verdict.judge()
    if not verdict.violations and await replay_letters(world):
        rested = await _rest(world, 2 * SECOND_NS)
        again = Verdict(world, judge.violations, rested)
        again.judge()
        verdict.violations += [f"after replaying dead letters: {text}" for text in again.violations]
    return verdict.violations


async def _until(world: World, at: int) -> None:
    while world.loop.now_ns < at:
        await asyncio.sleep(min(SECOND_NS, at - world.loop.now_ns) / SECOND_NS)
        if world.loop.steps > STEPS:
            break


async def _rest(world: World, least: int) -> list[str]:
    """Wait until all has come to rest; return what has not, in the end."""
    begun = world.loop.now_ns
    await _until(world, begun + least)
    while missing := settled(world):
        if world.loop.now_ns - begun >= LONGEST_PEACE or world.loop.steps >= STEPS:
            break
        await _until(world, world.loop.now_ns + LOOK)
    return missing
