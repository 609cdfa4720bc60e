"""Risk: one decision a signal, limits that hold whatever fills, a position that can always be closed.

Two risk processes share a decision store; either may be a zombie, crash, or start anew (`claim`). The raw log is
given; an abstract engine, broker and order-tracker fill, cancel, refuse and lose orders; a person tightens the
trading state; a deleted strategy is flattened. BEGIN here checks the class against the state only: that it
gives GO once is `journal.pml`'s.

Names are the code's: `risk/desk.py`, `risk/service.py`, `risk/ledger.py`, `adapters/memory/decisions.py`,
`domain/risk`. One step is what happens between two awaits of the one task.

Not modelled: prices, fees, two strategies on one token, rates, the day's losses, cancels that a strategy asks for.
Flatten (`risk/flatten.py`) waits there until nothing of the strategy is open before it closes; here it may close what
is free beside what is open, which is more than the services do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from models.explore import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
Step = tuple[str, "State | Broken"]
Order = tuple[int, int]  # (side: 1 buys, -1 sells; quantity)
Fold = tuple[int, bool, int]  # (filled, terminal, rank)
Event = tuple[int, int, bool, int, int, bool]  # (id, cumulative, terminal, rank, filled alone, late)

INCREASING: Final = "increasing"
REDUCING: Final = "reducing"
REJECTED: Final = "rejected"
VALIDATED: Final = (INCREASING, REDUCING)
ACTIVE, REDUCE, HALTED = "Active", "Reducing", "Halted"
TIGHTER: Final = {ACTIVE: REDUCE, REDUCE: HALTED}
NEW, SENT, RESTS, ENDED, LOST = "new", "sent", "rests", "ended", "lost"
MAY_FILL: Final = (NEW, SENT, RESTS)
STILL: Final = ("idle", "telling")  # stages in which a save may come
UNFOLDED: Final[Fold] = (0, False, 0)
SUBMITTED, FILLED, CLOSED = 0, 1, 2  # the topics of order events

TOLD: Final = "told: every signal gets a decision event in the end"
ONE_DECISION: Final = "decision: one id is never both validated and rejected, nor of two classes"
LIMIT: Final = "limit: no set of open orders can carry the position beyond it"
CASH: Final = "cash: no set of open buys can spend more than there is"
AFTER_LATE: Final = "latch: no increasing order is sent after a late match"
RESERVED: Final = "reserved: what is held back is what may still fill, in the end"
BOOK: Final = "book: the position is the broker's, in the end"
REDUCES: Final = "class: a reducing order, or one sent under Reducing, never grows or turns a position"
FREE: Final = "trapped: a position can always be closed unless Halted"
NOTHING_RESTS: Final = "rest: no increasing order rests under Reducing or Halted, in the end"
FLAT: Final = "flat: reported only if nothing is held and nothing can fill"
CLOSES: Final = "flat: Flatten always goes on"


class Risk(NamedTuple):
    """A risk process's memory. `stage`: down, claiming, idle, recording, telling; in a batch deciding, announcing."""

    stage: str = "down"
    epoch: int = 0
    raw: int = 0
    offsets: tuple[int, ...] = (0, 0, 0)
    folds: tuple[Fold, ...] = ()
    changed: frozenset[int] = frozenset()  # folds that are not saved yet
    decisions: tuple[str, ...] = ()
    reserved: tuple[bool, ...] = ()  # derived; the other ways are mutations
    counted: Order = (0, 0)
    position: int = 0  # the book: moved by each fold's difference
    current: tuple[Any, ...] = ()  # (id, decision, from the raw log, order); in a batch many, with: fresh
    closings: int = 0  # closing signals made, in memory
    again: tuple[int, ...] = ()  # closing decisions to tell again


class Snapshot(NamedTuple):
    """`RiskSnapshot`: the book and where it was read to. The folds are saved change by change, in the same step."""

    raw: int
    offsets: tuple[int, ...]
    reserved: tuple[bool, ...]
    position: int


