"""What holds of every run once it has come to rest (DESIGN sections 1 and 4)."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from alpha_panda.adapters.memory.decisions import DecisionsState
from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import EntryState, EventType, OrderStatus
from alpha_panda.contracts.events import (
    CancelRequest,
    ControlChanged,
    Envelope,
    OrderUpdate,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)
from alpha_panda.contracts.stored import OrderFold, RiskSnapshot
from alpha_panda.contracts.topics import DLQ_SUFFIX
from alpha_panda.domain.fold import fold_order
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import AlphaPandaError, RecordError
from alpha_panda.ports import Record
from alpha_panda.risk.ledger import LedgerState
from alpha_panda.runtime.dead_letter import original
from alpha_panda.runtime.records import event_of
from alpha_panda.strategy.cell import Cell
from alpha_panda.strategy.runner import Runner
from alpha_panda.testing.broker.core import DAY
from alpha_panda.testing.simulation.chaos import Chaos
from alpha_panda.testing.simulation.network import executed
from alpha_panda.testing.simulation.plan import TOKENS
from alpha_panda.testing.simulation.world import EXPECTED_ENDS, LIVE, PAPER, World, resources
from alpha_panda.testing.virtual_time import START

ACCOUNTS = (LIVE, PAPER)
ENDS = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.FAILED, OrderStatus.LOST)
REFUSED = (OrderStatus.FAILED, OrderStatus.LOST)


def read(step: Any) -> Any:  # noqa: ANN401 - any port's reading
    """Ask a store directly."""
    result, error = executed(step)
    if error is not None:
        raise error
    return result


def settled(world: World) -> list[str]:
    """Return what has not come to rest yet."""
    found = [f"{pod.name} is not ready" for pod in world.pods.values() if not _ready(pod)]
    for account in ACCOUNTS:
        journal = world.journals[account]
        if read(journal.epoch) is None:
            found.append(f"{account}: no journal epoch")
        if not _of_yesterday(world, account):
            found += [f"{account}: {entry.signal_id} is {entry.state}" for entry in read(journal.in_doubt)]
        found += [f"{account}: {entry.signal_id} ({entry.state}) is not acknowledged" for entry in read(journal.unacknowledged) if not entry.state.in_doubt]
        found += _unread(world, account)
    return found


def _of_yesterday(world: World, account: str) -> list[str]:
    """Return the orders in doubt whose day is over at the broker: today's book can't tell of them, a person must."""
    if account != LIVE or world.core.trading_day == DAY:
        return []
    return [entry.signal_id for entry in read(world.journals[account].in_doubt) if entry.state is EntryState.UNKNOWN]


def _ready(pod: Any) -> bool:  # noqa: ANN401 - a pod
    return pod.service is not None and pod.service.ready.is_set() and not pod.process.dead


def _unread(world: World, account: str) -> list[str]:
    topics = world.topics(account)
    snapshot = _snapshot(world, account)
    stored = {} if snapshot is None else snapshot.offsets
    found = []
    for topic in (topics.signals_raw, *topics.orders):
        for partition, (_, end) in read(lambda topic=topic: world.bus.offsets(topic)).items():
            if stored.get(str(partition), 0) < end:
                found.append(f"risk has not read {partition}")
    # Not by the group's offset: a commit that failed is made good with the next record only.
    journal = world.journals[account]
    for record in world.records:
        if record.topic == topics.signals_validated:
            try:
                signal = event_of(record).data.original_signal  # type: ignore[union-attr] # what is on that topic
            except RecordError:
                continue
            if isinstance(signal, Signal) and not read(lambda key=signal.signal_id: journal.known(key)):
                found.append(f"{account}: no engine has begun {signal.signal_id}")
    return found


def _snapshot(world: World, account: str) -> RiskSnapshot | None:
    return world.database.section(world.database.keys.decisions(account), DecisionsState).snapshot


async def replay_letters(world: World, chaos: Chaos) -> int:
    """Send every dead letter to its topic again; return how many there were."""
    del chaos
    letters = [record for record in world.records if record.topic.endswith(DLQ_SUFFIX)]
    for letter in letters:
        again = original(letter)
        async with world.bus.producer("replay") as producer:
            await producer.send([again])
    world.counts["dead letters replayed"] += len(letters)
    return len(letters)


def _changes_nothing(event: Envelope) -> bool:
    return event.type is EventType.ORDER_UPDATED and isinstance(event.data, OrderUpdate) and not event.data.correction


def _difference(one: Any, other: Any) -> str:  # noqa: ANN401 - any structs
    """Return the fields that differ, as text."""
    names = [name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name, None)]
    if names == ["data"] and type(one.data) is type(other.data):
        return f"{type(one.data).__name__}: {_difference(one.data, other.data)}"
    return "; ".join(f"{name}: {getattr(one, name)} / {getattr(other, name, None)}" for name in names)


class Verdict:
    """Judges a world at rest."""

    def __init__(self, world: World, seen: list[str], rested: list[str]) -> None:
        self.world = world
        self.violations = [*seen, *(f"never came to rest: {what}" for what in rested)]
        self._events: dict[str, list[tuple[Record, Envelope]]] = {LIVE: [], PAPER: []}
        self._unreadable = 0
        self._sort()

    def _sort(self) -> None:
        for record in self.world.records:
            account, _, rest = record.topic.partition(".")
            if account not in self._events or rest.endswith(DLQ_SUFFIX) or rest == "portfolio":
                continue
            event = record.decoded
            if not isinstance(event, Envelope):
                try:
                    event = record.decoded = decode_event(record.value)
                except RecordError:
                    self._unreadable += 1
                    continue
            self._events[account].append((record, event))

    def judge(self) -> None:
        """Find everything that does not hold."""
        self._processes()
        self._lost()
        for account in ACCOUNTS:
            self._calls(account)
            self._payloads(account)
            self._repeats(account)
            folds = self._folds(account)
            self._ends(account, folds)
            self._books(account, folds)
            self._strategies(account, folds)

    def _say(self, text: str) -> None:
        self.violations.append(text)

    # ------------------------------------------------------------------------------------------- processes

    def _processes(self) -> None:
        """No process ends but by an error of the kinds that a new start heals; asyncio has nothing to complain of."""
        for at, name, error in self.world.ends:
            if not isinstance(error, EXPECTED_ENDS):
                self._say(f"{name} ended at {at / 1e9:.3f} s with {error!r}")
        for problem in self.world.loop.problems:
            error = problem.get("exception")
            if not isinstance(error, AlphaPandaError):
                self._say(f"asyncio: {problem.get('message')}: {error!r}")

    # ----------------------------------------------------------------------------------------------- calls

    def _calls(self, account: str) -> None:
        """At most one broker call a signal id."""
        sent = Counter(call.entry.signal_id for call in self.world.calls if call.account == account)
        for signal_id, times in sent.items():
            if times > 1:
                who = [f"{c.process} at {c.at / 1e9:.3f}" for c in self.world.calls if c.entry.signal_id == signal_id]
                self._say(f"{account}: {times} broker calls for {signal_id}: {', '.join(who)}")

    def _payloads(self, account: str) -> None:
        """What was sent is what a strategy said."""
        said = {event.data.signal_id: event.data for record, event in reversed(self._events[account]) if isinstance(event.data, Signal)}
        for call in self.world.calls:
            if call.account == account and said.get(call.entry.signal_id) != call.entry.signal:
                self._say(f"{account}: {call.entry.signal_id} was sent with another content than its strategy gave it")

    def _lost(self) -> None:
        """LOST is never said of an order that the broker had taken while it might be sent: three books lag not so far."""
        for record, event in self._events[LIVE]:
            update = event.data
            if not isinstance(update, OrderUpdate) or update.status is not OrderStatus.LOST:
                continue
            sent = [call for call in self.world.calls if call.entry.signal_id == update.signal_id]
            taken = [order.versions[0][0] for order in self.world.core.orders_of(update.order_id)]
            if sent and taken and min(taken) <= sent[0].entry.send_by:
                self._say(f"live: {update.signal_id} was called LOST at {(record.timestamp - START) / 1e9:.3f} s; the broker took it at {(min(taken) - START) / 1e9:.3f} s")

    # ---------------------------------------------------------------------------------------------- events

    def _repeats(self, account: str) -> None:
        """An event that comes again says the same; only who says it may differ."""
        seen: dict[str, Envelope] = {}
        for record, event in self._events[account]:
            if record.topic.endswith((".signals.raw", ".control")):
                continue  # people echo and tamper there
            if isinstance(getattr(event.data, "original_signal", None), CancelRequest) or _changes_nothing(event):
                continue  # a cancel request decides nothing: asked again, it may well be answered otherwise
            bare = msgspec.structs.replace(event, source="")
            if seen.setdefault(event.id, bare) != bare:
                self._say(f"{account}: event {event.id} ({event.type}) came again with another content: {_difference(seen[event.id], bare)}")

    def _folds(self, account: str) -> dict[str, OrderFold]:
        found: dict[str, OrderFold] = {}
        for _, event in self._events[account]:
            update = event.data
            if isinstance(update, OrderUpdate):
                key = update.signal_id or f"external:{update.broker_order_id}"
                found[key] = fold_order(found.get(key, OrderFold()), update).fold
        return found

    def _ends(self, account: str, folds: dict[str, OrderFold]) -> None:
        """Every signal has one terminal outcome; a correction goes with a latch."""
        raw: dict[str, Signal] = {}
        cancels: dict[str, CancelRequest] = {}
        rejected: dict[str, set[str]] = {}
        told: dict[str, set[str]] = {}
        statuses: dict[str, set[OrderStatus]] = {}
        corrected: set[str] = set()
        validated: set[str] = set()
        latches: set[str] = set()
        for record, event in self._events[account]:
            data = event.data
            if isinstance(data, Signal):
                raw.setdefault(data.signal_id, data)
            elif isinstance(data, CancelRequest):
                cancels.setdefault(data.signal_id, data)
            elif isinstance(data, ValidatedSignal):
                validated.add(data.original_signal.signal_id)
            elif isinstance(data, RejectedSignal):
                rejected.setdefault(data.original_signal.signal_id, set()).add(event.id)
            elif isinstance(data, OrderUpdate):
                told.setdefault(data.signal_id, set()).add(event.id)
                if data.correction:
                    corrected.add(data.signal_id)
                if data.status in ENDS:
                    statuses.setdefault(data.signal_id, set()).add(data.status)
            elif isinstance(data, ControlChanged):
                latches.add(data.latch_id)
            del record
        letters = self._dead_ids(account)
        strays = self._strays(account)
        yesterday = _of_yesterday(self.world, account)
        for signal_id in {**raw, **dict.fromkeys(sorted(validated))}:
            ends = [str(status) for status in sorted(statuses.get(signal_id, ()))]
            if signal_id in rejected:
                ends.append("REJECTED")
            if signal_id in corrected:
                if not any(latch.startswith(("late-", "stray-")) for latch in latches):
                    self._say(f"{account}: {signal_id} was corrected without a latch")
                if not ends:
                    self._say(f"{account}: {signal_id} was corrected and has no end")
            elif len(ends) > 1 and f"contradiction-{broker_tag(signal_id)}" in latches:
                self.world.counts["two words of one order, and a latch"] += 1
            elif len(ends) != 1 and not self._rests(account, signal_id) and signal_id not in cancels:
                if signal_id in letters and not ends:
                    continue
                if not ends and signal_id in yesterday:
                    self.world.counts["left to a person: its day is over"] += 1
                    continue
                if not ends and broker_tag(signal_id) in strays:
                    self.world.counts["booked by its tag alone"] += 1
                    continue
                self._say(f"{account}: {signal_id} has the ends {ends}")
        for signal_id in cancels:
            if signal_id not in validated and signal_id not in rejected and signal_id not in letters:
                self._say(f"{account}: nothing was said of the cancel request {signal_id}")
        for signal_id, fold in folds.items():
            entry = read(lambda signal_id=signal_id: self.world.journals[account].get(signal_id))
            if entry is None and signal_id not in cancels:
                self._say(f"{account}: {signal_id} was told and is not in the journal")
            elif entry is not None and fold.terminal and not entry.state.terminal:
                self._say(f"{account}: {signal_id} has ended by its events, the journal says {entry.state}")
            elif entry is not None and entry.state.terminal and not fold.terminal:
                self._say(f"{account}: {signal_id} is {entry.state} in the journal, its events have no end")

    def _strays(self, account: str) -> set[str]:
        """Return the tags of orders that were booked without an entry, and latched: their store had forgotten them."""
        latched = {
            event.data.latch_id
            for _, event in self._events[account]
            if isinstance(event.data, ControlChanged) and event.data.latch_id.startswith("stray-")
        }
        return {
            event.data.order_id
            for _, event in self._events[account]
            if isinstance(event.data, OrderUpdate)
            and event.data.external
            and f"stray-{event.data.broker_order_id}" in latched
        }

    def _dead_ids(self, account: str) -> set[str]:
        """Return the ids of the signals in the account's dead letters of `signals.raw`."""
        found = set()
        for record in self.world.records:
            if record.topic == f"{account}.signals.raw{DLQ_SUFFIX}":
                try:
                    data = decode_event(record.value).data
                except RecordError:
                    continue
                found.add(getattr(data, "signal_id", ""))
        return found

    def _rests(self, account: str, signal_id: str) -> bool:
        entry = read(lambda: self.world.journals[account].get(signal_id))
        return entry is not None and entry.state.resting

    # ------------------------------------------------------------------------------------------ strategies

    def _strategies(self, account: str, folds: dict[str, OrderFold]) -> None:
        """An id stands for one content; what a strategy believes of its orders is what their events say."""
        contents: dict[str, Any] = {}
        for record, event in self._events[account]:
            if isinstance(event.data, Signal | CancelRequest) and record.value not in self.world.tampered:
                known = contents.setdefault(event.data.signal_id, event.data)
                if known != event.data:
                    self._say(f"{account}: {event.data.signal_id} has two contents: {_difference(known, event.data)}")
        orders = {key: event.data for _, event in self._events[account] for key in self._own(event)}
        for name, strategy in resources().strategies.items():
            if account in strategy.spec.accounts:
                self._cell(name, account, folds, orders, contents)

    @staticmethod
    def _own(event: Envelope) -> tuple[str, ...]:
        return (event.data.signal_id,) if isinstance(event.data, OrderUpdate) and not event.data.external else ()

    def _cell(self, name: str, account: str, folds: dict[str, OrderFold], orders: dict[str, Any], contents: dict[str, Any]) -> None:
        cell = self._running_cell(name, account)
        held: dict[int, Decimal] = {}
        for signal_id, update in orders.items():
            if update.strategy_id == name:
                token = update.instrument_token
                held[token] = held.get(token, Decimal(0)) + update.side.sign * folds[signal_id].filled_quantity
        believed = {token: cell.position(token) for token in TOKENS.values() if cell.position(token)}
        if believed != {token: quantity for token, quantity in held.items() if quantity}:
            self._say(f"{account}: {name} believes to hold {believed}, its orders' events come to {held}")
        for signal_id in cell.in_flight():
            if signal_id not in contents:
                self._say(f"{account}: {name} waits for {signal_id}, which was never sent")
            elif signal_id in folds and folds[signal_id].terminal:
                self._say(f"{account}: {name} waits for {signal_id}, which has ended")

    def _running_cell(self, name: str, account: str) -> Cell:
        """Return what runs: its checkpoint may be a little behind."""
        (own,) = self.world.pods[f"strategy/{name}"].service._plan.runners  # noqa: SLF001 - what it runs, as it is
        runner: Runner = own.work.__self__
        return next(cell for cell in runner.cells if cell.key == (name, account))

    # ----------------------------------------------------------------------------------------------- books

    def _books(self, account: str, folds: dict[str, OrderFold]) -> None:
        """Risk's book is what was executed: by the broker itself where there is one."""
        snapshot = _snapshot(self.world, account)
        if snapshot is None:
            return
        book = msgspec.msgpack.decode(snapshot.state, type=LedgerState).book
        booked = {token: held.quantity for token, held in book.positions.items() if held.quantity}
        told = self._told(account, folds)
        if booked != told:
            self._say(f"{account}: risk's book is {booked}, the events come to {told}")
        if account == LIVE and not _of_yesterday(self.world, account):
            traded = self.world.core.positions(START + self.world.loop.now_ns)
            if booked != traded:
                self._say(f"{account}: risk's book is {booked}, the broker executed {traded}")
            self._orders()

    def _told(self, account: str, folds: dict[str, OrderFold]) -> dict[int, Decimal]:
        sides: dict[str, tuple[int, int]] = {}
        for _, event in self._events[account]:
            if isinstance(event.data, OrderUpdate):
                update = event.data
                key = update.signal_id or f"external:{update.broker_order_id}"
                sides[key] = (update.instrument_token, update.side.sign)
        held: dict[int, Decimal] = {}
        for key, fold in folds.items():
            token, sign = sides[key]
            held[token] = held.get(token, Decimal(0)) + sign * fold.filled_quantity
        return {token: quantity for token, quantity in held.items() if quantity}

    def _orders(self) -> None:
        """Order by order: what the journal says is what the broker has."""
        journal = self.world.journals[LIVE]
        for order in self.world.core.orders.values():
            row = order.row
            entry = read(lambda row=row: journal.find_tag(row.tag))
            own = read(lambda row=row: journal.get(f"external:{row.broker_order_id}"))
            if entry is None and own is None and row.filled_quantity:
                self._say(f"live: nobody knows the broker's order {row.broker_order_id} of {row.tag}")
        tags = Counter(order.request.tag for order in self.world.core.orders.values())
        for entry in self._entries():
            if entry.filled_quantity and not tags.get(entry.tag):
                self._say(f"live: {entry.signal_id} filled and the broker never had it")

    def _entries(self) -> Iterable[Any]:
        from alpha_panda.adapters.memory.journal_state import JournalState

        state = self.world.database.section(self.world.database.keys.journal(LIVE), JournalState)
        return tuple(state.entries.values())


