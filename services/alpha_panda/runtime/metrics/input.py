"""What of a service's input is not fetched yet, and what is fetched and not finished."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from alpha_panda.errors import AlphaPandaError

from .catalogue import LAG, QUEUE
from .metrics import Reading


class Reader(Protocol):
    """Who fetches records (`RecordReader`)."""

    @property
    def handed(self) -> Mapping[str, int]:
        """How many records of each topic were handed over last and may still be in hand."""

    async def lag(self) -> Mapping[str, int]:
        """Return how many records of each topic have not been fetched."""


class Loop(Protocol):
    """Who fetches and handles them (`ConsumeLoop`), and knows better what is in hand."""

    @property
    def reader(self) -> Reader:
        """Its reader."""

    def in_hand(self) -> Mapping[str, int]:
        """Return how many records of each topic are fetched and not finished."""


class InputFigures:
    """All readers of one service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._readers: list[Reader] = []
        self._loops: list[Loop] = []
        self._lag: dict[str, int] = {}
        self._measured = False

    @property
    def any(self) -> bool:
        """Whether the service reads anything."""
        return bool(self._readers or self._loops)

    def add(self, reader: Reader) -> None:
        """Add a reader of the service's own."""
        self._readers.append(reader)

    def add_loop(self, loop: Loop) -> None:
        """Add a consume loop."""
        self._loops.append(loop)

    async def measure(self) -> None:
        """Ask how far behind all readers are.

        Raises:
            TransientError: the bus can't tell. Then nothing is told: what was is not what is.

        """
        readers = (*self._readers, *(loop.reader for loop in self._loops))
        try:
            self._lag = total([await reader.lag() for reader in readers])
        except AlphaPandaError:
            self._measured = False
            raise
        self._measured = True

    def read(self) -> Iterator[Reading]:
        """Return lag, if it is known, and queue of each topic, 0 where there is nothing."""
        in_hand = [*(reader.handed for reader in self._readers), *(loop.in_hand() for loop in self._loops)]
        queue = {**dict.fromkeys(self._lag, 0), **total(in_hand)}
        for spec, found in ((LAG, self._lag if self._measured else {}), (QUEUE, queue)):
            for topic, records in found.items():
                yield Reading(spec, (self._service, topic), records)


def total(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums by name; what is 0 stays."""
    found: dict[str, int] = {}
    for count in counts:
        for name, number in count.items():
            found[name] = found.get(name, 0) + number
    return found
