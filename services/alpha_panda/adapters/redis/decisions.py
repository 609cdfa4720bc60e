"""Risk's decisions, snapshot and folds of an account, in Redis."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.records import decision_of, packed_decision
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Decision, OrderFold, RiskClaim, RiskSnapshot

_CLAIM: Final = script("decisions/claim")
_RECORD: Final = script("decisions/record", uses=("common", "decisions/claimed"))
_SAVE: Final = script("decisions/save", uses=("common", "decisions/claimed"))
_HOLDS: Final = script("decisions/holds", uses=("common", "decisions/claimed"), writes=False)

PAGE: Final = 500
"""Fields asked of a hash at once: all of a large one would hold up every other script for a second."""

_encode: Final = msgspec.msgpack.Encoder().encode
_fold_decoder: Final = msgspec.msgpack.Decoder(OrderFold)
_snapshot_decoder: Final = msgspec.msgpack.Decoder(RiskSnapshot)


class RedisDecisionStore:
    """`ports.DecisionStore`. A claim ends with the store's run: after a restart risk's memory may know more.

    What is stored may be much, so `claim` and `folds` read it in pages. A claim is none the less of one moment: from
    its script on nobody else writes, and if that has changed by its end it raises FencedError.
    """

    def __init__(self, database: RedisDatabase, account: str) -> None:
        self._database = database
        keys = database.keys
        self._decisions, self._folds = keys.decisions(account), keys.order_folds(account)
        self._snapshot = keys.risk_snapshot(account)
        self._keys = [keys.risk_epoch(account), self._decisions, self._snapshot, self._folds]

    async def claim(self, owner: str) -> RiskClaim:
        """See the port."""
        epoch = self._database.ids.new_id()
        snapshot = await self._database.run(_CLAIM, self._keys, [epoch, owner])
        decisions, folds = await self._stored_decisions(), await self._stored_folds()
        await self._database.run(_HOLDS, self._keys[:1], [epoch])
        return RiskClaim(
            epoch=epoch,
            decisions=decisions,
            snapshot=None if snapshot is None else _snapshot_decoder.decode(snapshot),
            folds=folds,
        )

    async def record(self, epoch: str, *decisions: Decision) -> list[Decision]:
        """See the port."""
        packed = [packed_decision(decision) for decision in decisions]
        args = [
            part
            for decision, own in zip(decisions, packed, strict=True)
            for part in (decision.signal_id, own)
        ]
        stored: list[bytes] = await self._database.run(_RECORD, self._keys, [epoch, *args])
        return [
            decision if kept == own else decision_of(kept)
            for decision, own, kept in zip(decisions, packed, stored, strict=True)
        ]

    async def save(self, epoch: str, snapshot: RiskSnapshot, folds: Mapping[str, OrderFold]) -> None:
        """See the port."""
        changed = [part for order, fold in folds.items() for part in (order, _encode(fold))]
        await self._database.run(_SAVE, self._keys, [epoch, _encode(snapshot), *changed])

    async def get(self, signal_id: str) -> Decision | None:
        """See the port."""
        stored = await self._database.command("HGET", self._decisions, signal_id)
        return None if stored is None else decision_of(stored)

    async def snapshot(self) -> RiskSnapshot | None:
        """See the port."""
        stored = await self._database.command("GET", self._snapshot)
        return None if stored is None else _snapshot_decoder.decode(stored)

    async def folds(self) -> dict[str, tuple[Signal, OrderFold]]:
        """See the port."""
        decisions, folds = await self._stored_decisions(), await self._stored_folds()
        return {
            signal_id: (decision.signal, folds.get(signal_id, OrderFold()))
            for signal_id, decision in decisions.items()
            if decision.verdict is Verdict.VALIDATED and isinstance(decision.signal, Signal)
        }

    async def _stored_decisions(self) -> dict[str, Decision]:
        return {key: decision_of(value) async for key, value in self._fields(self._decisions)}

    async def _stored_folds(self) -> dict[str, OrderFold]:
        return {key: _fold_decoder.decode(value) async for key, value in self._fields(self._folds)}

    async def _fields(self, key: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the fields of a hash, perhaps some of them twice; those written meanwhile perhaps, perhaps not."""
        cursor = b"0"
        while True:
            cursor, flat = await self._database.command("HSCAN", key, cursor, "COUNT", PAGE)
            parts = iter(flat)
            for field, value in zip(parts, parts, strict=True):
                yield field.decode(), value
            if cursor == b"0":
                return
