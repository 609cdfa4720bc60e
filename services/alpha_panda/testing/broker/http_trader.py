"""The port `Trader` over HTTP, to the broker of `server`: the live path before there is a real broker."""

from collections.abc import Callable, Mapping
from typing import Self

import msgspec

from alpha_panda.adapters.http.client import OneShotClient
from alpha_panda.adapters.http.exchange import Exchange
from alpha_panda.ports import Clock, Trader

from .api import PlaceRequest
from .core import USER
from .trader import TIMEOUT, BrokerTrader


class HttpTrader(BrokerTrader):
    """A trader to a broker's server. Use as an async context manager, or close it.

    `send_within`: S in seconds, see `OneShotClient`. `access_token` is asked for each request.
    """

    def __init__(  # noqa: PLR0913 - all but the first two by keyword, with defaults
        self,
        url: str,
        clock: Clock,
        *,
        send_within: float = TIMEOUT,
        timeout: float = TIMEOUT,
        user: str = USER,
        trading_day: Callable[[int], str] | None = None,
        access_token: Callable[[], str] | None = None,
    ) -> None:
        self.client = OneShotClient(
            clock, url, send_within=send_within, headers=lambda: _headers(access_token)
        )
        super().__init__(_OverHttp(self.client), clock, user, timeout, trading_day)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()


class HttpTraders:
    """The port `TraderFactory`: one server for each account it names. Close it after use.

    An account's trader is one for all members of the process, as its connections are.
    """

    def __init__(
        self, urls: Mapping[str, str], clock: Clock, *, send_within: float = TIMEOUT, timeout: float = TIMEOUT
    ) -> None:
        self._traders = {
            account: HttpTrader(url, clock, send_within=send_within, timeout=timeout)
            for account, url in urls.items()
        }

    def trader(self, account: str) -> Trader:
        """Return the trader to the account's broker."""
        return self._traders[account]

    async def aclose(self) -> None:
        """Close all connections."""
        for trader in self._traders.values():
            await trader.client.aclose()


class _OverHttp:
    def __init__(self, client: OneShotClient) -> None:
        self._client = client

    async def place(self, request: PlaceRequest, deadline: int) -> Exchange:
        return await self._client.send("POST", "/orders", deadline, body=msgspec.json.encode(request))

    async def cancel(self, order_id: str, deadline: int) -> Exchange:
        return await self._client.send("DELETE", f"/orders/{order_id}", deadline)

    async def page(self, page: int, deadline: int) -> Exchange:
        return await self._client.send("GET", "/orders", deadline, query=f"page={page}")


def _headers(access_token: Callable[[], str] | None) -> Mapping[str, str]:
    return {} if access_token is None else {"Authorization": f"token {access_token()}"}
