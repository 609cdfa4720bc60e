"""Holding a lease: wait for it, renew it, end the service when it can't be proven any more."""

import asyncio

import structlog

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import FencedError, MisuseError, TransientError, UnknownOutcomeError
from alpha_panda.ports import Clock, Lease
from alpha_panda.runtime.retry import Backoff
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.tasks import intake

log = structlog.get_logger()


class LeaseKeeper:
    """Holds one lease for one instance. Writes are fenced by the epoch, so the keeper only ends a doomed process."""

    def __init__(self, lease: Lease, clock: Clock, name: str, owner: str, settings: Settings) -> None:
        self._lease = lease
        self._clock = clock
        self._name = name
        self._owner = owner
        self._ttl = settings.lease_ttl_seconds
        self._renew = settings.lease_renew_seconds
        self._epoch: int | None = None
        self._proven_at = 0

    async def acquire(self) -> int:
        """Wait until the lease is ours; return its epoch. A graceful stop interrupts the wait."""
        backoff = Backoff(self._renew, self._renew)
        attempt = 0
        while self._epoch is None:
            attempt += 1
            asked_at = self._clock.monotonic()
            self._epoch = await self._ask()
            self._proven_at = asked_at
            if self._epoch is None:
                await intake(self._clock.sleep(backoff.delay(attempt, self._owner)))
        log.info("lease acquired", lease=self._name, epoch=self._epoch)
        return self._epoch

    async def _ask(self) -> int | None:
        try:
            return await self._lease.acquire(self._name, self._owner, self._ttl)
        except TransientError as error:
            log.warning("lease can't be asked for", lease=self._name, error=str(error))
            return None

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            FencedError: somebody else holds it, or it would run out before the next renewal.

        """
        async for _ in self._clock.every(self._renew):
            await self._renew_once()

    async def _renew_once(self) -> None:
        asked_at = self._clock.monotonic()
        try:
            # A renewal that hangs must not outlive the lease. Virtual time does not pass while a call hangs.
            async with asyncio.timeout(None if self._clock.virtual else max(self._left(), 0.0)):
                await self._lease.renew(self._name, self._owner, self.epoch, self._ttl)
        except (TransientError, UnknownOutcomeError, TimeoutError) as error:
            # A lost reply counts as not renewed: the safe side, and the next renewal tells.
            if self._left() <= self._renew:
                raise FencedError(f"lease {self._name} could not be renewed in time: {error!r}") from error
            log.warning("lease not renewed", lease=self._name, error=repr(error))
        else:
            self._proven_at = asked_at

    def _left(self) -> float:
        return self._ttl - (self._clock.monotonic() - self._proven_at) / SECOND_NS

    @property
    def epoch(self) -> int:
        """The epoch that the lease was given with; only after `acquire`."""
        if self._epoch is None:
            raise MisuseError(f"lease {self._name} is not held")
        return self._epoch

    async def release(self) -> None:
        """Give the lease up after a graceful stop; if that fails it runs out by itself."""
        if self._epoch is None:
            return
        try:
            await self._lease.release(self._name, self._owner, self._epoch)
        except (TransientError, UnknownOutcomeError) as error:
            log.warning("lease not released", lease=self._name, error=str(error))
