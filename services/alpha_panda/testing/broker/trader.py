"""The port `Trader` over the broker, whichever way leads to it: both ways conclude alike.

`CoreTrader` needs no sockets and keeps virtual time; `http_trader.HttpTrader` is its sister.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, Unanswered
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome, PriceReading
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.domain.matching import outcome_of
from alpha_panda.ports import Clock, Trader

from .api import PlaceRequest, cancel_outcome, place_outcome, request_of
from .book import BookReader
from .core import BrokerCore, Reply
from .faults import Wire

TIMEOUT = 5.0
"""Seconds that a cancellation or a page of the book may take, unless told."""


class Way(Protocol):
    """A way to the broker: each call is sent at most once, before its deadline (monotonic ns), and never raises."""

    async def place(self, request: PlaceRequest, deadline: int) -> Exchange:
        """Send an order."""

    async def cancel(self, order_id: str, deadline: int) -> Exchange:
        """Ask for the cancellation of an order."""

    async def page(self, page: int, deadline: int) -> Exchange:
        """Ask for a page of the book."""


class BrokerTrader:
    """One account's trader.

    Args:
        way: to the broker.
        clock: whose monotonic time the deadlines are of.
        user: whose book it must be.
        timeout: seconds that a cancellation and a page of the book may take.
        trading_day: tells the day that the book must be of (None: whatever day the broker says).

    """

    def __init__(
        self, way: Way, clock: Clock, user: str, timeout: float, trading_day: Callable[[int], str] | None
    ) -> None:
        self._way = way
        self._clock = clock
        self._timeout = nanoseconds(timeout)
        self._reader = BookReader(clock, self._page, user, trading_day)

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:  # noqa: ARG002 - the port's
        """See the port."""
        return place_outcome(await self._way.place(request_of(entry), deadline))

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port."""
        if not entry.state.resting:
            return outcome_of(entry)
        return cancel_outcome(entry, await self._way.cancel(entry.broker_order_id, self._deadline()))

    async def order_book(self) -> BookReading:
        """See the port; incomplete where a page is missing, of another user or of another day."""
        return await self._reader.read()

    async def _page(self, page: int) -> Exchange:
        return await self._way.page(page, self._deadline())

    def _deadline(self) -> int:
        return self._clock.monotonic() + self._timeout


class CoreTrader(BrokerTrader):
    """A trader to a `BrokerCore` in this process. Every call arrives at once; its reply takes what it takes."""

    def __init__(
        self,
        core: BrokerCore,
        clock: Clock,
        *,
        timeout: float = TIMEOUT,
        user: str | None = None,
        trading_day: Callable[[int], str] | None = None,
    ) -> None:
        self.core = core
        super().__init__(_InProcess(core, clock), clock, user or core.user, timeout, trading_day)


class CoreTraders:
    """The port `TraderFactory`: one core for each account it names."""

    def __init__(
        self,
        cores: Mapping[str, BrokerCore],
        clock: Clock,
        *,
        timeout: float = TIMEOUT,
        kind: "Callable[..., CoreTrader] | None" = None,
    ) -> None:
        self._cores = cores
        self._clock = clock
        self._timeout = timeout
        self._kind = kind or CoreTrader

    def trader(self, account: str) -> Trader:
        """Return a trader to the account's broker."""
        return self._kind(self._cores[account], self._clock, timeout=self._timeout)


class _InProcess:
    """Turns what a caller on the wire would see into what it would conclude, on the clock's time."""

    def __init__(self, core: BrokerCore, clock: Clock) -> None:
        self._core = core
        self._clock = clock

    async def place(self, request: PlaceRequest, deadline: int) -> Exchange:
        return await self._experienced(lambda now: self._core.place(request, now), deadline)

    async def cancel(self, order_id: str, deadline: int) -> Exchange:
        return await self._experienced(lambda now: self._core.cancel(order_id, now), deadline)

    async def page(self, page: int, deadline: int) -> Exchange:
        return await self._experienced(lambda now: self._core.book(now, page), deadline)

    async def _experienced(self, call: Callable[[int], Reply], deadline: int) -> Exchange:
        if self._clock.monotonic() >= deadline:
            return NotSent(Code.SEND_DEADLINE_PASSED, "the permission to send had run out")
        reply = call(self._clock.now())
        if reply.wire is Wire.REFUSED:
            return NotSent(Code.BROKER_UNREACHABLE, "no connection")
        left = (deadline - self._clock.monotonic()) / SECOND_NS
        if reply.wire is Wire.HANG or reply.delay >= left:
            await self._clock.sleep(left)
            return Unanswered("no answer in time")
        if reply.delay:
            await self._clock.sleep(reply.delay)
        if reply.wire is Wire.ANSWER:
            return Answer(reply.status, reply.body)
        return Unanswered("the connection ended before the answer did")
