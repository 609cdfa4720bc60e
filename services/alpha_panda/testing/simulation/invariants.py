"""What holds of every run once it has come to rest (DESIGN sections 1 and 4)."""

from collections import Counter
from decimal import Decimal
from typing import Any, cast

import msgspec

from alpha_panda.adapters.memory.journal_state import JournalState
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.events import CancelRequest, Envelope, OrderUpdate, Signal
from alpha_panda.contracts.status_details import risk_strategies
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.topics import DLQ_SUFFIX
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import AlphaPandaError
from alpha_panda.strategy.cell import Cell
from alpha_panda.strategy.runner import Runner  # noqa: TC001 - one style of imports
from alpha_panda.testing.simulation.plan import TOKENS
from alpha_panda.testing.simulation.settled import ACCOUNTS, holding, of_yesterday, read, snapshot_of
from alpha_panda.testing.simulation.told import Told, decides
from alpha_panda.testing.simulation.world import EXPECTED_ENDS, LIVE, World, resources, seconds, settings
from alpha_panda.testing.virtual_time import START

Held = dict[int, Decimal]


class Verdict:
    """Judges a world at rest. `violations` begins with what was seen while it ran, and what never came to rest."""

    def __init__(self, world: World, seen: list[str], rested: list[str]) -> None:
        self.world = world
        self.violations = [*seen, *(f"never came to rest: {what}" for what in rested)]

    def judge(self) -> None:
        """Find everything that does not hold."""
        self._processes()
        for account in ACCOUNTS:
            told = Told(account, self.world.records)
            self._calls(told)
            self._repeats(told)
            self._ends(told)
            self._cancels(told)
            self._journal(told)
            self._books(told)
            self._contents(told)
            for name, strategy in resources().strategies.items():
                if account not in strategy.spec.accounts:
                    continue
                if name in self.world.deleted:
                    self._flattened(name, told)
                elif self.world.pods[f"strategy/{name}"].ready:
                    self._strategy(name, told)
            if account == LIVE:
                self._lost(told)
                self._orders()

    def _say(self, text: str) -> None:
        self.violations.append(text)

    # ---------------------------------------------------------------------------------- processes and calls

    def _processes(self) -> None:
        """No process ends but by an error of the kinds that a new start heals; asyncio has nothing to complain of."""
        for at, name, error in self.world.ends:
            if not isinstance(error, EXPECTED_ENDS):
                self._say(f"{name} ended at {seconds(at)} with {error!r}")
        for problem in self.world.loop.problems:
            error = problem.get("exception")
            if not isinstance(error, AlphaPandaError):
                self._say(f"asyncio: {problem.get('message')}: {error!r}")

    def _calls(self, told: Told) -> None:
        """At most one broker call a signal id, and with the content that its strategy gave it."""
        calls = [call for call in self.world.calls if call.account == told.account]
        for signal_id, times in Counter(call.entry.signal_id for call in calls).items():
            if times > 1:
                who = [f"{c.process} at {seconds(c.at)}" for c in calls if c.entry.signal_id == signal_id]
                self._say(f"{told.account}: {times} broker calls for {signal_id}: {', '.join(who)}")
        for call in calls:
            if told.raw.get(call.entry.signal_id) != call.entry.signal:
                self._say(
                    f"{told.account}: {call.entry.signal_id} was sent with another content than was given it"
                )

    # ---------------------------------------------------------------------------------------------- events

    def _repeats(self, told: Told) -> None:
        """An event that comes again says the same; only who says it may differ."""
        seen: dict[str, Envelope] = {}
        for record, event in told.events:
            if record.topic.endswith((".signals.raw", ".control")) or not decides(event):
                continue  # people echo and tamper there
            bare = msgspec.structs.replace(event, source="")
            if seen.setdefault(event.id, bare) != bare:
                changed = difference(seen[event.id], bare)
                self._say(
                    f"{told.account}: event {event.id} ({event.type}) came again with another content: {changed}"
                )

    def _ends(self, told: Told) -> None:
        """Every signal has one terminal outcome, or rests; a correction goes with a latch."""
        strays, yesterday = told.strays(), of_yesterday(self.world, told.account)
        for signal_id in {**told.raw, **told.validated}:
            ends = told.ends(signal_id)
            if signal_id in told.corrected:
                if not ends or not told.late_latch:
                    self._say(
                        f"{told.account}: {signal_id} was corrected, with the ends {ends} or without a latch"
                    )
            elif len(ends) == 1 or signal_id in told.cancels or self._rests(told.account, signal_id):
                continue
            elif ends:
                self._two_words(told, signal_id, ends)
            elif signal_id in yesterday:
                self.world.counts["left to a person: its day is over"] += 1
            elif broker_tag(signal_id) in strays:
                self.world.counts["booked by its tag alone"] += 1
            elif signal_id not in told.letters:
                self._say(f"{told.account}: {signal_id} has the ends []")

    def _two_words(self, told: Told, signal_id: str, ends: list[str]) -> None:
        """Accept two ends where risk has noticed and latched: a paper order that its store had forgotten.

        And LOST beside FAILED after the store came back: an engine that slept settles what the store forgot was LOST.
        Both say that nothing was traded.
        """
        forgetful = any(name.startswith("store returned") for name in self.world.counts)
        if told.contradicted(signal_id):
            self.world.counts["two words of one order, and a latch"] += 1
        elif forgetful and sorted(ends) == ["FAILED", "LOST"]:
            self.world.counts["LOST and FAILED: nothing was traded, said twice"] += 1
        else:
            self._say(f"{told.account}: {signal_id} has the ends {ends}")

    def _rests(self, account: str, signal_id: str) -> bool:
        entry = self._entry(account, signal_id)
        return entry is not None and entry.state.resting

    def _entry(self, account: str, signal_id: str) -> JournalEntry | None:
        journal = self.world.journals[account]
        return cast("JournalEntry | None", read(lambda: journal.get(signal_id)))

    def _cancels(self, told: Told) -> None:
        """Every cancel request is answered."""
        for signal_id in told.cancels:
            if not {signal_id} & (told.validated.keys() | told.rejected.keys() | told.letters):
                self._say(f"{told.account}: nothing was said of the cancel request {signal_id}")

    def _journal(self, told: Told) -> None:
        """Journal and events agree on what has ended."""
        for signal_id, fold in told.folds.items():
            entry = self._entry(told.account, signal_id)
            if entry is None:
                if signal_id not in told.cancels:
                    self._say(f"{told.account}: {signal_id} was told and is not in the journal")
            elif fold.terminal is not entry.state.terminal:
                self._say(
                    f"{told.account}: {signal_id} is {entry.state} in the journal, its events say {fold.statuses}"
                )

    def _lost(self, told: Told) -> None:
        """LOST is never said of an order that the broker took before D had passed; where books lag, by as much earlier."""
        lagging = self.world.counts["book"] or self.world.counts["stale book"]
        grace = 0 if lagging else nanoseconds(settings().lost_after_seconds)
        for record, event in told.events:
            update = event.data
            if not isinstance(update, OrderUpdate) or update.status is not OrderStatus.LOST:
                continue
            sent = [call for call in self.world.calls if call.entry.signal_id == update.signal_id]
            taken = [order.versions[0][0] for order in self.world.core.orders_of(update.order_id)]
            if sent and taken and min(taken) <= sent[0].entry.send_by + grace:
                when, since = seconds(record.timestamp - START), seconds(min(taken) - START)
                self._say(
                    f"live: {update.signal_id} was called LOST at {when}; the broker has it since {since}"
                )

    # ----------------------------------------------------------------------------------------------- books

    def _books(self, told: Told) -> None:
        """Risk's book is what the events tell, and what was executed: by the broker itself where there is one."""
        snapshot = snapshot_of(self.world, told.account)
        if snapshot is None:
            return
        booked = holding(snapshot)
        events = self._holding(told, None)
        if booked != events:
            self._say(f"{told.account}: risk's book is {booked}, the events come to {events}")
        if told.account == LIVE and not of_yesterday(self.world, LIVE):
            traded = self.world.core.positions(START + self.world.loop.now_ns)
            if booked != traded:
                self._say(f"live: risk's book is {booked}, the broker executed {traded}")

    @staticmethod
    def _holding(told: Told, strategy: str | None) -> Held:
        """Return what the events of a strategy's orders (None: of all) come to."""
        held: Held = {}
        for key, update in told.orders.items():
            if strategy in (None, update.strategy_id):
                token, filled = update.instrument_token, told.folds[key].filled_quantity
                held[token] = held.get(token, Decimal(0)) + update.side.sign * filled
        return _held(held)

    def _orders(self) -> None:
        """Order by order: the journal knows what the broker has, and nothing has filled that it never had."""
        journal = self.world.journals[LIVE]
        orders = self.world.core.orders.values()
        for row in (order.row for order in orders if order.row.filled_quantity):
            known = read(lambda row=row: journal.find_tag(row.tag))  # type: ignore[misc]
            if known is None and self._entry(LIVE, f"external:{row.broker_order_id}") is None:
                self._say(f"live: nobody knows the broker's order {row.broker_order_id} of {row.tag}")
        tags = {order.request.tag for order in orders}
        state = self.world.database.section(self.world.database.keys.journal(LIVE), JournalState)
        for entry in state.entries.values():
            if entry.filled_quantity and entry.tag not in tags:
                self._say(f"live: {entry.signal_id} filled and the broker never had it")

    # ------------------------------------------------------------------------------------------ strategies

    def _contents(self, told: Told) -> None:
        """An id stands for one content."""
        contents: dict[str, Signal | CancelRequest] = {}
        for record, event in told.events:
            data = event.data
            if isinstance(data, Signal | CancelRequest) and record.value not in self.world.tampered:
                known = contents.setdefault(data.signal_id, data)
                if known != data:
                    self._say(f"{told.account}: {data.signal_id} has two contents: {difference(known, data)}")
        self._set_aside(told)

    def _set_aside(self, told: Told) -> None:
        """A known id with another content is set aside; a store that has forgotten the first may drop it instead."""
        if any(name.startswith("store returned") for name in self.world.counts):
            return
        letters = {record.value for record in self.world.records if record.topic.endswith(DLQ_SUFFIX)}
        for record, event in told.events:
            if record.value in self.world.tampered and record.value not in letters:
                self._say(
                    f"{told.account}: {event.correlation_id} came with another content, and nobody minded"
                )

    def _strategy(self, name: str, told: Told) -> None:
        """What a strategy believes of its orders is what their events say."""
        cell = self._running_cell(name, told.account)
        believed = _held({token: cell.position(token) for token in TOKENS.values()})
        events = self._holding(told, name)
        if believed != events:
            self._say(
                f"{told.account}: {name} believes to hold {believed}, its orders' events come to {events}"
            )
        for signal_id in cell.in_flight():
            fold = told.folds.get(signal_id)
            if signal_id not in told.raw:
                self._say(f"{told.account}: {name} waits for {signal_id}, which was never sent")
            elif fold is not None and fold.terminal:
                self._say(f"{told.account}: {name} waits for {signal_id}, which has ended")

    def _flattened(self, name: str, told: Told) -> None:
        """A deleted strategy is flat, or Halted, and risk says so; whom it calls flat holds nothing, and nothing is open."""
        details = self.world.pods[f"risk/{told.account}"].service.get_status().details
        figures = risk_strategies(details).get(name)
        held = self._holding(told, name)
        if figures is None or not figures.teardown:
            self._say(f"{told.account}: {name} was deleted, and risk says nothing of it")
        elif figures.flat:
            self.world.counts["flattened"] += 1
            open_orders = [
                signal_id
                for signal_id in told.validated
                if told.raw.get(signal_id) is not None
                and told.raw[signal_id].strategy_id == name
                and not told.ends(signal_id)
            ]
            if held or open_orders:
                self._say(f"{told.account}: {name} is called flat, but holds {held}, open {open_orders}")
        elif "is Halted" in figures.teardown:
            self.world.counts["not flattened"] += 1
        else:
            self._say(f"{told.account}: {name} was deleted, and is not flat: {figures.teardown}")

    def _running_cell(self, name: str, account: str) -> Cell:
        """Return what runs: its checkpoint may be a little behind."""
        (own,) = self.world.pods[f"strategy/{name}"].service._plan.runners  # noqa: SLF001 - what it runs, as it is
        runner = cast("Runner", own.work.__self__)
        return next(cell for cell in runner.cells if cell.key == (name, account))


def difference(one: Any, other: Any) -> str:  # noqa: ANN401 - any structs
    """Return the fields that differ, as text."""
    names = [name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name, None)]
    if names == ["data"] and type(one.data) is type(other.data):
        return f"{type(one.data).__name__}: {difference(one.data, other.data)}"
    return "; ".join(f"{name}: {getattr(one, name)} / {getattr(other, name, None)}" for name in names)


def _held(quantities: Held) -> Held:
    return {token: quantity for token, quantity in quantities.items() if quantity}
