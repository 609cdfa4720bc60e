"""How often and after what wait a failed attempt is repeated, by the class of its error.

Never used around a broker call: an order is sent at most once (DESIGN section 4).
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from alpha_panda.errors import RecordError, TransientError
from alpha_panda.ports import Clock
from alpha_panda.runtime.settings import Settings

T = TypeVar("T")

_MAX_DOUBLINGS: Final = 64  # beyond it every back-off is at its cap, and 2.0**n would overflow at 1024


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with a cap and a jitter that is a function of its seed, so that a run repeats."""

    initial_seconds: float
    max_seconds: float

    def delay(self, attempt: int, seed: str) -> float:
        """Return the wait after failed attempt number `attempt` (from 1), in seconds.

        `min(max, initial · 2^(attempt-1))`, of which between half and all is taken ("equal jitter", Brooker,
        "Exponential Backoff And Jitter", 2015). Seeds differ between replicas, so that they don't march in step.
        """
        doublings = min(attempt - 1, _MAX_DOUBLINGS)
        ceiling = min(self.max_seconds, self.initial_seconds * 2.0**doublings)
        return ceiling * (0.5 + 0.5 * _fraction(f"{seed}:{attempt}"))


def _fraction(seed: str) -> float:
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True, slots=True)
class RetryPolicies:
    """Attempts (the first included) by class of error, and the back-off between them."""

    transient_attempts: int
    unexpected_attempts: int
    backoff: Backoff

    @classmethod
    def from_settings(cls, settings: Settings) -> "RetryPolicies":
        """Return the policies that the settings ask for."""
        backoff = Backoff(settings.retry_transient_initial_seconds, settings.retry_max_seconds)
        return cls(settings.retry_transient_attempts, settings.retry_unexpected_attempts, backoff)

    def attempts(self, error: Exception) -> int:
        """Return how often what failed with `error` is tried in all: a RecordError once, it can't get better."""
        if isinstance(error, RecordError):
            return 1
        return self.transient_attempts if isinstance(error, TransientError) else self.unexpected_attempts


async def retrying(
    clock: Clock, policies: RetryPolicies, action: Callable[[], Awaitable[T]], *, seed: str
) -> T:
    """Run `action` until it succeeds or its attempts are used up; for loops and starts of a service's own.

    Raises:
        TransientError: the last one, after `policies.transient_attempts`; all other errors at once.

    """
    attempt = 1
    while True:
        try:
            return await action()
        except TransientError as error:
            if attempt >= policies.attempts(error):
                raise
        await clock.sleep(policies.backoff.delay(attempt, seed))
        attempt += 1
