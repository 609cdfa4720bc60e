"""One account a broker's login: the lease that an order-tracker holds on its user."""

import structlog

from alpha_panda.contracts.keys import broker_user_lease
from alpha_panda.errors import FencedError, TransientError, UnknownOutcomeError
from alpha_panda.ports import Clock, Lease

log = structlog.get_logger()


class BrokerUser:
    """Holds the lease of a user, if there is one to hold; asks again while somebody else does.

    Two accounts with one login would count each other's trades as differences, and spend one another's money.
    """

    def __init__(self, lease: Lease, clock: Clock, user: str, owner: str, ttl: float) -> None:
        self._lease = lease
        self._clock = clock
        self._name = broker_user_lease(user)
        self._user = user
        self._owner = owner
        self._ttl = ttl
        self._epoch: int | None = None
        self._until = 0

    @property
    def held(self) -> bool:
        """Whether nobody else may trade with the login now."""
        return not self._user or (self._epoch is not None and self._clock.monotonic() < self._until)

    @property
    def named(self) -> bool:
        """Whether there is a user at all."""
        return bool(self._user)

    @property
    def problem(self) -> str:
        """Why not, in words."""
        return "" if self.held else f"another account trades with the broker's user {self._user}"

    async def keep(self) -> None:
        """Take the lease, or renew it. Losing it ends nothing: the account is not reconciled while it lasts."""
        if not self._user:
            return
        asked_at = self._clock.monotonic()
        try:
            if self._epoch is None:
                self._epoch = await self._lease.acquire(self._name, self._owner, self._ttl)
                if self._epoch is None:
                    log.warning("broker_user_taken", user=self._user)
                    return
            else:
                await self._lease.renew(self._name, self._owner, self._epoch, self._ttl)
        except FencedError:
            self._epoch = None
            log.warning("broker_user_lost", user=self._user)
        except (TransientError, UnknownOutcomeError) as error:
            log.warning("broker_user_not_renewed", user=self._user, error=str(error))
        else:
            self._until = asked_at + round(self._ttl * 1e9)

    async def release(self) -> None:
        """Give it up after a graceful stop."""
        if self._epoch is None:
            return
        try:
            await self._lease.release(self._name, self._owner, self._epoch)
        except (TransientError, UnknownOutcomeError) as error:
            log.warning("broker_user_not_released", user=self._user, error=str(error))
        self._epoch = None
