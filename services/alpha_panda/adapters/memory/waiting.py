"""Wait for a future no longer than so long on a clock."""

import asyncio

from alpha_panda.ports import Clock


async def wait_for(future: "asyncio.Future[None]", clock: Clock, timeout: float | None) -> bool:  # noqa: ASYNC109 - on that clock
    """Return whether `future` was done within `timeout` seconds on `clock` (None: wait). It is not cancelled."""
    if timeout is None:
        await future
        return True
    timer = asyncio.ensure_future(clock.sleep(timeout))
    try:
        await asyncio.wait((future, timer), return_when=asyncio.FIRST_COMPLETED)
        if timer.done():
            timer.result()  # a clock that can't sleep on this loop says so
        return future.done()
    finally:
        timer.cancel()
