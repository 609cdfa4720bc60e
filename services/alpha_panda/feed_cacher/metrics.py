"""What a feed-cacher counts and times."""

from alpha_panda.runtime.metrics.catalogue import (
    FEED_CACHER,
    TICK_TO_CACHE,
    TICKS_DROPPED,
    TICKS_PUBLISHED,
    TICKS_RECEIVED,
)
from alpha_panda.runtime.metrics.metrics import Metrics

OLD_EPOCH = "old_epoch"


class CacherMetrics:
    """Counters of one feed, moved once a write, and the latency of each record with ticks."""

    def __init__(self, metrics: Metrics, feed: str) -> None:
        self.received = metrics.counter(TICKS_RECEIVED, service=FEED_CACHER, feed=feed)
        self.written = metrics.counter(TICKS_PUBLISHED, service=FEED_CACHER, feed=feed)
        self.old_epoch = metrics.counter(TICKS_DROPPED, service=FEED_CACHER, feed=feed, reason=OLD_EPOCH)
        self.latency = metrics.timer(TICK_TO_CACHE, feed=feed)
