"""Pages become one reading, and none is called complete that isn't."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.http.exchange import Answer, Exchange, Unanswered
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.stored import BookReading, BrokerRow
from alpha_panda.testing.broker.api import BookPage
from alpha_panda.testing.broker.book import BookReader

DAY = "2026-01-02"


def row(n: int) -> BrokerRow:
    return BrokerRow(
        broker_order_id=f"B{n}",
        tag=f"ap{n}",
        instrument_token=1,
        side="BUY",
        quantity=Decimal(1),
        status=OrderStatus.PLACED,
    )


def page(number: int, pages: int, *rows: int, total: int = 3, user: str = "me", day: str = DAY) -> Answer:
    body = BookPage(user, day, total, number, pages, tuple(row(n) for n in rows))
    return Answer(200, msgspec.json.encode(body))


def fetching(*answers: Exchange) -> Callable[[int], Awaitable[Exchange]]:
    async def fetch(number: int) -> Exchange:
        return answers[number - 1]

    return fetch


async def read(*answers: Exchange, **options: Any) -> BookReading:
    reader = BookReader(RealClock(), fetching(*answers), "me", options.get("trading_day"))
    return await reader.read()


async def test_all_pages_are_one_complete_reading() -> None:
    before = RealClock().now()
    found = await read(page(1, 2, 0, 1), page(2, 2, 2), trading_day=lambda _: DAY)
    assert [item.broker_order_id for item in found.rows] == ["B0", "B1", "B2"]
    assert (found.complete, found.user, found.trading_day) == (True, "me", DAY)
    assert before <= found.begun_at <= RealClock().now()


async def test_an_empty_book_is_complete() -> None:
    assert (await read(page(1, 1, total=0))).complete


@pytest.mark.parametrize(
    ("answers", "rows"),
    [
        ([Unanswered("")], 0),
        ([Answer(500, b"")], 0),
        ([Answer(500, page(1, 1, total=0).body)], 0),
        ([Answer(200, b"garbage")], 0),
        ([page(1, 2, 0, 1), Unanswered("")], 2),
        ([page(1, 1, 0, 1)], 2),  # two rows of three
        ([page(1, 2, 0, 1), page(1, 2, 0, 1)], 2),  # the first page again
        ([page(1, 2, 0, 1), page(2, 2, 1)], 2),  # a row moved from page to page
        ([page(1, 2, 0, 1), page(2, 2, 2, total=4)], 3),  # an order came in between
        ([page(1, 2, 0, 1), page(2, 2, 2, day="2026-01-03")], 2),  # midnight in between
        ([page(1, 2, 0, 1), page(2, 2, 2, user="you")], 2),
        ([page(1, 1, 0, 1, 2, user="you")], 0),
        ([page(1, 1, 0, 1, 2, day="2026-01-03")], 0),
    ],
)
async def test_what_is_missing_or_another_book_is_incomplete(answers: list[Exchange], rows: int) -> None:
    found = await read(*answers, trading_day=lambda _: DAY)
    assert not found.complete
    assert len(found.rows) == rows


async def test_pages_without_end_end() -> None:
    calls = 0

    async def endless(number: int) -> Exchange:
        nonlocal calls
        calls += 1
        return page(number, number + 1, number)

    found = await BookReader(RealClock(), endless, "me", None).read()
    assert (found.complete, calls) == (False, 1000)


async def test_without_an_expected_day_the_brokers_counts() -> None:
    found = await read(page(1, 1, 0, 1, 2, day="2030-01-01"))
    assert (found.complete, found.trading_day) == (True, "2030-01-01")
