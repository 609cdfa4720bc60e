"""The journal under random steps of engines, order-trackers, risk, people and restarts.

The machine is the world around the journal: Kafka's memory of what was told, and an oracle of BEGIN that knows
only what the other ports say. The order-tracker and risk behave as DESIGN section 4 demands of them.
"""

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alpha_panda.adapters.memory.database import EMPTY_IMAGE, Image
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import BeginVerdict, Decision, JournalEntry, Latch
from alpha_panda.errors import UnknownOutcomeError
from alpha_panda.ports import BeginRequest
from contracts.desk import Desk
from contracts.memory_stores import START, MemoryHarness, memory_stores
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

IDS = st.sampled_from([f"s{number}" for number in range(6)])
TERMINAL = (EntryState.FILLED, EntryState.CANCELLED, EntryState.FAILED, EntryState.LOST)
DOUBT = ("SENDING", "UNKNOWN")


def run(operation: Coroutine[Any, Any, Any]) -> Any:
    """Run an operation to its end; it may not suspend: it is one step."""
    try:
        operation.send(None)
    except StopIteration as end:
        return end.value
    operation.close()
    raise AssertionError("the step suspended")


def sample(signal_id: str) -> Signal:
    """Ids share two keys; the odd ones expire ten seconds after the start."""
    number = int(signal_id[1:])
    expires_at = START + 10 * SECOND if number % 2 else START + 10**6 * SECOND
    return signal(signal_id, token=number % 2, expires_at=expires_at)


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

    def entries(self) -> dict[str, JournalEntry]:
        found = {number: run(self.journal.get(f"s{number}")) for number in range(6)}
        return {f"s{number}": item for number, item in found.items() if item is not None}

    def expected(self, request: BeginRequest) -> tuple[str, Code | None]:
        """What BEGIN must answer, from what the other ports tell."""
        if run(self.journal.known(request.signal.signal_id)):
            return "dup", None
        if request.journal_epoch != run(self.journal.epoch()):
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

    @rule(signal_id=IDS, reducing=st.booleans(), rejected=st.booleans())
    def decide(self, signal_id: str, *, reducing: bool, rejected: bool) -> None:
        """Risk decides nothing without a valid epoch, and drops what the journal knows."""
        if run(self.journal.epoch()) is None or run(self.journal.known(signal_id)):
            return
        made = decision(
            sample(signal_id),
            verdict=Verdict.REJECTED if rejected else Verdict.VALIDATED,
            signal_class=SignalClass.REDUCING if reducing else SignalClass.INCREASING,
            journal_epoch=self.desk.epoch,
        )
        stored = run(self.stores.decisions.record(self.desk.risk, made))
        if stored.verdict is Verdict.VALIDATED:
            self.validated[signal_id] = stored

    # -------------------------------------------------------------------------------------------- engines

    @rule(
        signal_id=IDS, limit=st.sampled_from([None, None, 1]), mismatch=st.sampled_from([False] * 4 + [True])
    )
    def begin(self, signal_id: str, limit: int | None, *, mismatch: bool) -> None:
        """Any record of signals.validated may come at any time, again and again."""
        if signal_id not in self.validated:
            return
        decided = self.validated[signal_id]
        request = self.desk.request(
            sample(signal_id),
            payload_hash="other" if mismatch else payload_hash(sample(signal_id)),
            journal_epoch=decided.journal_epoch,
            orders_per_second=limit,
        )
        expected = self.expected(request)
        self.check(run(self.journal.begin(request)), expected, request)

    @rule(signal_id=IDS)
    def begin_unanswered(self, signal_id: str) -> None:
        """The reply gets lost: the engine takes it as DUP and never calls."""
        if signal_id not in self.validated:
            return
        request = self.desk.request(sample(signal_id), journal_epoch=self.validated[signal_id].journal_epoch)
        what, _ = self.expected(request)
        self.database.faults.lose_reply()
        with pytest.raises(UnknownOutcomeError):
            run(self.journal.begin(request))
        if what == "go":
            assert signal_id not in self.gos
            self.gos[signal_id] = run(self.journal.get(signal_id))
            if self.gos[signal_id].signal_class is SignalClass.INCREASING:
                self.go_times.append(self.now())

    @rule(signal_id=IDS)
    def refuse(self, signal_id: str) -> None:
        if signal_id in self.validated:
            known = run(self.journal.known(signal_id))
            request = self.desk.request(sample(signal_id))
            verdict = run(self.journal.refuse(request, Code.PRICE_STALE, "old"))
            assert (verdict.go, verdict.fresh) == (False, not known)

    @rule(signal_id=IDS, told=st.sampled_from([FILLED, PARTIAL, PLACED, CANCELLED, REJECTED, UNKNOWN]))
    def settle(self, signal_id: str, told: Any) -> None:
        """Only who got GO settles, even long after."""
        if signal_id in self.gos:
            went = self.gos[signal_id]
            before = run(self.journal.get(signal_id))
            after = run(self.journal.settle(signal_id, went.attempt, told, went))
            if before is None or before.state.in_doubt:
                assert after.state is told.state
            else:
                assert after == before

    @rule(signal_id=IDS, told=st.sampled_from([FILLED, REJECTED]))
    def settle_of_a_stranger(self, signal_id: str, told: Any) -> None:
        before = run(self.journal.get(signal_id))
        if before is not None and before.state is EntryState.SENDING:
            strange = entry(sample(signal_id), EntryState.SENDING, attempt="stranger")
            assert run(self.journal.settle(signal_id, "stranger", told, strange)) == before

    # --------------------------------------------------------------------------------------- order-tracker

    @rule(
        signal_id=IDS,
        told=st.sampled_from([FILLED, PARTIAL, CANCELLED]),
        off=st.sampled_from([0, 0, 0, -1, 1]),
    )
    def fill(self, signal_id: str, told: Any, off: int) -> None:
        before = run(self.journal.get(signal_id))
        if before is not None:
            after = run(self.journal.fill(signal_id, before.revision + off, told))
            assert (after is not None) == (before.state.resting and off == 0)

    @rule(signal_id=IDS, told=st.sampled_from([FILLED, PLACED, REJECTED, UNKNOWN, LOST]))
    def resolve(self, signal_id: str, told: Any) -> None:
        before = run(self.journal.get(signal_id))
        after = run(self.journal.resolve(self.desk.lease, signal_id, told))
        early = told is LOST and before is not None and self.now() < before.send_by
        assert (after is not None) == (before is not None and before.state.in_doubt and not early)

    @rule(signal_id=IDS, told=st.sampled_from([FILLED, PLACED, CANCELLED, REJECTED]))
    def correct(self, signal_id: str, told: Any) -> None:
        before = run(self.journal.get(signal_id))
        after = run(self.journal.correct(self.desk.lease, signal_id, told, latch(f"late:{signal_id}")))
        if after is None:
            return
        assert before is not None
        assert before.state in TERMINAL
        (control,) = run(self.stores.control.read([SCOPE]))
        assert f"late:{signal_id}" in [item.latch_id for item in control.latches]
        self.excused.add(signal_id)

    @rule(signal_id=IDS, off=st.sampled_from([0, 0, 0, -1, 1]))
    def tell_and_acknowledge(self, signal_id: str, off: int) -> None:
        """Kafka has the event of the present state (or of another one: `off`)."""
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
        state=st.sampled_from([TradingState.ACTIVE, TradingState.ACTIVE, *TradingState]),
        ttl=st.sampled_from([2, 600]),
    )
    def control(self, state: TradingState, ttl: int) -> None:
        run(self.stores.control.put_spec(SCOPE, state, ttl))

    @rule(state=st.sampled_from([TradingState.REDUCING, TradingState.HALTED]))
    def halt(self, state: TradingState) -> None:
        run(self.stores.control.set_latch(latch("person", state=state)))

    @rule()
    def clear(self) -> None:
        (control,) = run(self.stores.control.read([SCOPE]))
        for item in control.latches:
            self.clear_one(item)

    def clear_one(self, item: Latch) -> None:
        assert run(self.stores.control.clear_latch(SCOPE, item.latch_id))

    @rule(seconds=st.sampled_from([0.4, 1, 3, 6]))
    def advance(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)

    @rule()
    def mark(self) -> None:
        image = self.database.checkpoint_image()
        self.marked = (image, list(self.go_times), dict(self.acknowledged), self.entries())

    @precondition(lambda self: self.gos)
    @rule(lose=st.sampled_from(["nothing", "tail", "everything"]))
    def restart(self, lose: str) -> None:
        if lose == "nothing":
            self.database.restart()
            return
        empty: tuple[Image, list[int], dict[str, int], dict[str, JournalEntry]] = (EMPTY_IMAGE, [], {}, {})
        image, times, acknowledged, last = self.marked if lose == "tail" else empty
        self.marked = (image, list(times), dict(acknowledged), dict(last))
        self.go_times, self.acknowledged, self.last = list(times), dict(acknowledged), dict(last)
        self.database.restart(image)

    @precondition(lambda self: run(self.journal.epoch()) is None)
    @rule()
    def reconcile(self) -> None:
        """The order-tracker's way back: what Kafka knows, then the epoch."""
        run(self.desk.take_over())
        run_id = run(self.journal.run_id())
        learnt = [
            self.told.get(signal_id) or entry(sample(signal_id), send_by=self.now() + 5 * SECOND)
            for signal_id in self.validated
        ]
        self.excused |= {item.signal_id for item in learnt if item.late}
        run(self.journal.adopt(self.desk.lease, run_id, learnt))
        run(self.desk.reopen())

    # ------------------------------------------------------------------------------------------- invariants

    @invariant()
    def terminal_states_change_only_by_a_correction(self) -> None:
        present = self.entries()
        for signal_id, before in self.last.items():
            after = present[signal_id]
            if before.state.terminal and signal_id not in self.excused:
                assert after == before
            if after != before:
                assert after.revision > before.revision
                assert after.filled_quantity >= before.filled_quantity
        self.last, self.excused = present, set()

    @invariant()
    def revision_means_one_content_for_ever(self) -> None:
        for signal_id, found in self.entries().items():
            assert self.revisions.setdefault((signal_id, found.revision), found) == found

    @invariant()
    def open_holds_exactly_what_is_not_acknowledged(self) -> None:
        unacknowledged = {
            signal_id
            for signal_id, found in self.entries().items()
            if self.acknowledged.get(signal_id) != found.revision
        }
        listed = [item.signal_id for item in run(self.journal.unacknowledged())]
        assert sorted(listed) == sorted(unacknowledged)

    @invariant()
    def indices_tell_what_the_entries_say(self) -> None:
        present = self.entries().values()
        doubtful, resting = run(self.journal.in_doubt()), run(self.journal.resting())
        assert sorted(item.signal_id for item in doubtful) == [
            e.signal_id for e in present if e.state.in_doubt
        ]
        assert sorted(item.signal_id for item in resting) == [e.signal_id for e in present if e.state.resting]


JournalMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestJournalMachine = JournalMachine.TestCase
