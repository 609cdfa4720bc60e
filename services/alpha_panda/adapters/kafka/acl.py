"""The rights that the user of each role needs in Kafka: topics by what is done with them, and the groups it reads as.

docs/reference/kafka-acl.md has them as commands. They are for a broker that lets nobody do what no rule allows. Names are
literal: Kafka's patterns end in a wildcard, ours would have it in the middle.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

from alpha_panda.contracts.topics import TopicMap, dlq, market_ticks, platform_control

ENSURE: Final = ("Create", "Describe", "DescribeConfigs")
"""What it takes to make a topic at the start unless it is there, and to look at how it is set."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Names of topics, and of groups.

    Attributes:
        ensures: topics that are made at the start, if they are missing, and looked at.
        reads: topics whose records and offsets are read.
        writes: topics that records go to.
        purges: topics whose records are deleted.
        groups: consumer groups that offsets are stored under.
        watches: groups whose stored offsets are looked at.

    """

    ensures: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    purges: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    watches: frozenset[str] = frozenset()

    def __or__(self, other: "Rights") -> "Rights":
        """Return the rights of one who is both."""
        return Rights(
            self.ensures | other.ensures,
            self.reads | other.reads,
            self.writes | other.writes,
            self.purges | other.purges,
            self.groups | other.groups,
            self.watches | other.watches,
        )

    @property
    def grants(self) -> tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]:
        """Rules: operations, kind of resource (`topic`, `group`), names; none without a name."""
        rules = (
            (ENSURE, "topic", self.ensures),
            (("Read",), "topic", self.reads),
            (("Write",), "topic", self.writes),
            (("Delete",), "topic", self.purges),
            (("Read",), "group", self.groups),
            (("Describe",), "group", self.watches),
        )
        return tuple((operations, kind, tuple(sorted(names))) for operations, kind, names in rules if names)


def market_feed_rights(prefix: str, feed: str) -> Rights:
    """Return what a market-feed needs: to write its ticks."""
    ticks = frozenset({market_ticks(feed, prefix)})
    return Rights(ensures=ticks, writes=ticks)


def feed_cacher_rights(prefix: str, feed: str) -> Rights:
    """Return what a feed-cacher needs: to read the ticks, and to set aside what it can't read."""
    ticks = market_ticks(feed, prefix)
    return Rights(
        ensures=frozenset({ticks, dlq(ticks)}),
        reads=frozenset({ticks}),
        writes=frozenset({dlq(ticks)}),
        groups=frozenset({f"{prefix}{feed}.feed-cacher"}),
    )


def strategy_rights(prefix: str, strategy: str, feed: str, accounts: Iterable[str]) -> Rights:
    """Return what a strategy's runner needs: signals to write, what became of them to read. It runs its user's code."""
    ticks = frozenset({market_ticks(feed, prefix)})
    of_accounts = (_strategy_on(TopicMap(account, prefix)) for account in accounts)
    own = Rights(ensures=ticks, reads=ticks, groups=frozenset({f"{prefix}{strategy}.strategy"}))
    return reduce(or_, of_accounts, own)


def _strategy_on(topics: TopicMap) -> Rights:
    letters = dlq(topics.signals_rejected)
    return Rights(
        ensures=_all(topics) | {letters},
        reads=frozenset({*topics.orders, topics.signals_rejected}),
        writes=frozenset({topics.signals_raw, topics.signals_rejected, letters}),
    )


def risk_rights(prefix: str, account: str, others: Iterable[str] = (), installation: str = "") -> Rights:
    """Return what risk needs: its decisions to write, and strategies' shares in what somebody else has traded.

    It tells of latches that it clears wherever they are kept.

    Args:
        prefix: of the topics.
        account: whose.
        others: accounts of the prefix beside it, whose control topics keep the latches of strategies too.
        installation: whose platform's latches are kept in a topic of their own; empty: there is none.

    """
    topics = TopicMap(account, prefix)
    inputs = (topics.signals_raw, *topics.orders)
    letters = frozenset(map(dlq, inputs))
    return Rights(
        ensures=_all(topics) | letters | _platform(installation),
        reads=frozenset(inputs),
        writes=letters
        | {topics.signals_validated, topics.signals_rejected, topics.portfolio, topics.control}
        | {topics.orders_updated}
        | _controls(prefix, others)
        | _platform(installation),
        groups=frozenset({f"{prefix}{account}.risk"}),
    )


