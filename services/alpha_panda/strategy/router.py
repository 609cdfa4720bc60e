"""Which cells a record concerns: token → cells for ticks, (topic, strategy) → cell for news of orders.

Built once; a record that no cell wants costs one dictionary look-up, however many cells there are.
"""

from collections.abc import Iterable, Sequence

from alpha_panda.contracts.events import order_key
from alpha_panda.contracts.topics import key_partition, tick_partition
from alpha_panda.ports import TopicPartition

from .cell import Cell


class Router:
    """The runner's map from records to cells."""

    def __init__(
        self, cells: Iterable[Cell], ticks_topic: str, tick_partitions: int, order_partitions: int
    ) -> None:
        self._partition_of: dict[int, int] = {}
        self.by_token: dict[int, list[Cell]] = {}
        self._by_order: dict[tuple[str, str], Cell] = {}
        self.partitions_of: dict[tuple[str, str], tuple[TopicPartition, ...]] = {}
        for cell in cells:
            for token in cell.tokens:
                self.by_token.setdefault(token, []).append(cell)
                self._partition_of[token] = tick_partition(token, tick_partitions)
            for topic in account_topics(cell):
                self._by_order[topic, cell.spec.strategy_id] = cell
            self.partitions_of[cell.key] = tuple(
                _partitions(cell, ticks_topic, tick_partitions, order_partitions)
            )

    def tick_partition(self, token: int) -> int:
        """Return the partition of the ticks of a token that some cell wants (KeyError for another)."""
        return self._partition_of[token]

    def by_order(self, topic: str, key: str | None) -> tuple[Cell, ...]:
        """Return the cell, if any, that an order event or a rejection concerns.

        The key is `strategy_id:token`; external trades have a key of another make and concern nobody.
        """
        cell = self._by_order.get((topic, (key or "").rpartition(":")[0]))
        return () if cell is None else (cell,)

    def partitions(self) -> tuple[TopicPartition, ...]:
        """Return every partition that some cell needs, each once, in a fixed order."""
        wanted = dict.fromkeys(p for partitions in self.partitions_of.values() for p in partitions)
        return tuple(sorted(wanted, key=lambda p: (p.topic, p.partition)))

    def drop(self, cell: Cell) -> None:
        """Route nothing to the cell any more (new lists: a delivery may be walking the old ones)."""
        for token in cell.tokens:
            self.by_token[token] = [other for other in self.by_token[token] if other is not cell]
        for topic in account_topics(cell):
            self._by_order.pop((topic, cell.spec.strategy_id), None)
        self.partitions_of.pop(cell.key, None)


def account_topics(cell: Cell) -> Sequence[str]:
    """Return the topics that tell a cell what became of its signals."""
    topics = cell.spec.topics
    return (*topics.orders, topics.signals_rejected)


def _partitions(
    cell: Cell, ticks_topic: str, tick_partitions: int, order_partitions: int
) -> Iterable[TopicPartition]:
    ticks = sorted({tick_partition(token, tick_partitions) for token in cell.tokens})
    orders = sorted(
        {key_partition(order_key(cell.spec.strategy_id, token), order_partitions) for token in cell.tokens}
    )
    yield from (TopicPartition(ticks_topic, partition) for partition in ticks)
    for topic in account_topics(cell):
        yield from (TopicPartition(topic, partition) for partition in orders)
