"""The runner's loop: fetch, deliver, store checkpoints, produce what was stored, commit.

Reading resumes only from checkpoints, never from the group's offsets; those are committed for lag figures and
retention alone. Nothing is produced before the checkpoint that holds it is stored.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import structlog

from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.stored import OrderFold, TopicOffset
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import OffsetOutOfRangeError, RecordError, StrategyError
from alpha_panda.ports import Consumer, Producer, Record, Subscription, TopicPartition
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.reading import RecordReader
from alpha_panda.runtime.records import event_of, ticks_of
from alpha_panda.runtime.tracing.tracing import current

from .cell import Cause, Cell
from .metrics import CellMetrics, RunnerMetrics
from .tracing import SignalSpans
from .watermarks import Watermarks

if TYPE_CHECKING:
    from alpha_panda.contracts.events import Tick
    from alpha_panda.runtime.service import StreamService

    from .router import Router

log = structlog.get_logger()

USERS_ERRORS = (Exception, SystemExit)
"""What users' code may raise: it stops that cell alone. `sys.exit()` in a strategy is no wish to end the run."""


def raised(strategy: str, account: str, error: BaseException) -> StrategyError:
    """Return the error that says what a strategy's code has raised."""
    return StrategyError(f"strategy {strategy} on account {account} raised {type(error).__name__}: {error}")


