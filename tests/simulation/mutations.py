"""Each guard of the order protocol, taken away: what a simulation must notice.

A mutation patches one rule out of the real code. `seeds` are known to notice (with the profile's faults); a change of
the code or of the drawing may make them miss, so the test looks a little further (`test_mutations.REACH`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from alpha_panda.adapters.memory import journal as journals
from alpha_panda.adapters.memory import leases
from alpha_panda.adapters.memory.checkpoints import MemoryCheckpointStore
from alpha_panda.adapters.memory.database import script
from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome, PriceReading
from alpha_panda.engine.router import ExecutionRouter
from alpha_panda.engine.service import Engine
from alpha_panda.errors import FencedError, TransientError
from alpha_panda.order_tracker import epochs, resolver, strays
from alpha_panda.order_tracker.announcer import Announcer
from alpha_panda.order_tracker.epochs import EpochKeeper
from alpha_panda.order_tracker.rebuild import Rebuild
from alpha_panda.order_tracker.resolver import Resolver
from alpha_panda.order_tracker.strays import Strays
from alpha_panda.ports import TopicPartition
from alpha_panda.risk import desk as desks
from alpha_panda.risk.desk import Desk
from alpha_panda.risk.service import RiskService
from alpha_panda.runtime.consume import ConsumeLoop
from alpha_panda.strategy.cell import Cell
from alpha_panda.strategy.runner import Runner
from alpha_panda.testing.simulation.broker import LiveTrader

Patch = pytest.MonkeyPatch
Journal = journals.MemoryOrderJournal
FOREVER = 10**18


@dataclass(frozen=True, slots=True)
class Mutation:
    """A guard and how to take it away; `note` says why a second line can't be seen alone."""

    guard: str
    apply: Callable[[Patch], None]
    profile: str
    seeds: tuple[int, ...] = ()
    note: str = ""


# ------------------------------------------------------------------------------------------------ the journal


def _known_id(patch: Patch) -> None:
    patch.setattr(Journal, "_known", lambda *_: None)


def _old_epoch(patch: Patch) -> None:
    begin = Journal.begin

    async def mutated(self: Any, request: Any) -> Any:
        valid = self._valid_epoch()
        return await begin(
            self, request if valid is None else dataclasses.replace(request, journal_epoch=valid)
        )

    patch.setattr(Journal, "begin", mutated)


def _epoch_of_run(patch: Patch) -> None:
    patch.setattr(Journal, "_valid_epoch", lambda self: self._state().epoch[1] or None)


def _decision_hash(patch: Patch) -> None:
    patch.setattr(journals, "_payload_refusal", lambda *_: None)


def _trading_state(patch: Patch) -> None:
    patch.setattr(journals, "binding_state", lambda *_: TradingState.ACTIVE)


def _refusal_with(patch: Patch, change: Callable[[Any, Any], tuple[Any, Any]]) -> None:
    refusal = Journal._refusal

    def mutated(self: Any, request: Any, entry: Any, state: Any, now: int) -> Any:
        request, state = change(request, state)
        return refusal(self, request, entry, state, now)

    patch.setattr(Journal, "_refusal", mutated)


def _in_doubt_key(patch: Patch) -> None:
    _refusal_with(patch, lambda request, state: (request, _state(state, doubtful_keys={})))


def _state(state: Any, **changes: Any) -> Any:
    return SimpleNamespace(
        **{"doubtful_keys": state.doubtful_keys, "take_token": state.take_token, **changes}
    )


def _expiry(patch: Patch) -> None:
    def change(request: Any, state: Any) -> tuple[Any, Any]:
        eternal = msgspec.structs.replace(request.signal, expires_at=2**62)
        return dataclasses.replace(request, signal=eternal), state

    _refusal_with(patch, change)


def _rate(patch: Patch) -> None:
    _refusal_with(patch, lambda request, state: (request, _state(state, take_token=lambda *_: True)))


def _settle_compare(patch: Patch) -> None:
    def settle(
        self: Any, signal_id: str, attempt: str, outcome: Outcome, fallback: JournalEntry
    ) -> JournalEntry:
        del attempt
        entry: JournalEntry = self._changed(self._state().find(signal_id, fallback.tag) or fallback, outcome)
        return entry

    patch.setattr(Journal, "settle", script(settle))


