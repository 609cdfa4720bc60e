"""A process's way to its broker: the live one over the network, the paper one within the process. Every call is noted."""

import asyncio  # noqa: TC003 - one style of imports
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, Unanswered
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import SignalClass
from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome, PriceReading
from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.domain.matching import outcome_of
from alpha_panda.ports import Clock, Trader
from alpha_panda.testing.broker.api import cancel_outcome, place_outcome, request_of
from alpha_panda.testing.broker.book import BookReader
from alpha_panda.testing.broker.core import BrokerCore, Reply
from alpha_panda.testing.broker.faults import Wire
from alpha_panda.testing.simulation.loop import Process
from alpha_panda.testing.simulation.network import CLIENT_TIMEOUT, Fate, Network, Server
from alpha_panda.testing.virtual_time import START

UNHEARD: Final = (Wire.HANG, Wire.RESET, Wire.CUT)
LATEST_NS: Final = 4 * SECOND_NS
"""How long a request may be on its way whose sender has given up: beyond S + D as the simulation has them."""
BREAK_NS: Final = 50 * MS_NS
"""How soon a sender notices that its connection broke."""


@dataclass(frozen=True, slots=True)
class BrokerCall:
    """One order as it left us, `at` ns since the start. `frozen`: the process was stopped between check and write."""

    at: int
    process: str
    account: str
    entry: JournalEntry
    frozen: bool

    @property
    def increasing(self) -> bool:
        """Whether the order may grow a position."""
        return self.entry.signal_class is SignalClass.INCREASING


Note = Callable[[BrokerCall], None]


class PaperSpy:
    """A paper account's trader, whose calls are noted."""

    def __init__(self, network: Network, process: Process, account: str, trader: Trader, note: Note) -> None:
        self._network = network
        self._process = process
        self._account = account
        self._trader = trader
        self._note = note

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """See the port."""
        await self._turn("broker.place")
        outcome = await self._trader.place(entry, price, deadline)
        if outcome.code is not Code.SEND_DEADLINE_PASSED:
            now = self._network.loop.now_ns
            self._note(BrokerCall(now, self._process.name, self._account, entry, frozen=False))
        await self._network.turn()
        return outcome

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port."""
        await self._turn("broker.cancel")
        return await self._trader.cancel(entry)

    async def order_book(self) -> BookReading:
        """See the port."""
        await self._turn("broker.book")
        return await self._trader.order_book()

    async def _turn(self, operation: str) -> None:
        if self._network.before is not None:
            self._network.before(self._process, operation)
        await self._network.turn()


class LiveTrader:
    """A live account's trader: concludes as every trader does, from what came over the wire."""

    def __init__(  # noqa: PLR0913, PLR0917 - who, to whom, over what
        self, network: Network, process: Process, clock: Clock, account: str, core: BrokerCore, note: Note
    ) -> None:
        self._network = network
        self._process = process
        self._clock = clock
        self._account = account
        self._core = core
        self._note = note
        self._reader = BookReader(clock, self._page, core.user, None)

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:  # noqa: ARG002 - the port's
        """See the port."""
        left = deadline - self._clock.monotonic()
        if left <= 0:
            return place_outcome(NotSent(Code.SEND_DEADLINE_PASSED, "the permission to send had run out"))
        checked_at = self._network.loop.now_ns
        await self._ready("broker.place")
        now = self._network.loop.now_ns
        frozen = now > checked_at
        self._note(BrokerCall(now, self._process.name, self._account, entry, frozen=frozen))
        request = request_of(entry)
        return place_outcome(await self._ask("broker.place", lambda at: self._core.place(request, at), left))

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port."""
        if not entry.state.resting:
            return outcome_of(entry)
        await self._ready("broker.cancel")
        order = entry.broker_order_id
        exchange = await self._ask("broker.cancel", lambda at: self._core.cancel(order, at), CLIENT_TIMEOUT)
        return cancel_outcome(entry, exchange)

    async def order_book(self) -> BookReading:
        """See the port."""
        await self._ready("broker.book")
        return await self._reader.read()

    async def _page(self, page: int) -> Exchange:
        return await self._ask("broker.book", lambda at: self._core.book(at, page), CLIENT_TIMEOUT)

    async def _ready(self, operation: str) -> None:
        """Meet the harm that is planned for this moment: between the last look at the clock and the write."""
        if self._network.before is not None:
            self._network.before(self._process, operation)
        if self._process.paused or self._process.dead:
            await self._network.turn()

    async def _ask(self, operation: str, call: Callable[[int], Reply], left: int) -> Exchange:
        """Send one request and wait `left` ns for its answer."""
        network = self._network
        fate, there = network.fate(self._process, Server.BROKER, operation)
        network.note(self._process.name, operation, fate.value)
        if fate is Fate.WELL:
            return _experienced(await self._answered(operation, call, there, left))
        network.counts[f"call {fate.value}"] += 1
        if fate is Fate.REFUSED:
            return NotSent(Code.BROKER_UNREACHABLE, "no connection")
        if fate is Fate.REQUEST_LOST:
            await network.sleep(min(left, CLIENT_TIMEOUT))
            return Unanswered("no answer")
        if fate is Fate.LATE:
            there = int(network.random.random() * LATEST_NS)
        network.loop.after(there, self._arrive, operation, call, None)
        await network.sleep(min(left, BREAK_NS))
        return Unanswered("no answer")

    async def _answered(
        self, operation: str, call: Callable[[int], Reply], there: int, left: int
    ) -> Reply | None:
        """Return what came back within `left` ns, if anything did."""
        loop = self._network.loop
        future: asyncio.Future[Reply | None] = loop.create_future()
        loop.after(there, self._arrive, operation, call, future)
        waiting = loop.call_later(left / SECOND_NS, _answer, future, None)
        reply = await future
        waiting.cancel()
        return reply

    def _arrive(
        self, operation: str, call: Callable[[int], Reply], future: "asyncio.Future[Reply | None] | None"
    ) -> None:
        """Let the broker have the request, whatever has become of its sender."""
        network = self._network
        reply = call(START + network.loop.now_ns)
        if network.after is not None:
            network.after(self._process, operation)
        if future is not None and reply.wire not in UNHEARD:
            network.loop.after(round(reply.delay * SECOND_NS), _answer, future, reply)


def _answer(future: "asyncio.Future[Reply | None]", reply: Reply | None) -> None:
    if not future.done():
        future.set_result(reply)


def _experienced(reply: Reply | None) -> Exchange:
    if reply is None:
        return Unanswered("no answer")
    if reply.wire is Wire.REFUSED:
        return NotSent(Code.BROKER_UNREACHABLE, "no connection")
    return Answer(reply.status, reply.body)
