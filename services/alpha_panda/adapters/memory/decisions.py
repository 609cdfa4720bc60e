"""Risk's decisions, snapshot and folds of an account, in memory."""

from collections.abc import Mapping

from alpha_panda.adapters.memory.database import MemoryDatabase, Section, reading, script
from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Decision, OrderFold, RiskClaim, RiskSnapshot
from alpha_panda.errors import FencedError


class DecisionsState(Section):
    """What is stored of one account's risk. `claim`: the epoch, and the store's run that it was claimed in."""

    def __init__(self) -> None:
        self.claim = ("", "")
        self.decisions: dict[str, Decision] = {}
        self.snapshot: RiskSnapshot | None = None
        self.folds: dict[str, OrderFold] = {}


def _state(database: MemoryDatabase, account: str) -> DecisionsState:
    return database.section(database.keys.decisions(account), DecisionsState)


def stored_decision(database: MemoryDatabase, account: str, signal_id: str) -> Decision | None:
    """Return a decision: part of a step (BEGIN reads it)."""
    return _state(database, account).decisions.get(signal_id)


class MemoryDecisionStore:
    """`ports.DecisionStore`. A claim ends with the store's run: after a restart risk's memory may know more."""

    def __init__(self, database: MemoryDatabase, account: str) -> None:
        self.database = database
        self.account = account

    @script
    def claim(self, owner: str) -> RiskClaim:  # noqa: ARG002 - the owner is for the eyes of a person (Redis)
        """See the port."""
        state, epoch = self._state(), self.database.ids.new_id()
        state.claim = (epoch, self.database.run_id)
        return RiskClaim(
            epoch=epoch, decisions=dict(state.decisions), snapshot=state.snapshot, folds=dict(state.folds)
        )

    @script
    def record(self, epoch: str, *decisions: Decision) -> list[Decision]:
        """See the port."""
        state = self._claimed(epoch)
        return [state.decisions.setdefault(decision.signal_id, decision) for decision in decisions]

    @script
    def save(self, epoch: str, snapshot: RiskSnapshot, folds: Mapping[str, OrderFold]) -> None:
        """See the port."""
        state = self._claimed(epoch)
        state.snapshot = snapshot
        state.folds.update(folds)

    @reading
    def get(self, signal_id: str) -> Decision | None:
        """See the port."""
        return stored_decision(self.database, self.account, signal_id)

    @reading
    def snapshot(self) -> RiskSnapshot | None:
        """See the port."""
        return self._state().snapshot

    @reading
    def folds(self) -> dict[str, tuple[Signal, OrderFold]]:
        """See the port."""
        state = self._state()
        return {
            signal_id: (decision.signal, state.folds.get(signal_id, OrderFold()))
            for signal_id, decision in state.decisions.items()
            if decision.verdict is Verdict.VALIDATED and isinstance(decision.signal, Signal)
        }

    def _state(self) -> DecisionsState:
        return _state(self.database, self.account)

    def _claimed(self, epoch: str) -> DecisionsState:
        state = self._state()
        if state.claim != (epoch, self.database.run_id):
            raise FencedError(f"risk of {self.account}: epoch {epoch} is stale; nothing was stored")
        return state
