"""The table of guards: each rule that the models lean on, where the code has it, and what goes wrong without it.

`also_removed`: the guard is a second line behind these; the counterexample needs them away too. The configuration
holds without them alone (`test_models.py` checks that, so that it is this guard whose absence tells).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

JOURNAL, STRATEGY, RISK, CONTROL = "journal", "strategy", "risk", "control"

_BOOK = "adapters/memory/journal.py:MemoryOrderJournal"
_ENGINE = "engine/service.py:Engine"
_EPOCHS = "order_tracker/epochs.py:EpochKeeper"
_DESK = "risk/desk.py:Desk"
_CELL = "strategy/cell.py:Cell"
_RUNNER = "strategy/runner.py:Runner"
_FOLD = "domain/fold.py:_merge"
_LEDGER = "risk/ledger.py:Ledger"
_DECISIONS = "adapters/memory/decisions.py:MemoryDecisionStore"
_CHECKPOINTS = "adapters/memory/checkpoints.py:MemoryCheckpointStore"


@dataclass(frozen=True, slots=True)
class Guard:
    """One rule. `where`: file under services/alpha_panda and qualified name; `configuration`: shows the need for it.

    `bits`: the properties that the journal's configuration is restricted to (0: its own). `full`: too large for CI.
    """

    model: str
    name: str
    where: str
    without: str
    configuration: str
    also_removed: tuple[str, ...] = ()
    bits: int = 0
    full: bool = False

    @property
    def id(self) -> str:
        """Name for a test: model, guard and configuration."""
        return f"{self.model}-{self.name}-{self.configuration}"


@dataclass(frozen=True, slots=True)
class SecondLine:
    """A rule that the models can do without: another one covers it within the bounds. Kept on purpose."""

    model: str
    name: str
    where: str
    behind: str
    configuration: str


_R = ("REBUILD",)

GUARDS: Final[tuple[Guard, ...]] = (
    # ------------------------------------------------------------------------------------------ journal
    Guard(JOURNAL, "BEGIN_ONCE", f"{_BOOK}.begin", "a record read twice is sent twice", "redelivered"),
    Guard(JOURNAL, "BEGIN_RUN", f"{_BOOK}._valid_epoch", "GO on a store that lost its tail", "restart"),
    Guard(
        JOURNAL,
        "BEGIN_EPOCH",
        f"{_BOOK}.begin",
        "a decision from before the restart is sent again",
        "restart",
        _R,
        1,
    ),
    Guard(JOURNAL, "BEGIN_STATE", f"{_BOOK}._refusal", "GO after a halt", "halted"),
    Guard(JOURNAL, "BEGIN_EXPIRY", f"{_BOOK}._refusal", "an old signal trades", "plain"),
    Guard(
        JOURNAL, "BEGIN_NO_DOUBT", f"{_BOOK}._refusal", "a second order beside one in doubt", "two-signals"
    ),
    Guard(
        JOURNAL,
        "REFUSAL_STORED",
        f"{_BOOK}.refuse",
        "ORDER_FAILED is told, then the signal trades",
        "halt-cleared",
    ),
    Guard(
        JOURNAL, "OLD_EPOCH_UNKNOWN", f"{_BOOK}.begin", "FAILED is told of an order that was sent", "restart"
    ),
    Guard(
        JOURNAL,
        "UNANSWERED_REFUSES",
        f"{_ENGINE}._execute",
        "an unanswered BEGIN is never told",
        "unanswered",
    ),
    Guard(
        JOURNAL,
        "DEADLINE",
        "adapters/http/gate.py:Gate.open",
        "the order arrives after it was given up",
        "plain",
    ),
    Guard(
        JOURNAL,
        "AMBIGUOUS_UNKNOWN",
        "testing/broker/api.py:place_outcome",
        "a time-out is taken for a refusal",
        "plain",
    ),
    Guard(
        JOURNAL, "SETTLE_IN_DOUBT", f"{_BOOK}.settle", "a late reply overwrites what was found out", "plain"
    ),
    Guard(
        JOURNAL,
        "ACKNOWLEDGE_REVISION",
        f"{_BOOK}.acknowledge",
        "a correction is never told",
        "residual-crash",
    ),
    Guard(
        JOURNAL,
        "LEASE_RUN",
        "adapters/memory/leases.py:require_lease",
        "a reading from before the restart books our own order as somebody else's",
        "restart",
    ),
    Guard(
        JOURNAL,
        "RESOLVE_LEASE",
        f"{_BOOK}._require_lease",
        "a former holder books our own order as somebody else's",
        "restart-takeover",
    ),
    Guard(
        JOURNAL,
        "RESOLVE_IN_DOUBT",
        f"{_BOOK}.resolve",
        "a stale reading makes a placed order LOST",
        "residual-takeover",
    ),
    Guard(
        JOURNAL,
        "LOST_AFTER",
        "order_tracker/resolver.py:Resolver._resolve_one",
        "LOST of an order under way",
        "extra-reading",
    ),
    Guard(
        JOURNAL,
        "LOST_READS",
        "order_tracker/resolver.py:Resolver._count_miss",
        "one bad reading makes an order LOST",
        "missed-row",
    ),
    Guard(JOURNAL, "CORRECT", f"{_BOOK}.correct", "a late order is never booked", "residual"),
    Guard(
        JOURNAL, "REPEAT", "order_tracker/announcer.py:Announcer.repeat", "an outcome is never told", "crash"
    ),
    Guard(
        JOURNAL,
        "REBUILD",
        f"{_EPOCHS}._rebuild",
        "a signal vanishes, or is decided and sent again",
        "restart-risk",
        bits=1 + 8,
    ),
    Guard(
        JOURNAL,
        "REBUILD_SEND_BY",
        f"{_EPOCHS}._rebuild",
        "LOST while GO's permission lasts",
        "restart",
        ("EPOCH_WAIT",),
    ),
    Guard(
        JOURNAL,
        "EPOCH_WAIT",
        f"{_EPOCHS}._come_back",
        "the book is read before an order shows in it",
        "restart",
        ("REBUILD_SEND_BY",),
    ),
    Guard(
        JOURNAL,
        "WRITE_EPOCH_RUN",
        f"{_BOOK}.write_epoch",
        "an epoch for a run that was never rebuilt",
        "restart-twice-small",
        ("LEASE_RUN",),
        8,
    ),
    Guard(
        JOURNAL,
        "RETURN_LATCH",
        "order_tracker/latches.py:return_latch",
        "a halt is lost with the store's tail",
        "restart-halted",
    ),
    Guard(JOURNAL, "DECIDE_ONCE", f"{_DESK}.on_signal", "validated first, rejected when read again", "risk"),
    Guard(
        JOURNAL,
        "RISK_EPOCH",
        f"{_DESK}._valid_epoch",
        "REJECTED is told of an order that was sent",
        "restart-risk",
    ),
    Guard(
        JOURNAL,
        "RISK_KNOWN",
        f"{_DESK}.on_signal",
        "REJECTED is told of an order that was sent",
        "restart-risk",
    ),
    Guard(
        JOURNAL,
        "CONTRADICTION",
        f"{_DESK}.on_order",
        "LOST and placed, and nobody latches",
        "residual-restart",
    ),
    # ----------------------------------------------------------------------------------------- strategy
    Guard(
        STRATEGY, "claim_atomic", f"{_CHECKPOINTS}.claim", "a zombie saves between load and claim", "zombie"
    ),
    Guard(
        STRATEGY, "save_fenced", f"{_CHECKPOINTS}.save", "two runners use one id for two signals", "zombie"
    ),
    Guard(
        STRATEGY,
        "unanswered_save_ends",
        f"{_RUNNER}._store",
        "the delayed save and the memory part ways",
        "unanswered",
    ),
    Guard(
        STRATEGY,
        "unanswered_save_not_repeated",
        f"{_RUNNER}._store",
        "a delayed save undoes a later one",
        "unanswered",
    ),
    Guard(STRATEGY, "pending_stored", f"{_CELL}.checkpoint", "a crash loses a signal that n counts", "small"),
    Guard(STRATEGY, "pending_resent", f"{_CELL}.adopt", "a crash loses a stored signal", "small"),
    Guard(
        STRATEGY,
        "pending_resent_at_any_age",
        f"{_CELL}.adopt",
        "an old stored signal vanishes untold",
        "ageing",
    ),
    Guard(
        STRATEGY,
        "unacknowledged_kept",
        f"{_CELL}.checkpoint",
        "the save after a start drops what it must send",
        "three-owners",
    ),
    Guard(
        STRATEGY,
        "suppression_after_save",
        f"{_CELL}._push_suppression",
        "one id: suppressed, and later sent",
        "ageing",
    ),
    Guard(STRATEGY, "suppression_uses_id", f"{_CELL}.submit", "one id: suppressed, and later sent", "ageing"),
    Guard(
        STRATEGY,
        "resume_from_checkpoint",
        f"{_RUNNER}.claim",
        "fills between offset and state are lost",
        "order",
    ),
    Guard(
        STRATEGY, "offsets_in_save", f"{_CELL}.checkpoint", "fills between offset and state are lost", "order"
    ),
    Guard(
        STRATEGY,
        "sequences_kept",
        "strategy/watermarks.py:Watermarks.resume",
        "a repeated tick trades twice",
        "repeated-tick",
    ),
    Guard(STRATEGY, "fold_not_added", _FOLD, "an event told twice counts twice", "order-repeated"),
    Guard(STRATEGY, "fold_by_quantity", _FOLD, "a correction of a closed order is ignored", "order-late"),
    Guard(STRATEGY, "folds_kept", f"{_CELL}._take", "an event told again counts again", "order-repeated"),
    Guard(STRATEGY, "lineage_renewed", f"{_CELL}.adopt", "a store that came back uses ids again", "restored"),
    Guard(
        STRATEGY,
        "lineage_random",
        f"{_RUNNER}._claim_cell",
        "a store that came back uses ids again",
        "restored",
    ),
    Guard(STRATEGY, "gap_loads_book", f"{_RUNNER}._gap", "fills in a lost topic are missed", "recreated"),
    Guard(
        STRATEGY,
        "claim_ends_with_run",
        f"{_CHECKPOINTS}.save",
        "a runner from before the loss goes on, and its ids are given out again",
        "restored",
    ),
    # --------------------------------------------------------------------------------------------- risk
    Guard(
        RISK, "claim_atomic", f"{_DECISIONS}.claim", "a zombie records after the new one loaded", "two-buys"
    ),
    Guard(RISK, "record_fenced", f"{_DECISIONS}._claimed", "two processes spend one limit", "two-buys"),
    Guard(
        RISK,
        "save_fenced",
        f"{_DECISIONS}.save",
        "a zombie's snapshot forgets folds",
        "three-starts-one",
    ),
    Guard(
        RISK,
        "rejections_recorded",
        f"{_DESK}.on_signal",
        "rejected, and validated when read again",
        "two-buys",
    ),
    Guard(
        RISK,
        "known_is_told_again",
        f"{_DESK}.on_signal",
        "validated, and rejected as a duplicate",
        "repeated-signal",
    ),
    Guard(RISK, "decided_once", f"{_DESK}.on_signal", "one id is decided twice", "repeated-signal"),
    Guard(
        RISK,
        "unanswered_record_ends",
        f"{_DESK}.flush",
        "a stored decision is not in the limits",
        "one-start",
    ),
    Guard(
        RISK,
        "batch_told_before_save",
        "risk/service.py:RiskService._handle",
        "the offset passes decisions that are not told, or not even stored",
        "batch",
    ),
    Guard(
        RISK, "reservation_not_counted", f"{_LEDGER}._reserve", "counters drift from the folds", "two-buys"
    ),
    Guard(
        RISK, "reservation_not_deleted", f"{_LEDGER}._reserve", "gone before the fill is folded", "two-buys"
    ),
    Guard(
        RISK,
        "reservation_not_in_snapshot",
        f"{_LEDGER}.load",
        "a decision after the snapshot is forgotten",
        "two-buys",
    ),
    Guard(
        RISK,
        "offset_after_told",
        "risk/service.py:RiskService._handle",
        "a decision is never told",
        "two-buys",
    ),
    Guard(RISK, "refusal_stored", f"{_BOOK}.refuse", "refused, told, and sent all the same", "refusal"),
    Guard(
        RISK,
        "begin_ignores_risk_epoch",
        f"{_BOOK}.begin",
        "a dropped decision is reserved for ever",
        "two-buys",
    ),
    Guard(RISK, "begin_compares_state", f"{_BOOK}._refusal", "an increasing order under Reducing", "cover"),
    Guard(RISK, "fold_by_quantity", _FOLD, "a correction of a closed order is ignored", "late"),
    Guard(RISK, "fold_not_added", _FOLD, "an event told twice counts twice", "events-repeated"),
    Guard(
        RISK,
        "cancel_cumulative",
        "domain/order_events.py:order_update",
        "a fill before the cancel is missed",
        "partial",
    ),
    Guard(
        RISK,
        "open_orders_not_netted",
        "domain/risk/position.py:open_quantity",
        "the buys fill, the sells don't",
        "mixed",
    ),
    Guard(
        RISK,
        "reducing_less_open",
        "domain/risk/position.py:free_quantity",
        "two closings turn the position",
        "two-sells",
    ),
    Guard(
        RISK,
        "no_increase_beside_reducing",
        "domain/risk/checks_exposure.py:opposite_reduction",
        "cover and buy grow it under Reducing",
        "cover",
    ),
    Guard(
        RISK,
        "reducing_exempt",
        "domain/risk/gate.py:decide",
        "a position beyond its limit is trapped",
        "over-limit",
    ),
    Guard(RISK, "match_latches_at_once", f"{_BOOK}.correct", "an order between match and fold", "late"),
    Guard(RISK, "match_latches", f"{_BOOK}.correct", "trading goes on beside a wrong book", "late"),
    Guard(
        RISK,
        "resting_cancelled",
        "order_tracker/sweeper.py:to_cancel",
        "an increasing order fills under Reducing",
        "reduced",
    ),
    Guard(
        RISK,
        "resting_cancelled_repeatedly",
        "order_tracker/service.py:OrderTracker.sweep",
        "an order that rests later stays",
        "reduced",
    ),
    Guard(
        RISK, "decisions_kept", f"{_DECISIONS}.record", "a repeated signal is a new one", "repeated-signal"
    ),
    Guard(RISK, "folds_kept", f"{_LEDGER}.fold", "a repeated event counts again", "events-repeated"),
    Guard(
        RISK, "flat_fenced", "risk/service.py:RiskService.heed_operator", "a zombie reports flat", "flatten"
    ),
    Guard(
        RISK,
        "flat_needs_nothing_open",
        "risk/flatten.py:Flattener._unsettled",
        "flat, and then an order fills",
        "flatten-one",
    ),
    Guard(
        RISK,
        "flatten_cancels",
        "order_tracker/sweeper.py:in_the_way",
        "a resting order stops Flatten",
        "flatten-held",
    ),
    Guard(
        RISK,
        "closing_told_again",
        f"{_DESK}.re_emit_closing",
        "a stored closing order is never sent",
        "flatten-crash",
    ),
    Guard(
        RISK,
        "closing_id_stored",
        "risk/ledger.py:Ledger.closings",
        "a restart gives one id to two closings",
        "flatten-crash",
    ),
    # ------------------------------------------------------------------------------------------ control
    Guard(
        CONTROL,
        "spec_expires",
        "contracts/stored.py:ControlReading.state",
        "trading outlives its operator",
        "halt",
    ),
    Guard(
        CONTROL,
        "missing_is_halted",
        "contracts/stored.py:ControlReading.state",
        "an empty store trades",
        "halt",
    ),
    Guard(CONTROL, "latch_tightens", "contracts/stored.py:ControlReading.state", "GO after a halt", "halt"),
    Guard(
        CONTROL,
        "latch_in_topic",
        "order_tracker/latches.py:announce",
        "a halt is lost with the store's tail",
        "halt",
    ),
    Guard(
        CONTROL,
        "latches_put_back",
        "order_tracker/latches.py:put_back",
        "a halt is lost with the store's tail",
        "halt",
    ),
    Guard(
        CONTROL,
        "halt_sets_again",
        "compose/control_room.py:ControlRoom.halt",
        "lost between store and topic, told as done",
        "halt",
    ),
    Guard(
        CONTROL,
        "expired_cancels_nothing",
        "contracts/stored.py:ControlReading.deliberate_state",
        "a dead operator takes stops away",
        "halt",
    ),
    Guard(CONTROL, "begin_compares_class", f"{_BOOK}._refusal", "an increasing order under Reducing", "halt"),
    Guard(
        CONTROL,
        "sweeps_repeatedly",
        "order_tracker/service.py:OrderTracker.sweep",
        "an order that rests later stays",
        "halt",
    ),
)

SECOND_LINES: Final[tuple[SecondLine, ...]] = (
    SecondLine(
        JOURNAL, "SETTLE_RECREATES", f"{_BOOK}.settle", "REBUILD: Kafka knows of the signal", "restart"
    ),
    SecondLine(
        JOURNAL,
        "EPOCH_READ_AFTER",
        f"{_EPOCHS}._come_back",
        "REBUILD: doubt keeps the key blocked",
        "restart",
    ),
    SecondLine(
        JOURNAL,
        "NEVER_TRADED",
        f"{_EPOCHS}._never_traded",
        "REBUILD, which is done in any case",
        "restart-empty",
    ),
    SecondLine(
        JOURNAL,
        "WRITE_EPOCH_ONCE",
        f"{_BOOK}.write_epoch",
        "BEGIN compares the decision's epoch",
        "restart-takeover",
    ),
    SecondLine(JOURNAL, "ORPHAN", f"{_BOOK}.orphan", "REBUILD; it is for records that Kafka lost", "restart"),
    SecondLine(
        JOURNAL, "RISK_CLAIM_RUN", f"{_DECISIONS}._claimed", "RISK_KNOWN and BEGIN's epoch", "restart-risk"
    ),
    SecondLine(
        JOURNAL, "RISK_DOUBT", "domain/risk/checks_state.py:in_doubt", "BEGIN_NO_DOUBT", "two-signals-risk"
    ),
    SecondLine(
        RISK,
        "one_task",
        "risk/service.py:RiskService._handle",
        "limits count what is open at its worst",
        "mixed",
    ),
    SecondLine(STRATEGY, "incarnation_random", f"{_CHECKPOINTS}.claim", "claim_ends_with_run", "restored"),
)