def engine_rights(prefix: str, account: str) -> Rights:
    """Return what an engine needs: to read what risk has decided, to write what became of it."""
    topics = TopicMap(account, prefix)
    letters = dlq(topics.signals_validated)
    return Rights(
        ensures=_all(topics) | {letters},
        reads=frozenset({topics.signals_validated}),
        writes=frozenset({*topics.orders, letters}),
        groups=frozenset({f"{prefix}{account}.engine"}),
    )


def order_tracker_rights(
    prefix: str, account: str, others: Iterable[str] = (), installation: str = ""
) -> Rights:
    """Return what an order-tracker needs: all that Kafka keeps of its account, when Redis comes back without it."""
    topics = TopicMap(account, prefix)
    rested = (topics.orders_submitted, topics.orders_filled)
    letters = frozenset(map(dlq, rested))
    return Rights(
        ensures=_all(topics) | letters | _platform(installation),
        reads=frozenset({*topics.orders, topics.signals_validated, topics.signals_rejected, topics.control})
        | _controls(prefix, others)
        | _platform(installation),
        writes=frozenset({*topics.orders, topics.control}) | letters,
        groups=frozenset({f"{prefix}{account}.order-tracker"}),
    )


def person_rights(
    prefix: str, accounts: Iterable[str], installation: str = "", feeds: Iterable[str] = ()
) -> Rights:
    """Return what a person needs: latches to tell, dead letters to read, to send again and to delete; all to look at.

    With no account it is the platform alone: for `halt --all`, as in the operator's pod. `feeds`: those whose ticks
    `explain` and `status` look at.
    """
    platform = Rights(ensures=_platform(installation), writes=_platform(installation))
    looking = (_person_at(prefix, feed) for feed in feeds)
    own = (_person_on(TopicMap(account, prefix)) for account in accounts)
    return reduce(or_, (*own, *looking), platform)


def _person_at(prefix: str, feed: str) -> Rights:
    ticks = market_ticks(feed, prefix)
    return Rights(reads=frozenset({ticks, dlq(ticks)}), watches=frozenset({f"{prefix}{feed}.feed-cacher"}))


def _person_on(topics: TopicMap) -> Rights:
    inputs = frozenset(
        {topics.signals_raw, topics.signals_validated, topics.signals_rejected, *topics.orders}
    )
    letters = frozenset(map(dlq, inputs))
    services = ("risk", "engine", "order-tracker")
    return Rights(
        reads=letters | _all(topics),
        writes=inputs | {topics.control},
        purges=letters,
        watches=frozenset(f"{topics.prefix}{topics.account}.{service}" for service in services),
    )


def all_roles(
    prefix: str, *, feed: str, account: str, strategy: str, installation: str = ""
) -> dict[str, Rights]:
    """Return the rights of every role that speaks to Kafka, for one feed, one account on it, one strategy on both."""
    return {
        "market-feed": market_feed_rights(prefix, feed),
        "feed-cacher": feed_cacher_rights(prefix, feed),
        "strategy": strategy_rights(prefix, strategy, feed, [account]),
        "risk": risk_rights(prefix, account, installation=installation),
        "engine": engine_rights(prefix, account),
        "order-tracker": order_tracker_rights(prefix, account, installation=installation),
        "person": person_rights(prefix, [account], installation, [feed]),
    }


def _all(topics: TopicMap) -> frozenset[str]:
    """Every service of an account makes all of its topics: none waits for another's start."""
    return frozenset(spec.name for spec in topics.specs(1))


def _controls(prefix: str, accounts: Iterable[str]) -> frozenset[str]:
    return frozenset(TopicMap(account, prefix).control for account in accounts)


def _platform(installation: str) -> frozenset[str]:
    return frozenset({platform_control(installation).name}) if installation else frozenset()
