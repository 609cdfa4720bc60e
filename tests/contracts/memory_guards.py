"""The guards of the Lua scripts, as they stand in the memory stores: for tests that take one out."""

import inspect
import types
from typing import Any, Final

import pytest

from alpha_panda.adapters.memory import (
    checkpoints,
    control,
    decisions,
    journal,
    journal_state,
    leases,
    prices,
)

MODULES: Final[dict[str, types.ModuleType]] = {
    "journal": journal,
    "state": journal_state,
    "decisions": decisions,
    "control": control,
    "leases": leases,
    "checkpoints": checkpoints,
    "prices": prices,
}
LEASED: Final = "        self._require_lease(lease_epoch)\n"
NEVER: Final = "if False:"

GUARDS: Final[dict[str, tuple[str, str, str]]] = {
    # ------------------------------------------------------------------------------------------------ leases
    "held lease": ("leases", 'if lease.owner not in ("", owner) and now < lease.expires_at:', NEVER),
    "released lease": ("leases", "if not lease.owner or lease.epoch", "if lease.epoch"),
    "lease's run": ("leases", " or lease.run_id != database.run_id:", ":"),
    "lease epoch": ("leases", "if not lease.owner or lease.epoch != epoch or", "if not lease.owner or"),
    "renewal": ("leases", "        require_lease(self.database, name, epoch)\n", ""),
    "owner": ("leases", "if _lease(self.database, name).owner != owner:", NEVER),
    "release": ("leases", "if (lease.owner, lease.epoch) == (owner, epoch):", "if True:"),
    # ----------------------------------------------------------------------------------------------- control
    "latch once": (
        "control",
        "_latches(database, latch.scope).setdefault(latch.latch_id, latch)",
        "_latches(database, latch.scope)[latch.latch_id] = latch",
    ),
    "asked once": (
        "control",
        "known.setdefault((scope, latch_id), request)",
        "known[(scope, latch_id)] = request",
    ),
    "expired control key": ("control", "expired=spec is not None and now >= spec[1]", "expired=False"),
    "latch": ("control", "latches=tuple(_latches(database, scope).values())", "latches=()"),
    "no scopes": (
        "control",
        "TradingState.strictest(*(read_scope",
        "TradingState.strictest(TradingState.ACTIVE, *(read_scope",
    ),
    # ------------------------------------------------------------------------------------------------- risk
    "risk epoch": (
        "decisions",
        "if state.claim != (epoch, self.database.run_id):",
        "if state.claim[1] != self.database.run_id:",
    ),
    "claim's run": (
        "decisions",
        "if state.claim != (epoch, self.database.run_id):",
        "if state.claim[0] != epoch:",
    ),
    "record": (
        "decisions",
        "state = self._claimed(epoch)\n        return",
        "state = self._state()\n        return",
    ),
    "save": (
        "decisions",
        "state = self._claimed(epoch)\n        state.snapshot",
        "state = self._state()\n        state.snapshot",
    ),
    "decided once": (
        "decisions",
        "state.decisions.setdefault(decision.signal_id, decision)",
        "state.decisions.__setitem__(decision.signal_id, decision) or decision",
    ),
    # ------------------------------------------------------------------------------------------------ engine
    "tag": ("state", 'or self.entries.get(self.tags.get(tag, ""))', "or None"),
    "known id": (
        "journal",
        "self.database.now()\n        if (known := self._known(request)) is not None:",
        "self.database.now()\n        known: Any = None\n        if known is not None:",
    ),
    "refuse known id": (
        "journal",
        '"""See the port."""\n        if (known := self._known(request)) is not None:',
        "known: Any = None\n        if known is not None:",
    ),
    "journal epoch": (
        "journal",
        "decision, now)\n        if request.journal_epoch != self._valid_epoch():",
        f"decision, now)\n        {NEVER}",
    ),
    "refuse journal epoch": (
        "journal",
        "self.database.now())\n        if request.journal_epoch != self._valid_epoch():",
        f"self.database.now())\n        {NEVER}",
    ),
    "epoch's run": (
        "journal",
        "return epoch if run_id == self.database.run_id else None",
        "return epoch or None",
    ),
    "decision": ("journal", 'return Code.PAYLOAD_MISMATCH, "no decision of risk is stored"', "return None"),
    "verdict": (
        "journal",
        "if decision.verdict is not Verdict.VALIDATED or decision.signal_class is SignalClass.CANCEL:",
        NEVER,
    ),
    "payload": ("journal", "if decision.payload_hash != request.payload_hash:", NEVER),
    "halted": ("journal", "if trading is TradingState.HALTED:", NEVER),
    "reducing": ("journal", "if increasing and trading is TradingState.REDUCING:", NEVER),
    "key in doubt": ("journal", "if increasing and request.signal.key in state.doubtful_keys:", NEVER),
    "expiry": ("journal", "if now >= request.signal.expires_at:", NEVER),
    "rate": ("journal", "if increasing and not state.take_token(request.orders_per_second, now):", NEVER),
    "attempt": ("journal", "if entry.state is EntryState.SENDING and entry.attempt != attempt:", NEVER),
    "settled": (
        "journal",
        "self._settled(entry, outcome) if entry.state.in_doubt else entry",
        "self._settled(entry, outcome)",
    ),
    "unknown again": (
        "journal",
        "return entry if outcome.state is entry.state else self._changed",
        "return self._changed",
    ),
    "resting": (
        "journal",
        "entry is None or not entry.state.resting or entry.revision",
        "entry is None or entry.revision",
    ),
    "revision": (
        "journal",
        "not entry.state.resting or entry.revision != revision:",
        "not entry.state.resting:",
    ),
    # ------------------------------------------------------------------------------------------ order-tracker
    "resolve lease": ("journal", f'still lasts."""\n{LEASED}', 'still lasts."""\n'),
    "resolve in doubt": ("journal", "if entry is None or not entry.state.in_doubt:", "if entry is None:"),
    "lost after send_by": (
        "journal",
        "if outcome.state is EntryState.LOST and self.database.now() < entry.send_by:",
        NEVER,
    ),
    "correct lease": ("journal", f"{LEASED}        _require(", "        _require("),
    "correct terminal": ("state", "return entry.state.terminal and (late or", "return (late or"),
    "correction needed": ("journal", "not needs_correction(entry, outcome):", "not entry.state.terminal:"),
    "correct latch": (
        "journal",
        "put_latch(self.database, latch)\n        return self._changed(",
        "return self._changed(",
    ),
    "orphan lease": ("journal", f"{LEASED}        state, now = ", "        state, now = "),
    "orphan known": ("journal", "if entry.signal_id in state.entries:", NEVER),
    "facts lease": (
        "journal",
        f"{LEASED}        self._known_facts().facts = facts",
        "        self._known_facts().facts = facts",
    ),
    "orphan latch": ("journal", "put_latch(self.database, latch)\n        revision", "revision"),
    "adopt lease": ("journal", f'of an order wins."""\n{LEASED}', 'of an order wins."""\n'),
    "adopt run": ("journal", "self._require_run(run_id)\n        for entry", "for entry"),
    "further": ("journal", "if known is not None and not is_further(learnt, known):", NEVER),
    "adopted told": ("journal", "done = told and _is_told", "done = _is_told"),
    "adopted terminal": (
        "journal",
        "return learnt.state.terminal and (learnt.revision",
        "return (learnt.revision",
    ),
    "adopted revision": (
        "journal",
        "return learnt.state.terminal and (learnt.revision > least or not learnt.revision)",
        "return learnt.state.terminal",
    ),
    "epoch lease": ("journal", f'all begins anew."""\n{LEASED}', 'all begins anew."""\n'),
    "epoch run": ("journal", "self._require_run(run_id)\n        state", "state"),
    "one epoch a run": ("journal", "if state.epoch[0] != run_id:", "if True:"),
    "acknowledged revision": (
        "journal",
        "entry.revision != revision or entry.state.in_doubt:",
        "entry.state.in_doubt:",
    ),
    "acknowledged doubt": (
        "journal",
        "entry.revision != revision or entry.state.in_doubt:",
        "entry.revision != revision:",
    ),
    # ------------------------------------------------------------------------------------ strategies and feeds
    "incarnation of this run": (
        "checkpoints",
        "if state.claim != (incarnation, self.database.run_id):",
        NEVER,
    ),
    "feed epoch": ("prices", "if feed_epoch < state.epoch:", NEVER),
    "newer sequence": ("prices", "quote.seq > old.seq", "True"),
    "newer epoch": ("prices", "else quote.feed_epoch > old.feed_epoch", "else True"),
    "own proofs": (
        "prices",
        "self.partitions, self.heartbeats = partitions, {}",
        "self.partitions = partitions",
    ),
    "newer heartbeat": ("prices", "if ts > self.heartbeats.get(partition, ts - 1):", "if True:"),
    # A cursor of memory is never above what is here: the count outlives what is stored. Without that it is.
    "cursor of this store": (
        "prices",
        "cursor=self.database.count(_name(feed))",
        "cursor=1 + sum(map(len, kept.values()))",
    ),
}
"""Guard → (module, what it says, what it says without the guard)."""


def memory_kinds() -> dict[str, Any]:
    """Return the stores as the modules have them now."""
    return {
        "journal": journal.MemoryOrderJournal,
        "decisions": decisions.MemoryDecisionStore,
        "control": control.MemoryControlStore,
        "leases": leases.MemoryLease,
        "checkpoints": checkpoints.MemoryCheckpointStore,
        "prices": prices.MemoryPriceCache,
    }


def take_out(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put what a module defines without a guard in the place of what it defines with it, wherever that is used."""
    name, says, without = GUARDS[guard]
    module = MODULES[name]
    source = inspect.getsource(module)
    assert source.count(says) == 1, f"{guard}: the memory stores don't say it (any more): {says}"
    changed: dict[str, Any] = {"__name__": module.__name__, "Any": Any}
    exec(compile(source.replace(says, without), module.__file__ or "", "exec"), changed)  # noqa: S102 - our own source
    for defined, value in changed.items():
        if getattr(value, "__module__", None) == module.__name__:
            original = getattr(module, defined)
            for user in MODULES.values():
                if getattr(user, defined, None) is original:
                    monkeypatch.setattr(user, defined, value)
