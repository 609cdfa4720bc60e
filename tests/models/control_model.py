"""Trading states: a person's halt holds, a dead operator stops trading, protective orders outlive it.

One scope: the operator's `spec` key, which expires unless it is renewed, and a person's latch, which doesn't; the
latch is also kept on `{account}.control`. BEGIN of increasing and reducing signals, orders that rest, the sweeper,
and a store that comes back older, for which the order-tracker puts latches back and then writes the epoch. Time is in ticks; the key lives for TTL of them.

Names are the code's: `adapters/memory/control.py`, `order_tracker/{latches,sweeper,epochs}.py`, `contracts/stored.py`
(`ControlReading`). Not modelled: several scopes (the strictest counts), rates, which of two latches is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from models.explore import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator

Step = tuple[str, "State | Broken"]

ACTIVE, REDUCE, HALTED = 0, 1, 2  # stricter is greater
STATES: Final = ("Active", "Reducing", "Halted")
MISSING: Final = -1
INCREASING, REDUCING = "increasing", "reducing"
TTL: Final = 2

HALT_HOLDS: Final = "halt: no GO after a person was told that trading is halted"
DEAD_STOPS: Final = "operator: no GO later than the key's life after the last fresh reading of the manifest"
REDUCING_HOLDS: Final = "reducing: no increasing GO while the manifest's state in force is stricter"
PROTECTED: Final = "rest: an order is cancelled only because a manifest or a person asks for it"
NOTHING_RESTS: Final = "rest: in the end nothing rests that a manifest or a person forbids"

HALT_STEPS: Final = ("store", "topic", "store again")


class Store(NamedTuple):
    """What the store holds: spec (or MISSING) and its end, the latch, the run that the epoch is of."""

    spec: int = MISSING
    expires_at: int = 0
    latch: bool = False
    epoch_run: int = 0


class State(NamedTuple):
    """Store, topic, world. `halting`: how far a person's `halt` has got; `told`: the person knows it is done."""

    store: Store = Store(epoch_run=1)
    image: Store | None = None
    run: int = 1
    topic: bool = False
    now: int = 0
    manifest: int = ACTIVE
    renewed_at: int = 0  # the last fresh reading of the manifest that reached the store
    returning: int = 0  # the run that the order-tracker makes usable
    put_back: bool = False
    halting: int = 0
    told: bool = False
    resting: frozenset[str] = frozenset()
    sent: int = 0
    renewals: int = 0
    restarts: int = 0
    sweeps: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may happen at most."""

    end_of_time: int = 4
    orders: int = 2
    renewals: int = 2
    restarts: int = 1
    halt: bool = True
    tightens: bool = True  # the manifest may go from Active to Reducing to Halted


class ControlModel:
    """`explore.Model` of the trading states, without the guards in `removed`."""

    def __init__(self, bounds: Bounds, removed: frozenset[str] = frozenset()) -> None:
        self._b = bounds
        self._removed = removed

    def has(self, guard: str) -> bool:
        """Whether the guard stands."""
        return guard not in self._removed

    def initial(self) -> State:
        """An account that has never traded and no control key."""
        return State()

    # ------------------------------------------------------------------------------- ControlReading

    def _state(self, state: State) -> int:
        """`ControlReading.state`: what binds new orders."""
        store = state.store
        expired = self.has("spec_expires") and state.now >= store.expires_at
        if store.spec == MISSING:
            spec = HALTED if self.has("missing_is_halted") else ACTIVE
        else:
            spec = HALTED if expired else store.spec
        return max(spec, HALTED if store.latch and self.has("latch_tightens") else ACTIVE)

    def _deliberate(self, state: State) -> int:
        """`ControlReading.deliberate_state`: what resting orders must obey."""
        if not self.has("expired_cancels_nothing"):
            return self._state(state)
        store = state.store
        expired = store.spec == MISSING or state.now >= store.expires_at
        return max(ACTIVE if expired else store.spec, HALTED if store.latch else ACTIVE)

    # ------------------------------------------------------------------------------------- properties

    def _asked(self, state: State) -> int:
        """What a person or a manifest in force asks for, known to nobody but this model."""
        store = state.store
        spec = store.spec if store.spec != MISSING and state.now < store.expires_at else ACTIVE
        person = HALTED if state.topic or store.latch or state.told else ACTIVE
        return max(spec, person)

    def _forbidden(self, state: State, asked: int) -> frozenset[str]:
        if asked == HALTED:
            return state.resting
        return state.resting & {INCREASING} if asked == REDUCE else frozenset()

    def settled(self, state: State) -> bool:
        """Whether time has ended, the epoch is written and the sweeper has done what it would."""
        usable = state.store.epoch_run == state.run
        return state.now == self._b.end_of_time and usable and not self._sweepable(state)

    def violated(self, state: State) -> str | None:
        """Check what must hold in the end."""
        if self.settled(state) and state.told and self._forbidden(state, HALTED):
            return NOTHING_RESTS
        return None

    # ------------------------------------------------------------------------------------------ steps

    def steps(self, state: State) -> Iterator[Step]:
        """Every step of operator, person, engine, sweeper, order-tracker, store and time."""
        if state.now < self._b.end_of_time:
            yield f"time {state.now + 1}", state._replace(now=state.now + 1)
        yield from self._operator(state)
        yield from self._person(state)
        yield from self._engine(state)
        yield from self._sweeper(state)
        yield from self._tracker(state)
        yield from self._restart(state)

    def _operator(self, state: State) -> Iterator[Step]:
        """`put_spec` after a fresh reading; it may die at any time, by never doing it again."""
        if self._b.tightens and state.manifest < HALTED:
            yield f"manifest says {STATES[state.manifest + 1]}", state._replace(manifest=state.manifest + 1)
        if state.renewals < self._b.renewals:
            store = state.store._replace(spec=state.manifest, expires_at=state.now + TTL)
            after = state._replace(store=store, renewed_at=state.now, renewals=state.renewals + 1)
            yield f"put_spec {STATES[state.manifest]}", after

    def _person(self, state: State) -> Iterator[Step]:
        """`halt`: the store, where it acts at once; the topic, where it lasts; the store again; then it is told."""
        if not self._b.halt or state.told:
            return
        steps: tuple[str, ...] = HALT_STEPS if self.has("halt_sets_again") else HALT_STEPS[:2]
        if not self.has("latch_in_topic"):
            steps = HALT_STEPS[:1]
        where = steps[state.halting]
        done = state.halting + 1 == len(steps)
        after = state._replace(halting=state.halting + (0 if done else 1), told=done)
        if where == "topic":
            yield "halt: topic", after._replace(topic=True)
        else:
            yield f"halt: {where}", after._replace(store=state.store._replace(latch=True))

    def _engine(self, state: State) -> Iterator[Step]:
        if state.sent == self._b.orders or state.store.epoch_run != state.run:
            return
        for kind in (INCREASING, REDUCING):
            binding = self._state(state)
            compared = self.has("begin_compares_class")
            if binding == HALTED or (binding == REDUCE and kind == INCREASING and compared):
                continue
            name = f"BEGIN {kind}: GO, rests"
            broken = self._wrong(state, kind)
            if broken:
                yield name, Broken(broken)
            else:
                yield name, state._replace(resting=state.resting | {kind}, sent=state.sent + 1)

    def _wrong(self, state: State, kind: str) -> str | None:
        if state.told:
            return HALT_HOLDS
        if state.store.spec == MISSING or state.now >= state.renewed_at + TTL:
            return DEAD_STOPS
        return REDUCING_HOLDS if kind == INCREASING and state.store.spec >= REDUCE else None

    def _sweepable(self, state: State) -> frozenset[str]:
        if state.sweeps and not self.has("sweeps_repeatedly"):
            return frozenset()
        return self._forbidden(state, self._deliberate(state))

    def _sweeper(self, state: State) -> Iterator[Step]:
        for kind in sorted(self._sweepable(state)):
            name = f"sweeper cancels the {kind} order"
            if kind not in self._forbidden(state, self._asked(state)):
                yield name, Broken(PROTECTED)
            else:
                yield name, state._replace(resting=state.resting - {kind}, sweeps=1)

    def _tracker(self, state: State) -> Iterator[Step]:
        """`EpochKeeper.ensure`: the run is read, latches are put back, the epoch is written for that run."""
        if state.store.epoch_run == state.run:
            return
        if state.returning != state.run:
            yield f"ensure: run {state.run}", state._replace(returning=state.run, put_back=False)
        elif not state.put_back and self.has("latches_put_back"):
            store = state.store._replace(latch=state.store.latch or state.topic)
            yield "put_back", state._replace(store=store, put_back=True)
        else:
            yield "write_epoch", state._replace(store=state.store._replace(epoch_run=state.run))

    def _restart(self, state: State) -> Iterator[Step]:
        if state.restarts == self._b.restarts:
            return
        if state.image is None:
            yield "(what follows may be lost)", state._replace(image=state.store)
        else:
            after = state._replace(
                store=state.image, image=None, run=state.run + 1, restarts=state.restarts + 1
            )
            yield "the store comes back as of then", after
