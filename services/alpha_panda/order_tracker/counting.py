"""How many orders rest, are in doubt or untold, in all and of each strategy: what a deletion waits for."""

from collections import Counter
from collections.abc import Mapping

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.status_details import Detail, StrategyOrders, TrackerFigures, strategy_details
from alpha_panda.contracts.stored import TeardownRequest
from alpha_panda.ports import Clock, OrderJournal

from .metrics import OrderFigures

PAGE = 500
"""Untold orders that are read at a time."""


class OrderCount:
    """The last count, and the counting."""

    def __init__(self, account: str, journal: OrderJournal, clock: Clock) -> None:
        self._account = account
        self._journal = journal
        self._clock = clock
        self.metrics = OrderFigures(account)
        self._figures = TrackerFigures()
        self._strategies: dict[str, StrategyOrders] = {}
        self._first: tuple[str, ...] = ()

    async def count(self, resources: ResourceSet, torn_down: Mapping[str, TeardownRequest]) -> None:
        """Count once. What was counted is of this moment or later: an order that moved on meanwhile counts twice."""
        now = self._clock.now()
        epoch = await self._journal.epoch()
        in_doubt, at_rest = await self._journal.in_doubt(), await self._journal.resting()
        untold = await self._untold()
        doubt = Counter(entry.signal.strategy_id for entry in in_doubt)
        resting = Counter(entry.signal.strategy_id for entry in at_rest)
        self.metrics.look([*in_doubt, *at_rest], untold.total(), now)
        # A store that came back meanwhile, without its memory, has nothing to count: that is no count.
        reconciled = epoch is not None and await self._journal.epoch() == epoch
        uids = {item.name: item.metadata.uid or "" for item in resources.strategies_of(self._account)}
        uids |= {name: request.uid for name, request in torn_down.items()}
        self._figures = TrackerFigures(
            reconciled=reconciled,
            in_doubt=doubt.total(),
            open=untold.total(),
            resting=resting.total(),
            counted_ts=now,
        )
        self._first = tuple(torn_down)
        self._strategies = {
            name: StrategyOrders(
                uid=uids.get(name, ""), resting=resting[name], open=untold[name], doubt=doubt[name]
            )
            for name in dict.fromkeys((*torn_down, *doubt, *resting, *untold, *uids))
            if name in torn_down or doubt[name] or resting[name] or untold[name]
        }

    async def _untold(self) -> Counter[str]:
        found: Counter[str] = Counter()
        after: int | None = 0
        while after is not None:
            page = await self._journal.open_page(after, PAGE)
            found.update(entry.signal.strategy_id for entry in page.entries if not entry.state.in_doubt)
            after = page.after
        return found

    def details(self) -> dict[str, Detail]:
        """Return the last count; strategies of which there is nothing to tell are left out."""
        return {**self._figures.details(), **strategy_details(self._strategies, self._first)}
