"""Reads the pages of the order book into one `BookReading`, and never calls complete what is not."""

from collections.abc import Awaitable, Callable
from typing import Final

from alpha_panda.adapters.http.exchange import Answer, Exchange
from alpha_panda.contracts.stored import BookReading, BrokerRow
from alpha_panda.ports import Clock

from .api import OK, BookPage, parsed

MOST_PAGES: Final = 1000
"""A book of more pages is a mistake of the broker's, not a day's trading."""


class BookReader:
    """`page` fetches a page by its number, from 1. Reads are reads: whoever needs it simply reads again."""

    def __init__(
        self,
        clock: Clock,
        page: Callable[[int], Awaitable[Exchange]],
        user: str,
        trading_day: Callable[[int], str] | None,
    ) -> None:
        self._clock = clock
        self._page = page
        self._user = user
        self._trading_day = trading_day

    async def read(self) -> BookReading:
        """Return what could be read. Rows of another user or day are left out; rows that are there still count."""
        begun_at = self._clock.now()
        pages: list[BookPage] = []
        while len(pages) < MOST_PAGES:
            found = _page_of(await self._page(len(pages) + 1))
            if found is None or not self._expected(found, pages, begun_at):
                break
            pages.append(found)
            if found.page == found.pages:
                break
        rows = {row.broker_order_id: row for page in pages for row in page.orders}
        return BookReading(
            complete=_is_complete(pages, rows),
            begun_at=begun_at,
            user=self._user,
            trading_day=pages[0].trading_day if pages else "",
            rows=tuple(rows.values()),
        )

    def _expected(self, page: BookPage, before: list[BookPage], begun_at: int) -> bool:
        day = before[0].trading_day if before else page.trading_day
        wanted = day if self._trading_day is None else self._trading_day(begun_at)
        return page.user == self._user and page.trading_day == day == wanted and page.page == len(before) + 1


def _page_of(exchange: Exchange) -> BookPage | None:
    if isinstance(exchange, Answer) and exchange.status == OK:
        return parsed(exchange.body, BookPage)
    return None


def _is_complete(pages: list[BookPage], rows: dict[str, BrokerRow]) -> bool:
    """Whether all pages are there and tell of as many orders as they hold: a row may move while they are read."""
    return {(page.total, page.pages) for page in pages} == {(len(rows), len(pages))}
