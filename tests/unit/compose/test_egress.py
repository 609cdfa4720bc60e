"""Orders leave from the registered address, as an endpoint outside sees it; where nobody can tell, they leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.http.echo import seen_address
from alpha_panda.compose.egress import EgressCheck
from alpha_panda.errors import DependencyUnavailableError


class Echo:
    """An endpoint that says what a test wants."""

    def __init__(self) -> None:
        self.says, self.status, self.asked, self.url = "203.0.113.7\n", 200, 0, ""
        self.hold: asyncio.Event | None = None

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(text=self.says, status=self.status)


@asynccontextmanager
async def served() -> AsyncIterator[Echo]:
    echo, app = Echo(), web.Application()
    app.router.add_get("/", echo.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    echo.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield echo
    finally:
        if echo.hold is not None:
            echo.hold.set()
        await runner.cleanup()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with served() as found:
        yield found


@pytest.mark.parametrize(
    ("says", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\r\n", "203.0.113.7"),
        ('{"ip": "203.0.113.7"}', "203.0.113.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
    ],
)
async def test_the_address_is_read_as_text_and_as_json(echo: Echo, says: str, address: str) -> None:
    echo.says = says
    assert await seen_address(echo.url, 5) == address


@pytest.mark.parametrize("says", ["", "<html>203.0.113.7</html>", '{"ip": 7}', '{"ip"', "203.0.113.777", "é"])
async def test_what_is_no_address_is_none(echo: Echo, says: str) -> None:
    echo.says = says
    with pytest.raises(DependencyUnavailableError):
        await seen_address(echo.url, 5)


async def test_an_error_and_silence_are_no_answers(echo: Echo) -> None:
    echo.status = 503
    with pytest.raises(DependencyUnavailableError, match="503"):
        await seen_address(echo.url, 5)
    echo.hold = asyncio.Event()
    with pytest.raises(DependencyUnavailableError, match="TimeoutError"):
        await seen_address(echo.url, 0.05)


class Hands:
    """A clock whose monotonic time a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> int:
        return round(self.seconds * 1e9)


def check(
    echo: Echo, clock: object | None = None, expected: str = "203.0.113.7", seconds: float = 5
) -> EgressCheck:
    return EgressCheck(clock or RealClock(), echo.url, expected, seconds=seconds, again_seconds=60)  # type: ignore[arg-type]  # what it asks of a clock


async def test_the_right_address_is_no_problem_and_is_not_asked_for_each_order(echo: Echo) -> None:
    made = check(echo)
    assert [await made.problem() for _ in range(3)] == ["", "", ""]
    assert echo.asked == 1


async def test_another_address_is_named_with_the_registered_one(echo: Echo) -> None:
    echo.says = "198.51.100.4"
    assert await check(echo).problem() == (
        "requests leave from 198.51.100.4, and the address registered with the broker is 203.0.113.7"
    )


async def test_one_address_may_be_written_in_two_ways(echo: Echo) -> None:
    echo.says = "2001:db8::7"
    assert await check(echo, expected="2001:0DB8:0:0::0007").problem() == ""


async def test_an_endpoint_that_is_down_stops_nothing(echo: Echo) -> None:
    echo.status = 500
    assert await check(echo).problem() == ""


async def test_it_is_asked_again_beside_the_orders(echo: Echo) -> None:
    clock = Hands()
    made = check(echo, clock)
    assert await made.problem() == ""
    echo.says = "198.51.100.4"
    clock.seconds += 61
    assert await made.problem() == "", "this order does not wait"
    assert made._asking is not None
    await asyncio.wait_for(asyncio.shield(made._asking), 5)
    assert "198.51.100.4" in await made.problem()
    assert echo.asked == 2


async def test_the_first_waits_no_longer_than_half_of_what_its_order_has(echo: Echo) -> None:
    clock = Hands()
    echo.hold = asyncio.Event()
    made = check(echo, clock, seconds=30)
    async with asyncio.timeout(5):
        assert await made.problem(clock.monotonic() + 200_000_000) == ""
    assert made._asking is not None
    made._asking.cancel()
    await asyncio.gather(made._asking, return_exceptions=True)
