"""The journal under random steps of engines, order-trackers, risk, people and restarts.

The machine is the world around the journal: Kafka's memory of what was told, and an oracle of BEGIN that knows
only what the other ports say. The order-tracker and risk behave as DESIGN section 4 demands of them.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alpha_panda.adapters.memory.database import EMPTY_IMAGE, Image
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import BeginVerdict, Decision, JournalEntry, Outcome
from alpha_panda.errors import UnknownOutcomeError
from alpha_panda.ports import BeginRequest
from contracts.desk import Desk
from contracts.memory_stores import MemoryHarness, memory_stores
from contracts.samples import (
    CANCELLED,
    FILLED,
    LOST,
    PARTIAL,
    PLACED,
    REJECTED,
    SCOPE,
    SECOND,
    UNKNOWN,
    decision,
    entry,
    latch,
    signal,
)

RECENT = st.integers(0, 7)
TERMINAL = (EntryState.FILLED, EntryState.CANCELLED, EntryState.FAILED, EntryState.LOST)
KEYS = 2


@dataclass(frozen=True)
class Trade:
    key: int
    reducing: bool
    limit: int | None
    lives: int
    seconds: float
    told: Outcome | None
    wrong: str


TRADES = st.builds(
    Trade,
    key=st.integers(0, KEYS - 1),
    reducing=st.booleans(),
    limit=st.sampled_from([None, 1, 1, 2]),
    lives=st.sampled_from([3, 9**6]),
    seconds=st.sampled_from([0, 0, 0, 0.5, 3]),
    told=st.sampled_from([None, FILLED, FILLED, PLACED, REJECTED, UNKNOWN]),
    wrong=st.sampled_from(["", "", "", "", "payload", "epoch"]),
)


def run(operation: Coroutine[Any, Any, Any]) -> Any:
    """Run an operation to its end; it may not suspend: it is one step."""
    try:
        operation.send(None)
    except StopIteration as end:
        return end.value
    operation.close()
    raise AssertionError("the step suspended")


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stores = memory_stores()
        assert isinstance(self.stores.harness, MemoryHarness)
        assert isinstance(self.stores.journal, MemoryOrderJournal)
        self.harness, self.journal = self.stores.harness, self.stores.journal
        self.database = self.harness.database
        self.desk: Desk = run(Desk.opened(self.stores))
        self.validated: dict[str, Decision] = {}  # what Kafka's signals.validated holds, as first produced
        self.told: dict[str, JournalEntry] = {}  # terminal events that Kafka acknowledged
        self.epoch_run = self.database.run_id  # the run that the desk's epoch is valid in
        self.signals: dict[str, Signal] = {}
        self.gos: dict[str, JournalEntry] = {}
        self.go_times: list[int] = []
        self.acknowledged: dict[str, int] = {}
        self.last: dict[str, JournalEntry] = {}
        self.revisions: dict[tuple[str, int], JournalEntry] = {}
        self.excused: set[str] = set()
        self.marked: tuple[Image, list[int], dict[str, int], dict[str, JournalEntry]]
        self.marked = (EMPTY_IMAGE, [], {}, {})

    # --------------------------------------------------------------------------------------------- helpers

    def now(self) -> int:
        return self.database.now()

    @property
    def epoch_valid(self) -> bool:
        return self.epoch_run == self.database.run_id

    def entries(self) -> dict[str, JournalEntry]:
        found = {signal_id: run(self.journal.get(signal_id)) for signal_id in self.signals}
        return {signal_id: item for signal_id, item in found.items() if item is not None}

    def recent(self, back: int) -> str:
        """Return one of the latest ids."""
        return list(self.signals)[-1 - back % len(self.signals)] if self.signals else ""

    def expected(self, request: BeginRequest) -> tuple[str, Code | None]:
        """What BEGIN must answer, from what the other ports tell."""
        if run(self.journal.known(request.signal.signal_id)):
            return "dup", None
        if not self.epoch_valid or request.journal_epoch != self.desk.epoch:
            return "unknown", Code.NOT_RECONCILED
        decided = run(self.stores.decisions.get(request.signal.signal_id))
        if (
            decided is None
            or decided.verdict is Verdict.REJECTED
            or decided.payload_hash != request.payload_hash
        ):
            return "failed", Code.PAYLOAD_MISMATCH
        code = self.expected_refusal(request, decided)
        return ("failed", code) if code else ("go", None)

    def expected_refusal(self, request: BeginRequest, decided: Decision) -> Code | None:
        increasing = decided.signal_class is SignalClass.INCREASING
        (control,) = run(self.stores.control.read([SCOPE]))
        doubtful = {item.signal.key for item in run(self.journal.in_doubt())}
        last_second = [at for at in self.go_times if at > self.now() - SECOND]
        limit = request.orders_per_second
        if control.state is TradingState.HALTED:
            return Code.TRADING_HALTED
        if increasing and control.state is TradingState.REDUCING:
            return Code.TRADING_REDUCING
        if increasing and request.signal.key in doubtful:
            return Code.IN_DOUBT
        if self.now() >= request.signal.expires_at:
            return Code.SIGNAL_EXPIRED
        return Code.RATE_LIMIT if increasing and limit is not None and len(last_second) >= limit else None

    def check(self, verdict: BeginVerdict, expected: tuple[str, Code | None], request: BeginRequest) -> None:
        what, code = expected
        states = {"go": "SENDING", "unknown": "UNKNOWN", "failed": "FAILED"}
        assert (verdict.go, verdict.fresh) == (what == "go", what != "dup"), expected
        if what != "dup":
            assert (verdict.entry.state, verdict.entry.code) == (states[what], code)
        if verdict.go:
            assert request.signal.signal_id not in self.gos, "a second GO"
            self.gos[request.signal.signal_id] = verdict.entry
            if verdict.entry.signal_class is SignalClass.INCREASING:
                self.go_times.append(self.now())

    # ------------------------------------------------------------------------------------------------ risk

    def decide(self, made: Signal, *, reducing: bool, rejected: bool) -> None:
        """Risk decides nothing without a valid epoch, and drops what the journal knows."""
        if not self.epoch_valid or run(self.journal.known(made.signal_id)):
            return
        verdict = decision(
            made,
            verdict=Verdict.REJECTED if rejected else Verdict.VALIDATED,
            signal_class=SignalClass.REDUCING if reducing else SignalClass.INCREASING,
            journal_epoch=self.desk.epoch,
        )
        (stored,) = run(self.stores.decisions.record(self.desk.risk, verdict))
        self.validated.setdefault(made.signal_id, stored)

    @precondition(lambda self: self.epoch_valid)
    @rule(
        key=st.integers(0, KEYS - 1), reducing=st.booleans(), lives=st.sampled_from([1, 3, 9**6, 9**6, 9**6])
    )
    def new_signal(self, key: int, lives: int, *, reducing: bool) -> None:
        """A signal that is validated; an engine has not seen it yet."""
        made = signal(f"s{len(self.signals)}", token=key, expires_at=self.now() + lives * SECOND)
        self.signals[made.signal_id] = made
        self.decide(made, reducing=reducing, rejected=False)

    @rule(back=RECENT, reducing=st.booleans(), rejected=st.booleans())
    def same_signal_again(self, back: int, *, reducing: bool, rejected: bool) -> None:
        """The raw record comes again: a store that lost the decision decides anew."""
        if signal_id := self.recent(back):
            self.decide(self.signals[signal_id], reducing=reducing, rejected=rejected)

    # -------------------------------------------------------------------------------------------- engines

    def record(self, signal_id: str, **changes: Any) -> BeginRequest:
        """What an engine makes of the record in signals.validated."""
        epoch = self.validated[signal_id].journal_epoch
        return self.desk.request(self.signals[signal_id], **({"journal_epoch": epoch} | changes))

    @precondition(lambda self: self.epoch_valid)
    @rule(
        state=st.sampled_from([TradingState.ACTIVE, TradingState.ACTIVE, *TradingState]),
        ttl=st.sampled_from([2, 600, 600]),
        trades=st.lists(TRADES, min_size=1, max_size=8),
    )
    def trade(self, state: TradingState, ttl: int, trades: list[Trade]) -> None:
        """The usual way: a person has looked, then signals are decided, begun some time later, settled."""
        self.clear()
        self.control(state=state, ttl=ttl)
        for one in trades:
            self.new_signal(key=one.key, lives=one.lives, reducing=one.reducing)
            self.harness.clock.advance(one.seconds)
            self.begin(back=0, limit=one.limit, wrong=one.wrong)
            if one.told is not None:
                self.settle(back=0, told=one.told)

    @precondition(lambda self: self.validated)
    @rule(
        back=RECENT,
        limit=st.sampled_from([None, None, 1, 2]),
        wrong=st.sampled_from(["", "", "", "", "payload", "epoch"]),
    )
    def begin(self, back: int, limit: int | None, wrong: str) -> None:
        """Any record of signals.validated may come at any time, again and again."""
        signal_id = self.recent(back)
        changes: dict[str, Any] = {"orders_per_second": limit}
        if wrong:
            changes |= {"payload": {"payload_hash": "other"}, "epoch": {"journal_epoch": "made-up"}}[wrong]
        request = self.record(signal_id, **changes)
        expected = self.expected(request)
        self.check(run(self.journal.begin(request)), expected, request)

    @precondition(lambda self: self.validated)
    @rule(back=RECENT)
    def begin_unanswered(self, back: int) -> None:
        """The reply gets lost: the engine takes it as DUP and never calls."""
        signal_id = self.recent(back)
        request = self.record(signal_id)
        what, _ = self.expected(request)
        self.database.faults.lose_reply()
        with pytest.raises(UnknownOutcomeError):
            run(self.journal.begin(request))
        if what == "go":
            assert signal_id not in self.gos
            self.gos[signal_id] = run(self.journal.get(signal_id))
            if self.gos[signal_id].signal_class is SignalClass.INCREASING:
                self.go_times.append(self.now())

    @precondition(lambda self: self.validated)
    @rule(back=RECENT)
    def refuse(self, back: int) -> None:
        signal_id = self.recent(back)
        known = run(self.journal.known(signal_id))
        verdict = run(self.journal.refuse(self.record(signal_id), Code.PRICE_STALE, "old"))
        assert (verdict.go, verdict.fresh) == (False, not known)

    @precondition(lambda self: self.validated)
    @rule(back=RECENT, told=st.sampled_from([FILLED, PARTIAL, PLACED, CANCELLED, REJECTED, UNKNOWN]))
    def settle(self, back: int, told: Any) -> None:
        """Only who got GO settles, even long after."""
        signal_id = self.recent(back)
        if signal_id in self.gos:
            went = self.gos[signal_id]
            before = run(self.journal.get(signal_id))
            after = run(self.journal.settle(signal_id, went.attempt, told, went))
            if before is None or before.state.in_doubt:
                assert after.state is told.state
            else:
                assert after == before

    @precondition(lambda self: self.validated)
    @rule(back=RECENT, told=st.sampled_from([FILLED, REJECTED]))
    def settle_of_a_stranger(self, back: int, told: Any) -> None:
        signal_id = self.recent(back)
        before = run(self.journal.get(signal_id))
        if before is not None and before.state is EntryState.SENDING:
            strange = entry(self.signals[signal_id], EntryState.SENDING, attempt="stranger")
            assert run(self.journal.settle(signal_id, "stranger", told, strange)) == before

    # --------------------------------------------------------------------------------------- order-tracker

    @precondition(lambda self: self.validated)
    @rule(
        back=RECENT,
        told=st.sampled_from([FILLED, PARTIAL, CANCELLED]),
        off=st.sampled_from([0, 0, 0, -1, 1]),
    )
    def fill(self, back: int, told: Any, off: int) -> None:
        resting = run(self.journal.resting())
        signal_id = resting[back % len(resting)].signal_id if resting else self.recent(back)
        before = run(self.journal.get(signal_id))
        if before is not None:
            after = run(self.journal.fill(signal_id, before.revision + off, told))
            assert (after is not None) == (before.state.resting and off == 0)

    @precondition(lambda self: self.validated)
    @rule(back=RECENT, told=st.sampled_from([FILLED, PLACED, REJECTED, UNKNOWN, LOST]))
    def resolve(self, back: int, told: Any) -> None:
        signal_id = self.recent(back)
        before = run(self.journal.get(signal_id))
        after = run(self.journal.resolve(self.desk.lease, signal_id, told))
        early = told is LOST and before is not None and self.now() < before.send_by
        assert (after is not None) == (before is not None and before.state.in_doubt and not early)

    @precondition(lambda self: self.validated)
    @rule(back=RECENT, told=st.sampled_from([FILLED, PLACED, CANCELLED, REJECTED]))
    def correct(self, back: int, told: Any) -> None:
        signal_id = self.recent(back)
        before = run(self.journal.get(signal_id))
        after = run(self.journal.correct(self.desk.lease, signal_id, told, latch(f"late:{signal_id}")))
        if after is None:
            return
        assert before is not None
        assert before.state in TERMINAL
        (control,) = run(self.stores.control.read([SCOPE]))
        assert f"late:{signal_id}" in [item.latch_id for item in control.latches]
        self.excused.add(signal_id)

    @precondition(lambda self: self.validated)
    @rule(back=RECENT, off=st.sampled_from([0, 0, 0, -1, 1]))
    def tell_and_acknowledge(self, back: int, off: int) -> None:
        """Kafka has the event of the present state (or of another one: `off`)."""
        signal_id = self.recent(back)
        found = run(self.journal.get(signal_id))
        if found is None:
            return
        done = run(self.journal.acknowledge(signal_id, found.revision + off))
        assert done == (off == 0 and not found.state.in_doubt)
        if done:
            self.acknowledged[signal_id] = found.revision
            if found.state.terminal:
                self.told[signal_id] = found

    # ---------------------------------------------------------------------------------- people and the world

    @rule(
        state=st.sampled_from(list(TradingState)),
        ttl=st.sampled_from([2, 600]),
    )
    def control(self, state: TradingState, ttl: int) -> None:
        run(self.stores.control.put_spec(SCOPE, state, ttl))

    @rule(state=st.sampled_from([TradingState.REDUCING, TradingState.HALTED]))
    def halt(self, state: TradingState) -> None:
        run(self.stores.control.set_latch(latch("person", state=state)))

    @rule()
    def clear(self) -> None:
        """A person has looked; trading goes on."""
        (control,) = run(self.stores.control.read([SCOPE]))
        for item in control.latches:
            assert run(self.stores.control.clear_latch(SCOPE, item.latch_id))
        self.control(state=TradingState.ACTIVE, ttl=600)

    @rule(seconds=st.sampled_from([0.4, 1, 3, 6]))
    def advance(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)

    @rule()
    def mark(self) -> None:
        image = self.database.checkpoint_image()
        self.marked = (image, list(self.go_times), dict(self.acknowledged), self.entries())

    @precondition(lambda self: self.gos and self.epoch_valid)
    @rule(lose=st.sampled_from(["nothing", "tail", "everything"]), back=RECENT)
    def restart_under_way(self, lose: str, back: int) -> None:
        """The store restarts between a decision and its BEGIN."""
        self.new_signal(key=0, lives=9**6, reducing=False)
        self.restart(lose=lose)
        self.begin(back=0, limit=None, wrong="")
        self.begin(back=back, limit=None, wrong="")

    @precondition(lambda self: self.gos)
    @rule(lose=st.sampled_from(["nothing", "tail", "everything"]))
    def restart(self, lose: str) -> None:
        """Owners notice and claim anew; the epoch is `reconcile`'s."""
        if lose == "nothing":
            self.database.restart()
            run(self.desk.take_over())
            return
        empty: tuple[Image, list[int], dict[str, int], dict[str, JournalEntry]] = (EMPTY_IMAGE, [], {}, {})
        image, times, acknowledged, last = self.marked if lose == "tail" else empty
        self.marked = (image, list(times), dict(acknowledged), dict(last))
        self.go_times, self.acknowledged, self.last = list(times), dict(acknowledged), dict(last)
        self.database.restart(image)
        run(self.desk.take_over())

    @precondition(lambda self: not self.epoch_valid)
    @rule()
    def reconcile(self) -> None:
        """The order-tracker's way back: what Kafka knows, then the epoch."""
        run_id = run(self.journal.run_id())
        learnt = [
            self.told.get(signal_id) or entry(self.signals[signal_id], send_by=self.now() + 5 * SECOND)
            for signal_id in self.validated
        ]
        self.excused |= {item.signal_id for item in learnt if item.late}
        run(self.journal.adopt(self.desk.lease, run_id, learnt))
        run(self.desk.reopen())
        self.epoch_run = run_id

    # ------------------------------------------------------------------------------------------- invariants

    @invariant()
    def promises_hold(self) -> None:
        present = self.entries()
        assert (run(self.journal.epoch()) is not None) == self.epoch_valid
        self.terminal_states_change_only_by_a_correction(present)
        self.revision_means_one_content_for_ever(present)
        self.open_holds_exactly_what_is_not_acknowledged(present)
        self.indices_tell_what_the_entries_say(present)

    def terminal_states_change_only_by_a_correction(self, present: dict[str, JournalEntry]) -> None:
        for signal_id, before in self.last.items():
            after = present[signal_id]
            if before.state.terminal and signal_id not in self.excused:
                assert after == before
            if after != before:
                assert after.revision > before.revision
                assert after.filled_quantity >= before.filled_quantity
        self.last, self.excused = present, set()

    def revision_means_one_content_for_ever(self, present: dict[str, JournalEntry]) -> None:
        for signal_id, found in present.items():
            assert self.revisions.setdefault((signal_id, found.revision), found) == found

    def open_holds_exactly_what_is_not_acknowledged(self, present: dict[str, JournalEntry]) -> None:
        unacknowledged = {
            signal_id
            for signal_id, found in present.items()
            if self.acknowledged.get(signal_id) != found.revision
        }
        listed = [item.signal_id for item in run(self.journal.unacknowledged())]
        assert sorted(listed) == sorted(unacknowledged)

    def indices_tell_what_the_entries_say(self, present: dict[str, JournalEntry]) -> None:
        for listed, wanted in (
            (run(self.journal.in_doubt()), [item for item in present.values() if item.state.in_doubt]),
            (run(self.journal.resting()), [item for item in present.values() if item.state.resting]),
        ):
            assert sorted(item.signal_id for item in listed) == sorted(item.signal_id for item in wanted)


JournalMachine.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestJournalMachine = JournalMachine.TestCase
