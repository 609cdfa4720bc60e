"""A market source over Kite's WebSocket: up to three connections of 3,000 instruments each."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import SourceError
from alpha_panda.ports import Clock, SourceBatch

from .frames import parse
from .pending import Pending
from .session import SessionFile
from .socket import Ears, KiteSocket, SocketOptions, always
from .ticking import Ticking

MAX_SOCKETS: Final = 3
"""Connections that Kite takes of one app, those for order updates included: a fourth is refused."""

PER_SOCKET: Final = 3000
"""Instruments that Kite takes on one connection."""

ALIVE_NS: Final = 2 * SECOND_NS
"""A connection that was heard within it lives now: Kite says something each second or two."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Settings of the feed.

    Attributes:
        socket: how to connect, and what is asked for.
        max_sockets: connections at most; an order-tracker of the same app needs one of the three.
        per_socket: instruments on one connection at most.
        batch_max_ticks: rows at which a batch is given out though more wait (a frame is never cut).

    """

    socket: SocketOptions
    max_sockets: int = MAX_SOCKETS
    per_socket: int = PER_SOCKET
    batch_max_ticks: int = 2_000


class ZerodhaSource:
    """Live prices, for as long as they are asked for; without a valid session it waits for one.

    The whole source is proven alive only while every one of its connections is heard: a batch of one connection
    doesn't prove the instruments of another one fresh. When the reader is slow, only the newest row of each token
    waits for it, and the others are counted.

    Args:
        options: the feed's settings.
        clock: real time.
        session: the account's access token.
        in_session: whether prices may be expected at a time (UTC ns).
        chance: jitters the pauses between connections.

    """

    mode = FeedMode.LIVE

    def __init__(
        self,
        options: FeedOptions,
        clock: Clock,
        session: SessionFile,
        *,
        chance: random.Random,
        in_session: Callable[[int], bool] = always,
    ) -> None:
        self._options = options
        self._clock = clock
        self._session = session
        self._chance = chance
        self._in_session = in_session
        self._sockets: list[KiteSocket] = []
        self._told = ""
        self._begun_at = 0

    @property
    def exhausted(self) -> bool:
        """Return False: a market never ends."""
        return False

    def problem(self) -> str:
        """Return what is wrong with it now, in words without secrets; "" if every connection stands."""
        problems = dict.fromkeys(socket.problem for socket in self._sockets if socket.problem)
        return "; ".join((*problems, *((self._told,) if self._told else ())))

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        """Yield what arrives; an empty batch when the broker said no more than that it lives.

        Raises:
            SourceError: no instrument, or more than the connections take.

        """
        groups = self._groups([item.token for item in instruments])
        pending, ticking, woken = Pending(len(instruments)), Ticking(_all(groups)), asyncio.Event()
        self._begun_at = self._clock.now()
        self._sockets = [
            self._socket(number, tokens, pending, ticking, woken) for number, tokens in enumerate(groups, 1)
        ]
        tasks = [asyncio.create_task(socket.run()) for socket in self._sockets]
        for task in tasks:
            task.add_done_callback(lambda _: woken.set())
        try:
            while True:
                await woken.wait()
                woken.clear()
                for task in tasks:
                    if task.done():
                        task.result()
                yield self._batch(pending, ticking)
                if pending:
                    woken.set()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _batch(self, pending: Pending, ticking: Ticking) -> SourceBatch:
        chunks = pending.take(self._options.batch_max_ticks)
        batch = ticking.batch(chunks) if chunks else SourceBatch((), (), ())
        batch.conflated, bad = pending.take_counts()
        batch.bad_rows += bad
        batch.proven = self._proven(chunks[-1][1][-1] if chunks else self._clock.now())
        return batch

    def _proven(self, at: int) -> int:
        """Return until when all connections are known to live, at `at`: one that was never heard proves nothing."""
        return min(self._lived_until(socket.heard_at, at) for socket in self._sockets)

    def _lived_until(self, heard: int, at: int) -> int:
        return at if heard and at - heard <= ALIVE_NS else heard or self._begun_at

    def _socket(
        self, number: int, tokens: Sequence[int], pending: Pending, ticking: Ticking, woken: asyncio.Event
    ) -> KiteSocket:
        clock = self._clock

        def frame(data: bytes) -> None:
            pending.add(parse(data), clock.now())
            woken.set()

        def opened() -> None:
            self._told = ""
            ticking.reconnected(tokens)

        return KiteSocket(
            f"feed-{number}",
            self._options.socket,
            clock=clock,
            session=self._session,
            ears=Ears(frame, self._text, opened),
            chance=self._chance,
            tokens=tokens,
            in_session=self._in_session,
        )

    def _text(self, text: str) -> None:
        """Note an error that Kite tells, such as tokens beyond the limit; order updates are the order-tracker's."""
        message = error_of(text)
        if message and message != self._told:
            self._told = message
            log.warning("kite_says_error", message=message)

    def _groups(self, tokens: Sequence[int]) -> list[Sequence[int]]:
        """Spread the tokens evenly over as few connections as hold them."""
        options = self._options
        if not tokens:
            raise SourceError("a Zerodha feed needs at least one instrument")
        needed = -(-len(tokens) // options.per_socket)
        if needed > options.max_sockets:
            raise SourceError(
                f"{len(tokens)} instruments need {needed} connections of {options.per_socket}; "
                f"this feed may have {options.max_sockets}: name fewer instruments"
            )
        each = -(-len(tokens) // needed)
        return [tokens[begin : begin + each] for begin in range(0, len(tokens), each)]


LONGEST_MESSAGE: Final = 200
"""Characters of an error of Kite's that are kept."""


class _Text(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")


def error_of(text: str) -> str:
    """Return what an error message of the socket says; "" for any other text."""
    try:
        message = msgspec.json.decode(text, type=_Text)
        if message.type != "error":
            return ""
        said = msgspec.json.decode(message.data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return (said if isinstance(said, str) else str(said))[:LONGEST_MESSAGE] or "an error without words"


def _all(groups: Sequence[Sequence[int]]) -> list[int]:
    return [token for tokens in groups for token in tokens]
