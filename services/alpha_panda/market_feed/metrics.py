"""What the market-feed tells of its feed."""

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.runtime.metrics.catalogue import MARKET_FEED, TICKS_DROPPED, TICKS_PUBLISHED, TICKS_RECEIVED
from alpha_panda.runtime.metrics.metrics import Metrics

BAD_ROW = "bad_row"
CONFLATED = "conflated"


class FeedMetrics:
    """Counters of one feed, moved once a batch."""

    def __init__(self, metrics: Metrics, feed: str) -> None:
        self.received = metrics.counter(TICKS_RECEIVED, service=MARKET_FEED, feed=feed)
        self.published = metrics.counter(TICKS_PUBLISHED, service=MARKET_FEED, feed=feed)
        self.bad_rows = metrics.counter(TICKS_DROPPED, service=MARKET_FEED, feed=feed, reason=BAD_ROW)
        self.conflated = metrics.counter(TICKS_DROPPED, service=MARKET_FEED, feed=feed, reason=CONFLATED)


def age(now: int, moment: int | None, begun: int) -> float:
    """Return the seconds since a moment; since the feed began if it has not come yet. Never negative."""
    return max(0, now - (begun if moment is None else moment)) / SECOND_NS
