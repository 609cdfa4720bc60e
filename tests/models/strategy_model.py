"""The strategy runner: ids are never used twice, nothing that was stored is lost, the position is that of the fills.

Two runners of one strategy share a checkpoint store; either may be a zombie, crash, or start anew (`claim`). Two
partitions of ticks, three topics of order events and an abstract engine are the world. What risk and the engine do
with a signal is `risk_model` and `journal.pml`.

Names are the code's: `strategy/runner.py`, `strategy/cell.py`, `adapters/memory/checkpoints.py`. One step of the
runner is what happens between two awaits: deliver one record; save; produce one event. A batch is several
deliveries before one save.

Not modelled: several cells in one runner, a strategy that raises, bars, cancels, feed epochs, tick contents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from models.explore import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
Step = tuple[str, "State | Broken"]
Id = tuple[int, int]  # (lineage, counter)
Intent = tuple[int, int, int]  # (tick partition, sequence, position when it was made)
Fold = tuple[Id, int, int]  # (order, filled, rank)
Event = tuple[Id, int, int, int]  # (order, cumulative filled, rank, filled by this event alone)
Pending = tuple[str, Id, Intent]  # (SIGNAL or SUPPRESSED, id, intent)
Offsets = tuple[int, ...]

SIGNAL: Final = "signal"
SUPPRESSED: Final = "suppressed"
TICKS: Final = 2
QUANTITY: Final = 2  # of each order
CLOSED: Final = 3  # rank of FILLED and CANCELLED
FILLED_LOG: Final = 1  # index of orders.filled among the three logs
OTHER_RECORD: Final[Event] = ((0, 0), 0, 0, 0)  # of somebody else, in a topic that was created again

UNIQUE: Final = "ids: one id has one content"
ONCE: Final = "ids: one tick makes one signal"
STORED_FIRST: Final = "stored: nothing is produced before the checkpoint that holds it"
NOTHING_LOST: Final = "stored: every stored signal is produced in the end"
POSITION: Final = "position: that of the fills, in the end"


class Checkpoint(NamedTuple):
    """What the store holds. `run`: the run that the lineage was made in; `folds` are written change by change."""

    incarnation: int = 0
    claimed_in: int = 0
    version: int = 0
    counter: int = 0
    lineage: int = 0
    offsets: Offsets = (0,) * 5
    sequences: tuple[int, ...] = (0, 0)
    folds: tuple[Fold, ...] = ()
    position: int = 0
    pending: tuple[Pending, ...] = ()
    run: int = 0
    topic_id: int = 0


class Runner(NamedTuple):
    """A runner's memory. `stage`: down, claiming, ready (nothing of the outbox sent), producing."""

    stage: str = "down"
    incarnation: int = 0
    run: int = 0
    counter: int = 0
    lineage: int = 0
    offsets: Offsets = (0,) * 5
    sequences: tuple[int, ...] = (0, 0)
    folds: tuple[Fold, ...] = ()
    changed: tuple[Fold, ...] = ()
    position: int = 0
    outbox: tuple[Pending, ...] = ()
    adopted: int = 0  # how many of the outbox came with the claim
    sent: int = 0
    topic_id: int = 0


class Save(NamedTuple):
    """A `save` on its way to the store."""

    incarnation: int
    run: int
    checkpoint: Checkpoint
    changed: tuple[Fold, ...]
    holds: tuple[tuple[Id, Intent], ...]


