"""Times on their way into the scripts, which count in whole microseconds: Lua's numbers hold no more."""

NS_PER_US = 1_000


def span_us(ns: int) -> int:
    """Return nanoseconds as microseconds, rounded up.

    The store's clock shows whole microseconds: it has reached `ns` exactly when it has reached this.
    """
    return -(-ns // NS_PER_US)
