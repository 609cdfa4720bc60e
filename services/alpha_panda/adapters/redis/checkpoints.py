"""Strategies' checkpoints in Redis: `ports.CheckpointStore`.

One hash a strategy and account: `incarnation` and `run_id` of the last claim, `checkpoint`, and `fold:{signal id}`
of each order. A claim reads it whole, a save writes the checkpoint and what has changed of the folds.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from alpha_panda.adapters.redis.database import Argument, RedisDatabase
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.contracts.codec import decode_event, encode_event
from alpha_panda.contracts.stored import Checkpoint, CheckpointClaim, OrderFold, PendingEvent, TopicOffset

_CLAIM: Final = script("checkpoints/claim")
_SAVE: Final = script("checkpoints/save")

_CHECKPOINT: Final = b"checkpoint"
_FOLD: Final = b"fold:"


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as it is kept: its events are encoded by their own codec (topic, event)."""

    lineage: str
    store_run_id: str
    strategy_uid: str
    counter: int
    state: bytes
    offsets: dict[str, TopicOffset]
    sequences: dict[int, tuple[int, int]]
    pending: list[tuple[str, bytes]]


_encoder: Final = msgspec.msgpack.Encoder()
_checkpoint_decoder: Final = msgspec.msgpack.Decoder(_Stored)
_fold_decoder: Final = msgspec.json.Decoder(OrderFold)


class RedisCheckpointStore:
    """`ports.CheckpointStore`. A claim ends with the store's run: folds saved before may be lost."""

    def __init__(self, database: RedisDatabase) -> None:
        self.database = database

    async def claim(self, strategy: str, account: str) -> CheckpointClaim:
        """See the port."""
        incarnation = self.database.ids.new_id()
        run_id, flat = await self.database.run(_CLAIM, [self._key(strategy, account)], [incarnation])
        stored: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
        checkpoint = stored.get(_CHECKPOINT)
        return CheckpointClaim(
            incarnation=incarnation,
            store_run_id=run_id.decode(),
            checkpoint=None if checkpoint is None else _decode(checkpoint),
            folds={
                field.removeprefix(_FOLD).decode(): _fold_decoder.decode(value)
                for field, value in stored.items()
                if field.startswith(_FOLD)
            },
        )

    async def save(
        self,
        strategy: str,
        account: str,
        incarnation: str,
        checkpoint: Checkpoint,
        folds: Mapping[str, OrderFold],
    ) -> None:
        """See the port."""
        arguments: list[Argument] = [incarnation, _CHECKPOINT, _encode(checkpoint)]
        for signal_id, fold in folds.items():
            arguments += (_FOLD + signal_id.encode(), msgspec.json.encode(fold))
        await self.database.run(_SAVE, [self._key(strategy, account)], arguments)

    def _key(self, strategy: str, account: str) -> str:
        return self.database.keys.checkpoint(strategy, account)


def _encode(checkpoint: Checkpoint) -> bytes:
    return _encoder.encode(
        _Stored(
            lineage=checkpoint.lineage,
            store_run_id=checkpoint.store_run_id,
            strategy_uid=checkpoint.strategy_uid,
            counter=checkpoint.counter,
            state=checkpoint.state,
            offsets=checkpoint.offsets,
            sequences=checkpoint.sequences,
            pending=[(item.topic, encode_event(item.event)) for item in checkpoint.pending],
        )
    )


def _decode(value: bytes) -> Checkpoint:
    stored = _checkpoint_decoder.decode(value)
    return Checkpoint(
        lineage=stored.lineage,
        store_run_id=stored.store_run_id,
        strategy_uid=stored.strategy_uid,
        counter=stored.counter,
        state=stored.state,
        offsets=stored.offsets,
        sequences=stored.sequences,
        pending=[PendingEvent(topic, decode_event(event)) for topic, event in stored.pending],
    )
