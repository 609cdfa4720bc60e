"""Engines and order-trackers killed, muted and doubled at any call, in any order: one broker call a signal at most.

Each example is a script of turns; the steps of a turn run at once. A step is an engine that takes a record or an
order-tracker that makes one round, with harm at its n-th call. Afterwards everything is delivered again, unharmed,
and the tracker gets the rounds that it needs: then every signal has one end, told, and nothing is left open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderStatus, TradingState
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Outcome
from alpha_panda.domain.order_events import order_event
from alpha_panda.errors import ProcessMustExitError, RecordError, TransientError
from alpha_panda.ports import Record
from alpha_panda.testing.virtual_time import run_virtual
from unit.engine.desk import ACCOUNT, TOKEN, Calls, Desk

HARMS = ("", "kill before", "kill after", "refuse", "lose reply", "slow")
SIGNALS = 3


@dataclass(frozen=True)
class Step:
    """`who`: engine, cancel, dead letter, tracker. Harm at its `nth` call; `pauses`: turns of the loop before each."""

    who: str
    signal: int = 0
    harm: str = ""
    nth: int = 1
    pauses: int = 0


@dataclass(frozen=True)
class Restart:
    """The store comes back: with all, with what it held at the last turn that marked it, or empty."""

    lose: str


@dataclass(frozen=True)
class Answer:
    """The broker's next answer is ambiguous."""

    state: EntryState = EntryState.UNKNOWN


steps = st.builds(
    Step,
    who=st.sampled_from(("engine", "engine", "engine", "cancel", "dead letter", "tracker")),
    signal=st.integers(0, SIGNALS - 1),
    harm=st.sampled_from(HARMS),
    nth=st.integers(1, 8),
    pauses=st.integers(0, 3),
)
turns = st.one_of(
    st.lists(steps, min_size=1, max_size=3),
    st.builds(Restart, st.sampled_from(("nothing", "tail", "all", "mark"))),
    st.just(Answer()),
)
scripts = st.lists(turns, min_size=1, max_size=7)


class Harmful(Calls):
    """Pauses before each call, so that steps that run at once interleave; "slow" lets S pass before the call."""

    def __init__(self, step: Step, clock: VirtualClock) -> None:
        super().__init__()
        self._step, self._clock = step, clock
        if step.harm not in ("", "slow"):
            self.plan(step.harm, nth=step.nth)

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        for _ in range(self._step.pauses):
            await asyncio.sleep(0)
        if self._step.harm == "slow" and len(self.names) + 1 == self._step.nth:
            await self._clock.sleep(6)
        return await super().__call__(name, call)


