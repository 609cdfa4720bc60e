"""Takes what a broker pushes: each row as a part of the order book, and as a word that the book is worth reading now.

A push may be late, twice, out of order or lost, so it can only add: what an order has filled never falls, and an end
stays. What it leaves out, the reading that it causes brings; pushes that come during a reading cause one more.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.errors import ProcessMustExitError, RecordError, TransientError
from alpha_panda.ports import Clock, OrderUpdates, Producer
from alpha_panda.runtime.tasks import intake

log = structlog.get_logger()


class Pushes:
    """Two runners: one listens, one reads the book when asked to.

    Args:
        updates: the broker's.
        clock: for the wait after an error.
        wait: seconds of that wait. Between readings that go well there is none but what the broker's limits on calls ask.
        take: brings the journal in line with one row.
        read: reads the book.
        failed: is told of an error that passes by itself.

    """

    def __init__(  # noqa: PLR0913, PLR0917 - see above
        self,
        updates: OrderUpdates,
        clock: Clock,
        wait: float,
        take: Callable[[BrokerRow], Awaitable[None]],
        read: Callable[[], Awaitable[object]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._updates = updates
        self._clock = clock
        self._wait = wait
        self._take = take
        self._read = read
        self._failed = failed
        self._wanted = asyncio.Event()
        self.pushed = 0
        self.gaps = 0

    async def listen(self, producer: Producer) -> None:  # noqa: ARG002 - a runner's
        """Take rows until cancelled; whatever ends the stream, it is begun anew."""
        while True:
            stream = aiter(self._updates.order_updates())
            try:
                while True:
                    await self._one(await intake(anext(stream)))
            except StopAsyncIteration:
                log.warning("order_updates_ended")
            except (TransientError, RecordError) as error:
                self._failed(error)
                log.warning("order_updates_failed", error=str(error))
            self._wanted.set()
            await intake(self._clock.sleep(self._wait))

    async def _one(self, row: BrokerRow | None) -> None:
        self._wanted.set()
        if row is None:
            self.gaps += 1
            return
        self.pushed += 1
        try:
            await self._take(row)
        except ProcessMustExitError:
            raise
        except (TransientError, RecordError) as error:  # the book will show it
            self._failed(error)
            log.warning("push_not_taken", order=row.broker_order_id, error=str(error))

    async def read_when_told(self, producer: Producer) -> None:  # noqa: ARG002 - a runner's
        """Read the book as soon as a push has come; pushes meanwhile are one more reading together."""
        while True:
            await intake(self._wanted.wait())
            self._wanted.clear()
            try:
                await self._read()
            except ProcessMustExitError:
                raise
            except (TransientError, RecordError) as error:
                self._failed(error)
                log.warning("book_not_read_upon_push", error=str(error))
                self._wanted.set()
                await intake(self._clock.sleep(self._wait))
