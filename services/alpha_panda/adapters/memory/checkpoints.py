"""Strategies' checkpoints in memory."""

from collections.abc import Mapping

from alpha_panda.adapters.memory.database import MemoryDatabase, Section, script
from alpha_panda.contracts.stored import Checkpoint, CheckpointClaim, OrderFold
from alpha_panda.errors import FencedError


class CheckpointState(Section):
    """What is stored of one strategy on one account. `claim`: incarnation, and the store's run of the claim."""

    def __init__(self) -> None:
        self.claim = ("", "")
        self.checkpoint: Checkpoint | None = None
        self.folds: dict[str, OrderFold] = {}


class MemoryCheckpointStore:
    """`ports.CheckpointStore`. A claim ends with the store's run: folds saved before may be lost."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    @script
    def claim(self, strategy: str, account: str) -> CheckpointClaim:
        """See the port."""
        state, incarnation = self._state(strategy, account), self.database.ids.new_id()
        state.claim = (incarnation, self.database.run_id)
        return CheckpointClaim(
            incarnation=incarnation,
            store_run_id=self.database.run_id,
            checkpoint=state.checkpoint,
            folds=dict(state.folds),
        )

    @script
    def save(
        self,
        strategy: str,
        account: str,
        incarnation: str,
        checkpoint: Checkpoint,
        folds: Mapping[str, OrderFold],
    ) -> None:
        """See the port."""
        state = self._state(strategy, account)
        if state.claim != (incarnation, self.database.run_id):
            raise FencedError(
                f"strategy {strategy} on {account}: incarnation {incarnation} is stale; nothing stored"
            )
        state.checkpoint = checkpoint
        state.folds.update(folds)

    def _state(self, strategy: str, account: str) -> CheckpointState:
        return self.database.section(self.database.keys.checkpoint(strategy, account), CheckpointState)
