"""A market source of made-up prices."""

from collections.abc import AsyncIterator, Iterator, Sequence

from alpha_panda.adapters.batching import batch_end, cut
from alpha_panda.adapters.pacing import Pacer
from alpha_panda.adapters.simulated.model import PriceModel, SimulatedOptions
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.errors import SourceError
from alpha_panda.ports import Clock, SourceBatch


class SimulatedSource:
    """Ticks without end. On a virtual clock they drive the time, from `start_ts` on; on a wall clock `speed` does.

    Prices depend on the options and the instruments alone: a late or stopped process changes when a tick comes,
    never what it says.
    """

    mode = FeedMode.SIMULATED

    def __init__(self, options: SimulatedOptions, clock: Clock, begin_ts: int | None = None) -> None:
        """`begin_ts`: when the feed began, for one that goes on; None: it begins with its first batch."""
        self._options = options
        self._clock = clock
        self._begin_ts = begin_ts

    @property
    def exhausted(self) -> bool:
        """Return False: a simulation never ends."""
        return False

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        """Yield ticks of all instruments, each batch when its last tick is due.

        Raises:
            SourceError: there is no instrument.

        """
        options, clock = self._options, self._clock
        if not instruments:
            raise SourceError("the simulated feed needs at least one instrument")
        begin = clock.now() if self._begin_ts is None else self._begin_ts
        if clock.virtual:
            begin = max(options.start_ts, begin)
        pacer = Pacer(
            clock, options.speed, alive_every_ns=options.alive_every_ns, max_lag_ns=options.max_lag_ns
        )
        pacer.due(begin)  # the feed begins now, its first tick comes a little later
        for batch in _batches(PriceModel(options, instruments), options):
            last = begin + batch.ts[-1]
            while not await pacer.step(last):
                yield SourceBatch((), (), ())
            batch.ts = [pacer.due(begin + offset) for offset in batch.ts]
            yield batch


def _batches(model: PriceModel, options: SimulatedOptions) -> Iterator[SourceBatch]:
    """Yield the model's ticks in full batches, whatever its blocks are; `ts` from the feed's begin."""
    pending = model.block()
    while True:
        while len(pending.ts) < options.batch_max_ticks and _span(pending) <= options.batch_max_delay_ns:
            pending = _join(pending, model.block())
        end = batch_end(pending.ts, 0, options.batch_max_ticks, options.batch_max_delay_ns)
        yield cut(pending, 0, end)
        pending = cut(pending, end, len(pending.ts)) if end < len(pending.ts) else model.block()


def _span(batch: SourceBatch) -> int:
    return batch.ts[-1] - batch.ts[0]


def _join(first: SourceBatch, second: SourceBatch) -> SourceBatch:
    return SourceBatch(
        tokens=[*first.tokens, *second.tokens],
        prices=[*first.prices, *second.prices],
        ts=[*first.ts, *second.ts],
        volumes=[*(first.volumes or ()), *(second.volumes or ())],
        bids=[*(first.bids or ()), *(second.bids or ())],
        asks=[*(first.asks or ()), *(second.asks or ())],
    )
