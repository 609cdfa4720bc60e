"""Redis key names: the only place that spells them. Memory stores use the same ones."""

from dataclasses import dataclass

from alpha_panda.contracts.scopes import PLATFORM


def tracker_lease(account: str) -> str:
    """Return the name of the lease whose epoch the order-tracker's journal writes carry."""
    return f"{account}:order-tracker"


def risk_lease(account: str) -> str:
    """Return the name of the lease that the account's one risk service holds."""
    return f"{account}:risk"


def strategy_lease(runner: str) -> str:
    """Return the name of the lease of a runner: named by its strategy, or by the feed if it hosts several."""
    return f"{runner}:strategy"


def feed_lease(feed: str) -> str:
    """Return the name of the lease whose epoch a feed's ticks carry."""
    return f"{feed}:market-feed"


def broker_user_lease(user: str) -> str:
    """Return the name of the lease that keeps two accounts from trading with one login at a broker."""
    return f"broker-user:{user}"


@dataclass(frozen=True, slots=True)
class KeyMap:
    """Names of all keys of one installation and namespace. `prefix` as in TopicMap.

    `installation`: one platform-wide halt binds all namespaces of an installation, so the platform's control keys
    carry its name instead of the prefix; empty: there is one prefix only.
    """

    prefix: str = ""
    installation: str = ""

    def price(self, feed: str, token: int) -> str:
        """Last quote of an instrument."""
        return f"{self.price_prefix(feed)}{token}"

    def price_prefix(self, feed: str) -> str:
        """What the price keys of a feed begin with; the token follows."""
        return f"{self.prefix}{feed}:instrument:price:"

    def heartbeat(self, feed: str) -> str:
        """Last proof that the feed's source is alive, by partition of its ticks, and the feed's epoch."""
        return f"{self.prefix}{feed}:heartbeat"

    def instruments(self, feed: str) -> str:
        """What the feed's symbols stand for, by the broker's list of the day."""
        return f"{self.prefix}{feed}:instruments"

    def watched(self, feed: str) -> str:
        """Tokens whose price ranges are published."""
        return f"{self.prefix}{feed}:watched"

    def ranges(self, feed: str, token: int) -> str:
        """Stream of price ranges of a watched token."""
        return f"{self.ranges_prefix(feed)}{token}"

    def ranges_prefix(self, feed: str) -> str:
        """What the range keys of a feed begin with; the token follows."""
        return f"{self.prefix}{feed}:ranges:"

    def ranges_cursor(self, feed: str) -> str:
        """The last number that a price range of the feed got."""
        return f"{self.prefix}{feed}:ranges-cursor"

    def journal(self, account: str) -> str:
        """Order entries by signal id."""
        return f"{self.prefix}{account}:journal"

    def journal_open(self, account: str) -> str:
        """Signal ids whose last state has not been acknowledged by Kafka."""
        return f"{self.prefix}{account}:journal:open"

    def journal_epoch(self, account: str) -> str:
        """`{run id, random}` written by the order-tracker."""
        return f"{self.prefix}{account}:journal:epoch"

    def journal_doubtful(self, account: str) -> str:
        """Signal ids in doubt; this and `:<order key>`, of each key by itself."""
        return f"{self.prefix}{account}:journal:doubtful"

    def journal_resting(self, account: str) -> str:
        """Signal ids of orders that rest."""
        return f"{self.prefix}{account}:journal:resting"

    def journal_tags(self, account: str) -> str:
        """Signal id by the broker's tag."""
        return f"{self.prefix}{account}:journal:tags"

    def journal_rate(self, account: str) -> str:
        """Times of the last second's orders."""
        return f"{self.prefix}{account}:journal:rate"

    def journal_sequence(self, account: str) -> str:
        """Counts the journal's changes; orders its indices."""
        return f"{self.prefix}{account}:journal:sequence"

    def pace(self, account: str, window: str) -> str:
        """Calls to the broker that were made in a window of time."""
        return f"{self.prefix}{account}:pace:{window}"

    def journal_facts(self, account: str) -> str:
        """What the order-tracker knows of the account at its broker, and which differences a person adopts."""
        return f"{self.prefix}{account}:journal:facts"

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
        return f"{self._of_scope(scope)}control:{scope}:spec"

    def control_latches(self, scope: str) -> str:
        """Latches by id; no expiry."""
        return f"{self._of_scope(scope)}control:{scope}:latch"

    def control_clears(self, scope: str) -> str:
        """Latches that manifests ask to be cleared, by scope and id: one key for all scopes but, perhaps, the platform."""
        return f"{self._of_scope(scope)}control:clears"

    def control_teardowns(self) -> str:
        """Strategies that are being deleted, by scope and uid."""
        return f"{self.prefix}control:teardowns"

    def _of_scope(self, scope: str) -> str:
        return f"{self.installation}:" if self.installation and scope == PLATFORM else self.prefix

    def owner(self) -> str:
        """Which installation owns the prefix."""
        return f"{self.prefix}owner"

    def lease(self, name: str) -> str:
        """Fenced lease of a singleton."""
        return f"{self.prefix}lease:{name}"

    def status(self, service: str, resource: str, instance: str) -> str:
        """What one replica of a service reports of itself; expires."""
        return f"{self.prefix}status:{service}:{resource}:{instance}"

    def status_index(self) -> str:
        """When each status expires."""
        return f"{self.prefix}status-index"
