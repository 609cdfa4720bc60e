"""Gathers what `alpha-panda status` tells of an installation: what does not answer is a line of it, never its end."""

from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import ControlReading, JournalEntry, ServiceStatus
from alpha_panda.contracts.topics import TopicMap, market_ticks
from alpha_panda.domain.overview import (
    ENGINE,
    FEED_CACHER,
    RISK,
    TRACKER,
    Facts,
    Lag,
    strategies_of,
)
from alpha_panda.errors import TransientError
from alpha_panda.ports import Subscription, TopicPartition
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.control_topics import owner_of
from alpha_panda.runtime.settings import Settings

from .installation import BUS, STORE, account_names, bounded, dead_letter_queues
from .record_search import RecordSearch

T = TypeVar("T")

_TICKS_TAIL: Final = market_ticks("").removeprefix(".")


class Overlook:
    """Looks once at everything. `accounts`: only these, and what all share; none: all."""

    def __init__(self, ports: Ports, settings: Settings, accounts: Sequence[str] = ()) -> None:
        self._ports = ports
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._seconds = settings.command_timeout_seconds
        self._only = tuple(accounts)
        self._problems: list[str] = []
        self._mute: set[str] = set()

    async def facts(self) -> Facts:
        """Return what was found; never raises for what Kafka or Redis does."""
        topics = await self._asked(BUS, self._ports.bus.topics(), frozenset[str]())
        reports = await self._asked(STORE, self._ports.statuses.all(), None)
        statuses = reports or []
        accounts, feeds = self._names(topics, statuses)
        statuses = [item for item in statuses if self._ours(item, accounts)]
        scopes = [PLATFORM, *map(account_scope, accounts), *map(strategy_scope, strategies_of(statuses))]
        controls = await self._asked(STORE, self._ports.control.read(scopes), tuple[ControlReading, ...]())
        doubt, ready = {}, {}
        for account in accounts:
            journal = self._ports.journal(account)
            doubt[account] = await self._asked(STORE, journal.in_doubt(), list[JournalEntry]())
            ready[account] = await self._epoch(account)
        return Facts(
            now=self._ports.clock.now(),
            accounts=accounts,
            feeds=feeds,
            statuses=statuses,
            controls={reading.scope: reading for reading in controls},
            doubt=doubt,
            ready=ready,
            lags=await self._lags(statuses),
            letters=await self._letters(topics, accounts, feeds),
            problems=tuple(dict.fromkeys(self._problems)),
            reported=reports is not None,
        )

    def _names(
        self, topics: frozenset[str], statuses: Sequence[ServiceStatus]
    ) -> tuple[list[str], list[str]]:
        """Return accounts and feeds: those that have topics, and those that a service reports of."""
        owners = filter(None, (owner_of(topic, self._prefix) for topic in topics))
        feeds = {name for name, tail in owners if tail == _TICKS_TAIL}
        feeds |= {item.resource for item in statuses if item.service == FEED_CACHER}
        accounts = {*account_names(topics, self._prefix)}
        accounts |= {item.resource for item in statuses if item.service == RISK}
        return sorted(accounts.intersection(self._only) if self._only else accounts), sorted(feeds)

    def _ours(self, status: ServiceStatus, accounts: Sequence[str]) -> bool:
        of_account = status.service in (RISK, ENGINE, TRACKER)
        return not of_account or not self._only or status.resource in accounts

    async def _epoch(self, account: str) -> bool:
        """Whether the account's journal may be written; true if nobody can tell, which is told once already."""
        unknown = "?"
        return await self._asked(STORE, self._ports.journal(account).epoch(), unknown) is not None

    async def _asked(self, whom: str, asking: Coroutine[Any, Any, T], instead: T) -> T:
        """Return the answer, or `instead`, with a line that says why. Who has once not answered in time is asked no more."""
        if whom in self._mute:
            asking.close()
            return instead
        try:
            return await bounded(whom, self._seconds, asking)
        except TransientError as error:
            if isinstance(error.__cause__, TimeoutError):
                self._mute.add(whom)
            self._problems.append(f"{whom} does not answer: {error}")
            return instead

    # ---------------------------------------------------------------------------------- lags and dead letters

    async def _lags(self, statuses: Sequence[ServiceStatus]) -> list[Lag]:
        """Return how far the groups of services that run are behind."""
        found = []
        for group, topics in self._groups(statuses).items():
            for topic in topics:
                lag = await self._asked(BUS, self._lag(group, topic), None)
                if lag is not None:
                    found.append(lag)
        return found

    def _groups(self, statuses: Sequence[ServiceStatus]) -> dict[str, tuple[str, ...]]:
        groups: dict[str, tuple[str, ...]] = {}
        for status in statuses:
            topics = TopicMap(status.resource, self._prefix)
            read: dict[str, tuple[str, ...]] = {
                ENGINE: (topics.signals_validated,),
                TRACKER: (topics.orders_submitted, topics.orders_filled),
                FEED_CACHER: (market_ticks(status.resource, self._prefix),),
                RISK: (topics.signals_raw, *topics.orders),
            }
            if status.service in read:
                groups[f"{self._prefix}{status.resource}.{status.service}"] = read[status.service]
        return groups

    async def _lag(self, group: str, topic: str) -> Lag | None:
        """Return the records that the group has not committed: all there are, if it has never; None if there are none."""
        ranges = {p: span for p, span in (await self._ports.bus.offsets(topic)).items() if span[0] < span[1]}
        if not ranges:
            return None
        async with self._ports.bus.consumer(Subscription(group, partitions=tuple(ranges))) as consumer:
            committed = {partition: await consumer.committed(partition) for partition in ranges}
        told = {p: ranges[p][0] if offset is None else offset for p, offset in committed.items()}
        behind = {p: ranges[p][1] - max(at, ranges[p][0]) for p, at in told.items() if at < ranges[p][1]}
        if not behind:
            return Lag(group=group, topic=topic, records=0)
        age = await self._oldest({p: max(told[p], ranges[p][0]) for p in behind})
        return Lag(group=group, topic=topic, records=sum(behind.values()), age=age)

    async def _oldest(self, places: dict[TopicPartition, int]) -> int | None:
        """Return the age of the oldest of these records."""
        search = RecordSearch(self._ports.bus, self._settings)
        records = [await search.one(partition, offset) for partition, offset in places.items()]
        times = [record.timestamp for record in records if record is not None]
        return self._ports.clock.now() - min(times) if times else None

    async def _letters(
        self, topics: frozenset[str], accounts: Sequence[str], feeds: Sequence[str]
    ) -> dict[str, int]:
        """Return how many records each dead letter queue holds."""
        found: dict[str, int] = {}
        for queue in dead_letter_queues(topics, self._prefix):
            name = queue.removeprefix(self._prefix).partition(".")[0]
            if name in accounts or name in feeds:
                ranges = await self._asked(BUS, self._ports.bus.offsets(queue), {})
                found[queue] = sum(end - oldest for oldest, end in ranges.values())
        return found
