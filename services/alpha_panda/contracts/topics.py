"""Topic names: the only place that spells them, and the function that maps a token to its partition."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

DLQ_SUFFIX: Final = ".dlq"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a service expects of a topic: a count of partitions that never changes, and whether it is compacted.

    `short_lived`: its records are worthless after a day or so (ticks); all others are kept for over a week.
    """

    name: str
    partitions: int
    compacted: bool = False
    short_lived: bool = False


@dataclass(frozen=True)
class TopicMap:
    """Names of one account's topics. `prefix` goes before all: empty embedded, `<namespace>.` in a cluster."""

    account: str
    prefix: str = ""

    def _name(self, suffix: str) -> str:
        return f"{self.prefix}{self.account}.{suffix}"

    @cached_property
    def signals_raw(self) -> str:
        """From strategies to risk. Always one partition: risk decides in one order."""
        return self._name("signals.raw")

    @cached_property
    def signals_validated(self) -> str:
        """From risk to the engines."""
        return self._name("signals.validated")

    @cached_property
    def signals_rejected(self) -> str:
        """From risk to whoever asks why; terminal."""
        return self._name("signals.rejected")

    @cached_property
    def orders_submitted(self) -> str:
        """ORDER_PLACED: the order rests at the venue."""
        return self._name("orders.submitted")

    @cached_property
    def orders_filled(self) -> str:
        """ORDER_FILLED, partial ones too (cumulative quantity)."""
        return self._name("orders.filled")

    @cached_property
    def orders_failed(self) -> str:
        """ORDER_FAILED: refused, expired or lost; terminal."""
        return self._name("orders.failed")

    @cached_property
    def orders_cancelled(self) -> str:
        """ORDER_CANCELLED with the final filled quantity; terminal."""
        return self._name("orders.cancelled")

    @cached_property
    def orders_updated(self) -> str:
        """ORDER_UPDATED: anything else the order-tracker learns, corrections among it."""
        return self._name("orders.updated")

    @cached_property
    def portfolio(self) -> str:
        """PORTFOLIO_SNAPSHOT, compacted: output, never a source."""
        return self._name("portfolio")

    @cached_property
    def control(self) -> str:
        """Latches, compacted: survives the loss of Redis."""
        return self._name("control")

    @cached_property
    def orders(self) -> tuple[str, ...]:
        """All `orders.*` topics."""
        return (
            self.orders_submitted,
            self.orders_filled,
            self.orders_failed,
            self.orders_cancelled,
            self.orders_updated,
        )

    def specs(self, order_partitions: int) -> tuple[TopicSpec, ...]:
        """Return every topic of the account; orders and decisions have `order_partitions`, the others one."""
        spread = (self.signals_validated, self.signals_rejected, *self.orders)
        return (
            TopicSpec(self.signals_raw, 1),
            *(TopicSpec(name, order_partitions) for name in spread),
            TopicSpec(self.portfolio, 1, compacted=True),
            TopicSpec(self.control, 1, compacted=True),
        )


def market_ticks(feed: str, prefix: str = "") -> str:
    """Return the topic of a feed's ticks."""
    return f"{prefix}{feed}.market.ticks"


def ticks_topic(feed: str, partitions: int, prefix: str = "") -> TopicSpec:
    """Return the topic of a feed's ticks: worthless after a day, and by far the largest."""
    return TopicSpec(market_ticks(feed, prefix), partitions, short_lived=True)


def platform_control(installation: str) -> TopicSpec:
    """Return the topic that keeps what halts a whole installation, whatever prefixes its accounts have.

    It can be no account's: those of any prefix have one more part.
    """
    return TopicSpec(f"{installation}.platform-control", 1, compacted=True)


def dlq(topic: str) -> str:
    """Return the dead letter queue of a topic."""
    return topic + DLQ_SUFFIX


def tick_partition(token: int, partitions: int) -> int:
    """Return the partition of a token's ticks; the producer sets it, readers compute it.

    Tokens of one exchange often share their low bits (Kite: the low byte is the segment), so they are mixed
    first (Fibonacci hashing, Knuth, TAOCP 3, 6.4).
    """
    return ((token * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF) * partitions >> 64


def key_partition(key: str, partitions: int) -> int:
    """Return the partition of a keyed record: FNV-1a over the key's UTF-8, so that all clients agree."""
    value = 0xCBF29CE484222325
    for byte in key.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value % partitions
