"""Redis key names: the only place that spells them. Memory stores use the same ones."""

from dataclasses import dataclass


def tracker_lease(account: str) -> str:
    """Return the name of the lease whose epoch the order-tracker's journal writes carry."""
    return f"{account}:order-tracker"


def risk_lease(account: str) -> str:
    """Return the name of the lease that the account's one risk service holds."""
    return f"{account}:risk"


def strategy_lease(runner: str) -> str:
    """Return the name of the lease of a runner: named by its strategy, or by the feed if it hosts several."""
    return f"{runner}:strategy"


@dataclass(frozen=True, slots=True)
class KeyMap:
    """Names of all keys of one installation and namespace. `prefix` as in TopicMap."""

    prefix: str = ""

    def price(self, feed: str, token: int) -> str:
        """Last quote of an instrument."""
        return f"{self.prefix}{feed}:instrument:price:{token}"

    def heartbeat(self, feed: str) -> str:
        """Last proof that the feed's source is alive."""
        return f"{self.prefix}{feed}:heartbeat"

    def watched(self, feed: str) -> str:
        """Tokens whose price ranges are published."""
        return f"{self.prefix}{feed}:watched"

    def ranges(self, feed: str, token: int) -> str:
        """Stream of price ranges of a watched token."""
        return f"{self.prefix}{feed}:ranges:{token}"

    def journal(self, account: str) -> str:
        """Order entries by signal id."""
        return f"{self.prefix}{account}:journal"

    def journal_open(self, account: str) -> str:
        """Signal ids whose last state has not been acknowledged by Kafka."""
        return f"{self.prefix}{account}:journal:open"

    def journal_epoch(self, account: str) -> str:
        """`{run id, random}` written by the order-tracker."""
        return f"{self.prefix}{account}:journal:epoch"

    def decisions(self, account: str) -> str:
        """Risk's decisions by signal id."""
        return f"{self.prefix}{account}:decisions"

    def risk_epoch(self, account: str) -> str:
        """Risk's fencing epoch."""
        return f"{self.prefix}{account}:risk:epoch"

    def risk_snapshot(self, account: str) -> str:
        """Risk's offsets and book."""
        return f"{self.prefix}{account}:risk:snapshot"

    def order_folds(self, account: str) -> str:
        """Risk's fold of each order."""
        return f"{self.prefix}{account}:risk:folds"

    def checkpoint(self, strategy: str, account: str) -> str:
        """A strategy's checkpoint on one account."""
        return f"{self.prefix}{strategy}:{account}:checkpoint"

    def control_spec(self, scope: str) -> str:
        """Trading state that the manifest asks for; expires."""
        return f"{self.prefix}control:{scope}:spec"

    def control_latches(self, scope: str) -> str:
        """Latches by id; no expiry."""
        return f"{self.prefix}control:{scope}:latch"

    def lease(self, name: str) -> str:
        """Fenced lease of a singleton."""
        return f"{self.prefix}lease:{name}"

    def status(self, service: str, resource: str, instance: str) -> str:
        """What one replica of a service reports of itself; expires."""
        return f"{self.prefix}status:{service}:{resource}:{instance}"
