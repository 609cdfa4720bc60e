"""Which ticks the runner and its cells have seen: per token by (feed epoch, sequence). What is not newer is dropped."""

from collections.abc import Callable, Iterable
from typing import Final

from alpha_panda.contracts.events import Tick

from .cell import Cell

Seen = tuple[int, int]
NOTHING: Final[Seen] = (0, 0)


class Watermarks:
    """The runner's marks, and those of cells that were stored further on than the others.

    `epochs` is by partition, `sequences` by token within the present epoch of its partition: the runner's loop
    reads them on every tick.
    """

    def __init__(self, partition_of: Callable[[int], int]) -> None:
        self.epochs: dict[int, int] = {}
        self.sequences: dict[int, int] = {}
        self._partition_of = partition_of
        self._ahead: dict[tuple[str, str], dict[int, Seen]] = {}

    def resume(self, cells: Iterable[Cell]) -> None:
        """Begin at the cell that is furthest behind; a cell ahead of it drops what it has seen."""
        living = tuple(cells)
        least: dict[int, Seen] = {}
        for cell in living:
            for token in cell.tokens:
                seen = cell.sequences.get(token, NOTHING)
                least[token] = min(seen, least.get(token, seen))
        for token, (epoch, _) in least.items():
            partition = self._partition_of(token)
            self.epochs[partition] = min(epoch, self.epochs.get(partition, epoch))
        self.sequences |= {
            token: seq
            for token, (epoch, seq) in least.items()
            if seq and epoch == self.epochs[self._partition_of(token)]
        }
        for cell in living:
            self._hold_back(cell)

    def begin_epoch(self, partition: int, epoch: int) -> None:
        """Take note of a newer feed epoch: its sequences start anew."""
        self.epochs[partition] = epoch
        for token in [token for token in self.sequences if self._partition_of(token) == partition]:
            del self.sequences[token]

    def of(self, cell: Cell) -> dict[int, Seen]:
        """Return what the cell has seen, for its checkpoint.

        A token without a tick in the present epoch has (epoch, 0): also after a restart an older epoch is refused.
        """
        marks = {}
        for token in cell.tokens:
            mark = self._mark(token)
            if mark != NOTHING:
                marks[token] = mark
        for token, seen in self._ahead.get(cell.key, {}).items():
            marks[token] = max(seen, marks.get(token, NOTHING))
        return marks

    def _mark(self, token: int) -> Seen:
        return self.epochs.get(self._partition_of(token), 0), self.sequences.get(token, 0)

    def _hold_back(self, cell: Cell) -> None:
        """Wrap the cell's delivery until it has got, of each token, the first tick that it had not seen."""
        ahead = {
            token: seen
            for token in cell.tokens
            if (seen := cell.sequences.get(token, NOTHING)) > self._mark(token)
        }
        if not ahead:
            return
        self._ahead[cell.key] = ahead
        inner, epochs, partition_of = cell.deliver, self.epochs, self._partition_of

        def deliver(tick: Tick) -> None:
            seen = ahead.get(tick.token)
            if seen is not None:
                if (epochs.get(partition_of(tick.token), 0), tick.seq) <= seen:
                    return
                del ahead[tick.token]
                if not ahead:
                    cell.deliver = inner
            inner(tick)

        cell.deliver = deliver
