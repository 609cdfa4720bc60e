"""Kite's postbacks: changes of orders that Kite posts to the app's URL, each with a checksum.

Postbacks come from the internet, so nothing in one counts before its checksum does: hex SHA-256 of order id, time and
the app's secret. That covers neither status nor quantities: what a genuine one says beside id and time may have been
changed on its way, so take it for a reason to read the book. Kite asks for HTTPS; whatever ends that stands in front.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final, Self

import msgspec
import structlog
from aiohttp import web

from alpha_panda.errors import DependencyUnavailableError

from .wire import parsed

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - who ends the TLS in front may be another machine

SERVICE: Final = "postbacks"
"""Name of the dependency in errors."""

LONGEST: Final = 64 * 1024
"""Bytes of a postback; a real one has about one thousand."""

log = structlog.get_logger()


class _Signed(msgspec.Struct):
    order_id: str
    order_timestamp: str
    checksum: str


def is_genuine(body: bytes, secret: str) -> bool:
    """Whether the postback's checksum is of this secret; compared in constant time. False without a secret."""
    signed = parsed(body, _Signed)
    if signed is None or not secret or not signed.order_id or not signed.checksum:
        return False
    expected = checksum(signed.order_id, signed.order_timestamp, secret)
    return hmac.compare_digest(expected.encode(), signed.checksum.lower().encode())


def checksum(order_id: str, order_timestamp: str, secret: str) -> str:
    """Return the checksum of a postback, its time as it stands in it."""
    return hashlib.sha256(f"{order_id}{order_timestamp}{secret}".encode()).hexdigest()


class PostbackServer:
    """Listens for postbacks, at any path; an async context manager.

    Args:
        port: to listen at; 0: any free one, see `port`.
        secret: the app's secret as it is now; "" while there is none: then nothing is taken.
        deliver: gets the body of each genuine postback.
        host: the address to listen at.

    Entering raises DependencyUnavailableError if the port can't be had.

    """

    def __init__(
        self,
        port: int,
        secret: Callable[[], str],
        deliver: Callable[[bytes], None],
        *,
        host: str = EVERYWHERE,
    ) -> None:
        self._host = host
        self._wanted = port
        self._secret = secret
        self._deliver = deliver
        self._runner: web.AppRunner | None = None
        self.port = port

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LONGEST)
        app.router.add_post("/{path:.*}", self._posted)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._wanted).start()
        except OSError as error:
            await self._runner.cleanup()
            raise DependencyUnavailableError(
                SERVICE, f"can't listen at port {self._wanted}: {error.strerror or error}"
            ) from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _posted(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp answers 413 to one that is too long
        if not is_genuine(body, self._secret()):
            log.warning("postback_refused", size=len(body))
            return web.Response(status=403)
        self._deliver(body)
        return web.Response(status=200)