class State(NamedTuple):
    """Store, runners, what is under way, topics, the engine's orders, faults so far."""

    store: Checkpoint = Checkpoint()
    runners: tuple[Runner, Runner] = (Runner(), Runner())
    delayed: tuple[Save, ...] = ()
    raw: frozenset[tuple[Id, Intent]] = frozenset()
    rejected: frozenset[tuple[Id, Intent]] = frozenset()
    ever_stored: frozenset[tuple[Id, Intent]] = frozenset()
    orders: tuple[tuple[Id, int, bool], ...] = ()
    logs: tuple[tuple[Event, ...], ...] = ((), (), ())
    group: Offsets = (0,) * 5
    old: tuple[bool, ...] = (False, False)
    topic_id: int = 0
    run: int = 0
    backup: Checkpoint | None = None
    restored: bool = False
    excused: frozenset[tuple[Id, Intent]] = frozenset()  # stored before the store came back older
    lineages: int = 0
    starts: int = 0
    crashes: int = 0
    repeats: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may happen at most. `ticks`: the sequences on each partition, a repeated one is a repeated record."""

    ticks: tuple[tuple[int, ...], ...] = ((1,), (1,))
    starts: int = 3
    crashes: int = 1
    orders: int = 1
    repeats: int = 0  # of order events
    late: int = 0  # fills after the end
    unanswered: bool = False  # saves may be unanswered, and land later or never
    ageing: bool = False  # ticks may become too old to act on
    restores: int = 0  # the store comes back older
    recreated: bool = False  # orders.filled is deleted and created again


class StrategyModel:
    """`explore.Model` of the runner, without the guards in `removed`."""

    def __init__(self, bounds: Bounds, removed: frozenset[str] = frozenset()) -> None:
        self._b = bounds
        self._removed = removed

    def has(self, guard: str) -> bool:
        """Whether the guard stands."""
        return guard not in self._removed

    def initial(self) -> State:
        """Nothing stored, nobody running."""
        return State()

    # ------------------------------------------------------------------------------------- properties

    def settled(self, state: State) -> bool:
        """Whether the present runner has read, stored and produced all, and no command is under way."""
        present = self._present(state)
        if present is None or state.delayed or present.outbox:
            return False
        if self.has("gap_loads_book") and present.topic_id != state.topic_id:
            return False
        return all(offset >= len(log) for offset, log in zip(present.offsets, self._logs(state), strict=True))

    def violated(self, state: State) -> str | None:
        """Check what must hold in the end."""
        if not self.settled(state):
            return None
        present = self._present(state)
        if state.ever_stored - state.raw - state.excused:
            return NOTHING_LOST
        filled = sum(cumulative for _, cumulative, _ in state.orders)
        return POSITION if present is not None and present.position != filled else None

    def _present(self, state: State) -> Runner | None:
        found = [r for r in state.runners if r.stage == "ready" and self._claimed(state.store, r, state.run)]
        return found[0] if len(found) == 1 else None

    def _claimed(self, store: Checkpoint, runner: Runner | Save, run: int) -> bool:
        """Compare the claim as `save` does: the incarnation, and the run that it was claimed in."""
        same_run = runner.run == run or not self.has("claim_ends_with_run")
        return runner.incarnation == store.incarnation and same_run

    def _logs(self, state: State) -> tuple[tuple[object, ...], ...]:
        return (*self._b.ticks, *state.logs)

    # ------------------------------------------------------------------------------------------ steps

    def steps(self, state: State) -> Iterator[Step]:
        """Every step of either runner and of the world."""
        for which in (0, 1):
            yield from self._runner(state, which)
        yield from self._network(state)
        yield from self._time(state)
        yield from self._engine(state)
        yield from self._store_faults(state)

    def _runner(self, state: State, which: int) -> Iterator[Step]:
        runner = state.runners[which]
        if runner.stage == "down":
            if state.starts < self._b.starts:
                yield self._claim(state, which)
            return
        if state.crashes < self._b.crashes:
            yield f"R{which} crash", _put(state, which, Runner(), crashes=state.crashes + 1)
        if runner.stage == "claiming":
            store = state.store._replace(incarnation=runner.incarnation, claimed_in=state.run)
            yield (
                f"R{which} writes its claim",
                _put(state, which, runner._replace(stage="ready"), store=store),
            )
        elif runner.stage == "producing":
            yield self._produce(state, which)
        else:
            yield from self._save(state, which)
            yield from self._read(state, which)

    # ------------------------------------------------------------------------------- claim and adopt

    def _claim(self, state: State, which: int) -> Step:
        incarnation = state.starts + 1 if self.has("incarnation_random") else state.store.incarnation + 1
        runner, lineages = self._adopt(state, incarnation)
        after = {"starts": state.starts + 1, "lineages": lineages}
        if not self.has("claim_atomic"):
            return f"R{which} loads (n={runner.counter})", _put(
                state, which, runner._replace(stage="claiming"), **after
            )
        store = state.store._replace(incarnation=incarnation, claimed_in=state.run)
        return f"R{which} claim {incarnation} (n={runner.counter})", _put(
            state, which, runner, store=store, **after
        )

    def _adopt(self, state: State, incarnation: int) -> tuple[Runner, int]:
        stored, lineages = state.store, state.lineages
        lineage, counter = stored.lineage, stored.counter
        if lineage == 0 or (self.has("lineage_renewed") and stored.run != state.run):
            lineages += 1
            lineage, counter = (lineages if self.has("lineage_random") else 1), 0
        from_checkpoint = self.has("resume_from_checkpoint") and self.has("offsets_in_save")
        pending = stored.pending if self.has("pending_resent") else ()
        if not self.has("pending_resent_at_any_age"):
            pending = tuple(item for item in pending if not state.old[item[2][0]])
        runner = Runner(
            stage="ready",
            incarnation=incarnation,
            run=state.run,
            counter=counter,
            lineage=lineage,
            offsets=stored.offsets if from_checkpoint else state.group,
            sequences=stored.sequences,
            folds=stored.folds,
            position=stored.position,
            outbox=pending,
            adopted=len(pending),
            topic_id=stored.topic_id,
        )
        return runner, lineages

    # ------------------------------------------------------------------------------------ save, produce

    def _save(self, state: State, which: int) -> Iterator[Step]:
        runner = state.runners[which]
        save = self._command(state, runner)
        done = self._applied(state, save)
        if done is None:
            yield f"R{which} save refused: exits", _put(state, which, Runner())
        else:
            after = runner._replace(
                stage="producing" if runner.outbox else "ready",
                changed=(),
                sent=0,
                adopted=len(runner.outbox),
            )
            yield f"R{which} save n={runner.counter}", _put(done, which, after)
        if self._b.unanswered and not state.delayed:
            yield self._unanswered(state._replace(delayed=(save,)), which)

    def _command(self, state: State, runner: Runner) -> Save:
        kept = runner.outbox if self.has("unacknowledged_kept") else runner.outbox[runner.adopted :]
        checkpoint = Checkpoint(
            version=state.store.version,
            counter=runner.counter,
            lineage=runner.lineage,
            offsets=runner.offsets,
            sequences=runner.sequences,
            position=runner.position,
            pending=kept if self.has("pending_stored") else (),
            run=runner.run,
            topic_id=runner.topic_id,
        )
        holds = tuple((signal, intent) for kind, signal, intent in runner.outbox if kind == SIGNAL)
        return Save(runner.incarnation, runner.run, checkpoint, runner.changed, holds)

    def _applied(self, state: State, save: Save) -> State | None:
        """The script `save`; None when the claim is over."""
        if self.has("save_fenced") and not self._claimed(state.store, save, state.run):
            return None
        claim = state.store if self.has("save_fenced") else save
        store = save.checkpoint._replace(
            incarnation=claim.incarnation,
            claimed_in=state.store.claimed_in,
            folds=_updated(state.store.folds, save.changed),
        )
        return state._replace(store=store, ever_stored=state.ever_stored | frozenset(save.holds))

    def _unanswered(self, late: State, which: int) -> Step:
        """No answer: it may have been done, may be done later, or never."""
        if not self.has("unanswered_save_not_repeated"):
            return f"R{which} save unanswered: sends it again", late
        if not self.has("unanswered_save_ends"):
            runner = late.runners[which]
            stored = late.store
            back = runner._replace(
                counter=stored.counter,
                offsets=stored.offsets,
                sequences=stored.sequences,
                folds=stored.folds,
                changed=(),
                position=stored.position,
                outbox=runner.outbox[: runner.adopted],
            )
            return f"R{which} save unanswered: rolls back, goes on", _put(late, which, back)
        return f"R{which} save unanswered: ends", _put(late, which, Runner())

    def _produce(self, state: State, which: int) -> Step:
        runner = state.runners[which]
        kind, signal, intent = runner.outbox[runner.sent]
        after = runner._replace(sent=runner.sent + 1)
        if after.sent == len(runner.outbox):  # acknowledged
            after = after._replace(stage="ready", outbox=(), adopted=0, sent=0)
        return f"R{which} produces {kind} {signal}", self._told(state, which, after, (kind, signal, intent))

    def _told(self, state: State, which: int, after: Runner, pending: Pending) -> State | Broken:
        kind, signal, intent = pending
        if any(other == signal and content != intent for other, content in state.raw | state.rejected):
            return Broken(UNIQUE)
        if kind == SUPPRESSED:
            return _put(state, which, after, rejected=state.rejected | {(signal, intent)})
        if (signal, intent) not in state.ever_stored:
            return Broken(STORED_FIRST)
        if not state.restored and any(c[:2] == intent[:2] and other != signal for other, c in state.raw):
            return Broken(ONCE)
        orders = state.orders
        if len(orders) < self._b.orders and all(order[0] != signal for order in orders):
            orders += ((signal, 0, False),)
        return _put(state, which, after, raw=state.raw | {(signal, intent)}, orders=orders)

    # ---------------------------------------------------------------------------------------- deliver

    def _read(self, state: State, which: int) -> Iterator[Step]:
        runner = state.runners[which]
        if self.has("gap_loads_book") and runner.topic_id != state.topic_id:
            yield f"R{which} gap: loads risk's book", _put(state, which, _load_book(state, runner))
            return
        for topic, log in enumerate(self._logs(state)):
            if runner.offsets[topic] < len(log):
                yield self._deliver(state, which, topic)
        if not self.has("folds_kept"):
            for fold in runner.folds:
                if fold[2] >= CLOSED:
                    rest = tuple(item for item in runner.folds if item != fold)
                    yield f"R{which} forgets {fold[0]}", _put(state, which, runner._replace(folds=rest))
        at_will = not (self.has("resume_from_checkpoint") and self.has("offsets_in_save"))
        if at_will and not runner.outbox and state.group != runner.offsets:
            yield f"R{which} commits offsets", state._replace(group=runner.offsets)

    def _deliver(self, state: State, which: int, topic: int) -> Step:
        runner = state.runners[which]
        offset = runner.offsets[topic]
        read = runner._replace(offsets=_set(runner.offsets, topic, offset + 1))
        if topic >= TICKS:
            event = state.logs[topic - TICKS][offset]
            after = read if event == OTHER_RECORD else self._on_order(read, event)
            return f"R{which} on_order {event}", _put(state, which, after)
        sequence = self._b.ticks[topic][offset]
        if self.has("sequences_kept") and sequence <= runner.sequences[topic]:
            return f"R{which} drops tick {topic}:{sequence}", _put(state, which, read)
        return self._submit(state, which, read, (topic, sequence))

    def _submit(self, state: State, which: int, read: Runner, tick: tuple[int, int]) -> Step:
        """The strategy answers each tick with an order; of a tick that is too old it is suppressed."""
        topic, sequence = tick
        intent = (topic, sequence, read.position)
        signal = (read.lineage, read.counter + 1)
        old = state.old[topic]
        uses_id = not old or self.has("suppression_uses_id")
        kind = SUPPRESSED if old else SIGNAL
        after = read._replace(
            sequences=_set(read.sequences, topic, sequence), counter=read.counter + (1 if uses_id else 0)
        )
        if old and not self.has("suppression_after_save"):
            told = self._told(state, which, after, (kind, signal, intent))
            return f"R{which} tick {topic}:{sequence} is old: {signal} suppressed at once", told
        after = after._replace(outbox=(*after.outbox, (kind, signal, intent)))
        return f"R{which} tick {topic}:{sequence} -> {kind} {signal}", _put(state, which, after)

    def _on_order(self, runner: Runner, event: Event) -> Runner:
        order, cumulative, rank, alone = event
        known = {fold[0]: fold for fold in runner.folds}
        _, filled, highest = known.get(order, (order, 0, 0))
        if not self.has("fold_not_added"):
            new = filled + alone
        elif not self.has("fold_by_quantity"):
            new = cumulative if rank > highest else filled
        else:
            new = max(filled, cumulative)
        fold = (order, new, max(rank, highest))
        return _with_folds(runner, (fold,), new - filled)

    # ------------------------------------------------------------------------------------------ world

    def _network(self, state: State) -> Iterator[Step]:
        if state.delayed:
            done = self._applied(state, state.delayed[0])
            name = "delayed save lands" if done else "delayed save lands, refused"
            yield name, (done or state)._replace(delayed=())
            yield "delayed save is lost", state._replace(delayed=())

    def _time(self, state: State) -> Iterator[Step]:
        for topic in range(TICKS):
            if self._b.ageing and not state.old[topic]:
                yield (
                    f"ticks of partition {topic} are old now",
                    state._replace(old=_set(state.old, topic, True)),
                )

    def _engine(self, state: State) -> Iterator[Step]:
        """Fill, cancel, fill after the end; tell; tell again."""
        for number, (order, filled, closed) in enumerate(state.orders):
            if not closed:
                more = filled + 1
                rank = CLOSED if more == QUANTITY else CLOSED - 1
                event = (order, more, rank, 1)
                yield f"{order} filled {more}", _log(state, 1, event, number, (order, more, more == QUANTITY))
                yield (
                    f"{order} cancelled",
                    _log(state, 2, (order, filled, CLOSED, 0), number, (order, filled, True)),
                )
            elif filled < QUANTITY and state.late < self._b.late:
                event = (order, QUANTITY, CLOSED, QUANTITY - filled)
                after = _log(state, 1, event, number, (order, QUANTITY, True))
                yield f"{order} corrected: all filled", after._replace(late=state.late + 1)
            if state.repeats < self._b.repeats:
                for topic in (1, 2):
                    for event in state.logs[topic][-1:]:
                        if event[0] == order:
                            after = _log(state, topic, event, number, state.orders[number])
                            yield f"told again {event}", after._replace(repeats=state.repeats + 1)

    def _store_faults(self, state: State) -> Iterator[Step]:
        if self._b.restores and not state.restored:
            if state.backup is None:
                yield "(what follows may be lost)", state._replace(backup=state.store)
            else:
                yield (
                    "the store comes back as of then",
                    state._replace(
                        store=state.backup, run=state.run + 1, restored=True, excused=state.ever_stored
                    ),
                )
        if self._b.recreated and not state.topic_id and state.logs[FILLED_LOG]:
            logs = (state.logs[0], (OTHER_RECORD,), state.logs[2])
            yield "orders.filled is deleted and created again", state._replace(topic_id=1, logs=logs)


def _put(state: State, which: int, runner: Runner, **changes: Any) -> State:
    runners = (runner, state.runners[1]) if which == 0 else (state.runners[0], runner)
    return state._replace(runners=runners, **changes)


def _set(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _log(state: State, topic: int, event: Event, number: int, order: tuple[Id, int, bool]) -> State:
    logs = tuple((*log, event) if index == topic else log for index, log in enumerate(state.logs))
    return state._replace(logs=logs, orders=(*state.orders[:number], order, *state.orders[number + 1 :]))


def _updated(folds: tuple[Fold, ...], changed: tuple[Fold, ...]) -> tuple[Fold, ...]:
    return tuple(
        sorted({**{fold[0]: fold for fold in folds}, **{fold[0]: fold for fold in changed}}.values())
    )


def _with_folds(runner: Runner, folds: tuple[Fold, ...], moved: int) -> Runner:
    return runner._replace(
        folds=_updated(runner.folds, folds),
        changed=_updated(runner.changed, folds),
        position=runner.position + moved,
    )


def _load_book(state: State, runner: Runner) -> Runner:
    """`Cell.load_book`: own folds and risk's count by maximum; reading begins anew in the topic as it is now."""
    known = {fold[0]: fold for fold in runner.folds}
    folds, moved = [], 0
    for order, filled, closed in state.orders:
        _, before, rank = known.get(order, (order, 0, 0))
        folds.append((order, max(before, filled), max(rank, CLOSED if closed else CLOSED - 1)))
        moved += max(before, filled) - before
    after = _with_folds(runner, tuple(folds), moved)
    return after._replace(topic_id=state.topic_id, offsets=_set(runner.offsets, TICKS + FILLED_LOG, 0))
