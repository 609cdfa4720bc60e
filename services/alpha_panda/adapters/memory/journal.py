"""An account's order journal in memory: DESIGN section 4, script by script.

Each operation is one step (`script`): nothing can happen between its checks and its write.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice

import msgspec

from alpha_panda.adapters.memory.control import binding_state, put_latch
from alpha_panda.adapters.memory.database import MemoryDatabase, reading, script
from alpha_panda.adapters.memory.decisions import stored_decision
from alpha_panda.adapters.memory.journal_state import (
    ACCEPTED,
    FactsState,
    JournalState,
    is_further,
    needs_correction,
    with_outcome,
)
from alpha_panda.adapters.memory.leases import require_lease
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState, Verdict
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.stored import (
    AdoptionRequest,
    BeginVerdict,
    BrokerFacts,
    Decision,
    JournalEntry,
    Latch,
    Outcome,
)
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import FencedError, MisuseError
from alpha_panda.ports import BeginRequest, OpenPage

Refusal = tuple[Code, str]


class MemoryOrderJournal:
    """`ports.OrderJournal` of one account; decisions, control and leases are those of the same database."""

    def __init__(self, database: MemoryDatabase, account: str) -> None:
        self.database = database
        self.account = account

    # ------------------------------------------------------------------------------------------- engine

    @script
    def begin(self, request: BeginRequest) -> BeginVerdict:
        """See the port. The reply to an old or missing epoch is `fresh` with an entry in doubt: no event yet."""
        state, now = self._state(), self.database.now()
        if (known := self._known(request)) is not None:
            return BeginVerdict(go=False, fresh=False, entry=known)
        decision = stored_decision(self.database, self.account, request.signal.signal_id)
        entry = self._fresh_entry(request, decision, now)
        if request.journal_epoch != self._valid_epoch():
            return self._stored(_doubtful(entry), go=False)
        if (
            refusal := _payload_refusal(request, decision) or self._refusal(request, entry, state, now)
        ) is not None:
            return self._stored(_refused(entry, refusal), go=False)
        return self._stored(msgspec.structs.replace(entry, attempt=request.attempt), go=True)

    @script
    def refuse(self, request: BeginRequest, code: Code, message: str) -> BeginVerdict:
        """See the port."""
        if (known := self._known(request)) is not None:
            return BeginVerdict(go=False, fresh=False, entry=known)
        decision = stored_decision(self.database, self.account, request.signal.signal_id)
        entry = self._fresh_entry(request, decision, self.database.now())
        if request.journal_epoch != self._valid_epoch():
            return self._stored(_doubtful(entry), go=False)
        return self._stored(_refused(entry, (code, message)), go=False)

    @script
    def settle(self, signal_id: str, attempt: str, outcome: Outcome, fallback: JournalEntry) -> JournalEntry:
        """See the port. From SENDING only the attempt that got GO settles; what is UNKNOWN anybody may settle."""
        _require(outcome.state in (*ACCEPTED, EntryState.FAILED, EntryState.UNKNOWN), signal_id, outcome)
        if (fallback.signal_id, fallback.state, fallback.attempt) != (signal_id, EntryState.SENDING, attempt):
            raise MisuseError(f"settle {signal_id}: the fallback is the entry that came with GO")
        entry = self._state().find(signal_id, fallback.tag) or fallback
        if entry.state is EntryState.SENDING and entry.attempt != attempt:
            return entry
        return self._settled(entry, outcome) if entry.state.in_doubt else entry

    @script
    def fill(self, signal_id: str, revision: int, outcome: Outcome) -> JournalEntry | None:
        """See the port. Quantities never go down."""
        _require(outcome.state in (*ACCEPTED, EntryState.FAILED), signal_id, outcome)
        entry = self._state().entries.get(signal_id)
        if entry is None or not entry.state.resting or entry.revision != revision:
            return None
        return self._changed(entry, outcome)

    # ------------------------------------------------------------------------------------ order-tracker

    @script
    def resolve(self, lease_epoch: int, signal_id: str, outcome: Outcome) -> JournalEntry | None:
        """See the port. Also None, as a second line: LOST while the permission to send still lasts."""
        self._require_lease(lease_epoch)
        entry = self._state().entries.get(signal_id)
        if entry is None or not entry.state.in_doubt:
            return None
        _require(outcome.state is not EntryState.SENDING, signal_id, outcome)
        if outcome.state is EntryState.LOST and self.database.now() < entry.send_by:
            return None
        return self._settled(entry, outcome)

    @script
    def correct(
        self, lease_epoch: int, signal_id: str, outcome: Outcome, latch: Latch
    ) -> JournalEntry | None:
        """See the port."""
        self._require_lease(lease_epoch)
        _require(outcome.state in (*ACCEPTED, EntryState.FAILED), signal_id, outcome)
        entry = self._state().entries.get(signal_id)
        if entry is None or not needs_correction(entry, outcome):
            return None
        put_latch(self.database, latch)
        return self._changed(msgspec.structs.replace(entry, late=True), outcome)

    @script
    def orphan(self, lease_epoch: int, entry: JournalEntry, latch: Latch | None) -> JournalEntry | None:
        """See the port."""
        self._require_lease(lease_epoch)
        state, now = self._state(), self.database.now()
        if entry.state not in ACCEPTED:
            raise MisuseError(
                f"an orphan is an order that the broker took, not {entry.state}: {entry.signal_id}"
            )
        if entry.signal_id in state.entries:
            return None
        if latch is not None:
            put_latch(self.database, latch)
        revision = max(entry.revision, self.database.revision_floor)
        return state.put(
            msgspec.structs.replace(entry, late=True, revision=revision, created_at=now, updated_at=now)
        )

    @script
    def adopt(
        self,
        lease_epoch: int,
        run_id: str,
        entries: Sequence[JournalEntry],
        told: Collection[str] = frozenset(),
    ) -> None:
        """See the port. FencedError too when `run_id` is over. What knows more of an order wins."""
        self._require_lease(lease_epoch)
        self._require_run(run_id)
        for entry in entries:
            self._adopt(entry, told=entry.signal_id in told)

    @script
    def write_epoch(self, lease_epoch: int, run_id: str) -> str:
        """See the port. FencedError when the store came back once more: all begins anew."""
        self._require_lease(lease_epoch)
        self._require_run(run_id)
        state = self._state()
        if state.epoch[0] != run_id:
            state.epoch = (run_id, f"{run_id}:{self.database.ids.new_id()}")
        return state.epoch[1]

    # ---------------------------------------------------------------------------------------- everybody

    @script
    def acknowledge(self, signal_id: str, revision: int) -> bool:
        """See the port. Also True when it was acknowledged before."""
        return self._acknowledged(signal_id, revision)

    @script
    def acknowledge_all(self, told: Sequence[tuple[str, int]]) -> int:
        """See the port."""
        return sum(self._acknowledged(signal_id, revision) for signal_id, revision in told)

    @reading
    def get(self, signal_id: str) -> JournalEntry | None:
        """See the port."""
        return self._state().entries.get(signal_id)

    @reading
    def get_many(self, *signal_ids: str) -> dict[str, JournalEntry]:
        """See the port."""
        entries = self._state().entries
        return {signal_id: entries[signal_id] for signal_id in signal_ids if signal_id in entries}

    @reading
    def find_tag(self, tag: str) -> JournalEntry | None:
        """See the port. The signal's entry, where an orphan (a second order of the tag) has it too."""
        state = self._state()
        return state.entries.get(state.tags.get(tag, ""))

    @reading
    def find_tags(self, *tags: str) -> dict[str, JournalEntry]:
        """See the port."""
        state = self._state()
        return {tag: state.entries[state.tags[tag]] for tag in tags if tag in state.tags}

    @reading
    def unacknowledged(self) -> list[JournalEntry]:
        """See the port. Oldest change first; entries in doubt are among them."""
        return self._listed(self._state().open)

    @reading
    def open_page(self, after: int, limit: int) -> OpenPage:
        """See the port."""
        state = self._state()
        page = list(islice(((of, at) for of, at in state.open.items() if at > after), limit))
        return OpenPage(self._listed(of for of, _ in page), page[-1][1] if len(page) == limit else None)

    @reading
    def in_doubt(self, key: str | None = None) -> list[JournalEntry]:
        """See the port."""
        state = self._state()
        return self._listed(state.doubtful if key is None else state.doubtful_keys.get(key, ()))

    @reading
    def resting(self) -> list[JournalEntry]:
        """See the port. In the order they began to rest."""
        return self._listed(self._state().resting)

    @reading
    def known(self, *signal_ids: str) -> frozenset[str]:
        """See the port. An orphan of a signal's tag counts."""
        find = self._state().find
        return frozenset(
            signal_id for signal_id in signal_ids if find(signal_id, broker_tag(signal_id)) is not None
        )

    @reading
    def epoch(self) -> str | None:
        """See the port."""
        return self._valid_epoch()

    @reading
    def run_id(self) -> str:
        """See the port."""
        return self.database.run_id

    # -------------------------------------------------------------------------- the account at its broker

    @script
    def put_facts(self, lease_epoch: int, facts: BrokerFacts) -> None:
        """See the port."""
        self._require_lease(lease_epoch)
        self._known_facts().facts = facts

    @reading
    def facts(self) -> BrokerFacts | None:
        """See the port."""
        return self._known_facts().facts

    @script
    def ask_adoption(self, request: AdoptionRequest) -> bool:
        """See the port."""
        asked = self._known_facts().adoptions
        if request.difference_id in asked:
            return False
        asked[request.difference_id] = request
        return True

    @reading
    def adoptions(self, *difference_ids: str) -> dict[str, AdoptionRequest]:
        """See the port."""
        asked = self._known_facts().adoptions
        return {found: asked[found] for found in difference_ids if found in asked}

    # ------------------------------------------------------------------------------------ parts of steps

    def _known_facts(self) -> FactsState:
        return self.database.section(self.database.keys.journal_facts(self.account), FactsState)

    def _state(self) -> JournalState:
        return self.database.section(self.database.keys.journal(self.account), JournalState)

    def _known(self, request: BeginRequest) -> JournalEntry | None:
        signal_id = request.signal.signal_id
        return self._state().find(signal_id, broker_tag(signal_id))

    def _valid_epoch(self) -> str | None:
        run_id, epoch = self._state().epoch
        return epoch if run_id == self.database.run_id else None

    def _require_lease(self, lease_epoch: int) -> None:
        require_lease(self.database, tracker_lease(self.account), lease_epoch)

    def _require_run(self, run_id: str) -> None:
        if run_id != self.database.run_id:
            raise FencedError(f"journal of {self.account}: run {run_id} of the store is over")

    def _listed(self, ids: Iterable[str]) -> list[JournalEntry]:
        entries = self._state().entries
        return [entries[signal_id] for signal_id in ids]

    def _fresh_entry(self, request: BeginRequest, decision: Decision | None, now: int) -> JournalEntry:
        """Return the entry as SENDING; without a decision it counts as increasing, the stricter class."""
        return JournalEntry(
            signal=request.signal,
            state=EntryState.SENDING,
            signal_class=decision.signal_class if decision else SignalClass.INCREASING,
            tag=broker_tag(request.signal.signal_id),
            revision=self.database.revision_floor,
            send_by=now + request.send_within,
            created_at=now,
            updated_at=now,
            correlation_id=request.correlation_id,
            causation_id=request.causation_id,
            quote_price=request.quote_price,
            quote_ts=request.quote_ts,
        )

    def _refusal(
        self, request: BeginRequest, entry: JournalEntry, state: JournalState, now: int
    ) -> Refusal | None:
        """Return why the decided signal may not be sent now. The token is last: a refusal takes none."""
        increasing = entry.signal_class is SignalClass.INCREASING
        trading = binding_state(self.database, request.scopes, now)
        if trading is TradingState.HALTED:
            return Code.TRADING_HALTED, "a scope is Halted"
        if increasing and trading is TradingState.REDUCING:
            return Code.TRADING_REDUCING, "a scope is Reducing"
        if increasing and request.signal.key in state.doubtful_keys:
            return Code.IN_DOUBT, f"an earlier order of {request.signal.key} is in doubt"
        if now >= request.signal.expires_at:
            return Code.SIGNAL_EXPIRED, f"expired at {request.signal.expires_at}, now {now}"
        if increasing and not state.take_token(request.orders_per_second, now):
            return Code.RATE_LIMIT, f"more than {request.orders_per_second} orders within a second"
        return None

    def _stored(self, entry: JournalEntry, *, go: bool) -> BeginVerdict:
        return BeginVerdict(go=go, fresh=True, entry=self._state().put(entry))

    def _settled(self, entry: JournalEntry, outcome: Outcome) -> JournalEntry:
        """Settle an entry in doubt; UNKNOWN over UNKNOWN changes nothing."""
        return entry if outcome.state is entry.state else self._changed(entry, outcome)

    def _changed(self, entry: JournalEntry, outcome: Outcome) -> JournalEntry:
        revision = max(entry.revision + 1, self.database.revision_floor)
        return self._state().put(with_outcome(entry, outcome, revision, self.database.now()))

    def _acknowledged(self, signal_id: str, revision: int) -> bool:
        state = self._state()
        entry = state.entries.get(signal_id)
        if entry is None or entry.revision != revision or entry.state.in_doubt:
            return False
        state.open.pop(signal_id, None)
        return True

    def _adopt(self, learnt: JournalEntry, *, told: bool) -> None:
        state = self._state()
        known = state.find(learnt.signal_id, learnt.tag)
        if known is not None and not is_further(learnt, known):
            return
        now, least = self.database.now(), known.revision if known else 0
        done = told and _is_told(learnt, least)
        revision = max(learnt.revision, least + 1 if known else 0, self.database.revision_floor)
        updated_at = now
        if done and learnt.revision:  # told again, its event must be the very same
            revision, updated_at = learnt.revision, learnt.updated_at or now
        created_at = known.created_at if known else learnt.created_at or now
        state.put(
            msgspec.structs.replace(learnt, revision=revision, created_at=created_at, updated_at=updated_at)
        )
        if done:
            del state.open[learnt.signal_id]


