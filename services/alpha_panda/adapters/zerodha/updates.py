"""Changes of orders as Kite pushes them, over a socket and by postbacks, as one stream of rows.

A push is a hint: it may come twice, late, out of order or never. What it can't tell exactly, and whatever may have been
missed, becomes None: read the book.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
import structlog

from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.ports import Clock

from .session import SessionFile
from .socket import Ears, KiteSocket, SocketOptions
from .wire import Order, parsed, pushed_row

MOST: Final = 1_000
"""Pushes that wait for a reader; beyond it they are forgotten for one None: the book has all of them."""

log = structlog.get_logger()


class _Text(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class OrderPushes:
    """Where pushes of one account come together; read by one.

    Args:
        user_id: the account's; a push of another user is dropped and told in the log.
        instruments: the instruments known now.

    """

    def __init__(self, user_id: str, instruments: Callable[[], InstrumentMaster]) -> None:
        self._user_id = user_id
        self._instruments = instruments
        self._waiting: deque[BrokerRow | None] = deque()
        self._arrived = asyncio.Event()

    def take_text(self, text: str) -> None:
        """Take a text frame of the socket; whatever is no order is ignored."""
        message = parsed(text.encode(), _Text)
        if message is not None and message.type == "order":
            self.take_order(message.data)

    def take_order(self, data: bytes | msgspec.Raw) -> None:
        """Take an order as JSON: what a push or a postback holds."""
        order = parsed(data, Order)
        if order is None:
            log.warning("order_push_unreadable", size=len(bytes(data)))
            self.missed()
        elif not self._is_ours(order):
            log.error("order_push_of_another_user", order_id=order.order_id)
        else:
            self._put(pushed_row(order, self._instruments()))

    def missed(self) -> None:
        """Note that pushes may have been missed."""
        self._put(None)

    async def stream(self) -> AsyncIterator[BrokerRow | None]:
        """Yield what was pushed, in order; without end."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            self._arrived.clear()
            await self._arrived.wait()

    def _is_ours(self, order: Order) -> bool:
        """Whether it is of the account's user, as far as it says whose it is; who placed it may be a dealer."""
        named = order.user_id or order.account_id
        return not named or named == self._user_id

    def _put(self, row: BrokerRow | None) -> None:
        if row is None and self._waiting and self._waiting[-1] is None:
            return  # one reading of the book is enough
        if len(self._waiting) >= MOST:
            self._waiting.clear()
            row = None
        self._waiting.append(row)
        self._arrived.set()


async def order_updates(  # noqa: PLR0913 - what a stream of pushes needs, by keyword
    pushes: OrderPushes,
    options: SocketOptions,
    *,
    clock: Clock,
    session: SessionFile,
    chance: random.Random,
    in_session: Callable[[int], bool],
) -> AsyncIterator[BrokerRow | None]:
    """Yield pushes over a socket of the app's own, and whatever else is put into `pushes`; see `ports.OrderUpdates`.

    The first is None, and each connection brings another: what came while there was none is not pushed again.
    """
    ears = Ears(frame=_ignore, text=pushes.take_text, opened=pushes.missed)
    socket = KiteSocket(
        "orders", options, clock=clock, session=session, ears=ears, chance=chance, in_session=in_session
    )
    running = asyncio.create_task(socket.run())
    stream = pushes.stream()
    pushes.missed()
    try:
        while True:
            coming = asyncio.ensure_future(anext(stream))
            try:
                await asyncio.wait({coming, running}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
            if running.done():
                running.result()
            yield coming.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _ignore(_: bytes) -> None:
    """Take a heartbeat: the socket has noted it."""
