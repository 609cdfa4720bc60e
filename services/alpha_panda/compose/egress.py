"""Whether orders leave from the address that is registered with the broker."""

import asyncio
from ipaddress import ip_address

import structlog

from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Clock

log = structlog.get_logger()


class EgressCheck:
    """Asks an echo endpoint now and then, beside the orders: only the first of all waits for its answer.

    An endpoint that doesn't answer stops nothing: the broker itself refuses a wrong address.

    Args:
        clock: time.
        url: of the endpoint.
        expected: the address that is registered.
        seconds: for one answer.
        again_seconds: after which it is asked again.

    """

    def __init__(
        self, clock: Clock, url: str, expected: str, *, seconds: float, again_seconds: float
    ) -> None:
        self._clock = clock
        self._url = url
        self._expected = str(ip_address(expected))
        self._seconds = seconds
        self._again_ns = nanoseconds(again_seconds)
        self._asked_at: int | None = None
        self._problem = ""
        self._asking: asyncio.Task[None] | None = None

    async def problem(self, deadline: int | None = None) -> str:
        """Return what is wrong with the address, "" if nothing is known to be; `deadline`: monotonic ns, for the first."""
        now = self._clock.monotonic()
        first = self._asked_at is None
        if self._asked_at is None or now - self._asked_at >= self._again_ns:
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        if first and self._asking is not None:
            left = self._seconds if deadline is None else min(self._seconds, (deadline - now) / SECOND_NS / 2)
            await asyncio.wait({self._asking}, timeout=max(0.0, left))
        return self._problem

    async def _ask(self) -> None:
        from alpha_panda.adapters.http.echo import seen_address  # noqa: PLC0415 - a run on paper needs no client

        try:
            seen = await seen_address(self._url, self._seconds)
        except DependencyUnavailableError as error:
            log.warning("egress_address_not_checked", error=str(error), kept=self._problem)
            return
        problem = ""
        if seen != self._expected:
            problem = (
                f"requests leave from {seen}, and the address registered with the broker is {self._expected}"
            )
        if problem != self._problem:
            tell = log.error if problem else log.info
            tell("egress_address_checked", seen=seen, expected=self._expected)
        self._problem = problem
