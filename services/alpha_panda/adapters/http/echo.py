"""What address requests of this machine leave from, as an endpoint outside sees it."""

import asyncio
import json
from ipaddress import ip_address
from typing import Final

import aiohttp

from alpha_panda.errors import DependencyUnavailableError

SERVICE: Final = "address echo"
LONGEST: Final = 4_096
"""Bytes of an answer that are read: an address is far shorter."""


async def seen_address(url: str, seconds: float) -> str:
    """Return the address that the endpoint sees, as the standard writes it.

    The answer is the address as plain text, or a JSON object with `ip`. No redirect is followed, no proxy used: orders
    have neither.

    Raises:
        DependencyUnavailableError: there is no answer in time, or no address in it.

    """
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as client,
            client.get(url, allow_redirects=False) as answer,
        ):
            body = await answer.content.read(LONGEST)
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise DependencyUnavailableError(SERVICE, f"it answered {answer.status}")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise DependencyUnavailableError(SERVICE, type(error).__name__) from error
    return _address(body)


def _address(body: bytes) -> str:
    text = body.decode("ascii", errors="replace").strip()
    try:
        if text.startswith("{"):
            text = str(json.loads(text).get("ip", ""))
        return str(ip_address(text))
    except ValueError:
        raise DependencyUnavailableError(SERVICE, "its answer is no address") from None
