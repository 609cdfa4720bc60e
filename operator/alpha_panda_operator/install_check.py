"""What `helm test` asks: is an operator ready, and does the API server serve the three kinds to us.

`python -m alpha_panda_operator.install_check READYZ_URL [WATCHED …]` ends with 0 or, with the reason, with 1. It only
reads, and waits a minute for an operator that is still starting.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

import aiohttp

from alpha_panda.errors import AlphaPandaError
from alpha_panda_operator.access import ApiAccess, find_access
from alpha_panda_operator.cluster import Cluster
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import RESOURCES

CALL_SECONDS: Final = 15.0
READY_SECONDS: Final = 60.0
"""How long a start may take: pulling the image is not part of it."""
PAUSE_SECONDS: Final = 1.0


async def not_served(access: ApiAccess, namespaces: Sequence[str]) -> list[str]:
    """Return why kinds can't be listed in these namespaces, or in all if none is named; nothing if all can."""
    faults: list[str] = []
    async with Cluster(access, Metrics(), CALL_SECONDS) as cluster:
        for kind in RESOURCES.values():
            try:
                await cluster.list(kind, namespaces, metadata_only=True)
            except AlphaPandaError as error:
                faults.append(f"{kind.plural}.{kind.group}: {error}")
    return faults


async def not_ready(url: str, seconds: float = READY_SECONDS, pause: float = PAUSE_SECONDS) -> str:
    """Ask until the answer is 200; return what it was last if `seconds` pass without one, else nothing."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)) as session:
        while True:
            said = await _ask(session, url)
            if not said or loop.time() + pause > end:
                return said
            await asyncio.sleep(pause)


async def _ask(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(url) as answer:
            return "" if answer.ok else f"{url}: {answer.status}\n{(await answer.text()).strip()}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{url}: {str(error) or type(error).__name__}"


async def faults(url: str, namespaces: Sequence[str]) -> list[str]:
    """Return all that is wrong with an installation; nothing if it is well."""
    served = await not_served(find_access(os.environ), namespaces)
    ready = await not_ready(url)
    return [*served, *([ready] if ready else [])]


def main(arguments: Sequence[str]) -> int:
    """Print the verdict and return the exit code."""
    url, *watched = arguments
    try:
        found = asyncio.run(faults(url, watched))
    except AlphaPandaError as error:
        found = [str(error)]
    print("\n".join(found) or "The operator is ready, and the three kinds are served.")  # noqa: T201 - its output
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