def _lease_fence(patch: Patch) -> None:
    patch.setattr(Journal, "_require_lease", lambda *_: None)


def _lease_of_run(patch: Patch) -> None:
    def require(database: Any, name: str, epoch: int) -> None:
        held = leases._lease(database, name)
        if not held.owner or held.epoch != epoch:
            raise FencedError("stale")

    patch.setattr(leases, "require_lease", require)
    patch.setattr(journals, "require_lease", require)


def _acknowledge_revision(patch: Patch) -> None:
    def acknowledged(self: Any, signal_id: str, revision: int) -> bool:
        del revision
        self._state().open.pop(signal_id, None)
        return True

    patch.setattr(Journal, "_acknowledged", acknowledged)


def _refusal_in_open(patch: Patch) -> None:
    stored = Journal._stored

    def mutated(self: Any, entry: Any, *, go: bool) -> Any:
        verdict = stored(self, entry, go=go)
        if not go:
            self._state().open.pop(entry.signal_id, None)
        return verdict

    patch.setattr(Journal, "_stored", mutated)


# ------------------------------------------------------------------------------------------------- the engine


def _deadline(patch: Patch) -> None:
    place = ExecutionRouter.place

    async def mutated(
        self: Any, account: str, entry: JournalEntry, price: PriceReading, deadline: int
    ) -> Outcome:
        return await place(self, account, entry, price, deadline + FOREVER)

    patch.setattr(ExecutionRouter, "place", mutated)


