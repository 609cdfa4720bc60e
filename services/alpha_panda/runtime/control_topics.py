"""Whose control topics keep which latches, and the records by which they are set and cleared there.

A latch of an account is told to its own `control` topic. One of a strategy is told to every account's of the prefix.
One of the platform is told to the installation's own topic, whose name is the same below every prefix; where there is no
installation the platform is one prefix, and all its accounts keep the latch.

Before its account may trade on a Redis that has lost its memory, each order-tracker puts back what any of these topics
keeps and what binds its account. It waits for no other account's: they may not be running.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.events import Envelope
from alpha_panda.contracts.scopes import PLATFORM, account_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.topics import TopicMap, TopicSpec, market_ticks, platform_control
from alpha_panda.domain.control_events import cleared_event, latch_event, latch_key
from alpha_panda.ports import EventBus, Outgoing

_NAME: Final = "name"
_TAILS: Final = frozenset(
    topic.removeprefix(f"{_NAME}.")
    for topic in (*(spec.name for spec in TopicMap(_NAME).specs(1)), market_ticks(_NAME))
)
_CONTROL: Final = TopicMap(_NAME).control.removeprefix(f"{_NAME}.")


def owner_of(topic: str, prefix: str) -> tuple[str, str] | None:
    """Return the name and the tail of a topic of this installation (`paper`, `signals.raw`); None of any other.

    Names have no dots, so that of `a.` and `a.b.` each knows its own.
    """
    if not topic.startswith(prefix):
        return None
    name, _, tail = topic.removeprefix(prefix).partition(".")
    return (name, tail) if name and tail in _TAILS else None


def account_names(topics: Iterable[str], prefix: str) -> list[str]:
    """Return the accounts that have a control topic, in order."""
    owners = (owner_of(topic, prefix) for topic in topics)
    return sorted(name for name, tail in filter(None, owners) if tail == _CONTROL)


def installation_topics(installation: str) -> tuple[TopicSpec, ...]:
    """Return the topics that an installation has beside its accounts' and feeds'."""
    return (platform_control(installation),) if installation else ()


async def control_topics(bus: EventBus, topics: TopicMap, installation: str) -> tuple[str, ...]:
    """Return the topics that may keep a latch that binds this account: its own first."""
    accounts = account_names(await bus.topics(), topics.prefix)
    others = (TopicMap(account, topics.prefix).control for account in accounts)
    platform = (spec.name for spec in installation_topics(installation))
    return tuple(dict.fromkeys((topics.control, *others, *platform)))


@dataclass(frozen=True, slots=True)
class Keeper:
    """A control topic that keeps a latch; `account`: whose it is, empty: the installation's."""

    topic: str
    account: str

    def told(self, latch: Latch) -> Outgoing:
        """Return the record that says that the latch is set."""
        return self._record(latch, latch_event(latch, self.account))

    def cleared(self, latch: Latch, *, reason: str, by: str, now: int) -> Outgoing:
        """Return the record that says that the latch is cleared: the same key, so that it is the last word."""
        return self._record(latch, cleared_event(latch, self.account, reason=reason, by=by, now=now))

    def _record(self, latch: Latch, event: Envelope) -> Outgoing:
        return Outgoing(self.topic, encode_event(event), key=latch_key(latch))


@dataclass(frozen=True, slots=True)
class Keepers:
    """Finds who keeps what, for one prefix of one installation (perhaps of none)."""

    bus: EventBus
    prefix: str
    installation: str

    def alone(self, scope: str) -> bool:
        """Whether the installation's topic alone keeps the latches of the scope, whatever accounts there are."""
        return scope == PLATFORM and bool(self.installation)

    def of(self, scope: str, accounts: Sequence[str]) -> list[Keeper]:
        """Return the topics that keep the latches of a scope; none, if it is an account that nobody knows."""
        if self.alone(scope):
            return [Keeper(spec.name, "") for spec in installation_topics(self.installation)]
        own = [account for account in accounts if account_scope(account) == scope]
        named = own if scope.startswith(account_scope("")) else accounts
        return [Keeper(TopicMap(account, self.prefix).control, account) for account in named]

    async def accounts(self, *scopes: str) -> list[str]:
        """Return the accounts of the prefix, if these scopes concern any, and create the installation's topic if they need it.

        Raises:
            TransientError: the bus does not answer.
            TopicMismatchError: somebody else has made the topic, with more than one partition.

        """
        if any(map(self.alone, scopes)):
            await self.bus.ensure_topics(installation_topics(self.installation))
        if all(map(self.alone, scopes)):
            return []
        return account_names(await self.bus.topics(), self.prefix)