class Runner:
    """Hosts the cells of one or several strategies on one feed."""

    def __init__(self, context: ServiceContext, group: str, ticks_topic: str, feed: str) -> None:
        self.cells: list[Cell] = []
        self.router: Router
        self.service: StreamService
        self._ports = context.ports
        self._feed_metrics = RunnerMetrics(context.metrics, feed)
        self._cell_metrics: dict[tuple[str, str], CellMetrics] = {}
        self._metrics = context.metrics
        self._tell_stopped = context.on_strategy_stopped
        self._settings = context.settings
        self._group = group
        self._ticks_topic = ticks_topic
        self._tracer = context.tracer("strategy")
        self._spans = SignalSpans(self._tracer, group, ticks_topic)
        self._next: dict[TopicPartition, int] = {}
        self._topic_ids: dict[str, str] = {}
        self._marks: Watermarks
        self._record: Record | None = None
        self._unusable: list[tuple[Record, RecordError]] = []
        self._tick: Tick | None = None
        self._event_ts = 0
        self.last_tick_ts: int | None = None
        self._since_checkpoint = 0
        self._checkpointed_at = 0

    # ------------------------------------------------------------------------------------------- causes

    def cause(self) -> Cause | None:
        """Return what the cells are reacting to now, if to anything; made only when a strategy asks."""
        tick, record = self._tick, self._record
        if record is None:
            return None
        if tick is None:
            return Cause(event_of(record).id, self._event_ts, record=record, within=current().context)
        return Cause(f"{record.id}#{tick.token}:{tick.seq}", tick.ts, tick.token, tick.last_price, record)

    # -------------------------------------------------------------------------------------------- start

    async def claim(self) -> None:
        """Claim every cell, decide where to read on, and let strategies without a past start."""
        fresh: dict[TopicPartition, int] = {}
        for topic in dict.fromkeys(p.topic for p in self.router.partitions()):
            self._topic_ids[topic] = await self._ports.bus.topic_id(topic)
            for partition, (oldest, end) in (await self._ports.bus.offsets(topic)).items():
                fresh[partition] = end if topic == self._ticks_topic else oldest
        for cell in self.cells:
            self._cell_metrics[cell.key] = CellMetrics(self._metrics, *cell.key)
            await self._claim_cell(cell)
            for partition in self.router.partitions_of.get(cell.key, ()):
                stored = cell.offsets.get(str(partition))
                offset = fresh[partition] if stored is None else stored.offset
                self._next[partition] = min(offset, self._next.get(partition, offset))
        self._marks = Watermarks(self.router.tick_partition)
        self._marks.resume(cell for cell in self.cells if not cell.failed)

    async def _claim_cell(self, cell: Cell) -> None:
        claim = await self._ports.checkpoints.claim(*cell.key)
        try:
            adopted = cell.adopt(claim, self._ports.ids.new_id())
        except USERS_ERRORS as error:
            self._fail(cell, error)
            return
        if not adopted:
            await self._load_book(cell)
            return
        lost = [
            partition for partition in self.router.partitions_of[cell.key] if not self._known(cell, partition)
        ]
        for partition in lost:
            cell.offsets.pop(str(partition), None)
        if lost:
            where = ", ".join(str(partition) for partition in lost)
            await self._gap(cell, lost, f"where reading ended is not known: {where}")

    def _known(self, cell: Cell, partition: TopicPartition) -> bool:
        """Whether the cell has an offset of the partition, and of the topic as it is now."""
        stored = cell.offsets.get(str(partition))
        return stored is not None and stored.topic_id == self._topic_ids[partition.topic]

    async def _load_book(self, cell: Cell) -> None:
        """Take in what risk knows of the cell's orders."""
        store = self._ports.decisions(cell.spec.account)
        cell.load_book((order, signal, fold) for order, (signal, fold) in (await store.folds()).items())
        for signal_id in cell.in_flight():
            decision = await store.get(signal_id)
            if decision is not None and decision.verdict is Verdict.REJECTED:
                cell.forget(signal_id)

    async def _gap(self, cell: Cell, lost: Iterable[TopicPartition], reason: str) -> None:
        """Tell the strategy that records were missed; what they said of its orders is in risk's book."""
        if any(partition.topic != self._ticks_topic for partition in lost):
            await self._load_book(cell)
        try:
            cell.strategy.on_gap(reason)
        except USERS_ERRORS as error:
            self._fail(cell, error)

    # --------------------------------------------------------------------------------------------- loop

    async def run(self, producer: Producer) -> None:
        """Consume until cancelled."""
        partitions = self.router.partitions()
        if not partitions:
            raise StrategyError(f"{self._group}: " + "; ".join(cell.failed or "" for cell in self.cells))
        async with self._ports.bus.consumer(Subscription(self._group, partitions=partitions)) as consumer:
            for partition, offset in self._next.items():
                await consumer.seek(partition, offset)
            self.service.reading()
            await self._checkpoint(self.cells, consumer)
            await self._produce(self.cells, producer)
            reader = self.service.reader(consumer)
            while True:
                await self._step(reader, consumer, producer)

    async def _step(self, reader: RecordReader, consumer: Consumer, producer: Producer) -> None:
        try:
            records = await reader.fetch(self._settings.fetch_max_records)
        except OffsetOutOfRangeError as error:
            await self._skip_gap(consumer, error)
            return
        if self._spans.on:
            self._spans.received = self._ports.clock.now()
        self._deliver(records)
        await self._set_aside()
        dirty = [cell for cell in self.cells if cell.outbox and not cell.failed]
        self._since_checkpoint += len(records)
        if dirty:
            if self._spans.on:
                self._spans.storing = self._ports.clock.now()
            await self._checkpoint(dirty, None)
            if self._spans.on:
                self._spans.stored = self._ports.clock.now()
            await self._produce(dirty, producer)
        if self._checkpoint_due():
            await self._checkpoint(self.cells, consumer)

    async def _set_aside(self) -> None:
        """Set aside what can't be read of `signals.rejected`; the other topics' readers set theirs aside already."""
        unusable, self._unusable = self._unusable, []
        for record, error in unusable:
            if any(record.topic == cell.spec.topics.signals_rejected for cell in self.cells):
                await self.service.dead_letter(record, error)

    def _checkpoint_due(self) -> bool:
        waited = self._ports.clock.now() - self._checkpointed_at
        return self._since_checkpoint >= self._settings.checkpoint_max_records or waited >= nanoseconds(
            self._settings.checkpoint_interval_seconds
        )

    async def _skip_gap(self, consumer: Consumer, error: OffsetOutOfRangeError) -> None:
        """Read on where records are kept; tell the cells that needed what is gone."""
        lost: list[TopicPartition] = []
        for topic in self._topic_ids:
            for partition, (oldest, end) in (await self._ports.bus.offsets(topic)).items():
                if partition in self._next and not oldest <= self._next[partition] <= end:
                    lost.append(partition)
                    self._next[partition] = oldest
                    await consumer.seek(partition, oldest)
        if not lost:
            raise error
        log.error("records_are_gone", partitions=[str(partition) for partition in lost], error=str(error))
        self.service.record_error(error)
        for cell in self.cells:
            missed = [p for p in self.router.partitions_of.get(cell.key, ()) if p in lost]
            if missed:
                await self._gap(cell, missed, str(error))

    # ----------------------------------------------------------------------------------------- delivery

    def _deliver(self, records: Sequence[Record]) -> None:
        for record in records:
            self._record = record
            try:
                if record.topic == self._ticks_topic:
                    self._deliver_ticks(record)
                else:
                    self._deliver_event(record)
            except RecordError as error:
                self.service.record_error(error)
                log.error("record_skipped", record=record.id, error=str(error))  # noqa: TRY400 - its writer is at fault
                self._unusable.append((record, error))
            self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
        self._record = self._tick = None

    def _deliver_ticks(self, record: Record) -> None:
        """Hand each tick to the cells that want it. No log line, span or object per tick."""
        batch = ticks_of(record)
        marks = self._marks
        epoch = marks.epochs.get(record.partition, 0)
        self._feed_metrics.received.inc(len(batch.ticks))
        if batch.feed_epoch != epoch:
            if batch.feed_epoch < epoch:
                self._feed_metrics.old_epoch.inc(len(batch.ticks))
                return
            marks.begin_epoch(record.partition, batch.feed_epoch)
        routes, sequences, delivered, repeated = self.router.by_token.get, marks.sequences, 0, 0
        seen = sequences.get
        for tick in batch.ticks:
            token, seq = tick.token, tick.seq
            cells = routes(token)
            if cells is None:
                continue
            if seq <= seen(token, 0):
                repeated += 1
                continue
            sequences[token] = seq
            self._tick = tick
            delivered += 1
            for cell in cells:
                try:
                    cell.deliver(tick)
                except USERS_ERRORS as error:
                    self._fail(cell, error)
        self._tick = None
        if repeated:
            self._feed_metrics.duplicates.inc(repeated)
        if batch.ticks:
            self.last_tick_ts = batch.ts
        self.service.record_processed(delivered, batch.ts)

    def _deliver_event(self, record: Record) -> None:
        event = event_of(record)
        self._event_ts = event.ts
        for cell in self.router.by_order(record.topic, record.key):
            with self._tracer.process(record, event, self._group) as span:
                try:
                    cell.on_account_event(event)
                except USERS_ERRORS as error:
                    span.fail(error)
                    self._fail(cell, error)

    def _fail(self, cell: Cell, error: BaseException) -> None:
        """Stop the cell: its state can't be trusted. What it had not stored is never produced.

        The others go on. Without any left the service ends, and whoever keeps it starts it anew.
        """
        strategy, account = cell.key
        failure = raised(strategy, account, error)
        cell.failed = str(failure)
        log.error("strategy_failed", strategy=strategy, account=account, exc_info=error)
        self.service.record_error(failure)
        self.router.drop(cell)
        failure.__cause__ = error
        if all(other.failed for other in self.cells):
            raise failure
        self._tell_stopped(failure)

    # ------------------------------------------------------------------------------------------ storing

    async def checkpoint_all(self) -> None:
        """Store every living cell once more (graceful stop)."""
        await self._checkpoint(self.cells, None)

    async def _checkpoint(self, cells: Iterable[Cell], consumer: Consumer | None) -> None:
        """Store the cells, each by one compare-and-set; with a consumer, also commit how far all have got."""
        offsets = {str(p): TopicOffset(self._topic_ids[p.topic], offset) for p, offset in self._next.items()}
        for cell in cells:
            if not cell.failed:
                await self._store(cell, offsets)
        if consumer is not None:
            await consumer.commit(
                {p: offset for p, offset in self._next.items() if p in consumer.assignment()}
            )
            self._since_checkpoint = 0
            self._checkpointed_at = self._ports.clock.now()

    async def _store(self, cell: Cell, offsets: dict[str, TopicOffset]) -> None:
        """Store a cell. The offsets are those of all cells together: one dictionary, made once a round."""
        try:
            checkpoint = cell.checkpoint(offsets, self._marks.of(cell))
        except USERS_ERRORS as error:
            self._fail(cell, error)
            return
        folds: dict[str, OrderFold] = cell.changed_folds
        await self._ports.checkpoints.save(*cell.key, cell.incarnation, checkpoint, folds)
        cell.stored(checkpoint)

    async def _produce(self, cells: Iterable[Cell], producer: Producer) -> None:
        """Produce what is stored. After the acknowledgement it may leave the next checkpoint."""
        for cell in cells:
            if cell.outbox and not cell.failed:
                with self._spans.sending(cell) as records:
                    await producer.send(records)
                now, exemplar = self._ports.clock.now(), self._tracer.exemplar
                self._cell_metrics[cell.key].produced(cell.outbox, now, exemplar)
                cell.acknowledged()