@dataclass
class Play:
    desk: Desk
    records: dict[int, Record] = field(default_factory=dict)
    cancels: dict[int, Record] = field(default_factory=dict)
    signals: dict[int, Signal] = field(default_factory=dict)
    image: Any = EMPTY_IMAGE

    async def turn(self, turn: Any) -> None:
        if isinstance(turn, Restart):
            self._restart(turn.lose)
        elif isinstance(turn, Answer):
            self.desk.broker.answers.append(Outcome(state=turn.state, message="time-out"))
        else:
            await self._decide(turn)
            await asyncio.gather(*(self._step(step) for step in turn))

    def _restart(self, lose: str) -> None:
        if lose == "mark":
            self.image = self.desk.database.checkpoint_image()
            return
        self.desk.database.restart({"nothing": None, "tail": self.image, "all": EMPTY_IMAGE}[lose])

    async def _decide(self, turn: list[Step]) -> None:
        """Risk decides new signals: only while the journal has a valid epoch."""
        epoch = await self.desk.journal.epoch()
        if epoch is None:
            return
        self.desk.epoch = epoch
        await self.desk.take_over()
        await make_active(self.desk)
        for step in turn:
            if step.who == "tracker" or step.signal in self.records:
                continue
            # Two rest, one trades at once; each on a key of its own.
            key = {"strategy_id": f"alpha-{step.signal}"}
            make = self.desk.signal if step.signal == 0 else self.desk.limit
            signal = self.signals[step.signal] = make(step.signal + 1, **key)
            self.records[step.signal] = await self.desk.validated(signal)
            request = self.desk.cancel_request(signal, 90 + step.signal)
            self.cancels[step.signal] = await self.desk.validated(request)

    async def _step(self, step: Step) -> None:
        harm = Harmful(step, self.desk.clock)
        try:
            await self._act(step, harm)
        except (asyncio.CancelledError, TransientError, ProcessMustExitError, RecordError):
            return  # dead, or to be retried: another step may do that

    async def _act(self, step: Step, harm: Harmful) -> None:
        if step.who == "tracker":
            await self.desk.take_over()
            tracker = await self.desk.tracker(harm)
            await tracker.look_after()
            await tracker.look_after()
        elif step.signal in self.records:
            engine, record = self.desk.engine(harm), self.records[step.signal]
            if step.who == "cancel":
                await engine.handle([self.cancels[step.signal]])
            elif step.who == "dead letter":
                await engine.dead_letter(record, Code.BREAKER_OPEN, "store: down")
            else:
                await engine.handle([record])

    async def heal(self) -> None:
        """A tracker that nobody harms, and everything delivered once more."""
        await self.desk.take_over()
        tracker = await self.desk.tracker()
        for record in self.records.values():
            await self.desk.engine().handle([record])
        for _ in range(6):
            await self.desk.clock.sleep(2)
            await tracker.look_after()

    async def check(self) -> None:
        desk = self.desk
        assert all(count == 1 for count in desk.broker.calls.values()), desk.broker.calls
        assert await desk.open_ids() == []
        assert await desk.journal.in_doubt() == []
        told = {event.id for event in desk.events()}
        for signal in self.signals.values():
            entry = await desk.entry(signal)
            assert order_event(entry, ACCOUNT, "").id in told
            ends = {
                update.status
                for kind, update in desk.updates()
                if update.signal_id == signal.signal_id and update.status.terminal
            }
            assert len(ends) <= 1, ends
            assert ends == ({OrderStatus(entry.state.value)} if entry.state.terminal else set())


async def play(clock: VirtualClock, script: list[Any]) -> Play:
    async with Desk(clock, yields=True) as desk:
        acted = Play(desk)
        for turn in script:
            await acted.turn(turn)
        await acted.heal()
        await acted.check()
        return acted


async def make_active(desk: Desk) -> None:
    await desk.state(
        TradingState.ACTIVE, "platform", "account/paper", *(f"strategy/alpha-{n}" for n in range(SIGNALS))
    )
    await desk.quote(2500.0, token=TOKEN)


@settings(max_examples=150)
@given(scripts)
def test_one_call_one_end_told_and_nothing_left_open(script: list[Any]) -> None:
    run_virtual(lambda clock: play(clock, script))


def test_each_call_of_an_engine_harmed_in_each_way() -> None:
    """What the property draws at random, once each: engine and cancel, at every call, with every harm."""
    for who in ("engine", "cancel", "dead letter", "tracker"):
        for harm in HARMS:
            for nth in range(1, 9):
                first = [[Step("engine", 1)]] if who == "cancel" else []
                script = [*first, [Step(who, 1, harm, nth)], [Step("engine", 1)]]
                run_virtual(lambda clock, script=script: play(clock, script))  # type: ignore[misc]


def test_the_scripts_do_reach_the_broker() -> None:
    acted = run_virtual(lambda clock: play(clock, [[Step("engine", 0), Step("engine", 0, pauses=2)]]))
    assert sum(acted.desk.broker.calls.values()) == 1
    assert acted.desk.told() == [EventType.ORDER_FILLED]
    assert isinstance(acted.cancels[0], Record)
