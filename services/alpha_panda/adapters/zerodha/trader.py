"""One account's way to Zerodha (ports `Trader`, `TokenHolder`, `PortfolioReader`): what is sent, and what is concluded.

Each order is one POST, sent at most once. What may be sent is not decided here: whoever calls `place` has BEGIN's word.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import quote

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import (
    BookReading,
    BrokerRow,
    JournalEntry,
    Outcome,
    PortfolioReading,
    PriceReading,
)
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.domain.matching import outcome_of
from alpha_panda.domain.order_events import outcome_of_row
from alpha_panda.ports import Clock, OrderPace

from .answers import TOO_MANY, data_of, place_outcome
from .book import BookReader, last_state
from .client import KiteClient, refuses_token
from .orders import ZerodhaTerms, cancel_request, failed, place_request
from .pace import Pacer
from .portfolio import HOLDINGS, MARGINS, POSITIONS, Answers, PortfolioReader
from .session import IST, SessionFile
from .wire import Profile, has_ended

LOOK_AFTER_CANCEL: Final = (0.0, 0.1, 0.3, 0.6)
"""Seconds of waiting before each look at an order that is being cancelled: an answer 200 only says that it will be."""


def india_day(ts: int) -> str:
    """Return the ISO date in India of a moment (UTC ns)."""
    return datetime.fromtimestamp(ts // SECOND_NS, IST).date().isoformat()


class ZerodhaTrader:
    """One account's trader.

    Args:
        client: its calls.
        terms: how the account trades.
        session: whose token the client sends.
        clock: time.
        pace: counts the calls of all processes.
        instruments: what the account's feed lists now.
        account: its name: under it calls are counted.
        trading_day: tells the account's day (ISO date) of a moment.

    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a broker needs
        self,
        client: KiteClient,
        terms: ZerodhaTerms,
        session: SessionFile,
        clock: Clock,
        pace: OrderPace,
        instruments: Callable[[], InstrumentMaster],
        account: str,
        *,
        trading_day: Callable[[int], str] = india_day,
    ) -> None:
        self.client = client
        self.terms = terms
        self.session = session
        self._clock = clock
        self.instruments = instruments
        self._pacer = Pacer(pace, clock, account)
        self._book = BookReader(clock, terms.user_id, instruments, trading_day)
        self._portfolio = PortfolioReader(terms.user_id, instruments, trading_day)
        self._verified = ""

    def token_expires_at(self) -> int | None:
        """Return until when (UTC ns) the token is valid: 0 where there is none, or the broker refuses it."""
        session = self.session.current()
        if session is not None:
            return session.expires_at
        expired_at = self.session.expires_at()
        return expired_at if expired_at is not None and expired_at <= self._clock.now() else 0

    def token_problem(self) -> str:
        """Return why there is no valid token, in words without secrets; "" if there is one. No I/O but a look at files."""
        return self.session.problem()

    # ------------------------------------------------------------------------------------------------ writing

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:  # noqa: ARG002 - the port's
        """See the port. FAILED DRY_RUN where the terms are not live: then the message is what would have been sent."""
        request = place_request(entry, self.terms, self.instruments())
        if isinstance(request, Outcome):
            return request
        if self.session.current() is None:
            return failed(Code.ACCESS_TOKEN_EXPIRED, self.session.problem())
        if self._clock.monotonic() >= deadline:
            return failed(Code.SEND_DEADLINE_PASSED, "the permission to send had run out")
        refused = await self._pacer.permit(self.terms.limits.placing, deadline)
        if refused is not None:
            return failed(refused.code, f"{refused.message}; nothing was sent")
        if not self.terms.live:
            return failed(Code.DRY_RUN, str(request))
        return place_outcome(await self.client.write(request, deadline))

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port. Looks at the order afterwards: only its state tells whether it is cancelled."""
        if not entry.state.resting or not entry.broker_order_id or not self.terms.live:
            return outcome_of(entry)
        deadline = self.client.deadline()
        if await self._pacer.permit(self.terms.limits.cancelling, deadline) is not None:
            return outcome_of(entry)
        order_id = entry.broker_order_id
        exchange = await self.client.write(cancel_request(order_id, self._book.variety(order_id)), deadline)
        if not _may_have_arrived(exchange):
            return outcome_of(entry)
        return await self._after_cancel(entry)

    async def _after_cancel(self, entry: JournalEntry) -> Outcome:
        """Return the order's state as soon as it has ended; the entry's own if it doesn't, or can't be seen."""
        deadline = self.client.deadline()
        for seconds in LOOK_AFTER_CANCEL:
            if seconds:
                await self._clock.sleep(seconds)
            row = await self._ended_row(entry.broker_order_id, deadline)
            if row is not None and row.filled_quantity >= entry.filled_quantity:
                return outcome_of_row(row)
        return outcome_of(entry)

    async def _ended_row(self, order_id: str, deadline: int) -> BrokerRow | None:
        """Return the order if it has ended, and all its trades are told."""
        path = f"/orders/{quote(order_id, safe='')}"
        order = last_state(await self._glance(path, deadline))
        if order is None or not has_ended(order) or order.order_id != order_id:
            return None
        return self._book.ended(order, await self._glance(f"{path}/trades", deadline))

    # ------------------------------------------------------------------------------------------------ reading

    async def order_book(self) -> BookReading:
        """See the port; incomplete where a part is missing, of another user or of another day."""
        begun_at = self._clock.now()
        if not await self._is_users():
            return self._book.incomplete(begun_at)
        orders = await self._read("/orders")
        if not isinstance(orders, Answer):
            return self._book.incomplete(begun_at)
        return self._book.reading(begun_at, orders, await self._read("/trades"))

    async def portfolio(self) -> PortfolioReading:
        """See the port."""
        begun_at = self._clock.now()
        if not await self._is_users():
            return self._portfolio.reading(begun_at, None)
        answers = [await self._read(path) for path in (POSITIONS, HOLDINGS, MARGINS)]
        return self._portfolio.reading(begun_at, Answers(*answers))

    async def _is_users(self) -> bool:
        """Whether the token is of the account's user: the broker is asked once for each token."""
        session = self.session.current()
        if session is None:
            return False
        if self._verified == session.access_token:
            return True
        profile = data_of(await self._read("/user/profile"), Profile)
        if profile is None:
            return False
        if profile.user_id != self.terms.user_id:
            why = f"the access token is of user {profile.user_id}, but the account is of {self.terms.user_id}"
            self.session.mark_dead(session.access_token, why)
            return False
        self._verified = session.access_token
        return True

    async def _read(self, path: str) -> Exchange:
        deadline = self.client.deadline()
        return await self._asked(path, deadline, deadline)

    async def _glance(self, path: str, deadline: int) -> Exchange:
        """Read if there is a place for it at once: where many orders are cancelled, the book tells of all together.

        Looks that waited would hold up the cancellations behind them.
        """
        return await self._asked(path, deadline, self._clock.monotonic())

    async def _asked(self, path: str, deadline: int, wait_until: int) -> Exchange:
        refused = await self._pacer.permit(self.terms.limits.calling, wait_until)
        if refused is not None:
            return NotSent(refused.code, refused.message)
        return await self.client.read(path, deadline)


def _may_have_arrived(exchange: Exchange) -> bool:
    """Whether the order may be another one after the call; a refusal may come because it has ended meanwhile."""
    if not isinstance(exchange, Answer):
        return not isinstance(exchange, NotSent)
    return exchange.status != TOO_MANY and not refuses_token(exchange)