def _deadline_before_begin(patch: Patch) -> None:
    place = LiveTrader.place

    async def mutated(self: Any, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        del deadline
        return await place(self, entry, price, self._clock.monotonic() + 1_000_000_000)

    patch.setattr(LiveTrader, "place", mutated)


def _commit_after_effects(patch: Patch) -> None:
    async def turn(self: Any) -> None:
        records = await self._fetch()
        for record in records:
            self._mark(record)
        await self._commit()
        if records:
            await self._handle(records)

    patch.setattr(ConsumeLoop, "_turn", turn)


def _dead_letters_end(patch: Patch) -> None:
    async def nothing(*_: Any) -> None:
        return

    patch.setattr(Engine, "dead_letter", nothing)


def _one_call(patch: Patch) -> None:
    place = ExecutionRouter.place

    async def mutated(
        self: Any, account: str, entry: JournalEntry, price: PriceReading, deadline: int
    ) -> Outcome:
        outcome = await place(self, account, entry, price, deadline)
        if outcome.state.in_doubt:
            outcome = await place(self, account, entry, price, deadline)
        return outcome

    patch.setattr(ExecutionRouter, "place", mutated)


# ------------------------------------------------------------------------------------------------ the tracker


def _three_reads(patch: Patch) -> None:
    patch.setattr(Resolver, "_count_miss", lambda *_: 99)


def _complete_reads(patch: Patch) -> None:
    read = LiveTrader.order_book

    async def mutated(self: Any) -> BookReading:
        return msgspec.structs.replace(await read(self), complete=True, trading_day="2026-01-02")

    patch.setattr(LiveTrader, "order_book", mutated)


def _after_send_by_and_d(patch: Patch) -> None:
    init = Resolver.__init__

    def mutated(self: Any, *args: Any) -> None:
        init(self, *args)
        self._lost_after = -2_000_000_000
        self._reads_for_lost = 1

    patch.setattr(Resolver, "__init__", mutated)
    patch.setattr(Journal, "resolve", _resolve_at_once())


def _resolve_at_once() -> Any:
    def resolve(self: Any, lease_epoch: int, signal_id: str, outcome: Outcome) -> JournalEntry | None:
        self._require_lease(lease_epoch)
        entry = self._state().entries.get(signal_id)
        if entry is None or not entry.state.in_doubt:
            return None
        settled: JournalEntry = self._settled(entry, outcome)
        return settled

    return script(resolve)


def _d_alone(patch: Patch) -> None:
    init = Resolver.__init__

    def mutated(self: Any, *args: Any) -> None:
        init(self, *args)
        self._lost_after = 0

    patch.setattr(Resolver, "__init__", mutated)


def _same_day(patch: Patch) -> None:
    patch.setattr(Resolver, "_is_of_its_day", lambda *_: True)


def _by_tag(patch: Patch) -> None:
    patch.setattr(resolver, "matching_row", lambda *_: None)


def _strays(patch: Patch) -> None:
    async def nothing(*_: Any) -> list[JournalEntry]:
        return []

    patch.setattr(Strays, "settle", nothing)


def _late_match(patch: Patch) -> None:
    patch.setattr(strays, "contradicts", lambda *_: False)


def _repeats(patch: Patch) -> None:
    async def nothing(*_: Any) -> int:
        return 0

    patch.setattr(Announcer, "repeat", nothing)


def _rebuild(patch: Patch) -> None:
    async def nothing(*_: Any) -> None:
        return

    patch.setattr(EpochKeeper, "_rebuild", nothing)


def _rebuild_unknown(patch: Patch) -> None:
    """An id without an outcome is forgotten instead of UNKNOWN."""
    entries = Rebuild.entries

    def mutated(self: Any, now: int, send_by: int) -> list[JournalEntry]:
        return [entry for entry in entries(self, now, send_by) if not entry.state.in_doubt]

    patch.setattr(Rebuild, "entries", mutated)


def _rebuild_refused(patch: Patch) -> None:
    patch.setattr(Rebuild, "refused", property(lambda _: []))


def _rebuild_send_by(patch: Patch) -> None:
    """An id without an outcome keeps no permission to wait for: `send_by` is when its rebuild began, less S and D."""
    entries = Rebuild.entries

    def mutated(self: Any, now: int, send_by: int) -> list[JournalEntry]:
        return entries(self, now, send_by - FOREVER // 100_000)

    patch.setattr(Rebuild, "entries", mutated)


def _wait(patch: Patch) -> None:
    init = EpochKeeper.__init__

    def mutated(self: Any, *args: Any) -> None:
        init(self, *args)

        class Hasty:
            now = staticmethod(self._clock.now)

            @staticmethod
            async def sleep(_: float) -> None:
                return

        self._clock = Hasty

    patch.setattr(EpochKeeper, "__init__", mutated)


def _latches_put_back(patch: Patch) -> None:
    async def nothing(*_: Any) -> list[Any]:
        return []

    patch.setattr(epochs, "put_back", nothing)


# ------------------------------------------------------------------------------------------------------- risk


def _risk_epoch(patch: Patch) -> None:
    patch.setattr(MemoryDecisionStore, "_claimed", lambda self, _: self._state())


def _decision_before_event(patch: Patch) -> None:
    async def flush(self: Any, producer: Any) -> None:
        untold, self._untold = self._untold, []
        if untold:
            await producer.send([self._told(decision) for decision, _ in untold])
        fresh = [decision for decision, is_fresh in untold if is_fresh]
        if fresh:
            await self._store.record(self._epoch, *fresh)

    patch.setattr(Desk, "flush", flush)


def _re_emits(patch: Patch) -> None:
    real = Desk.on_signal

    async def on_signal(self: Any, event: Any, signal: Any, producer: Any) -> None:
        if signal.signal_id not in self._ledger.decisions:
            await real(self, event, signal, producer)

    patch.setattr(Desk, "on_signal", on_signal)


def _drops_known(patch: Patch) -> None:
    async def known(*_: Any) -> frozenset[str]:
        return frozenset()

    patch.setattr(Journal, "known", known)


def _waits_for_epoch(patch: Patch) -> None:
    async def epoch(self: Any) -> str:
        return await self._journal.epoch() or "none"

    patch.setattr(Desk, "_valid_epoch", epoch)


def _offset_after_event(patch: Patch) -> None:
    flush = Desk.flush

    async def mutated(self: Any, producer: Any) -> None:
        try:
            await flush(self, producer)
        except TransientError:
            return

    patch.setattr(Desk, "flush", mutated)


def _snapshot_before_effects(patch: Patch) -> None:
    handle = RiskService._handle

    async def mutated(self: Any, records: Any, producer: Any) -> None:
        for record in records:
            self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
        await self._save()
        await handle(self, records, producer)

    patch.setattr(RiskService, "_handle", mutated)


def _known_content(patch: Patch) -> None:
    """A known id with another content is told as decided."""
    patch.setattr(desks, "payload_hash", lambda _: "any")


# --------------------------------------------------------------------------------------------------- strategy


def _checkpoint_before_signal(patch: Patch) -> None:
    checkpoint = Runner._checkpoint

    async def mutated(self: Any, cells: Any, consumer: Any) -> None:
        if consumer is None:
            await self._produce(cells, self.service.producer)
        await checkpoint(self, cells, consumer)

    patch.setattr(Runner, "_checkpoint", mutated)


def _resends_pending(patch: Patch) -> None:
    adopt = Cell.adopt

    def mutated(self: Any, claim: Any, new_lineage: str) -> bool:
        adopted = adopt(self, claim, new_lineage)
        self.outbox = []
        return adopted

    patch.setattr(Cell, "adopt", mutated)


def _incarnation(patch: Patch) -> None:
    def save(  # noqa: PLR0917 - the port's
        self: Any, strategy: str, account: str, incarnation: str, checkpoint: Any, folds: Mapping[str, Any]
    ) -> None:
        del incarnation
        state = self._state(strategy, account)
        state.checkpoint = checkpoint
        state.folds.update(folds)

    patch.setattr(MemoryCheckpointStore, "save", script(save))


def _lineage_of_run(patch: Patch) -> None:
    adopt = Cell.adopt

    def mutated(self: Any, claim: Any, new_lineage: str) -> bool:
        if claim.checkpoint is not None:
            same = msgspec.structs.replace(claim.checkpoint, store_run_id=claim.store_run_id)
            claim = msgspec.structs.replace(claim, checkpoint=same)
        return adopt(self, claim, new_lineage)

    patch.setattr(Cell, "adopt", mutated)


def _group_offsets(patch: Patch) -> None:
    claim = Runner.claim

    async def mutated(self: Any) -> None:
        await claim(self)
        inner = self._ports.bus._bus
        for partition in self._next:
            committed = inner._topics.log(partition).committed.get(self._group)
            if committed is not None:
                self._next[partition] = committed

    patch.setattr(Runner, "claim", mutated)


MUTATIONS: Sequence[Mutation] = (
    Mutation("BEGIN: a known id is DUP", _known_id, "crashes", (0, 2, 3)),
    Mutation(
        "the journal's epoch is valid in its run of the store alone", _epoch_of_run, "returns", (4, 5, 8)
    ),
    Mutation("BEGIN: the stored decision has this payload's hash", _decision_hash, "mixed", (12, 24, 31)),
    Mutation("BEGIN: the trading states allow the class", _trading_state, "halts", (17, 20, 26)),
    Mutation("BEGIN: no earlier order of the key is in doubt", _in_doubt_key, "broker", (3, 7, 10)),
    Mutation("BEGIN: the signal has not expired", _expiry, "halts", (80, 83)),
    Mutation("BEGIN: a rate token is taken", _rate, "halts", (0, 4, 11)),
    Mutation(
        "a refusal is in `open` until its event is acknowledged", _refusal_in_open, "halts", (11, 30, 40)
    ),
    Mutation("settle: compare-and-set from SENDING or UNKNOWN", _settle_compare, "settles", (62,)),
    Mutation("the order-tracker's writes are fenced by its lease", _lease_fence, "tracker", (161,)),
    Mutation("a lease ends with the store's run", _lease_of_run, "tracker", (161, 1009)),
    Mutation("acknowledge: the revision is the present one", _acknowledge_revision, "follow", (22, 31, 50)),
    Mutation("GO: no call after S on the monotonic clock", _deadline, "zombies", (2, 8, 9)),
    Mutation("GO: the clock is read before BEGIN", _deadline_before_begin, "zombies", (14, 30)),
    Mutation("GO: one call and no repeat", _one_call, "broker", (1, 2, 4)),
    Mutation("offsets are committed after effects", _commit_after_effects, "crashes", (4, 16, 23)),
    Mutation(
        "a dead letter of the engine ends as ORDER_FAILED too", _dead_letters_end, "crashes", (4, 11, 17)
    ),
    Mutation("LOST: three reads", _three_reads, "broker", (4, 7, 53)),
    Mutation("LOST: complete reads of the day", _complete_reads, "broker", (2, 4, 7)),
    Mutation("LOST: reads begun after send_by + D", _after_send_by_and_d, "broker", (4, 5, 7)),
    Mutation("LOST: D is waited for", _d_alone, "soon", (176,)),
    Mutation("LOST: the reads are of the order's day", _same_day, "broker", (13, 20, 28)),
    Mutation("an order in doubt is looked up by its tag", _by_tag, "broker", (1, 2, 3)),
    Mutation("rows of our tag without an entry, and what fills, are booked", _strays, "broker", (0, 1, 2)),
    Mutation("a late match corrects and latches", _late_match, "late", (1, 30)),
    Mutation("what is in `open` is told again", _repeats, "crashes", (1, 2, 3)),
    Mutation("a store that came back is rebuilt from Kafka", _rebuild, "returns", (0, 2, 4)),
    Mutation(
        "rebuild: a validated id without an outcome is UNKNOWN", _rebuild_unknown, "returns", (6, 8, 12)
    ),
    Mutation("rebuild: what risk had rejected stays known", _rebuild_refused, "returns", (6, 8, 9)),
    Mutation("latches are put back from Kafka", _latches_put_back, "forgotten", (45,)),
    Mutation("a decision is stored before it is produced", _decision_before_event, "crashes", (7, 13, 21)),
    Mutation("a known id has its stored decision told again", _re_emits, "crashes", (2, 4, 6)),
    Mutation("risk drops what the journal knows", _drops_known, "returns", (0, 1, 2)),
    Mutation("risk decides nothing without a valid epoch", _waits_for_epoch, "returns", (0, 6, 8)),
    Mutation("a raw offset passes after its decision's event", _offset_after_event, "crashes", (2, 4, 6)),
    Mutation("risk's snapshot is saved after effects", _snapshot_before_effects, "crashes", (0, 1, 2)),
    Mutation("a known id with another content is not decided on", _known_content, "mixed", (4, 14)),
    Mutation(
        "a checkpoint is stored before its signals are produced",
        _checkpoint_before_signal,
        "crashes",
        (3, 4, 5),
    ),
    Mutation("a restart sends what was not acknowledged", _resends_pending, "crashes", (5, 14, 15)),
    Mutation("the incarnation fences checkpoints", _incarnation, "sleepers", (0, 7)),
    Mutation("another run of the store has another lineage", _lineage_of_run, "returns", (0, 5, 7)),
    Mutation(
        "reading resumes from the checkpoint, not from the group's offsets",
        _group_offsets,
        "returns",
        (35, 67),
    ),
)

SECOND_LINES: Sequence[Mutation] = (
    Mutation(
        "risk's epoch fences its writes",
        _risk_epoch,
        "returns",
        note="A decision that the store holds with another content ends the process before it is told (risk.desk.flush), and a lease ends with the store's run: a zombie's write is the same again. The contract suites and the risk model show the fence alone.",
    ),
    Mutation(
        "BEGIN: a decision of another journal epoch is UNKNOWN",
        _old_epoch,
        "returns",
        note="The rebuild has made every validated id known before a new epoch is valid, so BEGIN of an older decision is DUP or was never sent. It shows only where `signals.validated` is kept shorter than a signal may wait.",
    ),
    Mutation(
        "a store that came back has no epoch for S + D",
        _wait,
        "returns",
        note="What the rebuild leaves in doubt has send_by = now + S of its own, and LOST waits for that and D anyway.",
    ),
    Mutation(
        "rebuild: what is in doubt may still be sent for S",
        _rebuild_send_by,
        "returns",
        note="The wait of S + D before the epoch, and three reads after it, are longer than any permission of before.",
    ),
)
"""Guards whose absence alone changes nothing that can be seen, each with the reason."""