class State(NamedTuple):
    """Store, processes, what Kafka has, the broker's orders (state, filled, trading state at GO), faults so far."""

    epoch: int
    decisions: tuple[str, ...]
    reserved: tuple[bool, ...]
    counted: Order
    snapshot: Snapshot
    folds: tuple[Fold, ...]
    risks: tuple[Risk, ...]
    validated: tuple[tuple[str, int], ...]  # by id: class and risk's epoch
    rejected: tuple[bool, ...]
    orders: tuple[tuple[str, int, str], ...]
    refused: tuple[bool, ...]  # FAILED was told, but not stored
    logs: tuple[tuple[Event, ...], ...] = ((), (), ())
    closing: tuple[Order, ...] = ()
    trading: str = ACTIVE
    flatten: str = ""  # "", asked, done
    starts: int = 0
    crashes: int = 0
    repeats: int = 0
    late: int = 0
    refusals: int = 0
    swept: bool = False


class Exposure(NamedTuple):
    """Confirmed position and what is open; `reducing`: sides with an open reducing order."""

    position: int
    buys: int
    sells: int
    reducing: frozenset[int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may happen at most. `raw`: the ids on signals.raw, repeated ones included; `batch`: stored at once."""

    signals: tuple[Order, ...] = ((1, 1), (1, 1))
    raw: tuple[int, ...] = (0, 1)
    limit: int = 1
    cash: int = 9
    position: int = 0
    starts: int = 2
    crashes: int = 1
    repeats: int = 0
    late: int = 0
    refusals: int = 0
    tightens: tuple[str, ...] = ()
    flatten: bool = False
    closings: int = 0
    batch: bool = False


class RiskModel:
    """`explore.Model` of risk, without the guards in `removed`."""

    def __init__(self, bounds: Bounds, removed: frozenset[str] = frozenset()) -> None:
        self._b = bounds
        self._removed = removed
        self._given = len(bounds.signals)
        self._ids = range(self._given + bounds.closings)

    def has(self, guard: str) -> bool:
        """Whether the guard stands."""
        return guard not in self._removed

    def initial(self) -> State:
        """Nothing decided, nobody running."""
        count = len(self._ids)
        nothing = (False,) * count
        return State(
            epoch=0,
            decisions=("",) * count,
            reserved=nothing,
            counted=(0, 0),
            snapshot=Snapshot(0, (0, 0, 0), nothing, self._b.position),
            folds=(UNFOLDED,) * count,
            risks=(Risk(), Risk()),
            validated=(("", 0),) * count,
            rejected=nothing,
            orders=((NEW, 0, ACTIVE),) * count,
            refused=nothing,
        )

    # ------------------------------------------------------------------------------------------ views

    def _order(self, state: State, number: int) -> Order:
        if number < self._given:
            return self._b.signals[number]
        at = number - self._given
        return state.closing[at] if at < len(state.closing) else (0, 0)

    def _exposure(self, state: State, risk: Risk) -> Exposure:
        """What risk believes."""
        buys, sells, reducing = 0, 0, set()
        for number in self._ids:
            side, quantity = self._order(state, number)
            filled = risk.folds[number][0]
            left = max(0, quantity - filled) if risk.reserved[number] else 0
            buys, sells = (buys + left, sells) if side > 0 else (buys, sells + left)
            if left and risk.decisions[number] == REDUCING:
                reducing.add(side)
        if not self.has("reservation_not_counted"):
            buys, sells = risk.counted
        return Exposure(risk.position, buys, sells, frozenset(reducing))

    def _truth(self, state: State) -> Exposure:
        """The position at the broker, and what decided orders may still add to each side."""
        position, buys, sells = self._b.position, 0, 0
        for number in self._ids:
            side, quantity = self._order(state, number)
            what, filled, _ = state.orders[number]
            if what != LOST:
                position += side * filled
            decided = state.decisions[number] in VALIDATED or state.validated[number][0] in VALIDATED
            dead = what == NEW and state.refused[number] and self.has("refusal_stored")
            if decided and what in MAY_FILL and not dead:
                left = quantity - filled
                buys, sells = (buys + left, sells) if side > 0 else (buys, sells + left)
        return Exposure(position, buys, sells, frozenset())

    def _idle_owner(self, state: State) -> Risk | None:
        found = [risk for risk in state.risks if risk.stage == "idle" and risk.epoch == state.epoch]
        return found[0] if len(found) == 1 else None

    # --------------------------------------------------------------------------------------- the gate

    def _decide(self, state: State, risk: Risk, side: int, quantity: int) -> str:
        known = self._exposure(state, risk)
        closing_side_open = known.sells if known.position > 0 else known.buys
        taken = closing_side_open if self.has("reducing_less_open") else 0
        against = known.position * side < 0 and quantity <= abs(known.position) - taken
        if against and state.trading != HALTED:
            return (
                REDUCING if self.has("reducing_exempt") or self._within(known, side, quantity) else REJECTED
            )
        if state.trading != ACTIVE:
            return REJECTED
        if self.has("no_increase_beside_reducing") and side in known.reducing:
            return REJECTED
        if abs(self._worst(known, side, quantity)) > self._b.limit or self._too_dear(known, side, quantity):
            return REJECTED
        return INCREASING

    def _worst(self, known: Exposure, side: int, quantity: int) -> int:
        if not self.has("open_orders_not_netted"):
            return known.position + known.buys - known.sells + side * quantity
        return known.position + known.buys + quantity if side > 0 else known.position - known.sells - quantity

    def _too_dear(self, known: Exposure, side: int, quantity: int) -> bool:
        return side > 0 and self._b.cash - (known.position - self._b.position) - known.buys < quantity

    def _within(self, known: Exposure, side: int, quantity: int) -> bool:
        """Whether an order would pass if limits and cash bound reducing ones too."""
        gross = abs(known.position) + known.buys + known.sells
        needed = quantity if side > 0 else 0
        return gross <= self._b.limit and self._b.cash - known.position - known.buys >= needed

    # ------------------------------------------------------------------------------------- properties

    def settled(self, state: State) -> bool:
        """Whether all is read, told, sent and swept."""
        owner = self._idle_owner(state)
        if owner is None or owner.again or owner.raw < len(self._b.raw):
            return False
        if any(offset < len(log) for offset, log in zip(owner.offsets, state.logs, strict=True)):
            return False
        waiting = any(
            state.validated[n][0] and state.orders[n][0] == NEW and not state.refused[n] for n in self._ids
        )
        if waiting or self._to_cancel(state) or any(order[0] == SENT for order in state.orders):
            return False
        return not (state.flatten == "asked" and any(self._flatten(state, owner)))

    def violated(self, state: State) -> str | None:
        """Check what must hold always, and what must hold in the end."""
        return self._always(state) or (self._in_the_end(state) if self.settled(state) else None)

    def _always(self, state: State) -> str | None:
        if any(state.rejected[n] and state.validated[n][0] for n in self._ids):
            return ONE_DECISION
        true, limit = self._truth(state), self._b.limit
        if not state.late:
            over = true.buys and true.position + true.buys > limit
            under = true.sells and true.position - true.sells < -limit
            if abs(self._b.position) <= limit and (over or under):
                return LIMIT
            if self._b.cash - (true.position - self._b.position) - self._increasing_buys(state) < 0:
                return CASH
            if state.flatten == "done" and (true.position or true.buys or true.sells):
                return FLAT
        return None

    def _increasing_buys(self, state: State) -> int:
        return sum(
            self._order(state, n)[1] - state.orders[n][1]
            for n in self._ids
            if self._order(state, n)[0] > 0
            and state.orders[n][0] in MAY_FILL
            and INCREASING in (state.decisions[n], state.validated[n][0])
        )

    def _in_the_end(self, state: State) -> str | None:
        owner = self._idle_owner(state)
        assert owner is not None
        known, true = self._exposure(state, owner), self._truth(state)
        if any(not state.rejected[n] and not state.validated[n][0] for n in set(self._b.raw)):
            return TOLD
        if known.position != true.position:
            return BOOK
        if (known.buys, known.sells) != (true.buys, true.sells):
            return RESERVED
        if self._trapped(state, owner, true):
            return FREE
        rests = [n for n in self._ids if state.orders[n][0] == RESTS]
        if state.trading != ACTIVE and any(state.validated[n][0] == INCREASING for n in rests):
            return NOTHING_RESTS
        stuck = (
            state.flatten == "asked"
            and state.trading == REDUCE
            and not state.late
            and true.position
            and len(state.closing) < self._b.closings
            and all(n < self._given for n in rests)
        )
        return CLOSES if stuck else None

    def _trapped(self, state: State, owner: Risk, true: Exposure) -> bool:
        if not true.position or state.trading == HALTED:
            return False
        side = -1 if true.position > 0 else 1
        free = abs(true.position) - (true.sells if true.position > 0 else true.buys)
        return free > 0 and self._decide(state, owner, side, free) != REDUCING

    # ------------------------------------------------------------------------------------------ steps

    def steps(self, state: State) -> Iterator[Step]:
        """Every step of either process and of the world."""
        for which in (0, 1):
            yield from self._risk(state, which)
        for number in self._ids:
            if state.validated[number][0]:
                yield from self._engine(state, number)
        yield from self._sweep_once(state)
        tighter = TIGHTER.get(state.trading)
        if tighter in self._b.tightens:
            yield f"trading state {tighter}", state._replace(trading=tighter)
        if self._b.flatten and not state.flatten:
            trading = REDUCE if state.trading == ACTIVE else state.trading
            yield "deleted with Flatten: Reducing", state._replace(flatten="asked", trading=trading)

    def _risk(self, state: State, which: int) -> Iterator[Step]:
        risk = state.risks[which]
        if risk.stage == "down":
            if state.starts < self._b.starts:
                yield self._claim(state, which)
            return
        if state.crashes < self._b.crashes:
            yield f"risk{which} crash", _put(state, which, Risk(), crashes=state.crashes + 1)
        if risk.stage == "claiming":
            yield (
                f"risk{which} writes its epoch",
                _put(state, which, risk._replace(stage="idle"), epoch=risk.epoch),
            )
        elif risk.stage == "recording":
            yield from self._record(state, which)
            if not self.has("one_task"):
                yield from self._on_order(state, which)
        elif risk.stage == "telling":
            yield self._tell(state, which)
        elif risk.stage in ("deciding", "announcing"):
            yield from self._batch(state, which)
        else:
            yield from self._idle(state, which)
        if risk.stage in (
            STILL if self.has("batch_told_before_save") else (*STILL, "deciding", "announcing")
        ):
            yield from self._save(state, which)

    def _idle(self, state: State, which: int) -> Iterator[Step]:
        risk = state.risks[which]
        if risk.again:
            after = risk._replace(
                stage="telling", current=(risk.again[0], REDUCING, False), again=risk.again[1:]
            )
            yield f"risk{which} re_emit_closing {risk.again[0]}", _put(state, which, after)
        if risk.raw < len(self._b.raw):
            yield self._next(state, which) if self._b.batch else self._on_signal(state, which)
        yield from self._on_order(state, which)
        if state.flatten == "asked":
            yield from self._close(state, which)
        yield from self._forget(state, which)

    # ------------------------------------------------------------------------------- claim, save, record

    def _claim(self, state: State, which: int) -> Step:
        epoch = state.starts + 1
        loaded = self._loaded(state, epoch)
        if self.has("claim_atomic"):
            after = _put(state, which, loaded, epoch=epoch, starts=epoch)
            return f"risk{which} claim {epoch}", after
        return f"risk{which} loads", _put(state, which, loaded._replace(stage="claiming"), starts=epoch)

    def _loaded(self, state: State, epoch: int) -> Risk:
        saved, decisions = state.snapshot, state.decisions
        reserved = tuple(d in VALIDATED and not state.folds[n][1] for n, d in enumerate(decisions))
        if not self.has("reservation_not_deleted"):
            reserved = state.reserved
        if not self.has("reservation_not_in_snapshot"):
            reserved = saved.reserved
        open_closings = (n for n in self._ids[self._given :] if decisions[n] and not state.folds[n][1])
        return Risk(
            stage="idle",
            epoch=epoch,
            raw=saved.raw,
            offsets=saved.offsets,
            folds=state.folds,
            decisions=decisions,
            reserved=reserved,
            counted=state.counted,
            position=saved.position,
            again=tuple(open_closings) if self.has("closing_told_again") else (),
        )

    def _save(self, state: State, which: int) -> Iterator[Step]:
        risk = state.risks[which]
        snapshot = Snapshot(risk.raw, risk.offsets, risk.reserved, risk.position)
        folds = tuple(risk.folds[n] if n in risk.changed else state.folds[n] for n in self._ids)
        allowed = risk.epoch == state.epoch or not self.has("save_fenced")
        if allowed and (snapshot, folds) != (state.snapshot, state.folds):
            after = risk._replace(changed=frozenset())
            yield f"risk{which} save", _put(state, which, after, snapshot=snapshot, folds=folds)

    def _on_signal(self, state: State, which: int) -> Step:
        risk = state.risks[which]
        number = self._b.raw[risk.raw]
        known = risk.decisions[number]
        if known and self.has("decided_once"):
            told = known if self.has("known_is_told_again") else REJECTED
            after = risk._replace(stage="telling", current=(number, told, True))
            return f"risk{which} signal {number} again: {told}", _put(state, which, after)
        order = self._order(state, number)
        decision = self._decide(state, risk, *order)
        unrecorded = decision == REJECTED and not self.has("rejections_recorded")
        after = risk._replace(
            stage="telling" if unrecorded else "recording", current=(number, decision, True, order)
        )
        return f"risk{which} on_signal {number} {order}: {decision}", _put(state, which, after)

    def _record(self, state: State, which: int) -> Iterator[Step]:
        risk = state.risks[which]
        if self.has("record_fenced") and risk.epoch != state.epoch:
            yield f"risk{which} record refused: exits", _put(state, which, Risk())
            return
        number, decision, from_raw, order = risk.current
        stored = self._stored(state, number, decision, order, from_raw=from_raw)
        after = risk._replace(
            stage="telling",
            decisions=_set(risk.decisions, number, decision),
            reserved=_set(risk.reserved, number, decision in VALIDATED),
            counted=stored.counted,
            current=(number, decision, from_raw),
            raw=risk.raw + (1 if from_raw and not self.has("offset_after_told") else 0),
            closings=risk.closings + (0 if from_raw else 1),
        )
        name = f"risk{which} record {number} {decision}"
        yield name, _put(stored, which, after)
        if self.has("unanswered_record_ends"):
            yield f"{name}, unanswered: ends", _put(stored, which, Risk())
        else:
            aside = risk._replace(stage="idle", raw=risk.raw + (1 if from_raw else 0), current=())
            yield f"{name}, unanswered: sets the record aside", _put(stored, which, aside)

    def _stored(self, state: State, number: int, decision: str, order: Order, *, from_raw: bool) -> State:
        side, quantity = order
        buys, sells = state.counted
        if decision in VALIDATED:
            buys, sells = (buys + quantity, sells) if side > 0 else (buys, sells + quantity)
        closing, at = state.closing, number - self._given
        if not from_raw:
            closing = _set(closing, at, order) if at < len(closing) else (*closing, order)
        return state._replace(
            decisions=_set(state.decisions, number, decision),
            reserved=_set(state.reserved, number, decision in VALIDATED),
            counted=(buys, sells),
            closing=closing,
        )

    def _tell(self, state: State, which: int) -> Step:
        risk = state.risks[which]
        number, decision, from_raw = risk.current[:3]
        moved = from_raw and not self._passed_already(state, risk, number, decision)
        after = risk._replace(stage="idle", current=(), raw=risk.raw + (1 if moved else 0))
        return self._told(state, which, after, number, decision)

    def _told(self, state: State, which: int, after: Risk, number: int, decision: str) -> Step:
        name = f"risk{which} tells {decision} of {number}"
        if decision == REJECTED:
            return name, _put(state, which, after, rejected=_set(state.rejected, number, True))
        before = state.validated[number][0]
        if before and before != decision and state.orders[number][0] == NEW:
            return name, Broken(ONE_DECISION)
        validated = _set(state.validated, number, (decision, after.epoch))
        return name, _put(state, which, after, validated=validated)

    def _passed_already(self, state: State, risk: Risk, number: int, decision: str) -> bool:
        if self.has("offset_after_told") or not risk.raw:
            return False
        return state.decisions[number] == decision and self._b.raw[risk.raw - 1] == number

    # ------------------------------------------------------------------------------------------ batch

    def _next(self, state: State, which: int) -> Step:
        """Decide on the next signal of a fetch: it counts in memory before anything is stored."""
        risk = state.risks[which]
        number = self._b.raw[risk.raw]
        order, known = self._order(state, number), risk.decisions[number]
        decision = known or self._decide(state, risk, *order)
        after = risk._replace(
            stage="deciding",
            current=(*risk.current, (number, decision, not known, order)),
            raw=risk.raw + 1,
            decisions=_set(risk.decisions, number, decision),
            reserved=risk.reserved if known else _set(risk.reserved, number, decision in VALIDATED),
        )
        return f"risk{which} on_signal {number} {order} of a batch: {decision}", _put(state, which, after)

    def _batch(self, state: State, which: int) -> Iterator[Step]:
        """Decide on more, or flush: store all in one step; then each is told. A save has to wait."""
        risk = state.risks[which]
        if risk.stage == "announcing":
            yield self._announce(state, which)
            return
        if risk.raw < len(self._b.raw):
            yield self._next(state, which)
        fresh = [entry for entry in risk.current if entry[2]]
        if fresh and risk.epoch != state.epoch and self.has("record_fenced"):
            yield f"risk{which} record refused: exits", _put(state, which, Risk())
            return
        stored = state
        for number, decision, _, order in fresh:
            stored = self._stored(stored, number, decision, order, from_raw=True)
        name = f"risk{which} records {len(fresh)}"
        yield name, _put(stored, which, risk._replace(stage="announcing", counted=stored.counted))
        if fresh:
            yield f"{name}, unanswered: ends", _put(stored, which, Risk())

    def _announce(self, state: State, which: int) -> Step:
        """Tell the batch's next decision: a crash may come after any number of them."""
        risk = state.risks[which]
        (number, decision, _, _), *rest = risk.current
        after = risk._replace(stage="announcing" if rest else "idle", current=tuple(rest))
        return self._told(state, which, after, number, decision)

    # ------------------------------------------------------------------------------------------- fold

    def _on_order(self, state: State, which: int) -> Iterator[Step]:
        risk = state.risks[which]
        for topic, log in enumerate(state.logs):
            if risk.offsets[topic] < len(log):
                yield self._fold(state, which, topic, log[risk.offsets[topic]])

    def _fold(self, state: State, which: int, topic: int, event: Event) -> Step:
        risk = state.risks[which]
        number, _, _, _, _, late = event
        before = risk.folds[number]
        new = self._folded(before, event)
        world, counted = self._deducted(state, risk, number, (before, new))
        after = risk._replace(
            offsets=_set(risk.offsets, topic, risk.offsets[topic] + 1),
            folds=_set(risk.folds, number, new),
            changed=risk.changed | {number},
            position=risk.position + self._order(state, number)[0] * (new[0] - before[0]),
            reserved=_set(risk.reserved, number, risk.reserved[number] and not new[1]),
            counted=counted,
        )
        if late and not self.has("match_latches_at_once"):
            world = world._replace(trading=HALTED)
        return f"risk{which} on_order {event}", _put(world, which, after)

    def _folded(self, before: Fold, event: Event) -> Fold:
        _, cumulative, terminal, rank, alone, _ = event
        filled, ended, highest = before
        if not self.has("fold_not_added"):
            return filled + alone, ended or terminal, max(highest, rank)
        if not self.has("fold_by_quantity"):
            return (cumulative, ended or terminal, rank) if rank > highest else before
        return max(filled, cumulative), ended or terminal, max(highest, rank)

    def _deducted(
        self, state: State, risk: Risk, number: int, folds: tuple[Fold, Fold]
    ) -> tuple[State, Order]:
        """What a reservation that is not derived would do here."""
        if risk.epoch != state.epoch:
            return state, risk.counted
        before, new = folds
        if not self.has("reservation_not_deleted") and new[1]:
            return state._replace(reserved=_set(state.reserved, number, False)), risk.counted
        if self.has("reservation_not_counted"):
            return state, risk.counted
        side, quantity = self._order(state, number)
        used = 0 if before[1] else (quantity - before[0] if new[1] else new[0] - before[0])
        buys, sells = state.counted
        counted = (buys - used, sells) if side > 0 else (buys, sells - used)
        return state._replace(counted=counted), counted

    def _forget(self, state: State, which: int) -> Iterator[Step]:
        """What would happen if closed decisions or folds were forgotten while their events may come again."""
        risk = state.risks[which]
        for number in self._ids:
            ended = risk.folds[number][1]
            if not ended or not risk.decisions[number]:
                continue
            if not self.has("decisions_kept") and risk.epoch == state.epoch and state.folds[number][1]:
                after = risk._replace(decisions=_set(risk.decisions, number, ""))
                decisions = _set(state.decisions, number, "")
                yield f"decision {number} is forgotten", _put(state, which, after, decisions=decisions)
            if not self.has("folds_kept"):
                after = risk._replace(folds=_set(risk.folds, number, UNFOLDED))
                yield f"risk{which} forgets the fold of {number}", _put(state, which, after)

    # ---------------------------------------------------------------------------------------- Flatten

    def _flatten(self, state: State, risk: Risk) -> Iterator[tuple[int, Order] | None]:
        """What Flatten does next: a closing order, or (None) the report that the strategy is flat."""
        if state.trading != REDUCE:
            return
        known = self._exposure(state, risk)
        if known.position == 0:
            if not self.has("flat_needs_nothing_open") or not (known.buys or known.sells):
                yield None
            return
        free = abs(known.position) - (known.sells if known.position > 0 else known.buys)
        made = len(state.closing) if self.has("closing_id_stored") else risk.closings
        if free > 0 and self._given + made < len(self._ids):
            yield self._given + made, (-1 if known.position > 0 else 1, free)

    def _close(self, state: State, which: int) -> Iterator[Step]:
        risk = state.risks[which]
        for step in self._flatten(state, risk):
            if step is None:
                if risk.epoch == state.epoch or not self.has("flat_fenced"):
                    yield f"risk{which} reports flat", state._replace(flatten="done")
            else:
                number, order = step
                after = risk._replace(stage="recording", current=(number, REDUCING, False, order))
                yield f"risk{which} closing signal {number} {order}", _put(state, which, after)

    # -------------------------------------------------------------- engine, broker, order-tracker, sweeper

    def _to_cancel(self, state: State) -> list[int]:
        if state.trading == ACTIVE or not self.has("resting_cancelled"):
            return []
        if state.swept and not self.has("resting_cancelled_repeatedly"):
            return []
        resting = [n for n in self._ids if state.orders[n][0] == RESTS]
        if self._b.flatten and state.flatten and self.has("flatten_cancels"):
            return [n for n in resting if n < self._given]
        return [n for n in resting if state.trading == HALTED or state.validated[n][0] == INCREASING]

    def _sweep_once(self, state: State) -> Iterator[Step]:
        if self.has("resting_cancelled_repeatedly") or state.trading == ACTIVE or state.swept:
            return
        after = state
        for number in self._to_cancel(state):
            _, filled, at = after.orders[number]
            after = _event(after, CLOSED, (number, filled, True, 3, 0, False), (ENDED, filled, at))
        yield "one sweep of what rests", after._replace(swept=True)

    def _engine(self, state: State, number: int) -> Iterator[Step]:
        what, filled, at = state.orders[number]
        quantity = self._order(state, number)[1]
        if what == NEW:
            yield from self._begin(state, number)
        elif what == SENT:
            placed = _event(state, SUBMITTED, (number, 0, False, 1, 0, False), (RESTS, 0, at))
            yield f"order {number} placed", placed
            for part in {1, quantity}:
                yield self._fills(state, number, part)
            yield f"order {number} failed", self._ends(state, number, ENDED)
            if state.late < self._b.late:
                yield f"order {number} lost", self._ends(state, number, LOST)
        elif what == RESTS:
            for part in range(filled + 1, quantity + 1):
                yield self._fills(state, number, part)
            yield f"order {number} cancelled at {filled}", self._ends(state, number, ENDED)
        elif what == LOST and state.late < self._b.late:
            yield f"order {number} matches late", self._matches_late(state, number)
        if what in (RESTS, ENDED) and state.repeats < self._b.repeats:
            yield from self._told_again(state, number)

    def _begin(self, state: State, number: int) -> Iterator[Step]:
        signal_class, epoch = state.validated[number]
        if not self.has("begin_ignores_risk_epoch") and epoch != state.epoch:
            if not state.refused[number]:
                dropped = state._replace(refused=_set(state.refused, number, True))
                yield f"BEGIN {number}: of another risk epoch, dropped", dropped
            return
        closes_only = state.trading == REDUCE and signal_class == REDUCING
        legal = state.trading == ACTIVE or closes_only or not self.has("begin_compares_state")
        if (not legal or state.refusals < self._b.refusals) and not state.refused[number]:
            yield f"BEGIN or refuse {number}: refused", self._refuse(state, number, legal=legal)
        if legal:
            if state.late and signal_class == INCREASING:
                yield f"BEGIN {number}: GO", Broken(AFTER_LATE)
                return
            go = state._replace(orders=_set(state.orders, number, (SENT, 0, state.trading)))
            yield f"BEGIN {number}: GO", go

    def _refuse(self, state: State, number: int, *, legal: bool) -> State:
        after = state._replace(refusals=state.refusals + (1 if legal else 0))
        event = (number, 0, True, 3, 0, False)
        if self.has("refusal_stored"):
            return _event(after, CLOSED, event, (ENDED, 0, ACTIVE))
        after = after._replace(refused=_set(after.refused, number, True))
        return _event(after, CLOSED, event, after.orders[number])

    def _fills(self, state: State, number: int, part: int) -> Step:
        side, quantity = self._order(state, number)
        _, filled, at = state.orders[number]
        name = f"order {number} filled {part}/{quantity}"
        position = self._truth(state).position
        new = position + side * (part - filled)
        grows, turns = abs(new) > abs(position), new * position < 0
        closing = state.validated[number][0] == REDUCING and (grows or turns)
        if not state.late and (closing or (at != ACTIVE and grows)):
            return name, Broken(REDUCES)
        done = part == quantity
        event = (number, part, done, 3 if done else 2, part - filled, False)
        return name, _event(state, FILLED, event, (ENDED if done else RESTS, part, at))

    def _ends(self, state: State, number: int, what: str) -> State:
        _, filled, at = state.orders[number]
        told = filled if self.has("cancel_cumulative") else 0
        return _event(state, CLOSED, (number, told, True, 3, 0, False), (what, filled, at))

    def _matches_late(self, state: State, number: int) -> State:
        quantity, at = self._order(state, number)[1], state.orders[number][2]
        event = (number, quantity, True, 3, quantity, True)
        after = _event(state, FILLED, event, (ENDED, quantity, at))
        latched = self.has("match_latches_at_once") and self.has("match_latches")
        return after._replace(late=state.late + 1, trading=HALTED if latched else state.trading)

    def _told_again(self, state: State, number: int) -> Iterator[Step]:
        for topic in (FILLED, CLOSED):
            for event in state.logs[topic][-1:]:
                if event[0] == number:
                    after = _event(state, topic, event, state.orders[number])
                    yield f"told again {event}", after._replace(repeats=state.repeats + 1)


def _put(state: State, which: int, risk: Risk, **changes: Any) -> State:
    return state._replace(risks=_set(state.risks, which, risk), **changes)


def _set(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _event(state: State, topic: int, event: Event, order: tuple[str, int, str]) -> State:
    logs = _set(state.logs, topic, (*state.logs[topic], event))
    return state._replace(logs=logs, orders=_set(state.orders, event[0], order))