def _is_told(learnt: JournalEntry, least: int) -> bool:
    """Whether the event that the entry was learnt with is that of the entry as it will be: nothing is left to tell.

    Revision 0: no order event, risk's rejection was told.
    """
    return learnt.state.terminal and (learnt.revision > least or not learnt.revision)


def _require(allowed: bool, signal_id: str, outcome: Outcome) -> None:
    """Raise MisuseError where an operation was given an outcome that it can't write."""
    if not allowed:
        raise MisuseError(f"{signal_id}: {outcome.state} is not an outcome of this operation")


def _refused(entry: JournalEntry, refusal: Refusal) -> JournalEntry:
    code, message = refusal
    return msgspec.structs.replace(entry, state=EntryState.FAILED, code=code, message=message)


def _doubtful(entry: JournalEntry) -> JournalEntry:
    """Return the entry of a signal of another epoch: a journal that has lost its tail may have sent it."""
    refused = _refused(entry, (Code.NOT_RECONCILED, "decided under another journal epoch"))
    return msgspec.structs.replace(refused, state=EntryState.UNKNOWN)


def _payload_refusal(request: BeginRequest, decision: Decision | None) -> Refusal | None:
    """Return why the signal is not the one that risk validated."""
    if decision is None:
        return Code.PAYLOAD_MISMATCH, "no decision of risk is stored"
    if decision.verdict is not Verdict.VALIDATED or decision.signal_class is SignalClass.CANCEL:
        return Code.PAYLOAD_MISMATCH, f"risk's decision is {decision.verdict} ({decision.signal_class})"
    if decision.payload_hash != request.payload_hash:
        return Code.PAYLOAD_MISMATCH, "risk validated another payload"
    return None
